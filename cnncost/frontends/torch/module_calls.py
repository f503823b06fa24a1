"""Replaces what torch calls a module by, without a change to the class `nn.Module`.

From Python 3.13 on, a class and its subclasses are looked up in caches for their first thousand versions only, and a
changed attribute of the class, or of a base, makes a new version. If each analysis replaced a method of `nn.Module`,
attributes of all modules would be looked up without caches after 500 analyses, for as long as the process runs: the
forward of a network of small layers takes 40 % longer. The code of a function can be replaced as often as one likes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any, TypeAlias, TypeGuard

from cnncost.frontends.torch.compat.modules import CALL_PLACE
from cnncost.frontends.torch.patches import Patch

ModuleCall: TypeAlias = "Callable[..., Any]"
"""Function that runs a module's hooks and forward: of the module, and the arguments of its forward."""


def current_call() -> ModuleCall:
    """Return the function that calls modules now; it stays what it is if its code is replaced."""
    found = getattr(*CALL_PLACE)
    if not _has_replaceable_code(found):
        return found  # type: ignore[no-any-return]  # a method of torch
    copied = FunctionType(found.__code__, found.__globals__, found.__name__, found.__defaults__)
    copied.__kwdefaults__, copied.__qualname__ = found.__kwdefaults__, found.__qualname__
    return copied


def call_patch(replacement: ModuleCall, why: str) -> Patch:
    """Return a patch by which torch calls all modules by `replacement`.

    It replaces the code of the function; where a program has put something else there than a function without a
    closure, the attribute of the class.
    """
    found = getattr(*CALL_PLACE)
    if _has_replaceable_code(found):
        return Patch(found, "__code__", _code_that_calls(replacement), why)
    return Patch(*CALL_PLACE, replacement, why)


def _has_replaceable_code(function: Any) -> TypeGuard[FunctionType]:
    """True if another function's code can be put into this one: Python requires equally many closure variables."""
    return isinstance(function, FunctionType) and not function.__code__.co_freevars


def _call_replacement(*args: Any, **kwargs: Any) -> Any:
    replacement: Any = "its only text, which `_code_that_calls` replaces"
    return replacement(*args, **kwargs)


def _code_that_calls(function: ModuleCall) -> CodeType:
    """Return the code of a function that calls `function`, which is one of its constants, with its own arguments."""
    code = _call_replacement.__code__
    return code.replace(co_consts=tuple([function if isinstance(each, str) else each for each in code.co_consts]))


_HIGHEST_LIMIT = 2**31 - 1
"""Highest recursion limit that Python takes: a C int."""


@contextmanager
def room_for_replaced_calls() -> Iterator[None]:
    """Context in which modules can be nested as deep as outside, though calls of each have more frames."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(min(2 * limit, _HIGHEST_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
