"""Tells whether a call comes from the model's code, or from something else that runs meanwhile."""

from __future__ import annotations

from threading import get_ident

from cnncost.frontends.torch.compat.dispatch import dispatch_depth


class Caller:
    """Distinguishes the model's code from other threads, from kernels that the recorder runs, and from imports.

    Attributes:
        importing: a module is being imported, outside the recording.
    """

    def __init__(self) -> None:
        self.importing = False
        self._thread = get_ident()
        self._stack = 0

    def begins(self) -> None:
        """Note how many dispatch modes are active; call this with the recorder's mode on.

        While the recorder handles an op, its mode is off, so that there are fewer.
        """
        self._stack = dispatch_depth()

    def is_ours(self) -> bool:
        """True if the caller is the model's code: in this thread, and not a kernel that the recorder runs."""
        return get_ident() == self._thread and dispatch_depth() >= self._stack and not self.importing
