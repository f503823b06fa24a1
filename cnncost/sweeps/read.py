"""Reads a grid from plain data: command-line options, a dict in Python, or a TOML or YAML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnncost.errors import InputError
from cnncost.near import suggestion
from cnncost.sweeps.figures import chosen
from cnncost.sweeps.grid import Axis, Grid
from cnncost.toml_file import TomlFile, parsed, text_of

KEYS = (
    "models", "input_size", "batch", "vary", "dtype", "device", "columns", "input", "model_args", "autocast", "trace",
)  # fmt: skip
"""Keys of a grid in a dict or file."""
_TRACES = ("auto", "static", "real")


def from_data(models: Sequence[str], data: Mapping[str, Any]) -> Grid:
    """Return a grid.

    Args:
        models: names, or patterns of names such as `timm:resnet*`.
        data: values for some of `KEYS`: `input_size`: sizes such as 224 or "160x224"; `batch`: ints; `vary`:
            variables with their sizes, as for `cnncost.formula`; `dtype`, `device`: names; `columns`: names in
            `figures.FIGURES`; `models`: further models; the other keys: settings for all models.

    Raises:
        InputError: a key is unknown, or a value is invalid.
        CnncostError: a model, device, dtype or column is unknown. The message suggests similar names.
    """
    for key in data:
        if key not in KEYS:
            near = suggestion(str(key), KEYS) or f"; expected one of {', '.join(KEYS)}"
            raise InputError(f"sweep: the grid has no key {key!r}{near}")
    given = {key: value for key, value in data.items() if value is not None}
    devices = tuple(dict.fromkeys(_texts("device", given.get("device", ()))))
    columns = chosen(tuple(_texts("columns", given.get("columns", ()))))
    axes = [
        *_axis("batch", given.get("batch"), lambda size: (_whole("batch", size),), ("batch",)),
        *_axis("input_size", given.get("input_size"), _height_and_width, ("height", "width")),
        *_varied(given.get("vary", {})),
    ]
    model_args, trace = given.get("model_args", {}), given.get("trace", "auto")
    if not isinstance(model_args, Mapping):
        raise InputError(f"sweep: model_args: expected a table of keyword arguments, got {model_args!r}")
    if trace not in _TRACES:
        raise InputError(f"sweep: trace: expected {', '.join(_TRACES[:-1])} or {_TRACES[-1]}, got {trace!r}")
    grid = Grid(  # a placeholder for the models, which `_checked` sets
        ("",), tuple(axes), _dtypes(given.get("dtype", ())), columns, devices,
        tuple(_texts("input", given.get("input", ()))), dict(model_args), given.get("autocast"), trace,
    )  # fmt: skip
    return _checked(grid, [*_texts("models", models), *_texts("models", given.get("models", ()))])


def from_file(path: str) -> Grid:
    """Return the grid in a TOML or YAML file with keys of `KEYS`. Raises like `from_data`, with file and line."""
    text = text_of(Path(path), InputError, "the grid of a sweep")
    if Path(path).suffix.lower() in {".yaml", ".yml"}:
        from cnncost.sweeps.yaml_file import YamlFile, parsed_yaml

        file: TomlFile = YamlFile(Path(path), text)
        data = parsed_yaml(Path(path), text)
    else:
        file, data = TomlFile(Path(path), text), parsed(Path(path), text, InputError)
    file.error = InputError
    try:
        return from_data((), data)
    except InputError as error:
        message = str(error).removeprefix("sweep: ")
        # finds the key that the message is about, for its line; messages say "model" or "models", "column" or "columns"
        key = next((key for key in data if re.search(rf"\b{re.escape(key.removesuffix('s'))}", message)), None)
        raise file.wrong((key,) if key else (), message) from None


def _checked(grid: Grid, models: Sequence[str]) -> Grid:
    """Return the grid with its models. Devices and names are checked, so that mistakes show before the sweep."""
    from dataclasses import replace

    from cnncost.devices import find
    from cnncost.sources.find import find as source_of
    from cnncost.sources.names import matching

    for device in grid.devices:
        find(device)
    names = dict.fromkeys(name for text in models for name in matching(text))
    for name in [text for text in models if text in names]:
        if source_of(name).saved:
            raise InputError(f"sweep: {name} is a saved report of one run; give the model itself")
    return replace(grid, models=tuple(names))


def _dtypes(given: Any) -> tuple[str | None, ...]:
    from cnncost.sources.settings import float_dtype

    names = _texts("dtype", given)
    return tuple(dict.fromkeys(str(float_dtype(name)).removeprefix("torch.") for name in names)) or (None,)


def _texts(key: str, given: Any) -> list[str]:
    """Return a string or a list of strings as a list."""
    values = [given] if isinstance(given, str) else given
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) and value for value in values):
        raise InputError(f"sweep: {key}: expected a list of names, got {given!r}"[:300])
    return list(values)


def _axis(name: str, given: Any, sizes: Callable[[Any], tuple[int, ...]], variables: tuple[str, ...]) -> list[Axis]:
    """Return the axis for the values of a key; empty if there are none. `sizes` parses a value."""
    if given is None or (isinstance(given, (list, tuple)) and not given):
        return []
    values = list(given) if isinstance(given, (list, tuple, range)) else str(given).split(",")
    found = tuple(sizes(value) for value in values)
    if len(set(found)) < len(found):
        twice = next(value for i, value in enumerate(values) if found[i] in found[:i])
        raise InputError(f"sweep: {name}: {str(twice).strip()} is given twice")
    return [Axis(variables, found)]


def _whole(name: str, given: Any) -> int:
    number = given
    if isinstance(given, str) and re.fullmatch(r"\d{1,12}", given.strip()):
        number = int(given)
    if type(number) is not int or not 1 <= number <= 2**40:
        raise InputError(f"sweep: {name}: expected whole numbers of at least 1, such as 8, got {given!r}")
    return number


def _height_and_width(given: Any) -> tuple[int, int]:
    if isinstance(given, str):
        parts: Sequence[Any] = given.strip().split("x")
    else:
        parts = given if isinstance(given, (list, tuple)) else [given]
    if len(parts) not in {1, 2}:
        raise InputError(f"sweep: input_size: expected sizes such as 224 or 160x224 (height, width), got {given!r}")
    sizes = [_whole("input_size", part) for part in parts]
    return sizes[0], sizes[-1]


def _varied(given: Any) -> list[Axis]:
    """Return axes from `{"width": [16, 32]}`, or from strings such as `width=16,32` and `ids.1=64..512:64`."""
    from cnncost.laws.points import parse_unlimited_lists

    if not given:
        return []
    if isinstance(given, Mapping):
        given = {name: [value] if type(value) is int else value for name, value in given.items()}
        given = [_text_of(name, value) for name, value in given.items()]
    return [
        # the variables of `size+side=8,16` take the same sizes
        Axis(tuple(each.parts), tuple((size,) * len(each.parts) for size in each.values))
        for each in parse_unlimited_lists(given)
    ]


def _text_of(name: str, value: Any) -> str:
    if isinstance(value, str):
        return f"{name}={value}"
    if isinstance(value, (list, tuple, range)):
        return f"{name}={','.join(map(str, value))}"
    raise InputError(f"sweep: vary: {name}: expected sizes such as [16, 32, 64] or '64..512:64', got {value!r}")


def duration(text: str) -> float:
    """Return the seconds in `120`, `120s`, `2m` or `1.5h`. Raises InputError for any other text."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*(s|m|h|)", text.strip())
    if found is None or not float(found[1]):
        raise InputError(f"sweep: timeout: expected a time above 0 such as 120s, 2m or 1h, got {text!r}")
    return float(found[1]) * {"h": 3600, "m": 60}.get(found[2], 1)
