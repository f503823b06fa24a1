"""Autograd's nodes and their numbers, hooks on tensors, and levels of `torch.func`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from operator import methodcaller
from types import CodeType
from typing import Any

import torch

from cnncost.frontends.torch.compat.packages import TRANSFORMS

current_node: Callable[[], Any] = torch._C._current_autograd_node
"""The node whose derivative is being computed; None outside of backward."""

next_number: Callable[[], int] = torch._C._autograd._get_sequence_nr
"""The number of the next node: they are numbered in the order of forward."""

number_of: Callable[[Any], int] = methodcaller("_sequence_nr")
"""A node's number."""

ENGINE_CODE: CodeType = torch.autograd.graph._engine_run_backward.__code__
"""The code of the Python function that calls the engine: the frame below an op which a formula in C++ calls."""

SET_GRAD_MODE_PLACE = (torch._C, "_set_grad_enabled")
"""What `torch.no_grad` and the others set autograd's mode by."""

ACCUMULATED_HOOKS = "_post_accumulate_grad_hooks"
HOOKS = "_backward_hooks"
"""Attributes of a tensor: its hooks by number, those that run once its gradient is accumulated and all others."""


def differentiating_places() -> list[tuple[Any, str]]:
    """Functions by which `torch.func` and `torch.autograd.functional` begin to differentiate.

    `torch.func` is imported when it is first used; none of them runs before.
    """
    transforms = sys.modules.get(TRANSFORMS)
    if transforms is None:
        return []
    names = [n for n in ("_grad_increment_nesting", "_jvp_increment_nesting") if hasattr(transforms, n)]
    return [*((transforms, name) for name in names), (torch.autograd.functional, "_grad_preprocess")]


is_inside_transform: Callable[[torch.Tensor], bool] = torch._C._functorch.is_functorch_wrapped_tensor
"""Whether a tensor is a wrapper that `vmap` or `grad` passes to its function."""


def below_transforms(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor that dispatch modes see of one: without the wrappers of `vmap` and `grad`."""
    while is_inside_transform(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


transform_level: Callable[[], int | None] = torch._C._functorch.maybe_current_level
"""The number of transforms (`vmap`, `grad`) around this code; None without any."""

innermost_transform: Callable[[], Any] = torch._C._functorch.peek_interpreter_stack
"""The innermost transform; None without any."""
