"""Set the batch size of inputs: the first axis of each tensor, in any nesting."""

from __future__ import annotations

from typing import Any

from cnncost.errors import InputError
from cnncost.shapes import TensorText, parse_shape


def with_batch(inputs: Any, batch: int) -> Any:
    """Set the first axis of shapes, shape strings, tensors, and tuples, lists and dicts of them.

    Raises:
        InputError: an input without a first axis, or a batch below 1.
    """
    if batch < 1:
        raise InputError(f"batch {batch}: expected 1 or more")
    if batch >= 2**63:
        raise InputError(f"batch {batch}: expected less than 2^63")
    if isinstance(inputs, str):
        return with_batch(parse_shape(inputs), batch)
    if isinstance(inputs, TensorText):
        return TensorText((batch, *inputs.shape[1:]), inputs.dtype) if inputs.shape else inputs
    if isinstance(inputs, dict):
        return {key: with_batch(value, batch) for key, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        if inputs and all(isinstance(size, int) for size in inputs):
            return (batch, *inputs[1:])
        return type(inputs)(with_batch(each, batch) for each in inputs)
    if (several := _repeated(inputs, batch)) is not None:
        return several
    raise InputError(f"batch {batch}: expected shapes to set it in, got {type(inputs).__name__}; give --input instead")


def _repeated(value: Any, batch: int) -> Any:
    """A tensor with `batch` examples, repeating its own cyclically; None if the value is no tensor."""
    import torch

    if not isinstance(value, torch.Tensor):
        return None
    if not value.dim() or not len(value):
        return value
    return value[torch.arange(batch, device=value.device) % len(value)]
