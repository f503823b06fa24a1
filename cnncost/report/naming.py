"""What module paths are called for people, and what a user may call a module."""

from __future__ import annotations

import re
from collections.abc import Sequence

ITSELF = "(the model itself)"
"""What stands for the empty path, that of the model."""
OWN = "(own)"
"""Name of what a module runs, or holds, itself, outside its children."""
_LISTED = 4


def shown(path: str) -> str:
    """A path as a table shows it."""
    return path or ITSELF


def asked(name: str, model: Sequence[str], known: Sequence[str]) -> str:
    """The path that a name stands for: the names of the model in tables, or its own, are as good as `""`.

    Args:
        name: as a user gave it.
        model: what the report calls the model, and its class.
        known: all paths; a module of such a name comes first.
    """
    if name in known:
        return name
    if name in {ITSELF, OWN, *model}:
        return ""
    above = name.removesuffix(OWN).rstrip()
    return above if above in known else name


def unknown_path(path: str, known: Sequence[str]) -> str:
    """What to say of a module path that does not exist: near ones, or else some that there are."""
    from cnncost.near import suggestion

    called = re.fullmatch(r"""\w+\(\s*["']?([^"']*)["']?\s*\)""", path)  # layer("layer1"), as in Python
    if called is not None and called[1] in known:
        return f"module {path!r}: expected a path alone; did you mean {called[1]}?"
    near = suggestion(path, [each for each in known if each != path])
    if not near:
        first = [each for each in known if each and "." not in each]
        more = f" and {len(first) - _LISTED} more" if len(first) > _LISTED else ""
        near = f'; "" is the model itself{", in it are " if first else ""}{", ".join(first[:_LISTED])}{more}'
    return f"module {path!r}: the model has none of this path{near}"


def without_row(path: str, rows: Sequence[str]) -> str:
    """What to say of a module that has no row among the layers: it is there, and runs no op itself."""
    inside = list(dict.fromkeys(row for row in rows if row.startswith(f"{path}." if path else "") and row != path))
    said = f"layer {path!r}: this module runs no op itself; report.module({path!r}) has all that is in it"
    if not inside:
        return said
    more = f" and {len(inside) - _LISTED} more" if len(inside) > _LISTED else ""
    return f"{said}; layers in it are {', '.join(inside[:_LISTED])}{more}"
