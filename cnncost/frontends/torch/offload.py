"""Hooks of accelerate and diffusers that replace a module's forward and keep a reference to the module.

Accelerate's hooks move weights between devices before and after forward. They compute nothing, and weights have no data
here, so the copied modules run the original forward. Diffusers' layerwise casting changes the dtype of the weights; a
copied module casts its own.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import nn

_MOVING = frozenset({"AlignDevicesHook", "CpuOffload"})
_CASTING = frozenset({"LayerwiseCastingHook"})


def without_moving(attributes: dict[str, Any]) -> None:
    """Restore, in a copied module's attributes, the forward that one of accelerate's hooks replaced."""
    if _only_moves(attributes.get("_hf_hook")) and "_old_forward" in attributes:
        attributes["forward"] = attributes["_old_forward"]


def loads_weights(model: nn.Module) -> bool:
    """True if hooks load offloaded weights on demand, so that weights on `meta` do have values."""
    return any(getattr(hook, "offload", False) for m in model.modules() for hook in _parts(vars(m).get("_hf_hook")))


def with_own_casting(copy: nn.Module) -> None:
    """Make a copied module cast its own weights: the copied `forward` of diffusers would cast the original module's."""
    registry: Any = copy.__dict__.get("_diffusers_hook")
    hooks = list(getattr(registry, "hooks", {}).values()) if "forward" in copy.__dict__ else []
    if hooks and all(type(hook).__name__ in _CASTING for hook in hooks):
        forward: Any = MethodType(type(copy).forward, copy)
        for hook in hooks:
            forward = _Casting(copy, hook, forward)
        copy.__dict__["forward"] = forward


class _Casting:
    """A forward wrapped by a hook's `pre_forward` and `post_forward`."""

    def __init__(self, module: nn.Module, hook: Any, forward: Any) -> None:
        self.module, self.hook, self.forward = module, hook, forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self.hook.pre_forward(self.module, *args, **kwargs)
        return self.hook.post_forward(self.module, self.forward(*args, **kwargs))


def _only_moves(hook: Any) -> bool:
    return hook is not None and all(type(part).__name__ in _MOVING for part in _parts(hook))


def _parts(hook: Any) -> tuple[Any, ...]:
    """The hooks in accelerate's sequential hook; any other hook (or None) as the only element."""
    if hook is None or not type(hook).__module__.startswith("accelerate."):
        return (hook,)
    return tuple(hook.hooks) if type(hook).__name__ == "SequentialHook" else (hook,)
