"""`cnncost devices`: the devices that are known, and this machine, measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from cnncost.cli import terminal
from cnncost.cli.options import Command
from cnncost.cli.roofline import complete_device, device_file_option

if TYPE_CHECKING:
    from cnncost.devices import Device


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=complete_device)
@device_file_option
@click.option("--measure", is_flag=True, help="Measure this machine, and save it as a device.")
@click.option("--on", "backend", type=click.Choice(["cpu", "cuda"]), default="cpu", help="What to measure.")
@click.option("--save-as", metavar="NAME", help="The measured device's name; by default this-cpu or this-cuda.")
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads to measure with; by default all cores."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    name: str | None, device_file: Path | None, measure: bool, backend: str, save_as: str | None,
    threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """List the devices that --device knows, tell all of one, or measure this machine.

    Measured are the ceilings that the roofline needs: large matrix products by dtype, copies by size, the time that
    launching an op takes, and what convolutions and pools reach. They are saved in a TOML file of your own, in
    which you may also describe other devices.
    """
    if measure and name:
        raise click.UsageError(f"--measure measures this machine; to name the result give --save-as {name}")
    if not measure and (save_as or threads):
        raise click.UsageError("--save-as and --threads belong to --measure")
    if measure:
        found = _measure(backend, save_as or f"this-{backend}", threads, device_file)
        terminal.put(_as_json([found]) if as_json else "\n".join(_told(found)), None, words=not as_json)
        return
    from cnncost.devices import catalog, find

    chosen = [find(name, device_file)] if name else list(catalog(device_file).values())
    if as_json:
        terminal.put(_as_json(chosen), None)
    else:
        terminal.put("\n".join(_told(chosen[0]) if name else _listed(chosen)), None, words=True)


def _measure(backend: str, name: str, threads: int | None, device_file: Path | None) -> Device:
    from cnncost.bench.ceilings import measure
    from cnncost.cli.progress import steps
    from cnncost.devices.registry import own_file
    from cnncost.devices.save import save

    path = device_file or own_file()
    with steps(f"measuring this machine's {backend}") as tell:
        found = measure(backend, name, threads, tell)
    save(found, path)
    click.echo(f"saved as {name} in {path}", err=True)
    if found.noisy:
        click.echo(
            "other programs were busy meanwhile: its ceilings are too low; measure again when it is quiet", err=True
        )
    return found


def _listed(devices: list[Device]) -> Iterator[str]:
    from cnncost import units
    from cnncost.render import layout
    from cnncost.render.layout import Cell, Field

    def peaks(device: Device, *names: str) -> Cell:
        found = next((device.flops[n] for n in names if n in device.flops), None)
        return Cell(units.NOTHING if found is None else units.si(found, ""))

    def size(number: float | None, unit: str = "") -> Cell:
        return Cell(units.NOTHING if number is None else units.si(number, unit))

    width = max(60, terminal.width())
    fields = [
        Field("device", [Cell(d.name) for d in devices]),
        Field("title", [Cell(d.title) for d in devices], least=24),
        Field("float32", [peaks(d, "float32") for d in devices], right=True),
        Field("16-bit", [peaks(d, "bfloat16", "float16") for d in devices], right=True),
        Field("B/s", [size(d.bandwidth) for d in devices], right=True),
        Field("memory", [size(d.memory, "B") for d in devices], right=True),
        Field("power", [Cell(units.NOTHING if d.power is None else f"{d.power:g} W") for d in devices], right=True),
    ]
    while layout.needed(fields) > width:
        fields.pop()
    yield "FLOP/s at most, dense, a MAC is two; bytes a second of main memory"
    yield ""
    yield from map(layout.plain, layout.table(fields, width))
    yield ""
    yield from wrap("cnncost devices NAME tells sources and all number formats; --measure adds this machine", width)


def _told(device: Device) -> Iterator[str]:
    from cnncost import units
    from cnncost.report.formula import wrapped

    yield f"{device.name}: {device.title}{f', {device.year}' if device.year else ''}"
    for dtype, flops in device.flops.items():
        yield f"  {dtype:10} {units.si(flops, 'FLOP/s')}"
    yield "  memory     " + (units.si(device.bandwidth, "B/s") if device.bandwidth else "sets no ceiling: not stated")
    for level in device.caches:
        yield f"    up to {units.data(level.size):>8}  {units.si(level.bandwidth, 'B/s')}"
    if device.fresh:
        yield f"    new pages, above {units.data(device.fresh.size)}  {units.si(device.fresh.bandwidth, 'B/s')}"
    yield f"  launch     {units.si(device.launches, 's')}{'' if device.launch is not None else ' (assumed)'}"
    for kind, rate in device.rates.items():
        reached = ", ".join(f"{units.si(n, 'FLOP/s')}{'' if d == 'any' else f' {d}'}" for d, n in rate.flops.items())
        start = "" if rate.launch is None else f"launch {units.si(rate.launch, 's')}"
        yield f"    {kind:14} {', '.join(part for part in (reached, start) if part)}"
    if device.copies:
        yield "  the libraries copy operands before they multiply"
    if device.memory:
        yield f"  capacity   {units.si(device.memory, 'B')}"
    if device.power:
        yield f"  power      {device.power:g} W"
    yield from wrapped(device.source, "  source     ", max(60, min(100, terminal.width())))
    if device.measured:
        yield f"  measured   {device.measured}"


def _as_json(devices: list[Device]) -> str:
    from dataclasses import asdict

    from cnncost.render.document import Document
    from cnncost.render.json import to_json

    return to_json(Document("devices", facts={"devices": [asdict(device) for device in devices]}))
