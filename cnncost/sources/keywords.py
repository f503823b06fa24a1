"""Names of the tensors among keyword arguments, for headings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cnncost.shapes import Literal, TensorText, looks_like_shape


def input_names(inputs: Any, count: int) -> tuple[str, ...]:
    """A name for each tensor of a dict of keyword arguments: `ids`, or `batch.ids` and `batch[0]` within containers.

    Args:
        inputs: as for `analyze`.
        count: how many tensors forward got; if not as many are found, names could be of others, and there are none.
    """
    if not isinstance(inputs, Mapping):
        return ()
    names = [name for key, value in inputs.items() for name in _named(value, str(key))]
    return tuple(names) if len(names) == count else ()


def _named(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, TensorText) or (isinstance(value, str) and looks_like_shape(value)):
        yield name
    elif isinstance(value, (str, Literal)):
        return
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _named(item, f"{name}.{key}")
    elif isinstance(value, (tuple, list)):
        if value and all(type(size) is int for size in value):
            yield name
        else:
            for i, item in enumerate(value):
                yield from _named(item, f"{name}[{i}]")
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        yield name
