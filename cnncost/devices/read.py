"""Reads devices from TOML, one table each. Errors state the place, the expected and the actual value."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from cnncost.devices.model import CLASSES, FORMATS, LINKS, Device, Level, Rate
from cnncost.errors import DeviceError
from cnncost.near import suggestion

_KEYS = (
    "title", "class", "flops", "bandwidth", "source", "year", "memory", "power", "launch", "caches", "rates",
    "copies", "fresh", "threads", "measured", "links", "node", "link_source",
)  # fmt: skip
EXAMPLE = (
    '[mine]\ntitle = "My GPU"\nclass = "gpu"\nbandwidth = 1e12\nflops = { float32 = 20e12 }\nsource = "its datasheet"'
)
"""A minimal device description."""
_ONE_LINE_EXAMPLE = (
    'mine = { title = "My GPU", class = "gpu", bandwidth = 1e12, flops = { float32 = 20e12 }, '
    'source = "its datasheet" }'
)
"""The same device on one line, for messages."""


def read(path: Path) -> dict[str, Device]:
    """Return the devices of a file, by name.

    Raises:
        DeviceError: the file does not exist, is not TOML, or describes a device incorrectly.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"devices {path}: can't be read: {getattr(error, 'strerror', None) or error}") from None
    return parse(text, str(path))


def parse(text: str, where: str) -> dict[str, Device]:
    """Return the devices in a file's text, by name. Raises DeviceError as `read` does."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeviceError(f"devices {where}: not TOML: {error}; expected tables such as {_ONE_LINE_EXAMPLE}") from None
    return {name: _device(name, table, f"devices {where}: [{name}]") for name, table in tables.items()}


def _device(name: str, table: Any, where: str) -> Device:
    if not isinstance(table, dict):
        raise DeviceError(f"{where}: expected a table such as {_ONE_LINE_EXAMPLE}, got {table!r}")
    for key in table:
        if key not in _KEYS:
            raise DeviceError(f"{where}: unknown key {key!r}{suggestion(key, _KEYS)}; keys are {', '.join(_KEYS)}")
    kind = _text(table, "class", where)
    if kind not in CLASSES:
        raise DeviceError(f"{where}: class: expected one of {', '.join(CLASSES)}, got {kind!r}")
    flops = _rates(table.get("flops"), f"{where}: flops")
    if not flops:
        raise DeviceError(f"{where}: flops: expected FLOP/s by dtype such as {{ float32 = 20e12 }}, got none")
    fresh = table.get("fresh")
    return Device(
        name=name,
        title=_text(table, "title", where),
        kind=kind,
        flops=flops,
        bandwidth=_number(table, "bandwidth", where),
        source=_text(table, "source", where),
        year=int(_number(table, "year", where) or 0),
        memory=_number(table, "memory", where),
        power=_number(table, "power", where),
        launch=_number(table, "launch", where, zero=True),
        caches=_levels(table.get("caches", []), f"{where}: caches"),
        rates={kind: _rate(each, f"{where}: rates.{kind}") for kind, each in _table(table, "rates", where).items()},
        copies=_flag(table, "copies", where),
        fresh=_levels([fresh], f"{where}: fresh")[0] if fresh is not None else None,
        threads=_whole(table, "threads", where),
        measured=table["measured"] if isinstance(table.get("measured"), str) else "",
        links=_links(table, f"{where}: links"),
        node=_whole(table, "node", where),
        link_source=_text(table, "link_source", where) if "links" in table else "",
    )


def _text(table: dict[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DeviceError(f"{where}: {key}: expected a text, got {'nothing' if value is None else repr(value)}")
    return value


def _number(table: dict[str, Any], key: str, where: str, zero: bool = False) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not (0 < value < 1e30 or (zero and value == 0))
    ):
        raise DeviceError(f"{where}: {key}: expected a number {'of 0 or more' if zero else 'above 0'}, got {value!r}")
    return float(value)


def _whole(table: dict[str, Any], key: str, where: str) -> int | None:
    value = _number(table, key, where)
    if value is not None and value != int(value):
        raise DeviceError(f"{where}: {key}: expected a whole number, got {value!r}")
    return None if value is None else int(value)


def _flag(table: dict[str, Any], key: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise DeviceError(f"{where}: {key}: expected true or false, got {value!r}")
    return value


def _table(table: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise DeviceError(f"{where}: {key}: expected a table, got {value!r}")
    return value


def _rates(value: Any, where: str, more: tuple[str, ...] = ()) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DeviceError(f"{where}: expected FLOP/s by dtype such as {{ float32 = 20e12 }}, got {value!r}")
    known = (*FORMATS, *more)
    for dtype in value:
        if dtype not in known:
            raise DeviceError(f"{where}: no dtype {dtype!r}{suggestion(dtype, known)}; expected {', '.join(known)}")
    return {dtype: _number(value, dtype, where) or 0.0 for dtype in value}


def _links(table: dict[str, Any], where: str) -> dict[str, float]:
    value = table.get("links", {})
    if not isinstance(value, dict):
        raise DeviceError(f"{where}: expected bytes per second by link such as {{ nvlink = 450e9 }}, got {value!r}")
    for name in value:
        if name not in LINKS:
            raise DeviceError(f"{where}: no link {name!r}{suggestion(name, LINKS)}; expected {', '.join(LINKS)}")
    return {name: _number(value, name, where) or 0.0 for name in value}


def _rate(value: Any, where: str) -> Rate:
    if not isinstance(value, dict) or not value.keys() <= {"flops", "launch"}:
        raise DeviceError(f"{where}: expected flops and launch, got {value!r}")
    return Rate(_rates(value.get("flops"), f"{where}.flops", ("any",)), _number(value, "launch", where, zero=True))


def _levels(value: Any, where: str) -> tuple[Level, ...]:
    """Return memory levels from pairs of (bytes, bytes per second); sizes must increase."""
    pairs = value if isinstance(value, list) else [value]  # other values fail below, because they are no pair
    levels = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise DeviceError(f"{where}: expected pairs of bytes and bytes per second, got {pair!r}")
        # `_number` reads a value of a table, and names its key in messages
        size, bandwidth = (_number({"a pair": n}, "a pair", where) for n in pair)
        levels.append(Level(int(size or 0), bandwidth or 0.0))
    if [level.size for level in levels] != sorted({level.size for level in levels}):
        raise DeviceError(f"{where}: expected increasing sizes, got {[level.size for level in levels]}")
    return tuple(levels)
