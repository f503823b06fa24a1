"""Installed versions, read without importing anything, and the torch versions on which the figures are tested."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.2.0"
"""Of cnncost."""
OLDEST, NEWEST = (2, 9), (2, 15)
"""The oldest torch version that is accepted, and the newest on which the whole test suite has passed."""


@cache
def torch_version() -> str:
    """The version of torch that is installed, as torch says it itself, `2.13.0+cpu`; "none" without one.

    It is read from torch's own file: a package's metadata may lack the build's name.
    """
    module = sys.modules.get("torch")
    if found := getattr(module, "__version__", None):
        return str(found)
    spec = find_spec("torch") if module is None else None
    path = Path(spec.origin).with_name("version.py") if spec is not None and spec.origin else None
    if (
        path is not None
        and path.is_file()
        and (line := re.search(r"^__version__ = '(.+)'$", path.read_text(), re.MULTILINE))
    ):
        return line[1]
    from importlib import metadata  # takes longer than all else here

    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "none"


def installed() -> dict[str, str]:
    """The versions of cnncost and torch that figures are made with."""
    return {"cnncost": __version__, "torch": torch_version()}


def numbers(version: str) -> tuple[int, int] | None:
    """`2.16.0a0+git1234` → (2, 16); None for what is no version."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found is not None else None


def text(version: tuple[int, int]) -> str:
    """`(2, 13)` → `2.13`."""
    return ".".join(map(str, version))
