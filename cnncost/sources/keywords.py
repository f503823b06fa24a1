"""Names the tensors in keyword arguments for headings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cnncost.shapes import Literal, TensorText, looks_like_shape


def input_names(inputs: Any, count: int) -> tuple[str, ...]:
    """Return a name for each tensor in a dict of keyword arguments: `ids`, or `batch.ids` and `batch[0]` if nested.

    Inputs that are not a dict have no names.

    Args:
        inputs: as for `analyze`.
        count: number of tensors that forward received; if it differs from the number found, no names are returned,
            because they could belong to other tensors.
    """
    if not isinstance(inputs, Mapping):
        return ()
    names = [name for key, value in inputs.items() for name in _names_in(value, str(key))]
    return tuple(names) if len(names) == count else ()


def _names_in(value: Any, name: str) -> Iterator[str]:
    """Yield the names of the tensors in an argument called `name`."""
    if isinstance(value, TensorText) or (isinstance(value, str) and looks_like_shape(value)):
        yield name
    elif isinstance(value, (str, Literal)):
        return
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _names_in(item, f"{name}.{key}")
    elif isinstance(value, (tuple, list)):
        if value and all(type(size) is int for size in value):
            yield name
        else:
            for i, item in enumerate(value):
                yield from _names_in(item, f"{name}[{i}]")
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        yield name
