"""Sets the batch size of inputs: the first axis of each tensor, or the number of images in a detector's list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnncost.errors import InputError
from cnncost.shapes import TensorText, looks_like_shape, parse_shape
from cnncost.sources.sizes import is_arguments, leaves, rebuilt, shape_of, with_values


def with_batch(inputs: Any, batch: int) -> Any:
    """Return inputs with the first axis of each shape, shape string and tensor set to `batch`, in any nesting.

    If the first argument is a list of images C×H×W, as for a detector, each list of tensors gets `batch` items
    instead, by repeating its own items cyclically. Other values, and tensors without axes, stay unchanged.

    Raises:
        InputError: the inputs contain no tensor or shape, or `batch` is below 1 or above 2^63 - 1.
    """
    if batch < 1:
        raise InputError(f"batch {batch}: expected 1 or more")
    if batch >= 2**63:  # torch stores sizes as int64
        raise InputError(f"batch {batch}: expected less than 2^63")
    changed, found = _set(
        parse_shape(inputs) if isinstance(inputs, str) else inputs, batch, _begins_with_images(inputs)
    )
    if not found:
        raise InputError(
            f"batch {batch}: expected inputs with a tensor or shape to set it in, got {type(inputs).__name__}; give "
            "inputs of this batch size instead"
        )
    return changed


def _begins_with_images(inputs: Any) -> bool:
    """Return whether the first argument is a list of images C×H×W, one for each example."""
    if not isinstance(inputs, (Mapping, tuple, list)) or (isinstance(inputs, (tuple, list)) and shape_of(inputs)):
        return False  # a tensor or a shape
    named = inputs.values() if isinstance(inputs, Mapping) else inputs
    first = next(iter(named), None)
    shapes = [shape_of(item) for item in first] if isinstance(first, list) and shape_of(first) is None else []
    return bool(shapes) and all(shape is not None and len(shape) == 3 for shape in shapes)


def _set(inputs: Any, batch: int, images: bool) -> tuple[Any, bool]:
    """Return the inputs with the batch size set, and whether they contain a tensor or shape.

    With `images`, lists of tensors hold a detector's images, one for each example.
    """
    if isinstance(inputs, str):
        return _set(parse_shape(inputs), batch, images) if looks_like_shape(inputs) else (inputs, False)
    if isinstance(inputs, TensorText):
        resized = TensorText((batch, *inputs.shape[1:]), inputs.dtype) if inputs.shape else inputs
        return resized, True
    if is_arguments(inputs):
        positional, named = (_set_in(each, batch, images) for each in (inputs.positional, inputs.named))
        return type(inputs)(positional[0], named[0]), positional[1] or named[1]
    if isinstance(inputs, (tuple, list)) and inputs and all(isinstance(size, int) for size in inputs):
        return (batch, *inputs[1:]), True
    if isinstance(inputs, (Mapping, tuple, list)):
        if images and isinstance(inputs, list) and leaves(inputs):
            return _repeated_items(inputs, batch), True
        return _set_in(inputs, batch, images)
    repeated = _with_examples(inputs, batch)
    return (inputs, False) if repeated is None else (repeated, True)


def _set_in(container: Any, batch: int, images: bool) -> tuple[Any, bool]:
    if isinstance(container, Mapping):
        pairs = {key: _set(value, batch, images) for key, value in container.items()}
        values = {key: value for key, (value, _) in pairs.items()}
        return with_values(container, values), any(found for _, found in pairs.values())
    if _is_packed(container):
        return container, False
    items = [_set(each, batch, images) for each in container]
    return rebuilt(container, [value for value, _ in items]), any(found for _, found in items)


def _repeated_items(items: list[Any], batch: int) -> list[Any]:
    """Return `batch` items, repeated cyclically. Repeats are copies: a tensor used twice would count once in memory."""
    return [items[i] if i < len(items) else _copied(items[i % len(items)]) for i in range(batch)]


def _copied(example: Any) -> Any:
    import torch

    if isinstance(example, dict):
        return {key: _copied(value) for key, value in example.items()}
    return example.clone() if isinstance(example, torch.Tensor) else example


def _is_packed(container: Any) -> bool:
    """Return whether the container is a PackedSequence, which has no batch axis."""
    if not hasattr(container, "_fields"):  # not a named tuple: no need to import torch
        return False
    from torch.nn.utils.rnn import PackedSequence

    return isinstance(container, PackedSequence)


def _with_examples(value: Any, batch: int) -> Any:
    """Return a tensor with `batch` examples, repeated cyclically; None if the value is not a tensor.

    A tensor without axes or examples is returned unchanged.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        return None
    if not value.dim() or not len(value):
        return value
    return value[torch.arange(batch, device=value.device) % len(value)]
