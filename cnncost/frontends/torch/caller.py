"""Tell whether a call comes from the model's code, or from something else that runs meanwhile."""

from __future__ import annotations

from threading import get_ident

from cnncost.frontends.torch.compat.dispatch import dispatch_depth


class Caller:
    """Distinguishes the model's code from other threads, from kernels that the recorder runs, and from imports.

    Attributes:
        importing: whether a module is being imported; the recording does not include imports.
    """

    def __init__(self) -> None:
        self.importing = False
        self._thread = get_ident()
        self._modes = 0

    def start(self) -> None:
        """Store the number of active modes, from inside the recorder's mode: fewer are on in kernels that it runs."""
        self._modes = dispatch_depth()

    def is_ours(self) -> bool:
        """True if the caller is the model's code: in this thread, and not a kernel that the recorder runs."""
        return get_ident() == self._thread and dispatch_depth() >= self._modes and not self.importing
