"""What errors of other people's code say, on one line, and what they came from."""

from __future__ import annotations

import re


def one_line(error: BaseException) -> str:
    """What an error says, on one line."""
    text = _STACK.split(str(error), maxsplit=1)[0]
    return " ".join(text.split()) or "no message"


_STACK = re.compile(r"\s*(?:Exception raised from |\(most recent call first\)|C\+\+ CapturedTraceback)")
"""Where torch's own C++ stack begins in an error's text."""


def root(error: BaseException) -> BaseException:
    """The first error of those that led to this one."""
    seen = {id(error)}
    while (cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        if id(cause) in seen:
            break
        seen.add(id(cause))
        error = cause
    return error


def with_root(error: BaseException) -> str:
    """An error, and the one that it came from: a library's own words often hide what is wrong."""
    said, first = f"{type(error).__name__}: {one_line(error)}", root(error)
    below = f"{type(first).__name__}: {one_line(first)}"
    return said if first is error or one_line(first) in said else f"{said} (the root cause: {below})"
