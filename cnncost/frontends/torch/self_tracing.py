"""Refuses forwards that trace themselves by `make_fx`, as `torch.func.linearize` does.

Tracing puts a mode of torch's around ops, of which the recorder then sees a part: the counts would be too low.
"""

from __future__ import annotations

from typing import Any, Never

from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode

from cnncost.frontends.torch.patches import Patch


def _refuse(mode: Any) -> Never:
    raise NotImplementedError(
        "forward traces itself (make_fx, torch.func.linearize), where static analysis can't follow it"
    )


def refused_tracing(on_values: bool) -> list[Patch]:
    """Return patches that refuse it in a recording without values; on values all that runs is counted."""
    why = "what is traced would be counted in part"
    return [] if on_values else [Patch(ProxyTorchDispatchMode, "__enter__", _refuse, why)]
