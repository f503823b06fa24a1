"""Skip initialization of tensors without data.

Torch's meta kernels would import its compiler to do nothing, and the Python code around them takes a large part of the
time for building a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from threading import get_ident
from typing import Any

import torch

from cnncost.frontends.torch.compat.modules import INITIAL_FILL_PLACES
from cnncost.frontends.torch.patches import Patch, patched

_WHY = "it would fill tensors without data, by Python code that takes most of the time to build a model"
FILLS = tuple(
    getattr(torch.Tensor, name)
    for name in "normal_ uniform_ trunc_normal_ zero_ fill_ mul_ add_ erfinv_ clamp_ exponential_ log_normal_".split()
    if hasattr(torch.Tensor, name)
)
"""Methods that initialization calls, which return their first argument."""


def fill(func: Any, args: Any, kwargs: Any) -> Any:
    """Stand in for a function that fills its first argument and returns it: do nothing on meta."""
    tensor = args[0] if args else kwargs.get("tensor")
    if isinstance(tensor, torch.Tensor) and tensor.is_meta:
        return tensor
    return func(*args, **kwargs)


def set_element(func: Any, args: Any, kwargs: Any) -> Any:
    """Stand in for `tensor[1, 2] = 3.0`: do nothing on meta. Some constructors fill large tables element by element."""
    tensor, index, value = args
    if type(value) in (int, float, bool) and tensor.is_meta and not tensor.requires_grad and _within(index, tensor):
        return None
    return func(*args, **kwargs)


def _within(index: Any, tensor: torch.Tensor) -> bool:
    """True if an index is a tuple of integers within bounds; torch handles, or rejects, everything else."""
    return (
        type(index) is tuple
        and len(index) <= tensor.dim()
        and all(type(i) is int and -size <= i < size for i, size in zip(index, tensor.shape, strict=False))
    )


@contextmanager
def initialization_skipped() -> Iterator[None]:
    """Context in which functions of `torch.nn.init` skip tensors without data, in this thread.

    They are patched, because function modes see only the ops inside most of these functions.
    """
    with patched([Patch(*place, _skipping_meta(getattr(*place)), _WHY) for place in INITIAL_FILL_PLACES]):
        yield


def _skipping_meta(helper: Any) -> Any:
    thread = get_ident()

    @wraps(helper)
    def fill_if_real(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return tensor if tensor.is_meta and get_ident() == thread else helper(tensor, *args, **kwargs)

    return fill_if_real
