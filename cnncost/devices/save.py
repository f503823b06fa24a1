"""Writes a device to a TOML file, and leaves the other devices in it unchanged."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from cnncost.devices.model import Device, Rate
from cnncost.devices.read import parse, read
from cnncost.errors import DeviceError
from cnncost.files import write

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def save(device: Device, path: Path) -> None:
    """Add a device to a file, or replace the one with the same name. The write is atomic.

    Raises:
        DeviceError: the name would need quotes in TOML; the existing file can't be read; or it describes the device in
            a form other than a table (`name.key = …`), which can't be replaced.
        OutputError: the file can't be written.
    """
    if not _NAME.fullmatch(device.name):
        raise DeviceError(f"device {device.name!r}: expected a name of letters, digits, - and _")
    # read() raises if the file doesn't hold devices, so that it isn't overwritten
    text = path.read_text(encoding="utf-8-sig") if path.exists() and read(path) else ""
    kept = _without(text, device.name).rstrip("\n")
    if device.name in tomllib.loads(kept):
        raise DeviceError(f"devices {path}: {device.name} is not written as a table; write it as [{device.name}] first")
    text = (kept + "\n\n" if kept else "") + to_toml(device)
    assert parse(text, str(path))[device.name] == device  # check the round trip
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, text)


def to_toml(device: Device) -> str:
    """Return a device as a TOML table, in the format that `read` reads."""
    return f"[{device.name}]\n" + "".join(f"{key} = {value}\n" for key, value in _items(device))


def _items(device: Device) -> Iterator[tuple[str, str]]:
    yield "title", _quoted(device.title)
    yield "class", _quoted(device.kind)
    yield "flops", _numbers(device.flops)
    for key in ("bandwidth", "year", "memory", "power", "launch", "threads"):
        value = getattr(device, key)
        if value is not None and (value or key == "launch"):  # a year of 0 is unknown, a launch time of 0 is not
            yield key, repr(value)
    if device.caches:
        yield "caches", repr([list(level) for level in device.caches])
    if device.fresh is not None:
        yield "fresh", repr(list(device.fresh))
    if device.copies:
        yield "copies", "true"
    if device.rates:
        yield (
            "rates",
            "{ " + ", ".join(f"{_quoted(kind)} = {_rate(rate)}" for kind, rate in device.rates.items()) + " }",
        )
    if device.measured:
        yield "measured", _quoted(device.measured)
    if device.links:
        yield "links", _numbers(device.links)
        yield "link_source", _quoted(device.link_source)
    if device.node is not None:
        yield "node", repr(device.node)
    yield "source", _quoted(device.source)


def _rate(rate: Rate) -> str:
    parts = [f"flops = {_numbers(rate.flops)}"] if rate.flops else []
    parts += [f"launch = {rate.launch!r}"] if rate.launch is not None else []
    return "{ " + ", ".join(parts) + " }" if parts else "{}"


def _numbers(by_name: dict[str, float]) -> str:
    return "{ " + ", ".join(f"{name} = {value!r}" for name, value in by_name.items()) + " }"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _without(text: str, name: str) -> str:
    """Return the text of a file without the table `name` and its subtables, such as `[name.rates]`.

    Comments directly above the next table are preserved.
    """
    kept, inside, before = [], False, ""
    comments: list[str] = []  # comment lines at the end of the part left out so far
    for line in text.splitlines(keepends=True):
        start = line.strip()[:1]
        if start and start in "[#" and not _is_toml(before):  # the line is inside an array or a string
            start = ""
        if start == "[":
            inside = next(iter(tomllib.loads(line))) == name
            kept += [] if inside else comments
        if not inside:
            kept.append(line)
        comments = [*comments, line] if inside and start == "#" else []
        before += line
    return "".join(kept)


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True
