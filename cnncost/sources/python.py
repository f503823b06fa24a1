"""MODEL as Python code: `package.module:factory` or `path/to/file.py:Class`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from cnncost.errors import SourceError
from cnncost.near import suggestion
from cnncost.sources import not_models
from cnncost.sources.causes import import_advice, with_root
from cnncost.sources.neighbours import importable, is_user_code
from cnncost.sources.source import ModelSource


def load(spec: str) -> ModelSource:
    """Return the source of the factory or class after the last colon, or of a file's only model class.

    Raises:
        SourceError: there is no such file, module or attribute; importing it fails; or the attribute is not callable.
    """
    if spec.endswith(".py"):
        module, folder = _from_file(spec, Path(spec))
        attribute = _only_class(spec, module)
        spec = f"{spec}:{attribute}"
        return ModelSource("python", spec, _factory(spec, getattr(module, attribute)), folder=str(folder))
    where, _, attribute = spec.rpartition(":")
    if not where or not attribute:
        raise SourceError(f"{spec}: expected package.module:factory or path/to/file.py:Class")
    if where.endswith(":"):  # two colons, as in pytest's node ids
        raise SourceError(f"{spec}: expected one colon: {where.rstrip(':')}:{attribute}")
    if not where.endswith(".py") and Path(where).is_file() and Path(where).suffix:
        not_models.load(where)  # it is not Python code: raises an error that says what it is
    module, folder = _from_file(spec, Path(where)) if where.endswith(".py") else _from_package(spec, where)
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            names = [n for n in vars(target) if not n.startswith("_")]
            raise SourceError(f"{spec}: {where} has no {attribute}{suggestion(part, names)}")
        target = getattr(target, part)
    return ModelSource("python", spec, _factory(spec, target), folder=str(folder))


def _only_class(spec: str, module: ModuleType) -> str:
    """Return the name of a file's only model class. Raises SourceError if there isn't exactly one."""
    from torch import nn

    own = {name: each for name, each in vars(module).items() if getattr(each, "__module__", "") == module.__name__}
    classes = [
        name for name, each in own.items()
        if isinstance(each, type) and issubclass(each, nn.Module)
        and (name == each.__name__ or each.__name__ not in own)  # not an alias beside the class itself
    ]  # fmt: skip
    if len(classes) == 1:
        return classes[0]
    named = classes or [name for name, each in own.items() if callable(each) and not name.startswith("_")]
    if not named:
        raise SourceError(
            f"{spec}: no class or function in it creates a model; expected a subclass of torch.nn.Module or a "
            "function that returns a model"
        )
    raise SourceError(
        f"{spec}: expected one class or factory, but it has {', '.join(named)}; name one after a colon, for example "
        f"{spec}:{named[-1]}"
    )


def _factory(spec: str, target: Any) -> Any:
    from torch import nn

    if isinstance(target, nn.Module):
        return lambda: target
    if not callable(target):
        raise SourceError(f"{spec}: expected a class or a function that creates a model, got {type(target).__name__}")
    return target


def _from_file(spec: str, path: Path) -> tuple[ModuleType, Path]:
    """Import a file; return its module and the folder from which its code imports: the folder above its packages."""
    if not path.is_file():
        raise SourceError(f"{spec}: no file {path}{_near_file(path)}")
    path = path.resolve()
    import_module("torch")  # first: a torch.py beside the model must not shadow it
    root, name = _package_of(path)
    if name is None or _is_loaded_elsewhere(name.partition(".")[0], root):
        return _outside_packages(spec, path), path.parent
    _unload_namesakes(root)
    if name in _IMPORTED:  # imported again, because the file may have changed
        sys.modules.pop(name, None)
    with importable(str(root)), _import_errors(spec):
        try:
            fresh = name not in sys.modules
            module = import_module(name)
        except ModuleNotFoundError as error:
            if not _is_beside(path, error.name):
                raise
            # despite its __init__.py, the folder is not used as a package: its files import each other directly
            return _outside_packages(spec, path), path.parent
    if fresh:
        _IMPORTED.add(name)
    if Path(module.__file__ or "").resolve() != path:
        raise SourceError(
            f"{spec}: {name} is already imported from {module.__file__}; give the model as {name}:Class, from a "
            "folder in which only one module has this name"
        )
    _HOMES.add(root)
    return module, root


def _is_loaded_elsewhere(top: str, root: Path) -> bool:
    """Return whether a module of this name is loaded from elsewhere, since `sys.modules` has one module per name.

    Modules of another MODEL don't count: `_unload_namesakes` unloads them.
    """
    module = sys.modules.get(top)
    if module is None:
        return False
    places = [*getattr(module, "__path__", ())] or [getattr(module, "__file__", None) or ""]
    parents = {parent for place in places if place for parent in Path(place).resolve().parents}
    return root not in parents and not _HOMES & parents


def _is_beside(path: Path, name: str | None) -> bool:
    """Return whether a module of this name, which was not found, is a file or folder beside `path`."""
    top = (name or "").partition(".")[0]
    return bool(top) and ((path.parent / f"{top}.py").is_file() or (path.parent / top).is_dir())


def _near_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    return suggestion(path.name, [p.name for p in path.parent.glob("*.py")])


def _package_of(path: Path) -> tuple[Path, str | None]:
    """Return the folder above a file's packages, identified by `__init__.py` as in pytest, and the module's full name.

    The name is None for a file outside packages, and if a part of the name is not an identifier.
    """
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if path.stem == "__init__":
        parts.pop()
    return folder, ".".join(parts) if folder != path.parent and all(p.isidentifier() for p in parts) else None


def _outside_packages(spec: str, path: Path) -> ModuleType:
    """Import a file outside packages; it is executed each time."""
    name = f"cnncost_model_{path.stem}"
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise SourceError(f"{spec}: {path} can't be read as Python code")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module  # dataclasses and pickle look up a class's module there
    _unload_namesakes(path.parent)
    try:
        with importable(str(path.parent)), _import_errors(spec):
            module_spec.loader.exec_module(module)
    except SourceError:
        sys.modules.pop(name, None)
        raise
    _HOMES.add(path.parent)
    return module


_IMPORTED: set[str] = set()
"""Modules in packages that `load` was the first to import: only these may be imported again."""
_HOMES: set[Path] = set()
"""Folders of all models loaded so far."""


def _unload_namesakes(folder: Path) -> None:
    """Unload modules that earlier MODELs imported from their folders, if this folder has modules of the same names."""
    for path in (*folder.glob("*.py"), *folder.glob("*/__init__.py")):
        name = path.parent.name if path.name == "__init__.py" else path.stem
        module = sys.modules.get(name)
        home = getattr(module, "__file__", None)
        if module is not None and home and Path(home).resolve() != path and _HOMES & set(Path(home).resolve().parents):
            for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
                del sys.modules[loaded]


def _from_package(spec: str, name: str) -> tuple[ModuleType, Path]:
    """Import a module by name, from the working directory, its `src`, or installed packages."""
    folder, top = Path.cwd(), name.partition(".")[0]
    if (folder / "src" / top).exists() and not (folder / top).exists():
        folder = folder / "src"
    import_module("torch")  # first, as in `_from_file`
    with importable(str(folder)), _import_errors(spec):
        return import_module(name), folder


_REMEDIES: dict[type[BaseException], str] = {
    SystemExit: "; it runs as a script: move the code that parses arguments and trains below "
    'if __name__ == "__main__":',
}


@contextmanager
def _import_errors(spec: str) -> Iterator[None]:
    """Context manager that turns any error of the user's code into a SourceError with its location and advice."""
    try:
        yield
    except SyntaxError as error:
        raise SourceError(f"{spec}: syntax error in {error.filename}:{error.lineno}: {error.msg}") from error
    except ModuleNotFoundError as error:
        raise SourceError(f"{spec}: {error}{import_advice(error)}") from error
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
        frames = [f for f in frames if is_user_code(f.filename)] or frames
        where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        hint = _REMEDIES.get(type(error), "")
        if "relative import" in str(error):
            hint = "; put an __init__.py into the package's folder"
        raise SourceError(f"{spec}: importing it failed{where}: {with_root(error)}{hint}") from error
