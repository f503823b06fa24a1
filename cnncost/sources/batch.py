"""Inputs with another batch size: the first axis of each tensor, however they are nested."""

from __future__ import annotations

from typing import Any

from cnncost.errors import InputError
from cnncost.sources.shapes import TensorText, parse_shape


def with_batch(inputs: Any, batch: int) -> Any:
    """Shapes, texts of shapes, and tuples, lists and dicts of them, with the first axis set.

    Raises:
        InputError: an input without a first axis, or a batch below 1.
    """
    if batch < 1:
        raise InputError(f"batch {batch}: expected 1 or more")
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
    raise InputError(f"batch {batch}: expected shapes to set it in, got {type(inputs).__name__}; give --input instead")


def known_inputs(spec: str) -> Any:
    """The inputs that a source knows of its model, or None. Builds nothing. Raises SourceError as `resolve` does."""
    from cnncost.sources.method import split_method
    from cnncost.sources.resolve import _loader

    model, method = split_method(spec)
    return None if method else _loader(model)(model).inputs  # whether a method takes what forward does, nobody knows


def batched(spec: str, inputs: Any, batch: int | None) -> Any:
    """What `analyze` is to be given: the inputs, or those that the source knows, with a batch size if one is asked for.

    Raises:
        InputError: a batch size, but no inputs to set it in.
    """
    if batch is None:
        return inputs
    found = inputs if inputs is not None else known_inputs(spec)
    if found is None:
        raise InputError(f"{spec}: no input given, and the source knows none; give one, for example 1x3x224x224")
    return with_batch(found, batch)
