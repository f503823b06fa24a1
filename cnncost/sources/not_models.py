"""MODEL as a file or folder that is not a model: the error says what it is and what to give instead."""

from __future__ import annotations

import json
import math
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from cnncost import units
from cnncost.errors import SourceError
from cnncost.near import suggestion

_CLASS = "path/to/file.py:Class or package.module:Class"
_WEIGHTS = {".pth", ".pt", ".ckpt", ".bin", ".tar", ".th"}
_DESCRIPTIONS = {
    ".ipynb": "a notebook; put the model's class into a .py file, for example with jupyter nbconvert --to script "
    f"{{name}}, and give that as {_CLASS}",
    ".tflite": "a TensorFlow Lite model; give a PyTorch model, as " + _CLASS,
    ".h5": "a file of arrays, such as Keras' weights; give a PyTorch model, as " + _CLASS,
    ".npz": "a file of arrays; give a PyTorch model, as " + _CLASS,
    **dict.fromkeys(
        (".yaml", ".yml", ".toml", ".ini", ".cfg"),
        "a configuration, not code; give the function or class that builds the model from it, as "
        "path/to/file.py:build, with its arguments in --model-args",
    ),
}  # fmt: skip
_UNREADABLE = f"not a file that torch.load reads; give the model's class, as {_CLASS}"
_MAX_HEADER = 100_000_000
"""Maximum size of a safetensors header in bytes, as defined by the format."""


def load(spec: str) -> NoReturn:
    """Raise an error for a MODEL that is a path but not a model; `find` calls this function in place of a loader.

    Raises:
        SourceError: always.
    """
    path = Path(spec)
    if path.is_dir():
        raise SourceError(f"{spec}: is a folder; {_in_folder(spec, path)}")
    if not path.exists():
        raise SourceError(f"{spec}: {_missing(path)}")
    raise SourceError(f"{spec}: is {_description(path)}")


def _missing(path: Path) -> str:
    """Return a message that there is no such file, with suggestions of similar names."""
    if not path.parent.is_dir():
        return f"no such file: there is no folder {path.parent}"
    names = [each.name for each in path.parent.iterdir() if each.suffix == path.suffix]
    return f"no such file{suggestion(path.name, names)}"


def is_path(spec: str) -> bool:
    """Return whether a MODEL without a colon is a path: it exists or looks like one."""
    path = Path(spec)
    return path.exists() or "/" in spec or path.suffix.lower() in {*_DESCRIPTIONS, *_WEIGHTS, ".safetensors", ".py"}


def _in_folder(spec: str, path: Path) -> str:
    if (path / "config.json").is_file():
        return f"for a Transformers model give hf:{spec}"
    files = sorted(each.name for each in path.glob("*.py") if not each.name.startswith("_"))
    if not files:
        return f"give the file in it that defines the model, as {_CLASS}"
    shown = ", ".join(files[:3]) + (", …" if len(files) > 3 else "")
    return f"give a class in one of its files ({shown}), for example {path / files[0]}:Net"


def _description(path: Path) -> str:
    ending = path.suffix.lower()
    if ending == ".safetensors":
        return _safetensors(path)
    if ending in _DESCRIPTIONS:
        return _DESCRIPTIONS[ending].format(name=path.name)
    if ending in _WEIGHTS:
        return _saved_by_torch(path)
    return f"not a file with a model; expected {_CLASS}, a program of torch.export (.pt2) or a saved report (.json)"


def _weights_description(what: str, shapes: list[tuple[int, ...]]) -> str:
    if not shapes:
        return f"{what} without tensors or code; give the model's class, as {_CLASS}"
    tensors, numbers = len(shapes), sum(math.prod(shape) for shape in shapes)
    return (
        f"{what} of {units.counted(tensors, 'tensor')} with {units.counted(numbers, 'number')}, without code: a cost "
        f"needs the model's class, not its weights; give the class as {_CLASS}"
    )


def _safetensors(path: Path) -> str:
    """Describe a safetensors file from its header: the length in 8 bytes, then JSON with the shape of each tensor."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, _MAX_HEADER)))
        shapes = [tuple(map(int, each["shape"])) for name, each in header.items() if name != "__metadata__"]
        return _weights_description("a state dict", shapes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
        return f"a .safetensors file that can't be read; a cost needs the model's class: give that as {_CLASS}"


def _saved_by_torch(path: Path) -> str:
    """Describe a file of `torch.save` or `torch.jit.save` without running code in it.

    Data is loaded only from files in torch's old format, which are not zip archives.
    """
    members = _zip_names(path)
    if any(name.endswith("constants.pkl") for name in members):
        return (
            "a TorchScript program, which is already compiled; give the class that it was compiled from, as "
            f"{_CLASS}, or save that as .pt2 with torch.export.save"
        )
    if any(name.endswith(("serialized_exported_program.json", "models/model.json")) for name in members):
        return f"a program of torch.export; rename it to {path.with_suffix('.pt2').name}"
    import torch

    try:
        # torch can load files in its old format, which are not zip archives, only with their data
        content = torch.load(path, map_location="meta" if members else "cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not members and path.read_bytes()[:1] != pickle.PROTO:  # neither a zip archive nor a pickle
            return _UNREADABLE
        return (
            "a pickled model or other Python object; reading it would run its code, so give the model's class instead, "
            f"as {_CLASS}"
        )
    except Exception:  # noqa: BLE001  # torch may raise anything for a foreign file
        return _UNREADABLE
    return _weights_description(
        "a state dict" if isinstance(content, dict) else "a saved object", list(_shapes(content))
    )


def _zip_names(path: Path) -> list[str]:
    """Return the names of a zip archive's members; empty for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []


def _shapes(content: Any, depth: int = 4) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of the tensors in dicts and lists, nested up to `depth` deep; checkpoints are rarely deeper."""
    if hasattr(content, "shape"):
        yield tuple(content.shape)
    elif depth and isinstance(content, dict):
        for each in content.values():
            yield from _shapes(each, depth - 1)
    elif depth and isinstance(content, (list, tuple)):
        for each in content:
            yield from _shapes(each, depth - 1)
