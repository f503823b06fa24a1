"""Copies scripted and traced modules, whose attributes are slots of C++ objects that `__dict__` does not hold."""

from __future__ import annotations

import copy as copying
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.compat.modules import (
    INNER_SCRIPT,
    is_scripted,
    object_of,
    script_attributes,
    script_children,
    wrapped_script,
)


def copy_of_script(module: nn.Module, value: Callable[[Any], Any]) -> nn.Module:
    """Return a copy of a scripted module with copies of everything in it.

    The compiled code, including compiled hooks, is shared with the original.

    Args:
        module: the module.
        value: returns the copy of a tensor or of anything else that the module holds.
    """
    attributes = module.__dict__
    # a traced module or an instance of a user's ScriptModule subclass: a Python object that wraps a script
    if INNER_SCRIPT in attributes:
        inner = copy_of_script(attributes[INNER_SCRIPT], value)
        copy: nn.Module = object.__new__(type(module))
        own = {n: v for n, v in attributes.items() if n != INNER_SCRIPT and not isinstance(v, torch.ScriptMethod)}
        object.__setattr__(copy, "__dict__", {INNER_SCRIPT: inner, **{n: value(v) for n, v in own.items()}})
        return copy
    copy = wrapped_script(_object(object_of(module), value))
    of_python = {
        n: v for n, v in attributes.items() if n not in copy.__dict__ and not isinstance(v, torch.ScriptMethod)
    }
    copy.__dict__.update({n: value(v) for n, v in of_python.items()})
    return copy


def set_mode(copy: nn.Module, train: bool) -> None:
    """Set the mode of one module's copy; a scripted one stands for all modules in it."""
    if is_scripted(type(copy)):
        copy.train(train)
    else:
        copy.training = train


def _object(script: Any, value: Callable[[Any], Any]) -> Any:
    """Return a copy of the C++ object. Objects of scripted classes in it are shared, as they can't be copied."""
    copy = copying.copy(script)  # shares the submodules
    for name, child in script_children(script):
        copy.setattr(name, _object(child, value))
    for name in script_attributes(script):
        attribute = script.getattr(name)
        if isinstance(attribute, (torch.Tensor, list, dict)):
            copy.setattr(name, value(attribute))
    return copy
