"""Refuses models whose forward traces itself with `make_fx`, as `torch.func.linearize` does.

While torch's tracing mode is active, the recorder sees only some of the ops, so the counts would be too low.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Never

from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode

from cnncost.frontends.torch.patches import Patch


def refused_tracing(on_values: bool, refuse: Callable[[Exception], Exception]) -> list[Patch]:
    """Return patches that refuse tracing; none for a run on values, where every op that runs is counted.

    `refuse` notes the error, which forward may catch, and returns it.
    """

    def refused(mode: Any) -> Never:  # noqa: ARG001  # the method's signature
        raise refuse(
            NotImplementedError(
                "forward traces itself (make_fx, torch.func.linearize), and a static analysis can't see all traced ops"
            )
        )

    why = "only some of the traced ops would be counted"
    return [] if on_values else [Patch(ProxyTorchDispatchMode, "__enter__", refused, why)]
