"""One-line messages and root causes of errors raised by external code."""

from __future__ import annotations

import re


def one_line(error: BaseException) -> str:
    """An error's message on one line."""
    text = _STACK.split(str(error), maxsplit=1)[0]
    return " ".join(text.split()) or "no message"


_STACK = re.compile(r"\s*(?:Exception raised from |\(most recent call first\)|C\+\+ CapturedTraceback)")
"""Start of torch's C++ stack trace in an error's text."""


def root(error: BaseException) -> BaseException:
    """The root of an error's chain of causes."""
    seen = {id(error)}
    while (cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        if id(cause) in seen:
            break
        seen.add(id(cause))
        error = cause
    return error


def with_root(error: BaseException) -> str:
    """An error with its root cause, as a library's own message often hides what is wrong."""
    said, first = f"{type(error).__name__}: {one_line(error)}", root(error)
    below = f"{type(first).__name__}: {one_line(first)}"
    return said if first is error or one_line(first) in said else f"{said} (the root cause: {below})"
