"""Versions of packages and hashes of files that a sweep's rows depend on, in addition to its grid.

They are part of a journal's digest, so that rows from before and after a change are never mixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cnncost.devices.registry import own_file
from cnncost.versions import installed

_PACKAGES = {"timm:": ("timm",), "torchvision:": ("torchvision",), "hf:": ("transformers",)}


def stamp(models: Iterable[str]) -> list[str]:
    """Return versions of cnncost, torch and the models' libraries, and hashes of the models' and devices' files.

    For a model in a Python file, all Python files of its folder are included, whether it imports them or not.
    """
    named = list(models)
    packages = sorted({name for model in named for name in _PACKAGES.get(f"{model.partition(':')[0]}:", ())})
    found = [f"{name} {number}" for name, number in installed().items()]
    found += [f"{name} {_version(name)}" for name in packages]
    return [*found, *_digests(_files(named))]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _files(models: list[str]) -> Iterator[Path]:
    """Yield the files that define the user's devices and the models."""
    yield own_file()
    for model in models:
        path = Path(model.removeprefix("hf:"))
        if not path.exists():
            path = Path(model.partition("#")[0].rpartition(":")[0] or model)  # net.py of net.py:Net#encode
        if model.startswith(("timm:", "torchvision:")) or not path.exists():
            continue
        yield from sorted(path.parent.glob("*.py")) if path.suffix == ".py" else ()
        yield path / "config.json" if path.is_dir() else path


def _digests(files: Iterable[Path]) -> Iterator[str]:
    for path in dict.fromkeys(files):
        if path.is_file():
            yield f"{path}: {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
