"""Displays module paths, and resolves module names that users supply."""

from __future__ import annotations

import re
from collections.abc import Sequence

ITSELF = "(the model itself)"
"""Displayed name of the empty path."""
OWN = "(own)"
"""Displayed name of a module's own share, without its children."""
_LISTED = 4
"""Maximum number of paths listed in a message."""


def shown(path: str) -> str:
    """Return a path as displayed in tables."""
    return path or ITSELF


def is_within(path: str, ancestor: str) -> bool:
    """Return whether a path is the ancestor's own or that of a descendant; `""`, the model, contains all modules."""
    return not ancestor or path == ancestor or path.startswith(f"{ancestor}.")


def resolve_path(name: str, model: Sequence[str], known: Sequence[str]) -> str:
    """Return the module path that a user's name refers to; an unknown name is returned unchanged.

    The model's displayed names ("(the model itself)", "(own)"), its name and its class resolve to `""`, and
    "layer1 (own)" resolves to `layer1`.

    Args:
        name: the user-supplied name.
        model: the model's name in the report and its class name.
        known: all paths; an exact match takes precedence.
    """
    if name in known:
        return name
    if name in {ITSELF, OWN, *model}:
        return ""
    without_own = name.removesuffix(OWN).rstrip()
    return without_own if without_own in known else name


def unknown_path(path: str, known: Sequence[str]) -> str:
    """Return the message for an unknown module path. It suggests similar paths or, without any, lists a few."""
    from cnncost.near import suggestion

    as_call = re.fullmatch(r"""\w+\(\s*["']?([^"']*)["']?\s*\)""", path)  # layer("layer1"), copied from Python
    if as_call is not None and as_call[1] in known:
        return f"module {path!r}: expected only the path; did you mean {as_call[1]}?"
    near = suggestion(path, [each for each in known if each != path])
    if not near:
        first = [each for each in known if each and "." not in each]
        more = f" and {len(first) - _LISTED} more" if len(first) > _LISTED else ""
        near = f'; "" is the model itself{", which contains " if first else ""}{", ".join(first[:_LISTED])}{more}'
    return f"module {path!r}: the model has no module of this path{near}"


def without_row(path: str, rows: Sequence[str]) -> str:
    """Return the message for a module that exists but has no layer row, because it runs no op itself."""
    inside = list(dict.fromkeys(row for row in rows if row.startswith(f"{path}." if path else "") and row != path))
    message = f"layer {path!r}: this module runs no op itself; report.module({path!r}) includes its descendants"
    if not inside:
        return message
    more = f" and {len(inside) - _LISTED} more" if len(inside) > _LISTED else ""
    return f"{message}; layers in it are {', '.join(inside[:_LISTED])}{more}"
