"""Suggests known names that are similar to an unknown one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(name: str, known: Iterable[str], limit: int = 3) -> str:
    """Return `; did you mean a, b?`, or an empty string if no known name is similar."""
    near = get_close_matches(name, list(known), n=limit, cutoff=0.6)
    return f"; did you mean {', '.join(near)}?" if near else ""
