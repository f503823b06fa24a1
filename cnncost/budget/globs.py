"""Globs for module paths: `*` matches within a name, `**` one or more names; `?` and `[…]` work as in a shell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


def matching(glob: str, paths: Iterable[str]) -> list[str]:
    """Return the paths that match a glob, in the given order.

    `layer4.*` matches the children of `layer4`, `layer4.**` all descendants, `layer4` the module itself. `**.conv`
    matches `a.conv` and `a.b.conv`, but not `conv`. No glob matches the model's own path, `""`.
    """
    pattern = glob.split(".")
    return [path for path in paths if path and _matches(pattern, path.split("."))]


def _matches(pattern: Sequence[str], names: Sequence[str]) -> bool:
    if not pattern:
        return not names
    first, *rest = pattern
    if first == "**":
        return any(_matches(rest, names[count:]) for count in range(1, len(names) + 1))
    return bool(names) and fnmatchcase(names[0], first) and _matches(rest, names[1:])
