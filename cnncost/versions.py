"""Which versions of what are at hand, told without importing any, and which of torch the figures are proved on."""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata

OLDEST, NEWEST = (2, 9), (2, 15)
"""The torch versions, both included, on which the tests pass."""


@cache
def torch_version() -> str:
    """The version of torch that is installed, `2.13.0+cpu`; "none" without one."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "none"


def installed() -> dict[str, str]:
    """The versions of cnncost and torch that figures are made with."""
    from cnncost import __version__

    return {"cnncost": __version__, "torch": torch_version()}


def numbers(version: str) -> tuple[int, int] | None:
    """`2.16.0a0+git1234` → (2, 16); None for what is no version."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found is not None else None


def text(version: tuple[int, int]) -> str:
    """`(2, 13)` → `2.13`."""
    return ".".join(map(str, version))
