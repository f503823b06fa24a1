"""Tell whether a call comes from the model's code, or from something else that runs meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any

import torch

from cnncost.frontends.torch.claimed import REPLACES_DEVICE
from cnncost.frontends.torch.compat.dispatch import dispatch_depth
from cnncost.frontends.torch.meta import META


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
        """True if the caller is the model's code: in this thread, not in an import or a kernel run by the recorder."""
        return get_ident() == self._thread and dispatch_depth() >= self._modes and not self.importing


def requesting_module(caller: FrameType, between: tuple[str, ...]) -> str | None:
    """Return the name of the module that requests a tensor on `meta`; None if it requests another device.

    Args:
        caller: the innermost frame.
        between: prefixes of modules whose frames are skipped.
    """
    while (name := caller.f_globals.get("__name__") or "").startswith(between) and caller.f_back is not None:
        if caller.f_code is REPLACES_DEVICE and caller.f_locals["device"] != META:
            return None
        if caller.f_code is _OF_OURS:
            return None
        caller = caller.f_back
    return name


def on_no_request(create: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> torch.Tensor:
    """Call a function that creates a tensor on `meta` because the one that it stands for, or is like, is there."""
    return create(*args, **kwargs)


_OF_OURS = on_no_request.__code__
