"""Installed versions, found without importing the packages, and the torch versions on which the figures are tested."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.2.0"
"""Version of cnncost."""
OLDEST, NEWEST = (2, 9), (2, 15)
"""The oldest accepted torch version, and the newest on which the whole test suite has passed."""


@cache
def torch_version() -> str:
    """Return torch's `__version__`, such as `2.13.0+cpu`, without importing torch; "none" if it is not installed.

    It is read from torch/version.py if possible, because the package's metadata may lack the build suffix.
    """
    module = sys.modules.get("torch")
    if version := getattr(module, "__version__", None):
        return str(version)
    spec = find_spec("torch") if module is None else None
    path = Path(spec.origin).with_name("version.py") if spec is not None and spec.origin else None
    if (
        path is not None
        and path.is_file()
        and (line := re.search(r"^__version__ = '(.+)'$", path.read_text(), re.MULTILINE))
    ):
        return line[1]
    from importlib import metadata  # imported here, because it is slow

    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "none"


def installed() -> dict[str, str]:
    """Return the versions of cnncost and torch, for reports."""
    return {"cnncost": __version__, "torch": torch_version()}


def numbers(version: str) -> tuple[int, int] | None:
    """Return `(2, 16)` for `2.16.0a0+git1234`; None if the text is not a version."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match is not None else None


def text(version: tuple[int, int]) -> str:
    """Return `2.13` for `(2, 13)`."""
    return ".".join(map(str, version))
