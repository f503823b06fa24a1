"""Refuses models whose forward traces itself: with `make_fx`, as `torch.func.linearize` does, or `torch.jit.trace`.

While `make_fx` is active, the recorder sees only some of the ops, so the counts would be too low. `torch.jit.trace`
can't follow the ops that a recorder runs, with data or without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode

from cnncost.frontends.torch.compat.modules import TRACING_PLACES
from cnncost.frontends.torch.patches import Patch

TRACED = "forward traces itself (torch.jit.trace), and an analysis can't see all traced ops"
"""Message of an error that a run on values raises, too."""
_TRACED_BY_FX = "forward traces itself (make_fx, torch.func.linearize), and a static analysis can't see all traced ops"
_WHY = "only some of the traced ops would be counted"


class Refuse(Protocol):
    """Notes an error, which forward may catch, and returns it."""

    def __call__(self, error: Exception, *, on_values: bool = ...) -> Exception: ...


def refused_tracing(on_values: bool, is_ours: Callable[[], bool], refuse: Refuse) -> list[Patch]:
    """Return patches that refuse tracing. A run on values may trace with `make_fx`: every op that runs is counted.

    Args:
        on_values: whether the recording is of a run on values.
        is_ours: returns whether the caller is the model's code, and not another thread.
        refuse: notes an error, which forward may catch, and returns it.
    """

    def refused(owner: Any, name: str, message: str) -> Patch:
        original = getattr(owner, name)

        def trace(*args: Any, **kwargs: Any) -> Any:
            if is_ours():
                raise refuse(NotImplementedError(message), on_values=True)
            return original(*args, **kwargs)

        return Patch(owner, name, trace, _WHY)

    patches = [refused(*place, TRACED) for place in TRACING_PLACES]
    if not on_values:
        patches.append(refused(ProxyTorchDispatchMode, "__enter__", _TRACED_BY_FX))
    return patches
