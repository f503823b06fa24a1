"""Lets a model's code import modules from its own folder without shadowing what libraries import."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, ModuleType


@contextmanager
def importable(folder: str | None) -> Iterator[None]:
    """Context manager in which code can import modules of a folder as if it were run from there; None: no folder.

    These modules don't shadow those that libraries import: a `torch.py` or `cuda.py` next to the model is visible only
    to the model's own code.
    """
    if folder is None:
        yield
        return
    guard = _Guard(folder)
    sys.path.insert(0, folder)
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)
        if folder in sys.path:
            sys.path.remove(folder)


class _Guard:
    """Meta path finder that hides the model's folder from imports within libraries."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002  # the protocol's
    ) -> ModuleSpec | None:
        """Return a spec from outside the folder for a library's import; None leaves the import to the usual finders.

        Raises:
            ModuleNotFoundError: torch tries to import an optional package that is not installed, and would get a
                module of the folder instead.
        """
        if path is not None or not self._has(name):
            return None  # a submodule, found by its package's path; or a module that is not in the folder
        importer = _importer()
        if importer is None or importer == _LOADER or not _is_library(importer) or importer.is_relative_to(self.folder):
            return None
        other_folders = [folder for folder in sys.path if Path(folder or ".").resolve() != self.folder.resolve()]
        spec = PathFinder.find_spec(name, other_folders)
        if spec is None and _in_torch(importer):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec  # None: a library imports the user's code, e.g. by a configured name

    def _has(self, name: str) -> bool:
        return (self.folder / f"{name}.py").is_file() or (self.folder / name).is_dir()


_LOADER = Path(__file__).with_name("python.py")
"""The file that imports the user's model; it doesn't count as library code, even if cnncost is installed."""


def _importer() -> Path | None:
    """Return the file whose import statement is being executed, skipping importlib's frames; None if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<") and "importlib" not in Path(file).parts and file != __file__:
            return Path(file)
        frame = frame.f_back
    return None


_LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _is_library(file: Path) -> bool:
    return any(file.is_relative_to(folder) for folder in _LIBRARIES)


def _in_torch(file: Path) -> bool:
    torch_spec = find_spec("torch")
    return (
        torch_spec is not None and torch_spec.origin is not None and file.is_relative_to(Path(torch_spec.origin).parent)
    )


def is_user_code(file: str) -> bool:
    """Return whether a file in a traceback is the user's: neither a library's nor this package's."""
    if file.startswith("<"):
        return False
    path = Path(file)
    return not _is_library(path) and not path.is_relative_to(Path(__file__).parent.parent)
