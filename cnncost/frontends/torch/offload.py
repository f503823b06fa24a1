"""Hooks of accelerate that move weights between devices: they compute nothing, and what they move has no data here.

Such a hook takes the place of a module's forward, loads the weights before it and drops them after it. A copy without
weights runs the forward that was there before.
"""

from __future__ import annotations

from typing import Any

from torch import nn

_MOVING = frozenset({"AlignDevicesHook", "CpuOffload"})


def without_moving(attributes: dict[str, Any]) -> None:
    """Put back, among a copied module's attributes, the forward that such a hook replaced."""
    if _only_moves(attributes.get("_hf_hook")) and "_old_forward" in attributes:
        attributes["forward"] = attributes["_old_forward"]


def loads_weights(model: nn.Module) -> bool:
    """Whether weights that are on `meta` are somewhere else, and come when they are needed."""
    return any(getattr(hook, "offload", False) for m in model.modules() for hook in _parts(vars(m).get("_hf_hook")))


def _only_moves(hook: Any) -> bool:
    return hook is not None and all(type(part).__name__ in _MOVING for part in _parts(hook))


def _parts(hook: Any) -> tuple[Any, ...]:
    """A hook, or the hooks in its place if it is several, one after another."""
    if hook is None or not type(hook).__module__.startswith("accelerate."):
        return (hook,)
    return tuple(hook.hooks) if type(hook).__name__ == "SequentialHook" else (hook,)
