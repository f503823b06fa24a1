"""Autograd nodes and their sequence numbers, hooks on tensors, and the transforms of `torch.func`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import methodcaller
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

import torch
from torch.autograd import forward_ad

from cnncost.frontends.torch.compat.interpreter import frame
from cnncost.frontends.torch.compat.packages import TRANSFORMS

current_node: Callable[[], Any] = torch._C._current_autograd_node
"""The autograd node that the engine is executing in this thread; None outside of backward."""


def packs_saved_tensors() -> bool:
    """True within the hook that packs what autograd saves (`saved_tensors_hooks`), if that is Python code."""
    hooks: Any = torch._C._autograd._top_saved_tensors_default_hooks(True)
    if hooks is None:
        return False
    code = _code_of(hooks[0])
    caller: FrameType | None = frame(1)
    while caller is not None and caller.f_code is not code:
        caller = caller.f_back
    return code is None or caller is not None


def _code_of(function: Any) -> CodeType | None:
    """Return the code that runs if a function or another callable is called; None if it is none of Python."""
    while isinstance(function, partial):
        function = function.func
    if not isinstance(function, FunctionType | MethodType):
        function = type(function).__call__
    code: CodeType | None = getattr(getattr(function, "__func__", function), "__code__", None)
    return code


next_number: Callable[[], int] = torch._C._autograd._get_sequence_nr
"""The sequence number that the next autograd node will get. Nodes are numbered in the order of forward."""

number_of: Callable[[Any], int] = methodcaller("_sequence_nr")
"""The sequence number of an autograd node."""

ENGINE_CODE: CodeType = torch.autograd.graph._engine_run_backward.__code__
"""Code object of the Python function that enters the autograd engine: if it is an op's innermost Python frame, a
derivative formula in C++ called the op."""

SET_GRAD_MODE_PLACE = (torch._C, "_set_grad_enabled")
"""The function by which `torch.no_grad` and similar contexts set the grad mode."""

_is_grad_enabled, _set_grad_enabled = torch.is_grad_enabled, getattr(*SET_GRAD_MODE_PLACE)


@contextmanager
def grad_enabled() -> Iterator[None]:
    """A context with autograd on, even while a recording replaces the functions that `torch.enable_grad` calls."""
    before = _is_grad_enabled()
    _set_grad_enabled(True)
    try:
        yield
    finally:
        _set_grad_enabled(before)


ACCUMULATED_HOOKS = "_post_accumulate_grad_hooks"
"""Attribute of a tensor: its hooks that run once its gradient is accumulated, by id; None without any."""
HOOKS = "_backward_hooks"
"""Attribute of a tensor: all its other hooks, by id; None without any."""


def differentiating_places() -> list[tuple[Any, str]]:
    """The functions with which `torch.func` and `torch.autograd.functional` begin a derivative.

    Empty if the module that implements `torch.func` has not been imported.
    """
    transforms = sys.modules.get(TRANSFORMS)
    if transforms is None:
        return []
    names = [n for n in ("_grad_increment_nesting", "_jvp_increment_nesting") if hasattr(transforms, n)]
    return [*((transforms, name) for name in names), (torch.autograd.functional, "_grad_preprocess")]


def in_dual_level() -> bool:
    """True within `torch.autograd.forward_ad.dual_level`, where a tensor may have a tangent."""
    return forward_ad._current_level >= 0


is_inside_transform: Callable[[torch.Tensor], bool] = torch._C._functorch.is_functorch_wrapped_tensor
"""Whether a tensor is a wrapper in which `vmap` or `grad` passes a tensor to its function."""


def below_transforms(tensor: torch.Tensor) -> torch.Tensor:
    """Remove the wrappers of `vmap` and `grad` from a tensor: dispatch modes see the innermost one."""
    while is_inside_transform(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


transform_level: Callable[[], int | None] = torch._C._functorch.maybe_current_level
"""The number of active transforms (`vmap`, `grad`); None if there are none."""

innermost_transform: Callable[[], Any] = torch._C._functorch.peek_interpreter_stack
"""The innermost active transform; None if there is none."""
