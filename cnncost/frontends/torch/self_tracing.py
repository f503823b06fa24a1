"""Refuses models whose forward traces itself: with `make_fx`, as `torch.func.linearize` does, or `torch.jit.trace`.

While `make_fx` is active, the recorder sees only some of the ops, so the counts would be too low. `torch.jit.trace`
can't follow the ops that a recorder runs, with data or without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Never, Protocol

from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode

from cnncost.frontends.torch.compat.modules import TRACING_PLACES
from cnncost.frontends.torch.patches import Patch

_WHY = "only some of the traced ops would be counted"


class Refuse(Protocol):
    """Notes an error, which forward may catch, and returns it."""

    def __call__(self, error: Exception, *, on_values: bool = ...) -> Exception: ...


def refused_tracing(on_values: bool, refuse: Refuse) -> list[Patch]:
    """Return patches that refuse tracing. A run on values may trace with `make_fx`: every op that runs is counted."""

    def refused(how: str, kind: str) -> Callable[..., Never]:
        message = f"forward traces itself ({how}), and {kind} can't see all traced ops"

        def raises(*args: Any, **kwargs: Any) -> Never:  # noqa: ARG001  # of several functions
            raise refuse(NotImplementedError(message), on_values=True)

        return raises

    scripted = refused("torch.jit.trace", "an analysis")
    patches = [Patch(*place, scripted, _WHY) for place in TRACING_PLACES]
    if not on_values:
        fx = refused("make_fx, torch.func.linearize", "a static analysis")
        patches.append(Patch(ProxyTorchDispatchMode, "__enter__", fx, _WHY))
    return patches
