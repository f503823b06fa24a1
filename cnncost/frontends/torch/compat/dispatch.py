"""Dispatch modes and function modes, dispatch keys, and the dispatcher's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch.overrides import _get_current_function_mode_stack, _pop_mode, _push_mode
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    _get_current_dispatch_mode_stack,
    _pop_mode_temporarily,
)

__all__ = ["TorchDispatchMode"]
"""The base class of modes that see each op, which torch documents under this private module's name."""

# ---- modes

without_modes: Callable[[], AbstractContextManager[Any]] = _disable_current_modes
"""A context without dispatch modes: ops in it are not recorded."""

dispatch_modes: Callable[[], list[Any]] = _get_current_dispatch_mode_stack
"""The active dispatch modes, the innermost last."""

dispatch_depth: Callable[[], int] = torch._C._len_torch_dispatch_stack
"""How many there are, without a list: less than at the recorder's start while a kernel runs below it."""

innermost_suspended: Callable[[], AbstractContextManager[Any]] = _pop_mode_temporarily
"""A context without the innermost dispatch mode."""

function_modes: Callable[[], list[Any]] = _get_current_function_mode_stack
"""The active function modes, the innermost last."""

function_depth: Callable[[], int] = torch._C._len_torch_function_stack
"""How many there are."""

pop_function_mode: Callable[[], Any] = _pop_mode
push_function_mode: Callable[[Any], None] = _push_mode
"""Take the innermost function mode off the stack, and put one on, where code left the stack other than it was."""

# ---- dispatch keys

key: Callable[[str], Any] = torch._C._dispatch_key_parse
"""The dispatch key of a name. `torch.DispatchKey` has only some of them as attributes."""

OURS = {name: key(name) for name in ("AutocastIPU", "AutocastHPU")}
"""Keys of devices that torch is no longer built for, at which this package registers kernels: above autograd, as all of
autocast's keys. The first is for autocast, the second for kernels of the device that tensors represent."""

keys_below: Callable[[Any], Any] = torch._C._dispatch_keyset_full_after
"""All keys below one."""

BelowAutograd: Any = torch._C._AutoDispatchBelowAutograd
"""A context in which autograd's keys are off: composite ops arrive whole, and results have no history."""

Including: Any = torch._C._IncludeDispatchKeyGuard
"""A context that turns a key on in this thread."""

Excluding: Any = torch._C._ExcludeDispatchKeyGuard
"""A context that turns keys off in this thread."""

Forcing: Any = torch._C._ForceDispatchKeyGuard
"""A context with exactly these keys on and off in this thread."""

is_excluded: Callable[[Any], bool] = torch._C._dispatch_tls_is_dispatch_key_excluded
set_excluded: Callable[[Any, bool], None] = torch._C._dispatch_tls_set_dispatch_key_excluded
"""Whether a key is off in this thread. All of autocast's are, until a region of autocast begins."""


@contextmanager
def key_on(key: Any) -> Iterator[None]:
    """Turn a key on in this thread, also where it was turned off, as all of autocast's are."""
    excluded = is_excluded(key)
    try:
        with Including(key):
            set_excluded(key, False)
            yield
    finally:
        set_excluded(key, excluded)


excluded_keys: Callable[[], Any] = torch._C._dispatch_tls_local_exclude_set
included_keys: Callable[[], Any] = torch._C._dispatch_tls_local_include_set
"""The keys that are off in this thread, and those that are on beside a tensor's own."""

# ---- tables

has_kernel: Callable[[str, str], bool] = torch._C._dispatch_has_kernel_for_dispatch_key
"""Whether an op, by its full name, has a kernel of its own at a key, by its name."""

op_names: Callable[[], list[str]] = torch._C._dispatch_get_all_op_names
"""The full names of all ops."""
