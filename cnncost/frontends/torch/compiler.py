"""Torch's compiler, which some of torch's kernels import when they are first run.

Imported in the middle of a recording it would take what the recording has put in the place of
`nn.Module._call_impl` and `torch.tensor` for torch's own, for good; and what its import leaves behind holds on to
tensors, so that their deaths are not seen. So a recording in which the import begins is given up, and
made anew after it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import get_ident
from typing import Any

from cnncost.frontends.torch.anew import RecordAnewError

_PARTS = ("sympy", "torch._dynamo", "torch._inductor")


class CompilerWantedError(RecordAnewError):
    """Forward imports torch's compiler, which a recording must not.

    Args:
        part: what has to be imported before.
    """

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part

    def prepare(self) -> None:
        """Import it."""
        import_compiler(self.part)


class _Finder:
    """Sees the import of the compiler begin, in the thread that records."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:  # noqa: ARG002  # the import protocol
        """Find nothing; raise CompilerWantedError at the compiler's name."""
        if name in _PARTS and get_ident() == self._thread:
            raise CompilerWantedError(name)


@contextmanager
def no_compiler_import() -> Iterator[None]:
    """While it lasts, the first import of the compiler raises CompilerWantedError."""
    if all(name in sys.modules for name in _PARTS):
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def import_compiler(part: str) -> None:
    """Import what a recording must not: a part, and those that every use of the compiler needs."""
    for name in dict.fromkeys((*_PARTS[:2], part)):
        import_module(name)
