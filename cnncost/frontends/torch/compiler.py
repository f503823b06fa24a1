"""Handle imports of torch's compiler, which some of torch's kernels trigger on their first run.

Imported during a recording, it would permanently bind the recording's replacements of what calls modules and of
`torch.tensor`; and objects left behind by the import keep references to tensors, so their live ranges would be too
long. So a recording in which the import starts is aborted, and restarted after the import.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import get_ident
from typing import Any

from cnncost.frontends.torch.anew import RecordAnewError
from cnncost.frontends.torch.compat.packages import COMPILER


class CompilerWantedError(RecordAnewError):
    """Forward imports torch's compiler, which a recording must not.

    Args:
        part: the module to import before the restart.
    """

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part

    def prepare(self) -> None:
        """Import the part."""
        import_compiler(self.part)


class _Finder:
    """Detects the start of a compiler import in the recording thread."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:  # noqa: ARG002  # the import protocol
        """Find nothing; raise CompilerWantedError for the compiler's name."""
        if name in COMPILER and get_ident() == self._thread:
            raise CompilerWantedError(name)


@contextmanager
def no_compiler_import() -> Iterator[None]:
    """In this context, the first import of the compiler raises CompilerWantedError."""
    if all(name in sys.modules for name in COMPILER):
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def import_compiler(part: str) -> None:
    """Import a part of the compiler, and the parts that every use of it needs, outside a recording."""
    for name in dict.fromkeys((*COMPILER[:2], part)):
        import_module(name)
