"""Which modules a glob names: `*` is within a name, `**` any number of names, `?` and `[…]` as in a shell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


def matching(glob: str, paths: Iterable[str]) -> list[str]:
    """The paths that a glob names, in their order.

    `layer4.*` names the modules right in `layer4`, `layer4.**` all that are below it, `layer4` itself.
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
