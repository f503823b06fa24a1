"""Converts NumPy arrays in inputs to tensors, which share the arrays' memory if possible."""

from __future__ import annotations

from typing import Any

from cnncost.errors import InputError
from cnncost.sources.sizes import is_arguments


def with_tensors(inputs: Any, where: str = "inputs") -> Any:
    """Return the inputs with each array replaced by a tensor, also in nested tuples, lists and dicts.

    Inputs without an array are returned as the same object. `where` names the inputs in errors.

    Raises:
        InputError: an array has a dtype that torch lacks, such as strings.
    """
    kind = type(inputs)
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":  # by name: without importing NumPy
        return _tensor(inputs, where)
    if kind is dict:
        converted = {key: with_tensors(value, str(key)) for key, value in inputs.items()}
        return converted if any(converted[key] is not value for key, value in inputs.items()) else inputs
    if kind in (tuple, list):
        items = [with_tensors(item, f"{where}[{i}]") for i, item in enumerate(inputs)]
        return kind(items) if any(new is not old for new, old in zip(items, inputs, strict=True)) else inputs
    if is_arguments(inputs):
        positional, named = with_tensors(inputs.positional, where), with_tensors(inputs.named, where)
        same = positional is inputs.positional and named is inputs.named
        return inputs if same else kind(positional, named)
    return inputs


def _tensor(array: Any, where: str) -> Any:
    import torch

    try:
        # copied if read-only, which torch warns about, or empty, when torch may reject the strides
        return torch.from_numpy(array if array.flags.writeable and array.size else array.copy())
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: an array of dtype {array.dtype} can't be converted to a tensor ({error}); expected numbers"
        ) from None
