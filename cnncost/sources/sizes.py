"""The tensors among the inputs of a model, and the same inputs in other sizes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple, TypeAlias

from cnncost.errors import InputError
from cnncost.shapes import TensorText, looks_like_shape, parse_shape

Place: TypeAlias = "tuple[int | str, ...]"
"""The way to a tensor: positions and names of arguments, then what contains it. `()` for a lone one."""


_MOST_VALUES = 1 << 25
"""Most elements of a tensor that is enlarged with its values."""


class Leaf(NamedTuple):
    """A tensor, or its shape, among the inputs.

    Attributes:
        place: the way to it.
        shape: its sizes.
        whole: whether it has a dtype of whole numbers, as token ids do.
        listed: whether it is an item of a list, as a detector's images are.
    """

    place: Place
    shape: tuple[int, ...]
    whole: bool
    listed: bool


class Axis(NamedTuple):
    """An axis of a tensor among the inputs; `number` None: how many items the list at this place has."""

    place: Place
    number: int | None


def leaves(inputs: Any) -> list[Leaf]:
    """All shapes, texts of shapes and tensors, in any nesting, in order."""
    leaves: list[Leaf] = []
    _walk(inputs, (), False, leaves)
    return leaves


def _walk(value: Any, place: Place, listed: bool, leaves: list[Leaf]) -> None:
    shape = shape_of(value)
    if shape is not None:
        leaves.append(Leaf(place, shape, _is_whole(value), listed))
        return
    for key, item in _items(value):
        _walk(item, (*place, key), isinstance(value, list), leaves)


def _items(value: Any) -> list[tuple[int | str, Any]]:
    """What a container holds, by position or name; the arguments by position and by name likewise."""
    if has_named(value):
        return [*enumerate(value.positional), *value.named.items()]
    if isinstance(value, Mapping):
        return [(str(name), item) for name, item in value.items()]
    return list(enumerate(value)) if isinstance(value, (tuple, list)) else []


def has_named(value: Any) -> bool:
    """Whether these are positional and named arguments together, as `cnncost.arguments` makes them."""
    return isinstance(value, tuple) and hasattr(value, "positional") and hasattr(value, "named")


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The sizes of a tensor, a shape or a text of one; None for all else."""
    if isinstance(value, str):
        return parse_shape(value).shape if looks_like_shape(value) else None
    if isinstance(value, TensorText):
        return value.shape
    if isinstance(value, (tuple, list)):
        plain = bool(value) and not has_named(value) and all(type(size) is int for size in value)
        return tuple(value) if plain else None
    return tuple(value.shape) if _is_tensor(value) else None


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # before it is imported nothing is a tensor
    return torch is not None and (
        isinstance(value, torch.Tensor) and not value.is_nested and value.layout is torch.strided
    )


def _is_whole(value: Any) -> bool:
    if isinstance(value, str):
        value = parse_shape(value)
    if isinstance(value, TensorText):
        return value.dtype is not None and value.dtype.lstrip("u").startswith(("int", "long", "bool"))
    if not _is_tensor(value):
        return False
    return not value.is_floating_point() and not value.is_complex()


def with_sizes(inputs: Any, sizes: Mapping[Axis, int]) -> Any:
    """The inputs with some axes in another size; a tensor with values repeats its own cyclically.

    Raises:
        InputError: a size below 1, one that torch has no number for, or a tensor with values that gets too large.
    """
    for axis, size in sizes.items():
        if not 1 <= size < 2**63:
            raise InputError(f"input {axis.place}: expected sizes from 1 to 2^63 − 1, got {size} on axis {axis.number}")
    return _resized(inputs, (), sizes)


def _resized(value: Any, place: Place, sizes: Mapping[Axis, int]) -> Any:
    own = {axis.number: size for axis, size in sizes.items() if axis.place == place}
    if shape_of(value) is not None:
        return _with_axes(value, {index: size for index, size in own.items() if index is not None}) if own else value
    if has_named(value):
        positional = [_resized(item, (*place, i), sizes) for i, item in enumerate(value.positional)]
        named = {name: _resized(item, (*place, name), sizes) for name, item in value.named.items()}
        return type(value)(tuple(positional), named)
    if isinstance(value, dict):
        changed = {name: _resized(item, (*place, str(name)), sizes) for name, item in value.items()}
        return type(value)(changed)
    if isinstance(value, (tuple, list)) and value:
        items = [_resized(item, (*place, i), sizes) for i, item in enumerate(value)]
        if None in own:
            items = [items[0]] * own[None]
        return rebuilt(value, items)
    return value


def rebuilt(container: Any, items: list[Any]) -> Any:
    """A tuple or list of the same class, with other items."""
    return type(container)(*items) if hasattr(container, "_fields") else type(container)(items)


def _with_axes(value: Any, own: Mapping[int, int]) -> Any:
    if isinstance(value, str):
        value = parse_shape(value)
    if isinstance(value, TensorText):
        return TensorText(_replaced(value.shape, own), value.dtype)
    if isinstance(value, (tuple, list)):
        return _replaced(tuple(value), own)
    import torch

    shape = _replaced(tuple(value.shape), own)
    if prod(shape) > _MOST_VALUES:
        raise InputError(
            f"an input of {'x'.join(map(str, shape))} is too large to be filled with values; give its shape in place "
            "of a tensor"
        )
    for index, size in own.items():
        if value.shape[index] != size:
            positions = torch.arange(size, device=value.device) % max(value.shape[index], 1)
            value = value.index_select(index, positions)
    return value


def _replaced(shape: tuple[int, ...], own: Mapping[int, int]) -> tuple[int, ...]:
    changed = list(shape)
    for index, size in own.items():
        changed[index] = size
    return tuple(changed)
