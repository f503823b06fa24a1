"""Recognizes reads by which torch's own code only checks an argument: no shape depends on the value."""

from __future__ import annotations

from functools import cache
from types import CodeType

from torch.nn import functional

from cnncost.frontends.torch.compat.interpreter import frame

_CHECKING = ("gaussian_nll_loss",)
"""Functions of `torch.nn.functional` that read values only to raise an error if an argument's elements are invalid."""
_PACKAGE = f"{__name__.partition('.')[0]}."


def checks_an_argument() -> bool:
    """True if the innermost function on the stack that is not the analyzer's own is one of `_CHECKING`."""
    reader = frame(1)
    while reader.f_globals.get("__name__", "").startswith(_PACKAGE) and reader.f_back is not None:
        reader = reader.f_back
    return reader.f_code in _codes()


@cache
def _codes() -> frozenset[CodeType]:
    return frozenset(getattr(functional, name).__code__ for name in _CHECKING)
