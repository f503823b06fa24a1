"""Finds out whether a value is read by torch's own code to check an argument, which decides no shape."""

from __future__ import annotations

from functools import cache
from types import CodeType

from torch.nn import functional

from cnncost.frontends.torch.compat.interpreter import frame

_CHECKING = ("gaussian_nll_loss",)
"""Functions of `torch.nn.functional` that raise if a check of an argument's elements is true."""
_PACKAGE = f"{__name__.partition('.')[0]}."


def checks_an_argument() -> bool:
    """True if the code that reads a value, behind the analyzer's own frames, is a check by one of torch's functions."""
    reader = frame(1)
    while reader.f_globals.get("__name__", "").startswith(_PACKAGE) and reader.f_back is not None:
        reader = reader.f_back
    return reader.f_code in _codes()


@cache
def _codes() -> frozenset[CodeType]:
    return frozenset(getattr(functional, name).__code__ for name in _CHECKING)
