"""What stands for torch's compiler as long as it is not loaded, where torch's own code imports it and needs none of it.

Three of torch's modules import it from within functions that run for any op: `torch._compile`, to have the compiler
leave a function alone; type promotion, to ask whether a number is sympy's; meta kernels, to compare sizes that may be
symbols. Before these modules are loaded nothing is compiled and no size is a symbol, so each question has its answer.
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
"""Attribute of a function that the compiler is to leave alone: what is called in its place."""
_LEFT_ALONE: list[Any] = []


def stand_in(
    name: str, importer: Any = None, namespace: Any = None, wanted: Sequence[str] | None = (), _: int = 0
) -> Any:
    """What an import statement gets in place of a module that is not loaded; None: it has to be imported.

    The arguments are those of `__import__`. Only functions are given one, as what a module binds lasts.
    """
    if name not in COMPILER or name in sys.modules or namespace is not None or not isinstance(importer, dict):
        return None
    asking = importer.get("__name__", "")
    if name == _SYMBOLIC and asking.partition(".")[0] == "torch" and wanted and _SIZES.keys() >= set(wanted):
        return _SIZE_FUNCTIONS
    return _MODULES.get((name, asking))


def forget() -> None:
    """Let the compiler, once it is loaded, see the functions again that were left alone without it."""
    while _LEFT_ALONE:
        vars(_LEFT_ALONE.pop()).pop(_DISABLED, None)


def _disable(function: Any, *_: Any, **__: Any) -> Any:
    _LEFT_ALONE.append(function)  # the caller sets its attribute
    return function


class _Nothing:
    """A class without instances."""


class _NotLoaded:
    """A module that is not loaded, so that nothing is of a class of it."""

    def __getattr__(self, name: str) -> type:
        return _Nothing


_MODULES: Mapping[tuple[str, str], Any] = {
    (_SYMPY, "torch._prims_common"): _NotLoaded(),
    (_DYNAMO, "torch._compile"): SimpleNamespace(_dynamo=SimpleNamespace(disable=_disable)),
}
"""By module and importer: what `import module` binds, which is the package that the module is in."""


# ---- sizes that are no symbols


def _plain(name: str, of: type, answer: Callable[..., Any]) -> Callable[..., Any]:
    """A function of sizes: ours for plain arguments, torch's for others (symbols, and what it rejects)."""

    def function(*args: Any, **kwargs: Any) -> Any:
        if not kwargs and all(_is_plain(arg, of) for arg in args):
            return answer(*args)
        return getattr(import_module(_SYMBOLIC), name)(*args, **kwargs)

    return function


def _is_plain(arg: Any, of: type) -> bool:
    if of is torch.Tensor:
        return type(arg) is of and arg.layout is torch.strided and _is_plain((*arg.shape, *arg.stride()), int)
    if isinstance(arg, (tuple, list)):
        return of is int and all(_is_plain(each, of) for each in arg)
    return type(arg) is of


def _equal(x: Any, y: Any) -> bool:
    """As `sym_eq`, whose nested sizes differ if their lengths do."""
    if isinstance(x, (tuple, list)) and isinstance(y, (tuple, list)):
        return len(x) == len(y) and all(map(_equal, x, y))
    return bool(x == y)


def _same(x: Any) -> Any:
    return x


_ANSWERS: tuple[tuple[str, type, Callable[..., Any]], ...] = (
    *((each, bool, _same) for each in ("guard_or_false", "guard_or_true", "statically_known_true", "expect_true")),
    *((each, bool, _same) for each in ("guard_size_oblivious", "guard_bool")),
    *((each, int, _same) for each in ("guard_int", "guarding_hint_or_throw", "size_hint")),
    ("sym_eq", int, _equal),
    ("sym_and", bool, lambda *each: reduce(and_, each)),
    ("sym_or", bool, lambda *each: reduce(or_, each)),
    ("is_nested_int", int, lambda _: False),
    *((each, int, lambda _: True) for each in ("has_guarding_hint", "has_hint")),
    ("_advise_is_size", int, lambda _: None),
    ("free_unbacked_symbols", torch.Tensor, lambda _: set()),
)
_SIZES = {name: _plain(name, of, answer) for name, of, answer in _ANSWERS}
_SIZE_FUNCTIONS = SimpleNamespace(**_SIZES)
