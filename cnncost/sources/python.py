"""MODEL as Python code: `package.module:factory` or `path/to/file.py:Class`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from cnncost.errors import SourceError
from cnncost.near import suggestion
from cnncost.sources.causes import with_root
from cnncost.sources.source import ModelSource, importable


def load(spec: str) -> ModelSource:
    """The factory or class after the last colon.

    Raises:
        SourceError: no such file, module or attribute, an error while importing, or not callable.
    """
    where, _, attribute = spec.rpartition(":")
    if not where or not attribute:
        raise SourceError(f"{spec}: expected package.module:factory or path/to/file.py:Class")
    is_file = where.endswith(".py")
    module = _from_file(spec, Path(where)) if is_file else _from_package(spec, where)
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            names = [n for n in vars(target) if not n.startswith("_")]
            raise SourceError(f"{spec}: {where} has no {attribute}{suggestion(part, names)}")
        target = getattr(target, part)
    folder = Path(where).resolve().parent if is_file else Path.cwd()
    return ModelSource("python", spec, _factory(spec, target), folder=str(folder))


def _factory(spec: str, target: Any) -> Any:
    from torch import nn

    if isinstance(target, nn.Module):
        return lambda: target
    if not callable(target):
        raise SourceError(f"{spec}: expected a class or a function that makes a model, got {type(target).__name__}")
    return target


def _from_file(spec: str, path: Path) -> ModuleType:
    if not path.is_file():
        near = suggestion(path.name, [p.name for p in path.parent.glob("*.py")]) if path.parent.is_dir() else ""
        raise SourceError(f"{spec}: no file {path}{near}")
    name = f"cnncost_model_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise SourceError(f"{spec}: {path} can't be read as Python code")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickling look a class's module up
    folder = path.resolve().parent
    _forget_strangers(folder)
    try:
        with importable(str(folder)), _import_errors(spec):
            found.loader.exec_module(module)
    except SourceError:
        sys.modules.pop(name, None)
        raise
    _HOMES.add(folder)
    return module


_HOMES: set[Path] = set()
"""Folders of the files that were loaded so far."""


def _forget_strangers(folder: Path) -> None:
    """Forget modules of another loaded file's folder that have a namesake here: each file gets its own neighbours."""
    for path in (*folder.glob("*.py"), *folder.glob("*/__init__.py")):
        name = path.parent.name if path.name == "__init__.py" else path.stem
        known = sys.modules.get(name)
        home = getattr(known, "__file__", None)
        if known is not None and home and Path(home).resolve() != path and _HOMES & set(Path(home).resolve().parents):
            for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
                del sys.modules[loaded]


def _from_package(spec: str, name: str) -> ModuleType:
    with importable(str(Path.cwd())), _import_errors(spec):
        return importlib.import_module(name)


@contextmanager
def _import_errors(spec: str) -> Iterator[None]:
    try:
        yield
    except SyntaxError as error:
        raise SourceError(f"{spec}: syntax error in {error.filename}:{error.lineno}: {error.msg}") from error
    except ModuleNotFoundError as error:
        raise SourceError(f"{spec}: {error}; install it, or run from the folder that has it") from error
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
        where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        raise SourceError(f"{spec}: importing it failed{where}: {with_root(error)}") from error
