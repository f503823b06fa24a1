"""Set the batch size of inputs: the first axis of each tensor, in any nesting."""

from __future__ import annotations

from typing import Any

from cnncost.errors import InputError
from cnncost.shapes import TensorText, looks_like_shape, parse_shape


def with_batch(inputs: Any, batch: int) -> Any:
    """Set the first axis of shapes, shape strings, tensors, and tuples, lists and dicts of them; others stay.

    Raises:
        InputError: no tensor with a first axis, or a batch below 1.
    """
    if batch < 1:
        raise InputError(f"batch {batch}: expected 1 or more")
    if batch >= 2**63:
        raise InputError(f"batch {batch}: expected less than 2^63")
    made, found = _set(parse_shape(inputs) if isinstance(inputs, str) else inputs, batch)
    if not found:
        raise InputError(
            f"batch {batch}: expected shapes to set it in, got {type(inputs).__name__}; give --input instead"
        )
    return made


def _set(inputs: Any, batch: int) -> tuple[Any, bool]:
    """The inputs with the batch size set, and whether there was a tensor to set it in."""
    if isinstance(inputs, str):
        return _set(parse_shape(inputs), batch) if looks_like_shape(inputs) else (inputs, False)
    if isinstance(inputs, TensorText):
        return TensorText((batch, *inputs.shape[1:]), inputs.dtype) if inputs.shape else inputs, True
    if isinstance(inputs, dict):
        made = {key: _set(value, batch) for key, value in inputs.items()}
        return {key: value for key, (value, _) in made.items()}, any(found for _, found in made.values())
    if isinstance(inputs, (tuple, list)):
        if inputs and all(isinstance(size, int) for size in inputs):
            return (batch, *inputs[1:]), True
        items = [_set(each, batch) for each in inputs]
        return type(inputs)(value for value, _ in items), any(found for _, found in items)
    several = _repeated(inputs, batch)
    return (inputs, False) if several is None else (several, True)


def _repeated(value: Any, batch: int) -> Any:
    """A tensor with `batch` examples, repeating its own cyclically; None if the value is no tensor."""
    import torch

    if not isinstance(value, torch.Tensor):
        return None
    if not value.dim() or not len(value):
        return value
    return value[torch.arange(batch, device=value.device) % len(value)]
