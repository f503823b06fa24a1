"""One-line messages and root causes of errors raised by external code."""

from __future__ import annotations

import importlib.util
import re

from cnncost.errors import NotAtRevisionError


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, without torch's C++ stack trace."""
    text = _STACK.split(str(error), maxsplit=1)[0]
    return " ".join(text.split()) or "no message"


_STACK = re.compile(r"\s*(?:Exception raised from |\(most recent call first\)|C\+\+ CapturedTraceback)")
"""Start of torch's C++ stack trace in an error's text."""


def root(error: BaseException) -> BaseException:
    """Return the first error in an error's chain of causes and contexts."""
    seen = {id(error)}
    while (cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        if id(cause) in seen:
            break
        seen.add(id(cause))
        error = cause
    return error


def with_root(error: BaseException) -> str:
    """Return an error's class and message, and its root cause, which a library's own message often hides."""
    text, first = f"{type(error).__name__}: {one_line(error)}", root(error)
    cause = f"{type(first).__name__}: {one_line(first)}"
    return text if first is error or one_line(first) in text else f"{text} (the root cause: {cause})"


def import_advice(error: BaseException) -> str:
    """Return advice on an error whose root cause is a module that was not found; empty for other errors."""
    first = root(error)
    if not isinstance(first, ModuleNotFoundError) or isinstance(first, NotAtRevisionError) or not first.name:
        return ""
    package = first.name.partition(".")[0]
    if package != first.name and is_installed(package):
        return f"; {package} is installed without it: another version of {package} may have it"
    return "; install it, or run from the folder that contains it"


def is_installed(name: str) -> bool:
    """Return whether a module of this name can be found; the module itself is not imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
