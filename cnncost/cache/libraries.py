"""Installed packages that a recording may have used: what is installed, and whether files are as installed."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from typing import Any

from cnncost.cache import files

_SITES = ("site-packages", "dist-packages")


@cache
def sites() -> tuple[str, ...]:
    """Return the folders in which packages are installed."""
    named = [path for path in sys.path if os.path.basename(path) in _SITES]
    return tuple(dict.fromkeys([*named, *(sysconfig.get_path(name) for name in ("purelib", "platlib"))]))


@cache
def standard() -> tuple[str, ...]:
    """Return the folders of Python's own modules, which don't change without its version."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    homes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    return tuple(
        dict.fromkeys([*paths, *(path for path in sys.path if path.endswith(".zip") and files.below(path, homes))])
    )


def is_installed(path: str) -> bool:
    """Return whether a file belongs to an installed package."""
    return files.below(path, sites())


@cache
def is_standard(path: str) -> bool:
    """Return whether a path is in the folders of Python's own modules; site-packages below them don't count.

    Modules that are built into the interpreter have no file; their code objects have names such as `<frozen os>`.
    """
    if path.startswith("<frozen"):
        return True
    if not (files.below(path, standard()) or path in standard()):  # the folders themselves may be looked up, too
        return False
    return not any(f"{os.sep}{name}{os.sep}" in path for name in _SITES)


def is_library(path: str) -> bool:
    """Return whether a file belongs to an installed package or to Python, whose version then determines its content."""
    return is_installed(path) or is_standard(path)


def records(site: str) -> dict[str, files.Stamp | None]:
    """Return stamps of the files that record what is installed in a folder of packages, by name in this folder.

    For a `.dist-info` folder, that file is its RECORD.
    """
    try:
        names = sorted(os.listdir(site))
    except OSError:
        return {}
    found = {name: files.stamp(f"{site}/{name}/RECORD") for name in names if name.endswith(".dist-info")}
    others = (".pth", ".egg-link", ".egg-info")
    return found | {name: files.stamp(f"{site}/{name}") for name in names if name.endswith(others)}


def digests(site: str) -> dict[str, Any]:
    """Return (digest of the content, stamp) for each of `records`, by name."""
    return {name: [_content(site, name), found] for name, found in records(site).items()}


def _content(site: str, name: str) -> str:
    return files.content(f"{site}/{name}/RECORD" if name.endswith(".dist-info") else f"{site}/{name}")


def changed(site: str, before: dict[str, Any]) -> str:
    """Return the name of a package whose installation has changed since `before` (the `digests`); empty if none has."""
    now = records(site)
    if different := sorted(now.keys() ^ before.keys()):
        return f"{different[0].removesuffix('.dist-info')} in {site}"
    for name, found in now.items():
        content, stamp = before[name]
        if (stamp is None) != (found is None):
            return f"{name} in {site}"
        # JSON has no tuples
        if found is not None and list(found) != stamp and _content(site, name) != content:
            return f"{name} in {site}"
    return ""


def last_installation(site: str, installed_at: dict[str, int]) -> int:
    """Return when a package was last installed in a folder, in nanoseconds since the epoch; 0 if there is none.

    `installed_at` caches the results by folder.
    """
    if site not in installed_at:
        installed_at[site] = max((found[1] for found in records(site).values() if found is not None), default=0)
    return installed_at[site]


def is_as_installed(path: str, size: int, installed_at: dict[str, int]) -> bool:
    """Return whether a package's file has this size and was not edited after the last installation.

    Together with equal RECORD files, this shows that it is the same file, even on another machine.
    `installed_at` is the cache of `last_installation`.
    """
    found = files.stamp(path)
    site = next((site for site in sites() if path.startswith(site + os.sep)), "")
    if found is None or found[0] != size or not site:
        return False
    return found[1] <= last_installation(site, installed_at) + files.SAME_TIME_NS
