"""Wraps text, preferably at the end of a phrase."""

from __future__ import annotations

import re
import textwrap

_UNIT = r"(?:[kMGTPE]?(?:FLOP/s|FLOPs|FLOP|MACs|params|B/s|B|W|J)|[KMGTP]iB|[kMGTPE%]|[mµn]?s)"
_QUANTITY = re.compile(rf"(?<=\d) (?={_UNIT}(?:[\s,;:)]|$))|(?<=[≤≥=<>]) (?=\d)")
"""The space between a number and its unit, or between a sign and its number."""
_PHRASE = re.compile(r"(?<=[,;]) ")
_SHORT = 40
"""Maximum length, in characters, of a phrase that is not broken; in narrow text, half the width."""


def wrapped(text: str, width: int, first: str = "", hang: str = "  ") -> list[str]:
    """Return the lines of a text; numbers stay with their units and signs, short phrases between commas on one line."""
    longest = min(_SHORT, width // 2)
    # textwrap does not break at a no-break space
    phrases = _PHRASE.split(_QUANTITY.sub("\N{NO-BREAK SPACE}", text))
    joined = " ".join([
        each.replace(" ", "\N{NO-BREAK SPACE}") if len(each) <= longest and "  " not in each else each
        for each in phrases
    ])  # fmt: skip
    lines = textwrap.wrap(joined, width, initial_indent=first, subsequent_indent=hang, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
