"""Hooks of accelerate and diffusers that stand in the place of a module's forward, and hold on to the module.

Accelerate's move weights between devices before and after it: they compute nothing, and what they move has no data
here, so that a copy runs the forward that was there before. Diffusers' layerwise casting changes the dtype of the
weights; a copy does it to its own.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import nn

_MOVING = frozenset({"AlignDevicesHook", "CpuOffload"})
_CASTING = frozenset({"LayerwiseCastingHook"})


def without_moving(attributes: dict[str, Any]) -> None:
    """Put back, among a copied module's attributes, the forward that such a hook replaced."""
    if _only_moves(attributes.get("_hf_hook")) and "_old_forward" in attributes:
        attributes["forward"] = attributes["_old_forward"]


def loads_weights(model: nn.Module) -> bool:
    """Whether weights that are on `meta` are somewhere else, and come when they are needed."""
    return any(getattr(hook, "offload", False) for m in model.modules() for hook in _parts(vars(m).get("_hf_hook")))


def with_own_casting(copy: nn.Module) -> None:
    """Let a copied module cast its own weights, and not those of the module that it was copied from."""
    registry: Any = copy.__dict__.get("_diffusers_hook")
    hooks = list(getattr(registry, "hooks", {}).values()) if "forward" in copy.__dict__ else []
    if hooks and all(type(hook).__name__ in _CASTING for hook in hooks):
        forward: Any = MethodType(type(copy).forward, copy)
        for hook in hooks:
            forward = _Casting(copy, hook, forward)
        copy.__dict__["forward"] = forward


class _Casting:
    """A forward between a hook's two parts."""

    def __init__(self, module: nn.Module, hook: Any, forward: Any) -> None:
        self.module, self.hook, self.forward = module, hook, forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self.hook.pre_forward(self.module, *args, **kwargs)
        return self.hook.post_forward(self.module, self.forward(*args, **kwargs))


def _only_moves(hook: Any) -> bool:
    return hook is not None and all(type(part).__name__ in _MOVING for part in _parts(hook))


def _parts(hook: Any) -> tuple[Any, ...]:
    """A hook, or the hooks in its place if it is several, one after another."""
    if hook is None or not type(hook).__module__.startswith("accelerate."):
        return (hook,)
    return tuple(hook.hooks) if type(hook).__name__ == "SequentialHook" else (hook,)
