"""The installed packages that a recording used: their versions, and the files that were imported from them."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from types import FrameType
from typing import Any

from cnncost.cache import files

_SITES = ("site-packages", "dist-packages")


@cache
def sites() -> tuple[str, ...]:
    """Folders that packages are installed in."""
    named = [path for path in sys.path if os.path.basename(path) in _SITES]
    return tuple(dict.fromkeys([*named, *(sysconfig.get_path(name) for name in ("purelib", "platlib"))]))


@cache
def standard() -> tuple[str, ...]:
    """Folders of Python's own modules, which its version stands for."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    homes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    return tuple(
        dict.fromkeys([*paths, *(path for path in sys.path if path.endswith(".zip") and files.below(path, homes))])
    )


def is_installed(path: str) -> bool:
    """Whether a file is one of an installed package."""
    return files.below(path, sites())


def is_standard(path: str) -> bool:
    """Whether a file is one of Python's own; a virtual environment's packages lie in a folder of such a name."""
    if not (files.below(path, standard()) or path in standard()):
        return False
    return not any(f"{os.sep}{name}{os.sep}" in path for name in _SITES)


def is_library(path: str) -> bool:
    """Whether a file is not the user's: its state is known by what is installed."""
    return is_installed(path) or is_standard(path)


def behind(frame: FrameType | None) -> str:
    """The file of the code that calls, behind what Python's own modules do for it."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<frozen") and not _is_standard(file):
            return file
        frame = frame.f_back
    return ""


_is_standard = cache(is_standard)


def records(site: str) -> dict[str, files.Stamp | None]:
    """What says which packages are installed in a folder, by name: each package's list of files, and path files."""
    try:
        names = sorted(os.listdir(site))
    except OSError:
        return {}
    found = {name: files.stamp(f"{site}/{name}/RECORD") for name in names if name.endswith(".dist-info")}
    others = (".pth", ".egg-link", ".egg-info")
    return found | {name: files.stamp(f"{site}/{name}") for name in names if name.endswith(others)}


def described(site: str) -> dict[str, Any]:
    """`records`, each with a digest of its content."""
    return {name: [_content(site, name), found] for name, found in records(site).items()}


def _content(site: str, name: str) -> str:
    return files.content(f"{site}/{name}/RECORD" if name.endswith(".dist-info") else f"{site}/{name}")


def changed(site: str, before: dict[str, Any]) -> str:
    """What is installed otherwise than before; empty if nothing is."""
    now = records(site)
    if strange := sorted(now.keys() ^ before.keys()):
        return f"{strange[0].removesuffix('.dist-info')} in {site}"
    for name, found in now.items():
        content, stamp = before[name]
        if (stamp is None) != (found is None):
            return f"{name} in {site}"
        if found is not None and list(found) != stamp and _content(site, name) != content:
            return f"{name} in {site}"
    return ""


def latest(site: str, times: dict[str, float]) -> float:
    """When a package was last installed in a folder, in nanoseconds; cached in `times`."""
    if site not in times:
        times[site] = max((found[1] for found in records(site).values() if found is not None), default=0)
    return times[site]


def as_installed(path: str, size: int, times: dict[str, float]) -> bool:
    """Whether a package's file has this size and was written when a package was installed, not afterwards by hand.

    Together with equal lists of files this says that it is the same file, on another machine, too.
    """
    found = files.stamp(path)
    site = next((site for site in sites() if path.startswith(site + os.sep)), "")
    if found is None or found[0] != size or not site:
        return False
    return found[1] <= latest(site, times) + files.SAME_TIME_NS
