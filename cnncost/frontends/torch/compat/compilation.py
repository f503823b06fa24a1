"""Stand-ins for torch's compiler while it is not loaded, for code in torch that imports it without needing it.

Three parts of torch import it inside functions that run for any op: `torch._compile`, to exclude a function from
compilation; type promotion, to ask whether a number is sympy's; meta kernels, to compare sizes that may be symbolic.
Until the compiler is loaded, nothing is compiled and no size is symbolic, so each of these checks has a fixed result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from importlib import import_module
from operator import and_, or_
from types import SimpleNamespace
from typing import Any

import torch

from cnncost.frontends.torch.compat.packages import COMPILER

_SYMPY, _SYMBOLIC, _DYNAMO, _ = COMPILER
_DISABLED = "__dynamo_disable"
"""Attribute in which `torch._compile` caches the wrapper of a function that it excludes from compilation."""
_UNWRAPPED: list[Any] = []
"""Functions whose cached wrapper is the function itself, because the compiler was not loaded."""


def stand_in(
    name: str,
    globals: Any = None,  # noqa: A002  # named as in `__import__`, whose arguments may be passed by name
    locals: Any = None,  # noqa: A002  # likewise
    fromlist: Sequence[str] | None = (),
    *_: Any,
    **__: Any,
) -> Any:
    """Return the stand-in that an import statement gets for a module that is not loaded; None: it has to be imported.

    The arguments are those of `__import__` (or `import_module`, which gets none). Only imports inside functions, whose
    `locals` are None, get a stand-in: a module-level import would keep it after the compiler is loaded.
    """
    if name not in COMPILER or name in sys.modules or locals is not None or not isinstance(globals, dict):
        return None
    importer = globals.get("__name__", "")
    if name == _SYMBOLIC and importer.partition(".")[0] == "torch" and fromlist and _SIZES.keys() >= set(fromlist):
        return _SIZE_FUNCTIONS
    return _MODULES.get((name, importer))


def forget() -> None:
    """Clear the cached wrappers, so that the compiler, once it is loaded, makes its own."""
    while _UNWRAPPED:
        vars(_UNWRAPPED.pop()).pop(_DISABLED, None)


def _disable(function: Any, *_: Any, **__: Any) -> Any:
    """Stand in for `torch._dynamo.disable`: return the function itself."""
    _UNWRAPPED.append(function)  # `torch._compile` then sets the attribute `_DISABLED`
    return function


class _Nothing:
    """A class without instances, for `isinstance` checks."""


class _NotLoaded:
    """Stands for a module that is not loaded: no object is an instance of any of its classes."""

    def __getattr__(self, name: str) -> type:
        return _Nothing


_MODULES: Mapping[tuple[str, str], Any] = {
    (_SYMPY, "torch._prims_common"): _NotLoaded(),
    (_DYNAMO, "torch._compile"): SimpleNamespace(_dynamo=SimpleNamespace(disable=_disable)),
}
"""By module and importer: the result of `__import__`, which for a dotted name is the top-level package."""


# ---- sizes that are not symbolic


def _for_plain_values(name: str, kind: type, answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return a replacement for torch's function `name`, which calls `answer` if all arguments are plain values.

    For other arguments (symbolic sizes, keyword arguments) it imports torch's module and calls the original. `kind` is
    the type of plain values, as in `_is_plain`.
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        if not kwargs and all(_is_plain(arg, kind) for arg in args):
            return answer(*args)
        return getattr(import_module(_SYMBOLIC), name)(*args, **kwargs)

    return function


def _is_plain(arg: Any, kind: type) -> bool:
    """True if an argument is exactly of a type; for int, also nested tuples and lists of ints."""
    if kind is torch.Tensor:
        return type(arg) is kind and arg.layout is torch.strided and _is_plain((*arg.shape, *arg.stride()), int)
    if isinstance(arg, (tuple, list)):
        return kind is int and all(_is_plain(item, kind) for item in arg)
    return type(arg) is kind


def _equal(x: Any, y: Any) -> bool:
    """Like `sym_eq`: nested sizes of different lengths are unequal."""
    if isinstance(x, (tuple, list)) and isinstance(y, (tuple, list)):
        return len(x) == len(y) and all(map(_equal, x, y))
    return bool(x == y)


def _identity(x: Any) -> Any:
    return x


_ANSWERS: tuple[tuple[str, type, Callable[..., Any]], ...] = (
    *((name, bool, _identity) for name in ("guard_or_false", "guard_or_true", "statically_known_true", "expect_true")),
    *((name, bool, _identity) for name in ("guard_size_oblivious", "guard_bool")),
    *((name, int, _identity) for name in ("guard_int", "guarding_hint_or_throw", "size_hint")),
    ("sym_eq", int, _equal),
    ("sym_and", bool, lambda *conditions: reduce(and_, conditions)),
    ("sym_or", bool, lambda *conditions: reduce(or_, conditions)),
    ("is_nested_int", int, lambda _: False),
    *((name, int, lambda _: True) for name in ("has_guarding_hint", "has_hint")),
    ("_advise_is_size", int, lambda _: None),
    ("free_unbacked_symbols", torch.Tensor, lambda _: set()),
)
"""Name of a function in `symbolic_shapes`, the type of its arguments, and a function with its result for them."""
_SIZES = {name: _for_plain_values(name, kind, answer) for name, kind, answer in _ANSWERS}
_SIZE_FUNCTIONS = SimpleNamespace(**_SIZES)
