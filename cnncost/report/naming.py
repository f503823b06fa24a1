"""Displayed names of module paths, and resolution of user-supplied module names."""

from __future__ import annotations

import re
from collections.abc import Sequence

ITSELF = "(the model itself)"
"""Displayed name for the empty path, the model itself."""
OWN = "(own)"
"""Displayed name of a module's own share, without its children."""
_LISTED = 4
"""Number of paths that a message lists."""


def shown(path: str) -> str:
    """Return a path as displayed in tables."""
    return path or ITSELF


def is_within(path: str, ancestor: str) -> bool:
    """Return whether a path is the ancestor's or that of a module in it; `""`, the model, contains all modules."""
    return not ancestor or path == ancestor or path.startswith(f"{ancestor}.")


def resolve_path(name: str, model: Sequence[str], known: Sequence[str]) -> str:
    """Return the module path that a user's name stands for; an unknown name is returned unchanged.

    The model's displayed names ("(the model itself)", "(own)"), its name and its class give `""`, and "layer1 (own)"
    gives `layer1`.

    Args:
        name: the user-supplied name.
        model: the model's name in the report, and its class.
        known: all paths; an exact match takes precedence.
    """
    if name in known:
        return name
    if name in {ITSELF, OWN, *model}:
        return ""
    without_own = name.removesuffix(OWN).rstrip()
    return without_own if without_own in known else name


def unknown_path(path: str, known: Sequence[str]) -> str:
    """Return the message for an unknown module path. It suggests similar paths or, if there are none, lists some."""
    from cnncost.near import suggestion

    as_call = re.fullmatch(r"""\w+\(\s*["']?([^"']*)["']?\s*\)""", path)  # layer("layer1"), as in Python
    if as_call is not None and as_call[1] in known:
        return f"module {path!r}: expected a path alone; did you mean {as_call[1]}?"
    near = suggestion(path, [each for each in known if each != path])
    if not near:
        first = [each for each in known if each and "." not in each]
        more = f" and {len(first) - _LISTED} more" if len(first) > _LISTED else ""
        near = f'; "" is the model itself{", in it are " if first else ""}{", ".join(first[:_LISTED])}{more}'
    return f"module {path!r}: the model has none of this path{near}"


def without_row(path: str, rows: Sequence[str]) -> str:
    """Return the message for an existing module without a layer row, because it runs no op itself."""
    inside = list(dict.fromkeys(row for row in rows if row.startswith(f"{path}." if path else "") and row != path))
    message = f"layer {path!r}: this module runs no op itself; report.module({path!r}) has all that is in it"
    if not inside:
        return message
    more = f" and {len(inside) - _LISTED} more" if len(inside) > _LISTED else ""
    return f"{message}; layers in it are {', '.join(inside[:_LISTED])}{more}"
