"""Reads forward's arguments from JSON: tensors, given by shape or by values, and plain values.

A tensor is `{"shape": [1, 3, 224, 224], "dtype": "float32"}`, `{"values": [3, 5], "dtype": "int64"}`, or a string in
the syntax of `--input`, such as `"1x3x224x224"`. Other values are passed unchanged; `{"literal": …}` passes a value
that would otherwise be read as a tensor.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from cnncost.errors import InputError
from cnncost.shapes import Literal, TensorText, looks_like_shape, parse_shape

_EXAMPLE = '{"pixel_values": {"shape": [1, 3, 224, 224]}, "return_dict": false}'
_SIZE_LIMIT = 2**63
"""Sizes must be smaller than this: torch stores them as int64."""


class Values(NamedTuple):
    """A tensor with its values: numbers, or nested lists of them."""

    values: Any
    dtype: str | None


def parse(text: str) -> Any:
    """Parse a list of positional arguments, an object of keyword arguments, or a single tensor.

    Returns:
        A tuple or dict of `TensorText`, `Values`, `Literal`, and nested lists and dicts of these.

    Raises:
        InputError: the text is not JSON, is neither a list nor an object, or has a duplicate key or a tensor with an
            invalid shape or dtype.
    """
    try:
        data = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise InputError(f"--inputs-json: not JSON ({error}); expected for example {_EXAMPLE}") from None
    if isinstance(data, dict) and not _is_tensor(data):
        return {name: _convert(value, name) for name, value in data.items()}
    if not isinstance(data, (list, dict)):
        raise InputError(
            f"--inputs-json: expected a list of positional arguments, or an object of keyword arguments such as "
            f"{_EXAMPLE}, got {json.dumps(data)[:60]}"
        )
    return tuple(_convert(value, f"[{i}]") for i, value in enumerate(data if isinstance(data, list) else [data]))


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's pairs as a dict. Raises ValueError for a duplicate key."""
    by_name = dict(pairs)
    if len(by_name) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return by_name


def _is_tensor(value: dict[str, Any]) -> bool:
    return value.keys() in ({"shape"}, {"shape", "dtype"}, {"values"}, {"values", "dtype"})


def _convert(value: Any, where: str) -> Any:
    """Convert a JSON value; a container without tensors becomes one Literal. `where` names the value in messages."""
    if isinstance(value, dict):
        if value.keys() == {"literal"}:
            return Literal(value["literal"])
        if _is_tensor(value):
            return _parse_tensor(value, where)
        container: Any = {name: _convert(item, f"{where}.{name}") for name, item in value.items()}
    elif isinstance(value, list):
        container = [_convert(item, f"{where}[{i}]") for i, item in enumerate(value)]
    elif isinstance(value, str) and looks_like_shape(value):
        return _parse_text(value, where)
    else:
        return Literal(value)
    items = container.values() if isinstance(container, dict) else container
    originals = value.values() if isinstance(value, dict) else value
    plain = all(type(new) is Literal and new.value is old for new, old in zip(items, originals, strict=True))
    return Literal(value) if plain else container


def _parse_text(value: str, where: str) -> TensorText:
    try:
        return parse_shape(value)
    except InputError as error:
        raise InputError(f"--inputs-json: {where}: {error}") from None


def _parse_tensor(value: dict[str, Any], where: str) -> TensorText | Values:
    dtype = value.get("dtype")
    if dtype is not None and not isinstance(dtype, str):
        raise InputError(
            f'--inputs-json: {where}.dtype: expected a name such as "float32", got {json.dumps(dtype)[:60]}'
        )
    if "values" in value:
        return Values(value["values"], dtype)
    shape = value["shape"]
    if not isinstance(shape, list) or not all(type(size) is int and 0 < size < _SIZE_LIMIT for size in shape):
        raise InputError(
            f"--inputs-json: {where}.shape: expected a list of whole numbers from 1 to 2^63 - 1, got "
            f'{json.dumps(shape)[:60]}; a dict with a "shape" that is not a tensor must be passed as {{"literal": …}}'
        )
    return TensorText(tuple(shape), dtype)


def to_inputs(parsed: Any) -> Any:
    """Return the result of `parse` as inputs for `analyze`. Raises InputError for values that can't become a tensor."""
    if isinstance(parsed, dict):
        return {name: _to_input(value, name) for name, value in parsed.items()}
    return tuple(_to_input(value, f"[{i}]") for i, value in enumerate(parsed))


def _to_input(value: Any, where: str) -> Any:
    if isinstance(value, Values):
        return _to_tensor(value, where)
    if isinstance(value, dict):
        return {name: _to_input(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_to_input(item, f"{where}[{i}]") for i, item in enumerate(value)]
    return value


def _to_tensor(values: Values, where: str) -> Any:
    import torch

    dtype = None if values.dtype is None else getattr(torch, values.dtype, None)
    if values.dtype is not None and not isinstance(dtype, torch.dtype):
        raise InputError(
            f"--inputs-json: {where}: {values.dtype!r} is not a dtype of torch; expected, for example, int64 or bool"
        )
    try:
        return torch.tensor(values.values, dtype=dtype)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise InputError(
            f"--inputs-json: {where}.values: can't become a tensor ({str(error).splitlines()[0]}); expected numbers, "
            "or lists of equal length"
        ) from None
