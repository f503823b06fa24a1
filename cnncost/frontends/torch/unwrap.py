"""Unwraps `torch.compile` and data-parallel wrappers."""

from __future__ import annotations

from typing import Any

from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat.modules import WITHIN_COMPILED

_INNER = {
    "OptimizedModule": WITHIN_COMPILED,  # torch.compile
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}


def unwrapped(model: Any) -> nn.Module:
    """Return the model inside `torch.compile`, `DataParallel` and `DistributedDataParallel`, however nested.

    Raises:
        InputError: `model` is not a module.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"analyze(model): expected a torch.nn.Module, got {_described(model)}")
    module: nn.Module = model
    while (inner := _INNER.get(type(module).__name__)) is not None:
        wrapped = getattr(module, inner, None)
        if not isinstance(wrapped, nn.Module) or wrapped is module:
            break
        module = wrapped
    return module


def refuse_pipelines(model: object) -> None:
    """Raise InputError for one of Transformers' pipelines, which wrap a model but don't take its inputs."""
    if type(model).__module__.startswith("transformers.pipelines"):
        raise InputError(
            f"analyze(model): expected a torch.nn.Module, got {type(model).__name__}, which takes texts, images or "
            "audio; give its .model and that model's inputs"
        )


def _described(model: object) -> str:
    """Describe what was passed instead of a module, and what to pass, for an error message."""
    if isinstance(model, type) and issubclass(model, nn.Module):
        return f"the class {model.__name__}; create an instance of it: {model.__name__}(...)"
    if isinstance(model, dict):
        return f"a dict of {len(model)} items; a state dict has no forward: build the model and load it first"
    described = f"{type(model).__name__}: {str(model)[:60]!r}"
    if callable(model) and not isinstance(model, type):
        return f"{described}; a function or object is accepted only if a variable or attribute of it refers to modules"
    return described
