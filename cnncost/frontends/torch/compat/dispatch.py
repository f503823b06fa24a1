"""Dispatch modes and function modes, dispatch keys, and the dispatcher's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
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
"""The base class of dispatch modes. torch documents it, though its module is private."""

# ---- modes

without_modes: Callable[[], AbstractContextManager[Any]] = _disable_current_modes
"""A context without dispatch modes: ops in it are not recorded."""

dispatch_modes: Callable[[], list[Any]] = _get_current_dispatch_mode_stack
"""The active dispatch modes, the innermost last."""

dispatch_depth: Callable[[], int] = torch._C._len_torch_dispatch_stack
"""The number of active dispatch modes. torch pops a mode while its handler runs, so the number is then lower than when
the mode was entered."""

innermost_suspended: Callable[[], AbstractContextManager[Any]] = _pop_mode_temporarily
"""A context in which the innermost dispatch mode is off."""

function_modes: Callable[[], list[Any]] = _get_current_function_mode_stack
"""The active function modes, the innermost last."""

function_depth: Callable[[], int] = torch._C._len_torch_function_stack
"""The number of active function modes."""

pop_function_mode: Callable[[], Any] = _pop_mode
push_function_mode: Callable[[Any], None] = _push_mode
"""Pop the innermost function mode, and push one: they restore the stack after code that has left it changed."""

# ---- composite ops

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_COPIES = frozenset({"aten::pad_sequence", "aten::istft"})
"""Ops with a decomposition in Python, made for compilers, that copies where the kernel writes in place."""


def decomposition(func: Any) -> Callable[..., Any]:
    """Return the function that runs a composite op as its inner ops."""
    decompose: Callable[..., Any] = func.decompose
    return partial(func._op_dk, _COMPOSITE) if func.name() in _COPIES else decompose


# ---- dispatch keys

key: Callable[[str], Any] = torch._C._dispatch_key_parse
"""Returns the dispatch key of a name. `torch.DispatchKey` has only some keys as attributes."""

OURS = {name: key(name) for name in ("AutocastIPU", "AutocastHPU")}
"""Dispatch keys of devices that torch no longer supports, so this package can register kernels at them. Like all
autocast keys they come before autograd's. The first implements autocast's casts, the second ops whose implementation
depends on the device that a meta tensor represents."""

keys_below: Callable[[Any], Any] = torch._C._dispatch_keyset_full_after
"""Returns the set of all dispatch keys with a lower priority than the given one."""

BelowAutograd: Any = torch._C._AutoDispatchBelowAutograd
"""Context manager that excludes autograd's keys: composite ops reach dispatch modes undecomposed, and results have no
`grad_fn`."""

Including: Any = torch._C._IncludeDispatchKeyGuard
"""Context manager that includes a key in this thread."""

Excluding: Any = torch._C._ExcludeDispatchKeyGuard
"""Context manager that excludes a set of keys in this thread."""

Forcing: Any = torch._C._ForceDispatchKeyGuard
"""Context manager that sets this thread's included and excluded keys to the given sets."""

is_excluded: Callable[[Any], bool] = torch._C._dispatch_tls_is_dispatch_key_excluded
"""Whether this thread excludes a key. It excludes all autocast keys until an autocast region begins."""
set_excluded: Callable[[Any, bool], None] = torch._C._dispatch_tls_set_dispatch_key_excluded
"""Excludes a key in this thread, or stops excluding it."""


@contextmanager
def key_on(key: Any) -> Iterator[None]:
    """Include a key in this thread and stop excluding it: an excluded key stays off even if it is included."""
    excluded = is_excluded(key)
    try:
        with Including(key):
            set_excluded(key, False)
            yield
    finally:
        set_excluded(key, excluded)


excluded_keys: Callable[[], Any] = torch._C._dispatch_tls_local_exclude_set
included_keys: Callable[[], Any] = torch._C._dispatch_tls_local_include_set
"""The keys that this thread excludes, and those that it includes in addition to a tensor's own."""

# ---- tables

has_kernel: Callable[[str, str], bool] = torch._C._dispatch_has_kernel_for_dispatch_key
"""Whether an op has a kernel registered at a dispatch key, both given by name."""

op_names: Callable[[], list[str]] = torch._C._dispatch_get_all_op_names
"""Returns the qualified names of all registered ops."""
