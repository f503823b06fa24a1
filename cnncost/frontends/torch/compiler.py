"""Handle imports of torch's compiler, which some of torch's kernels trigger on their first run.

Most of these kernels don't need the compiler and get a stand-in (`compat/compilation.py`), which saves seconds. If the
compiler were imported during a recording, its modules would permanently bind functions that the recording replaces
(such as `torch.tensor`), and frames of the import would keep tensors alive too long. A recording in which the import
starts is therefore aborted, and restarted after the import.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import get_ident
from typing import Any, TypeVar

from cnncost.frontends.torch.compat.compilation import forget, stand_in
from cnncost.frontends.torch.compat.packages import COMPILER
from cnncost.frontends.torch.patches import Patch, patched
from cnncost.frontends.torch.restarts import RestartError

_Result = TypeVar("_Result")


class CompilerNeededError(RestartError):
    """Forward imports torch's compiler, which must not happen within a recording.

    Args:
        part: the module to import before the restart.
    """

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part

    def prepare(self) -> None:
        """Import the module."""
        import_compiler(self.part)


class _Finder:
    """Detects the start of a compiler import in the recording thread."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:  # noqa: ARG002  # the import protocol
        """Find nothing, and raise CompilerNeededError if the module belongs to the compiler."""
        if name in COMPILER and get_ident() == self._thread:
            raise CompilerNeededError(name)


@contextmanager
def no_compiler_import() -> Iterator[None]:
    """Context in which an import of the compiler raises CompilerNeededError."""
    if all(name in sys.modules for name in COMPILER):
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        forget()


def without_import(run: Callable[[], _Result]) -> _Result:
    """Run a function that calls torch's kernels outside a recording, without importing the compiler if possible.

    If the import is needed, it is done and the function run again from the start.
    """
    original = builtins.__import__

    def import_or_stand_in(name: str, *args: Any, **kwargs: Any) -> Any:
        substitute = stand_in(name, *args, **kwargs)
        return original(name, *args, **kwargs) if substitute is None else substitute

    while True:
        try:
            with (
                no_compiler_import(),
                patched([Patch(builtins, "__import__", import_or_stand_in, "saves the compiler's import")]),
            ):
                return run()
        except CompilerNeededError as error:
            error.prepare()


def import_compiler(part: str) -> None:
    """Import one of `COMPILER`'s modules, and those before it, outside a recording."""
    for name in COMPILER[: COMPILER.index(part) + 1]:
        import_module(name)
