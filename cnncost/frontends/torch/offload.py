"""Hooks of accelerate and diffusers that replace a module's `forward` and refer to that module.

Accelerate's hooks move weights between devices before and after forward. They compute nothing, and weights have no data
here, so copied modules run their original forward. Diffusers' layerwise casting changes the dtype of the weights before
and after forward; a copied module has to cast its own weights.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from types import MethodType
from typing import Any

import torch
from torch import nn

_MOVING = frozenset({"AlignDevicesHook", "CpuOffload"})
"""Class names of accelerate's hooks that move weights or inputs."""
_CASTING = frozenset({"LayerwiseCastingHook"})
"""Class names of diffusers' hooks that cast weights."""


def without_moving(attributes: dict[str, Any]) -> None:
    """Remove accelerate's hooks that only move tensors from a copied module's attributes.

    If no other hook remains, the original forward is restored.
    """
    hook = attributes.get("_hf_hook")
    rest = [part for part in _parts(hook) if type(part).__name__ not in _MOVING]
    if hook is None or "_old_forward" not in attributes:
        return
    if not rest:
        attributes["forward"] = attributes["_old_forward"]
    elif len(rest) < len(_parts(hook)):
        attributes["_hf_hook"] = type(hook)(*rest)


def loads_weights(model: nn.Module) -> bool:
    """True if hooks load offloaded weights on demand. Weights on `meta` then do have values."""
    return any(getattr(hook, "offload", False) for m in model.modules() for hook in _parts(vars(m).get("_hf_hook")))


def moves_weights(model: nn.Module) -> bool:
    """True if hooks move weights while forward runs, rather than only a module's inputs."""
    hooks = [hook for m in model.modules() for hook in _parts(vars(m).get("_hf_hook"))]
    return any(getattr(hook, "offload", False) or type(hook).__name__ == "CpuOffload" for hook in hooks)


def notes_on_ties(model: nn.Module) -> tuple[str, ...]:
    """Return a note if accelerate, by offloading tied parameters, has made separate meta parameters of them."""
    if "accelerate" not in sys.modules:
        return ()
    offloaded = [
        (f"{path}.{name}".removeprefix("."), hook, name)
        for path, module in model.named_modules()
        for hook in _parts(vars(module).get("_hf_hook"))
        if getattr(hook, "offload", False)
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.is_meta
    ]
    keys = getattr(model, "all_tied_weights_keys", None)  # in Transformers: name of a tied parameter → its twin's name
    twins = {*keys, *keys.values()} if isinstance(keys, dict) else set()
    by_hook = {path for path, hook, name in offloaded if name in getattr(hook, "tied_params_names", ())}
    tied = by_hook | _by_storage(offloaded) | twins.intersection(path for path, *_ in offloaded)
    uses = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    parameters = dict(model.named_parameters(remove_duplicate=False))
    apart = sorted(path for path in tied & parameters.keys() if uses[id(parameters[path])] == 1)
    return (f"tied weights that are offloaded are counted once per module: {', '.join(apart)}",) if apart else ()


def _by_storage(offloaded: list[tuple[str, Any, str]]) -> set[str]:
    """Return the paths of parameters that share their values with another one in accelerate's in-memory weights."""
    found: dict[int, list[str]] = {}
    for path, hook, _ in offloaded:
        table = getattr(hook.weights_map, "dataset", hook.weights_map)
        value = table.get(path) if type(table) in (dict, OrderedDict) else None
        if isinstance(value, torch.Tensor):
            found.setdefault(value.data_ptr(), []).append(path)
    return {path for paths in found.values() if len(paths) > 1 for path in paths}


def with_own_casting(copy: nn.Module) -> None:
    """Make a copied module cast its own weights: the `forward` that diffusers set would cast those of the original.

    Does nothing if the module has other diffusers hooks, too.
    """
    registry: Any = copy.__dict__.get("_diffusers_hook")
    hooks = list(getattr(registry, "hooks", {}).values()) if "forward" in copy.__dict__ else []
    if hooks and all(type(hook).__name__ in _CASTING for hook in hooks):
        forward: Any = MethodType(type(copy).forward, copy)
        for hook in hooks:
            forward = _Casting(copy, hook, forward)
        copy.__dict__["forward"] = forward


class _Casting:
    """A forward that runs between a hook's `pre_forward` and `post_forward`."""

    def __init__(self, module: nn.Module, hook: Any, forward: Any) -> None:
        self.module, self.hook, self.forward = module, hook, forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self.hook.pre_forward(self.module, *args, **kwargs)
        return self.hook.post_forward(self.module, self.forward(*args, **kwargs))


def _parts(hook: Any) -> tuple[Any, ...]:
    """The hooks inside accelerate's `SequentialHook`, or a tuple of just `hook` if it is another kind or None."""
    if hook is None or not type(hook).__module__.startswith("accelerate."):
        return (hook,)
    return tuple(hook.hooks) if type(hook).__name__ == "SequentialHook" else (hook,)
