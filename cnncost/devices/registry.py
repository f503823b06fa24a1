"""Devices by name, from the built-in table, the user's file, and a file passed by the caller."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from cnncost.devices.model import Device
from cnncost.errors import DeviceError
from cnncost.near import suggestion


def own_file() -> Path:
    """Return the path of the user's device file: `$CNNCOST_DEVICES`, else cnncost/devices.toml in the XDG folder."""
    if named := os.environ.get("CNNCOST_DEVICES"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "cnncost" / "devices.toml"


@cache
def built_in() -> dict[str, Device]:
    """Return the devices that come with cnncost, by name."""
    from importlib.resources import files  # slow imports: this and the TOML reader take longer than a small analysis

    from cnncost.devices.read import parse

    return parse(files("cnncost.devices").joinpath("table.toml").read_text(encoding="utf-8"), "of cnncost")


def catalog(more: Path | None = None) -> dict[str, Device]:
    """Return all devices by name. The user's file overrides built-in devices; the file `more` overrides both.

    Raises:
        DeviceError: a file can't be read, or describes a device incorrectly.
    """
    from cnncost.devices.read import read

    found = dict(built_in())
    if (own := own_file()).exists():
        found |= read(own)
    return found | read(more) if more is not None else found


def find(name: str, more: Path | None = None) -> Device:
    """Return the device with this name, ignoring case. Raises DeviceError, with suggestions, if there is none."""
    known = catalog(more)
    folded = {each.lower(): each for each in known}
    try:
        return known[folded[name.lower()]]
    except KeyError:
        raise DeviceError(
            f"device {name!r}: not known{suggestion(name.lower(), known)}; `cnncost devices` lists all, "
            "`cnncost devices --measure` adds this machine, and a TOML file can describe any other"
        ) from None
