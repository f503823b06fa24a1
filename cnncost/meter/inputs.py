"""Inputs of a step without their tensors: shapes in the same containers, so that no reference to a tensor is kept."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from cnncost.errors import InputError
from cnncost.shapes import TensorText, looks_like_shape, parse_shape


def described(inputs: Any) -> Any:
    """Convert inputs to shapes, so that no reference to a tensor is kept.

    Takes tensors, shapes, strings such as `64x3x224x224`, packed sequences, and tuples, lists, dicts and dataclasses of
    them. Other values (a flag, None) are returned unchanged.

    Raises:
        InputError: a string that is not a shape, or an object of another class that holds tensors.
    """
    if isinstance(inputs, Tensor):
        return TensorText(tuple(inputs.shape), str(inputs.dtype).removeprefix("torch."))
    if isinstance(inputs, str):
        if not looks_like_shape(inputs):
            raise InputError(f"Meter: input {inputs!r}: expected a shape such as 64x3x224x224")
        return parse_shape(inputs)
    if isinstance(inputs, TensorText):
        return inputs
    if isinstance(inputs, PackedSequence):  # the lengths are values that the cost depends on
        return inputs._replace(data=torch.empty_like(inputs.data, device="meta"))
    if isinstance(inputs, (tuple, list)) and inputs and all(type(size) is int for size in inputs):
        return TensorText(tuple(inputs), None)
    if hasattr(inputs, "items"):  # a dict, or a mapping such as Transformers' BatchEncoding
        return {str(key): described(value) for key, value in inputs.items()}
    attributes = getattr(inputs, "__dict__", {})
    if not _is_record(inputs) and any(isinstance(value, Tensor) for value in attributes.values()):
        raise InputError(
            f"Meter: an input of class {type(inputs).__name__}, which holds tensors; expected tensors or shapes, or "
            "tuples, lists, dicts and dataclasses of them; or give the step its number of examples"
        )
    return _mapped(inputs, _described_field if _is_record(inputs) else described)


def _described_field(value: Any) -> Any:
    return value if isinstance(value, str) else described(value)  # a dataclass has no shapes as text


def as_arguments(inputs: Any, inside: bool = False) -> Any:
    """Convert described inputs to those of an analysis, which takes no shapes inside of dataclasses."""
    if inside and isinstance(inputs, TensorText):
        dtype = torch.get_default_dtype() if inputs.dtype is None else getattr(torch, inputs.dtype)
        return torch.empty(inputs.shape, dtype=dtype, device="meta")
    return _mapped(inputs, lambda value: as_arguments(value, inside or _is_record(inputs)))


def frozen(inputs: Any) -> Hashable:
    """Convert described inputs to a hashable key."""
    if isinstance(inputs, PackedSequence):
        return (PackedSequence, tuple(inputs.data.shape), inputs.data.dtype, tuple(inputs.batch_sizes.tolist()))
    if isinstance(inputs, TensorText):
        return inputs
    if isinstance(inputs, dict):
        return tuple((key, frozen(value)) for key, value in inputs.items())
    if isinstance(inputs, (tuple, list)) or _is_record(inputs):
        return (type(inputs), *map(frozen, _parts(inputs)))
    return inputs if isinstance(inputs, Hashable) else repr(inputs)


def examples(inputs: Any) -> int:
    """Return the number of examples: the size of the first tensor's first axis; 1 if there is none."""
    if isinstance(inputs, PackedSequence):
        return int(inputs.batch_sizes[0])
    first = next(_tensors(inputs), None)
    return first.shape[0] if first is not None and first.shape else 1


def resized(inputs: Any, batch: int) -> Any:
    """Return the inputs with another batch size: replaces every first axis whose size is the old batch size.

    Raises:
        InputError: no tensor has a first axis.
    """
    if not any(each.shape for each in _tensors(inputs)):
        raise InputError(f"Meter: {batch} examples: the inputs have no batch axis; give the step its inputs instead")
    return _resized(inputs, examples(inputs), batch)


def _resized(inputs: Any, old: int, new: int) -> Any:
    if isinstance(inputs, TensorText):
        fits = inputs.shape and inputs.shape[0] == old
        return inputs._replace(shape=(new, *inputs.shape[1:])) if fits else inputs
    return _mapped(inputs, lambda value: _resized(value, old, new))


def _tensors(inputs: Any) -> Iterator[TensorText]:
    if isinstance(inputs, TensorText):
        yield inputs
        return
    for part in _parts(inputs):
        yield from _tensors(part)


def _is_record(value: Any) -> bool:
    """True for an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _parts(value: Any) -> list[Any]:
    """Return what a container holds; empty for a packed sequence, and for all that is no container."""
    if isinstance(value, dict):
        return list(value.values())
    if _is_record(value):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    if isinstance(value, (tuple, list)) and not isinstance(value, (TensorText, PackedSequence)):
        return list(value)
    return []


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Return a container of the same class with new parts; all that is no container unchanged."""
    if isinstance(value, dict):
        return {key: function(part) for key, part in value.items()}
    parts = list(map(function, _parts(value)))
    if _is_record(value):
        record = copy.copy(value)
        for field, part in zip(dataclasses.fields(value), parts, strict=True):
            object.__setattr__(record, field.name, part)  # it may be frozen
        return record
    if isinstance(value, (TensorText, PackedSequence)) or not isinstance(value, (tuple, list)):
        return value
    if hasattr(value, "_fields"):
        return type(value)(*parts)
    return parts if isinstance(value, list) else tuple(parts)
