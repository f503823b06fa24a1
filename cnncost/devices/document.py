"""Devices as a document: a table of several, or everything known about one. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from cnncost import units
from cnncost.devices.model import FORMATS, LINKS, Device
from cnncost.render.document import Column, Document, Narrowing, Part, Table, data_table, notes, rows

_CONVENTION = "peak dense FLOP/s, a MAC is two; bytes per second of main memory"
_MORE = "cnncost devices NAME shows sources and all number formats; --measure adds this machine"


def catalog_document(devices: Sequence[Device]) -> Document:
    """Return a document with a row for each device."""
    columns = (
        Column("name", "device"),
        Column("title", "title", least=24),
        Column("float32", "float32", "rate", empty=units.NOTHING),
        Column("16-bit", "16-bit", "rate", empty=units.NOTHING),
        Column("bandwidth", "B/s", "rate", empty=units.NOTHING),
        Column("memory", "memory", "capacity", empty=units.NOTHING),
        Column("power", "power", "watts", empty=units.NOTHING),
    )
    found = ((d.name, d.title, _peak(d, "float32"), _peak(d, "bfloat16", "float16"), d.bandwidth, d.memory, d.power)
             for d in devices)  # fmt: skip
    steps = tuple(Narrowing((column.name,)) for column in reversed(columns[2:]))
    table = Table(columns, rows(found), narrowing=steps, shown="people")
    return _document(
        "Devices", devices, notes(_CONVENTION, listed=False, apart=False), table, notes(_MORE, shown="text", hang=""),
        headline="",
    )  # fmt: skip


def _peak(device: Device, *dtypes: str) -> float | None:
    """Return the FLOP/s of the first of these dtypes that the device has a figure for."""
    return next((device.flops[dtype] for dtype in dtypes if dtype in device.flops), None)


def device_document(device: Device) -> Document:
    """Return a document with everything known about a device: in the text format a line for each item, else a table."""
    lines = [*_ceilings(device), *_links(device), *_origin(device)]
    texts = [notes(value, first=f"{label} ", hang=" " * (len(label) + 1), shown="text", apart=False)
             for label, value in lines]  # fmt: skip
    table = Table(
        (Column("what", "what"), Column("value", "value")),
        rows((" ".join(label.split()), value) for label, value in lines),
        shown="markup",
    )
    year = f", {device.year}" if device.year else ""
    return _document(f"{device.name}: {device.title}{year}", [device], *texts, table)


def _ceilings(device: Device) -> Iterator[tuple[str, str]]:
    """Yield (label, value) for each line; labels are indented and padded for text."""
    for dtype, peak in device.flops.items():
        yield f"  {dtype:10}", units.si(peak, "FLOP/s")
    yield "  memory    ", units.si(device.bandwidth, "B/s") if device.bandwidth else "sets no ceiling: not stated"
    for level in device.caches:
        yield f"    up to {units.data(level.size):>8} ", units.si(level.bandwidth, "B/s")
    if device.fresh:
        yield f"    new pages, above {units.data(device.fresh.size)} ", units.si(device.fresh.bandwidth, "B/s")
    yield "  launch    ", units.si(device.launches, "s") + ("" if device.launch is not None else " (assumed)")
    for kind, rate in device.rates.items():
        flops = [f"{units.si(n, 'FLOP/s')}{'' if d == 'any' else f' {d}'}" for d, n in rate.flops.items()]
        launch = [] if rate.launch is None else [f"launch {units.si(rate.launch, 's')}"]
        yield f"    {kind:14}", ", ".join([*flops, *launch])


def _links(device: Device) -> Iterator[tuple[str, str]]:
    for name, bandwidth in device.links.items():
        joined = f", among {device.node} devices" if device.node and name == device.fabric else ""
        yield f"  {name:10}", f"{units.si(bandwidth, 'B/s')} in each direction{joined}"
    if device.links:
        yield "  links from", device.link_source


def _origin(device: Device) -> Iterator[tuple[str, str]]:
    if device.copies:
        yield "  the libraries", "copy operands before they multiply"
    if device.memory:
        yield "  capacity  ", units.si(device.memory, "B")
    if device.power:
        yield "  power     ", f"{device.power:g} W"
    yield "  source    ", device.source
    if device.measured:
        yield "  measured  ", device.measured


def _document(title: str, devices: Sequence[Device], *parts: Part, **fields: Any) -> Document:
    """Return a document that adds all figures of the devices, for CSV (without nested ones) and JSON."""
    names = ("name", "title", "kind", "year", *FORMATS, "bandwidth", *LINKS, "memory", "power", "launch", "threads",
             "source", "link_source", "measured")  # fmt: skip
    data = data_table(names, ([_figure(device, name) for name in names] for device in devices))
    facts = {"devices": [asdict(device) for device in devices]}
    return Document("devices", title, facts=facts, parts=(*parts, data), **fields)


def _figure(device: Device, name: str) -> Any:
    if name in FORMATS:
        return device.flops.get(name)
    return device.links.get(name) if name in LINKS else getattr(device, name)
