"""Recognize and check shapes and dtypes that stand for tensors among a user's inputs, and create meta tensors."""

from __future__ import annotations

from typing import Any

import torch

from cnncost.errors import InputError
from cnncost.frontends.torch.meta import META


def is_shape(value: Any) -> bool:
    """True if a value is a shape: a tuple or list of ints, not empty, or a `torch.Size`."""
    if isinstance(value, torch.Size):
        return True
    return isinstance(value, (tuple, list)) and len(value) > 0 and all(type(n) is int for n in value)


def empty(shape: tuple[int, ...], dtype: torch.dtype, where: str) -> torch.Tensor:
    """Return an empty meta tensor.

    Raises:
        InputError: the tensor would be larger than torch can address.
    """
    try:
        return torch.empty(shape, dtype=dtype, device=META)
    except (RuntimeError, TypeError, OverflowError):  # the last two: numbers beyond 64 bits
        raise InputError(f"{where}: a tensor of shape {shape} is larger than torch can address") from None


def reject_fractions(value: Any, where: str) -> None:
    """Raise InputError if a value looks like a shape but has floats among its sizes."""
    if isinstance(value, (tuple, list)) and value and all(type(n) in (int, float) for n in value):
        size = next(n for n in value if type(n) is float)
        raise InputError(f"{where}: expected a shape of whole numbers, got {size} in {tuple(value)}")


def positive(shape: Any, where: str) -> tuple[int, ...]:
    """Return a shape as a tuple. Raises InputError if a size is less than 1."""
    for axis, size in enumerate(shape):
        if size < 1:
            raise InputError(f"{where}: expected sizes of 1 or more, got {size} on axis {axis} of {tuple(shape)}")
    return tuple(shape)


def dtype_of(name: str | None, default: torch.dtype, where: str) -> torch.dtype:
    """Return the dtype of a name; the default if it is None. Raises InputError if torch has no such dtype."""
    if name is None:
        return default
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise InputError(
            f"{where}: {name!r} is not a dtype of torch; expected one such as float32, float16, bfloat16, int64, bool"
        )
    return dtype
