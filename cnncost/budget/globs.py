"""Module globs: `*` matches within a name, `**` any number of names, `?` and `[…]` as in a shell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


def matching(glob: str, paths: Iterable[str]) -> list[str]:
    """The paths that match a glob, in their order.

    `layer4.*` matches the children of `layer4`, `layer4.**` all descendants, `layer4` the module itself.
    """
    pattern = glob.split(".")
    return [path for path in paths if path and _names(pattern, path.split("."))]


def _names(pattern: Sequence[str], names: Sequence[str]) -> bool:
    if not pattern:
        return not names
    first, *rest = pattern
    if first == "**":
        return any(_names(rest, names[taken:]) for taken in range(1, len(names) + 1))
    return bool(names) and fnmatchcase(names[0], first) and _names(rest, names[1:])
