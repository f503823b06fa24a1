"""Finds the tensors in a model's nested inputs, and changes their sizes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from copy import copy
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from cnncost.errors import InputError
from cnncost.shapes import TensorText, looks_like_shape, parse_shape

if TYPE_CHECKING:
    import torch

Place: TypeAlias = "tuple[int | str, ...]"
"""The indices and keys that lead to a tensor in nested inputs; `()` if the inputs are a single tensor."""


_MOST_VALUES = 1 << 25
"""Maximum number of elements to which a tensor with values is enlarged."""


class Leaf(NamedTuple):
    """A tensor in the inputs, given as a tensor or as its shape.

    Attributes:
        place: the indices and keys that lead to the tensor.
        shape: the tensor's shape.
        integral: whether the dtype is known to be an integer or bool, as for token ids.
        listed: whether the tensor is an item of a list, as a detector's images are.
    """

    place: Place
    shape: tuple[int, ...]
    integral: bool
    listed: bool


class Axis(NamedTuple):
    """An axis of the tensor at `place`; if `number` is None, the length of the list there."""

    place: Place
    number: int | None


def leaves(inputs: Any) -> list[Leaf]:
    """Return all shapes, shape strings and tensors in nested inputs, in order."""
    leaves: list[Leaf] = []
    _walk(inputs, (), False, leaves)
    return leaves


def _walk(value: Any, place: Place, listed: bool, leaves: list[Leaf]) -> None:
    shape = shape_of(value)
    if shape is not None:
        leaves.append(Leaf(place, shape, _is_integral(value), listed))
        return
    for key, item in _items(value):
        _walk(item, (*place, key), isinstance(value, list), leaves)


def _items(value: Any) -> list[tuple[int | str, Any]]:
    """Return (index or key, item) for each item of a container or of `cnncost.arguments`; empty for other values."""
    if is_arguments(value):
        return [*enumerate(value.positional), *value.named.items()]
    if isinstance(value, Mapping):
        return [(str(name), item) for name, item in value.items()]
    return list(enumerate(value)) if isinstance(value, (tuple, list)) else []


def is_arguments(value: Any) -> bool:
    """Return whether a value is from `cnncost.arguments`, judging by attributes: importing the class imports torch."""
    return isinstance(value, tuple) and hasattr(value, "positional") and hasattr(value, "named")


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Return the shape of a strided tensor, shape or shape string; None for other values."""
    if isinstance(value, str):
        return parse_shape(value).shape if looks_like_shape(value) else None
    if isinstance(value, TensorText):
        return value.shape
    if isinstance(value, (tuple, list)):
        plain = bool(value) and not is_arguments(value) and all(type(size) is int for size in value)
        return tuple(value) if plain else None
    return tuple(value.shape) if _is_tensor(value) else None


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # nothing is a tensor before torch is imported
    return torch is not None and (
        isinstance(value, torch.Tensor) and not value.is_nested and value.layout is torch.strided
    )


def _is_integral(value: Any) -> bool:
    """Return whether the dtype of a tensor or shape string is an integer or bool; False for a plain shape."""
    if isinstance(value, str):
        value = parse_shape(value)
    if isinstance(value, TensorText):
        return value.dtype is not None and value.dtype.lstrip("u").startswith(("int", "long", "bool"))
    if not _is_tensor(value):
        return False
    return not value.is_floating_point() and not value.is_complex()


def with_sizes(inputs: Any, sizes: Mapping[Axis, int], static: bool = False) -> Any:
    """Return the inputs with some sizes changed; a tensor's values are repeated or dropped along the axis.

    Args:
        inputs: as `analyze` takes them.
        sizes: the new size of each axis that changes.
        static: whether only a static analysis gets the inputs. Tensors whose values it can't read are then zeros, whose
            memory is never touched.

    Raises:
        InputError: a size is below 1 or above 2^63 − 1, a tensor with values becomes too large, or a container can't
            be created with other items.
    """
    for axis, size in sizes.items():
        if not 1 <= size < 2**63:
            raise InputError(f"input {axis.place}: expected sizes from 1 to 2^63 − 1, got {size} on axis {axis.number}")
    return _resized(inputs, (), sizes, static)


def _resized(value: Any, place: Place, sizes: Mapping[Axis, int], static: bool) -> Any:
    sizes_here = {axis.number: size for axis, size in sizes.items() if axis.place == place}
    if shape_of(value) is not None:
        by_index = {index: size for index, size in sizes_here.items() if index is not None}
        return _with_axes(value, by_index, static) if sizes_here else value
    if is_arguments(value):
        positional = [_resized(item, (*place, i), sizes, static) for i, item in enumerate(value.positional)]
        named = {name: _resized(item, (*place, name), sizes, static) for name, item in value.named.items()}
        return type(value)(tuple(positional), named)
    if isinstance(value, Mapping):
        items = {key: _resized(item, (*place, str(key)), sizes, static) for key, item in value.items()}
        return with_values(value, items)
    if isinstance(value, (tuple, list)) and value:
        resized = [_resized(item, (*place, i), sizes, static) for i, item in enumerate(value)]
        if None in sizes_here:
            resized = [resized[0]] * sizes_here[None]
        return rebuilt(value, resized)
    return value


def with_values(mapping: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """Return a mapping of the same class with other values for its keys. Raises InputError if none can be created."""
    try:
        if not isinstance(mapping, MutableMapping):
            return type(mapping)(values)  # type: ignore[call-arg]  # frozen mappings, such as torch's, take a dict
        changed = _own_copy(mapping)
        for key, value in values.items():
            changed[key] = value
    except Exception as error:  # noqa: BLE001  # of the user's class
        raise InputError(
            f"inputs: a {type(mapping).__name__} can't be created with other items ({type(error).__name__}: {error}); "
            "give a dict"
        ) from None
    return changed


def _own_copy(mapping: MutableMapping[Any, Any]) -> MutableMapping[Any, Any]:
    """Return a shallow copy, made with `copy` because a subclass may have attributes or a constructor unlike dict's.

    Mappings in attributes, in which some classes store their items, are copied as well; `copy` would share them.
    """
    changed = copy(mapping)
    for name, value in getattr(mapping, "__dict__", {}).items():
        if isinstance(value, MutableMapping) and getattr(changed, name, None) is value:
            setattr(changed, name, copy(value))
    return changed


def rebuilt(container: Any, items: list[Any]) -> Any:
    """Return a tuple, named tuple or list of the same class, with other items."""
    return type(container)(*items) if hasattr(container, "_fields") else type(container)(items)


def _with_axes(value: Any, by_index: Mapping[int, int], static: bool) -> Any:
    """Return a tensor, shape or shape string with the sizes of some of its axes changed."""
    if isinstance(value, str):
        value = parse_shape(value)
    if isinstance(value, TensorText):
        return TensorText(_replaced(value.shape, by_index), value.dtype)
    if isinstance(value, (tuple, list)):
        return _replaced(tuple(value), by_index)
    import torch

    shape = _replaced(tuple(value.shape), by_index)
    if prod(shape) > _MOST_VALUES:
        raise InputError(
            f"an input of {'x'.join(map(str, shape))} is too large to be filled with values; give a shape instead of "
            "a tensor"
        )
    if static and shape != tuple(value.shape) and _is_never_read(value, shape):
        return _untouched_zeros(value, shape)
    for index, size in by_index.items():
        if value.shape[index] != size:
            positions = torch.arange(size, device=value.device) % max(value.shape[index], 1)
            value = value.index_select(index, positions)
    return value


def _is_never_read(value: torch.Tensor, shape: tuple[int, ...]) -> bool:
    """True if a static analysis can't read the values of such a tensor of this shape.

    It reads those of integers, of tensors with few elements, and of attention masks, which hide a key by minus infinity
    or by the dtype's minimum.
    """
    import torch

    from cnncost.frontends.torch.running import REAL_LIMIT

    if type(value) is not torch.Tensor or value.device.type != "cpu" or value.layout is not torch.strided:
        return False
    if prod(shape) <= REAL_LIMIT or value.dtype not in {torch.float16, torch.bfloat16, torch.float32, torch.float64}:
        return False
    return not bool((value <= torch.finfo(value.dtype).min).any())


def _untouched_zeros(value: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Return zeros of a shape, otherwise like `value`. numpy gets them from the operating system, and writes none."""
    import numpy as np
    import torch

    memory = torch.from_numpy(np.zeros(prod(shape) * value.element_size(), np.uint8))
    return memory.view(value.dtype).view(shape).requires_grad_(value.requires_grad)


def _replaced(shape: tuple[int, ...], by_index: Mapping[int, int]) -> tuple[int, ...]:
    changed = list(shape)
    for index, size in by_index.items():
        changed[index] = size
    return tuple(changed)
