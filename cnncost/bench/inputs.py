"""Random inputs for timing; several are used in turn, so that runs don't find their inputs in a cache."""

from __future__ import annotations

from typing import Any

import torch

from cnncost.errors import InputError
from cnncost.shapes import Literal, TensorText, parse_shape

_MOST_INPUTS = 4
"""Maximum number of inputs that are used in turn."""
_MOST_BYTES = 1 << 30
"""Maximum total bytes of these inputs; one input is always made."""


def rotated(inputs: Any, device: torch.device, dtype: torch.dtype) -> list[Any]:
    """Return one or more random inputs for a description: floats are normally distributed, integers 0 or 1.

    Literals, and tensors of other than floating-point dtypes that are given instead of shapes, keep their values.

    Raises:
        InputError: the description is not a shape, a tensor, a literal, or a tuple, list or dict of these; or it names
            an unknown dtype.
    """
    torch.manual_seed(0)
    first = random_input(inputs, device, dtype)
    size = sum(t.numel() * t.element_size() for t in tensors(first))
    number = max(1, min(_MOST_INPUTS, _MOST_BYTES // max(1, size)))
    return [first, *(random_input(inputs, device, dtype) for _ in range(number - 1))]


def random_input(inputs: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Return one input for a description. Raises InputError as `rotated` does."""
    if isinstance(inputs, str):
        return random_input(parse_shape(inputs), device, dtype)
    if isinstance(inputs, TensorText):
        return _random(inputs.shape, device, dtype if inputs.dtype is None else _dtype(inputs.dtype))
    if isinstance(inputs, Literal):
        return inputs.value
    if isinstance(inputs, torch.Tensor) and not inputs.is_floating_point() and not inputs.is_meta:
        return inputs.to(device)  # lengths or indices: random values would be invalid
    if isinstance(inputs, torch.Tensor):
        return _random(tuple(inputs.shape), device, dtype if inputs.is_floating_point() else inputs.dtype)
    if isinstance(inputs, dict):
        return {key: random_input(value, device, dtype) for key, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        if inputs and all(isinstance(size, int) for size in inputs):
            return _random(tuple(inputs), device, dtype)
        return tuple(random_input(each, device, dtype) for each in inputs)
    raise InputError(f"input: expected a shape such as 1x3x224x224, got {type(inputs).__name__}")


def call_model(model: Any, value: Any) -> Any:
    """Call the model with one input, a tuple of positional arguments, or a dict of keyword arguments."""
    if isinstance(value, dict):
        return model(**value)
    return model(*value) if isinstance(value, tuple) else model(value)


def tensors(value: Any) -> list[torch.Tensor]:
    """Return all tensors in nested tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def _random(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, device=device).to(dtype)
    return torch.randint(0, 2, shape, device=device).to(dtype)


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise InputError(f"input: no dtype {name!r}; expected one of torch's, such as float32 or int64")
    return found
