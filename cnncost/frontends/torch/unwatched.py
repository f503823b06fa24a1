"""Makes ops run as they would without a dispatch mode, on the device that tensors represent.

Torch checks whether a tensor is on the CPU or a dispatch mode is active, and takes other code paths for meta tensors
under a recorder: reference attention, out-of-place sums. Our kernels take the usual path. They are registered at the
autocast dispatch key of an unused device, which comes before autograd, so they intercept an op whichever API forward
calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, TypeAlias

import torch
from torch.autograd import Function

from cnncost.frontends.torch.attention import attend
from cnncost.frontends.torch.autocast import casts as casts_op
from cnncost.frontends.torch.autocast import lower_dtype
from cnncost.frontends.torch.compat import facts
from cnncost.frontends.torch.compat.autocast import IS_ANY_ENABLED_PLACE
from cnncost.frontends.torch.compat.autograd import ENGINE_CODE, current_node, in_dual_level, transform_level
from cnncost.frontends.torch.compat.dispatch import (
    OURS,
    BelowAutograd,
    Excluding,
    has_kernel,
    is_excluded,
    key,
    key_on,
    keys_below,
)
from cnncost.frontends.torch.compat.higher_order import fall_through
from cnncost.frontends.torch.compat.interpreter import frame
from cnncost.frontends.torch.formulas import Cumprod, Extreme, HouseholderProduct, MatrixExp, Prod
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.patches import Patch
from cnncost.frontends.torch.running import replace_tensors
from cnncost.frontends.torch.shapes.registry import channels_last
from cnncost.frontends.torch.types import tensors_in

Kernel: TypeAlias = Callable[..., Any]

_NAME = "AutocastHPU"
_KEY, _CAST = OURS[_NAME], OURS["AutocastIPU"]
"""The key of the kernels in this file, and the key of emulated autocast's casts (`autocast.py`)."""
_AUTOGRAD = key("AutogradOther")
"""One of autograd's keys. Like the others, it is excluded while torch runs below autograd."""
_TORCH_CASTS = {"cpu": key("AutocastCPU"), "cuda": key("AutocastCUDA")}
"""Keys of torch's own autocast, by device."""
_KEYS = torch.DispatchKeySet(_KEY)
_BELOW = keys_below(_KEY)
_ORDER = "cnncost order in memory"
"""Key in an autograd node's `metadata` under which the memory format of forward's input is noted."""
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}

_devices: list[Callable[[torch.Tensor], str]] = []
"""For each active recording, a function that returns the type of the device that a tensor represents."""
_notes: list[list[str]] = []
"""For each active recording, its notes."""
_stand_ins: list[Callable[[torch.Tensor], torch.Tensor]] = []
"""For each active recording, a function from a tensor with data to a meta tensor that is recorded as the same value."""


@contextmanager
def installed(
    device_of: Callable[[torch.Tensor], str], notes: list[str], stand_in: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Context in which our kernels are enabled for this thread.

    Args:
        device_of: returns the type of the device that a tensor represents.
        notes: receives notes on peaks that are not exact.
        stand_in: returns a meta tensor that is recorded as the same value as a tensor with data.
    """
    _registered()
    _devices.append(device_of)
    _notes.append(notes)
    _stand_ins.append(stand_in)
    try:
        with key_on(_KEY):
            yield
    finally:
        _devices.pop()
        _notes.pop()
        _stand_ins.pop()


def _casts() -> bool:
    """True if autocast is on for the CPU or CUDA. Torch's own check would count our key as autocast."""
    return torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")


def _is_cast_below(tensor: torch.Tensor) -> bool:
    """True if this is a run on values, and torch's own autocast has yet to cast the operands."""
    return (
        not tensor.is_meta and _casts() and not is_excluded(_TORCH_CASTS.get(tensor.device.type, _TORCH_CASTS["cpu"]))
    )


PATCHES = (Patch(*IS_ANY_ENABLED_PLACE, _casts, "our dispatch key would count as a device's autocast"),)
"""Patches to apply while the kernels are enabled."""


def _attention(op: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG001  # the protocol
    return attend(_devices[-1](args[0]), *args, **kwargs)


def _linear(op: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Any:
    """x: *,C. If it is not contiguous and there is a bias, torch runs a matmul and adds the bias in place."""
    below_autograd = is_excluded(_AUTOGRAD)
    if bias is None or x.dim() == 2 or x.is_contiguous() or below_autograd or weight.dim() != 2:
        return op(x, weight, bias)
    return torch.matmul(x, weight.t()).add_(bias)


def _max_pool1d(op: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """x: N,C,L or C,L. Unless differentiated, a CPU runs one kernel that stores no indices (ATen's Pooling.cpp)."""
    return op(x, *args, **kwargs) if _devices[-1](x) != "cpu" else _unless_differentiated(op, x, *args, **kwargs)


def _unless_differentiated(op: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Run an op below autograd unless it is differentiated.

    Below autograd, torch computes singular values and eigenvalues (x: *,m,n) without vectors, and `one_hot` (x: *)
    scatters ones to the indices, while under a dispatch mode it would compare the indices with all classes.
    """
    if is_excluded(_AUTOGRAD) or (x.requires_grad and torch.is_grad_enabled()) or in_dual_level():
        return op(x, *args, **kwargs)
    with BelowAutograd():
        return op(x, *args, **kwargs)


def _group_norm(op: Any, x: torch.Tensor, groups: int, *args: Any, **kwargs: Any) -> Any:
    """x: N,C,*. The CPU kernel accepts channels-last inputs; on other devices they are copied to be contiguous."""
    if is_excluded(_AUTOGRAD) or not channels_last(x) or _devices[-1](x) != "cpu":
        return op(x, groups, *args, **kwargs)
    named: dict[str, Any] = {"weight": None, "bias": None, "eps": 1e-5, **kwargs}
    named.update(zip(("weight", "bias", "eps"), args, strict=False))
    batch, channels, *space = x.shape
    affine, pixels = (named["weight"], named["bias"]), math.prod(space)
    op = torch.ops.aten.native_group_norm.default
    return _native_group_norm(op, x, *affine, batch, channels, pixels, groups, named["eps"])[0]


def _native_group_norm(op: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """x: N,C,*. Note the memory format for backward, which uses it on a CPU (`_contiguous`)."""
    result = op(x, *args, **kwargs)
    if channels_last(x) and _devices[-1](x) == "cpu" and (node := result[0].grad_fn) is not None:
        node.metadata[_ORDER] = _CHANNELS_LAST[x.dim()]
    return result


def _contiguous(op: Any, x: torch.Tensor, *, memory_format: torch.memory_format = torch.contiguous_format) -> Any:
    """x: any shape. On a CPU, the backward of group norm calls this with the memory format of forward's input.

    The backward formula is in C++, so the calling Python frame is the one that entered the autograd engine. A hook that
    runs while the same node is current is Python code, and gets the format for which it asks.
    """
    if frame(2).f_code is ENGINE_CODE:
        memory_format = _recorded_format(memory_format)
    return op(x, memory_format=memory_format)


def _group_norm_backward(op: Any, grad: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """grad: N,C,*. Make it contiguous in the noted memory format, or in row-major order if none was noted."""
    if facts.GROUP_NORM_COPIES_INSIDE:
        return op(grad, *args, **kwargs)
    order = _recorded_format(torch.contiguous_format)
    return op(grad.contiguous(memory_format=order), *args, **kwargs)


def _recorded_format(otherwise: torch.memory_format) -> torch.memory_format:
    """Return the memory format that was noted on the running autograd node, or `otherwise` if none was."""
    node = current_node()
    order: torch.memory_format = otherwise if node is None else node.metadata.get(_ORDER, otherwise)
    return order


def _whole(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Run an op for which only the CPU and CUDA have kernels: on meta it would be decomposed above the recorder."""
    if torch.is_grad_enabled():  # it may be differentiated again, and is decomposed on every device
        return op(*args, **kwargs)
    with BelowAutograd():
        return op(*args, **kwargs)


_COMPARING_DEVICES = (
    "stft", "stft.center", "istft", "take_along_dim", "linalg_multi_dot", "chain_matmul", "inner", "cartesian_prod",
    "meshgrid", "meshgrid.indexing",
)  # fmt: skip
"""Composite ops that raise if their tensors are on several devices, before any inner op is dispatched."""


def _on_one_device(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a composite op that compares devices. Constants, which have data, are replaced with meta stand-ins."""
    tensors = [*tensors_in((args, kwargs))]
    if not is_excluded(_AUTOGRAD) and any(map(is_meta, tensors)):
        constants = [t for t in tensors if not is_meta(t) and not t.requires_grad and t.layout is torch.strided]
        table = {id(constant): _stand_ins[-1](constant) for constant in constants}
        args, kwargs = replace_tensors(args, table, None), replace_tensors(kwargs, table, None)
    return op(*args, **kwargs)


_SORTED = (
    "the peak includes a quantile that sorts its input; torch selects elements without sorting and may need less memory"
)


def _quantile(op: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """x: any shape. Add a note: a CPU selects a few elements, while under a dispatch mode torch sorts all of them."""
    if facts.QUANTILES_ARE_SELECTED and _devices[-1](x) == "cpu" and _SORTED not in _notes[-1]:
        _notes[-1].append(_SORTED)
    return op(x, *args, **kwargs)


def _with_formula(function: type[Function]) -> Kernel:
    """Return a kernel that runs an op through one of our autograd Functions, which has the CPU's derivative."""

    def kernel(op: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        plain = (x.is_floating_point() or (x.is_complex() and function is not Extreme)) and x.dim() > 0
        if not plain or is_excluded(_AUTOGRAD) or not torch.is_grad_enabled() or not x.requires_grad:
            return op(x, *args, **kwargs)
        if function is Prod and len(args) == 1:  # `dim` is passed; `keepdim` defaults to False
            args = (*args, False)
        return function.apply(partial(op, **kwargs) if kwargs else op, x, *args)  # `dtype` alone

    return kernel


_KERNELS: dict[str, Kernel] = {
    "scaled_dot_product_attention": _attention, "linear": _linear, "max_pool1d": _max_pool1d,
    **dict.fromkeys(("linalg_svdvals", "linalg_eigvals", "linalg_eigvalsh", "one_hot"), _unless_differentiated),
    **dict.fromkeys(_COMPARING_DEVICES, _on_one_device),
    "group_norm": _group_norm,
    **dict.fromkeys(("quantile", "quantile.scalar", "nanquantile", "nanquantile.scalar"), _quantile),
    "native_group_norm": _native_group_norm, "contiguous": _contiguous,
    "native_group_norm_backward": _group_norm_backward, "mish_backward": _whole,
    "prod": _with_formula(Prod), "prod.dim_int": _with_formula(Prod), "cumprod": _with_formula(Cumprod),
    "linalg_matrix_exp": _with_formula(MatrixExp), "linalg_householder_product": _with_formula(HouseholderProduct),
    **{name: _with_formula(Extreme) for name in ("max", "min", "median", "nanmedian")},
}  # fmt: skip


@cache
def _registered() -> list[torch.library.Library]:
    """Register our kernels permanently. They are reached only during a recording.

    Existing and future higher-order ops fall through our key, as through the keys of other devices' autocast.
    """
    fall_through(_KEY)
    fallback, ops = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    fallback.fallback(torch.library.fallthrough_kernel, _NAME)
    for name, kernel in _KERNELS.items():
        packet, _, overload = name.partition(".")
        op = getattr(getattr(torch.ops.aten, packet), overload or "default")
        ops.impl(op, partial(_run, op, name, kernel), _NAME, with_keyset=True)
    return [fallback, ops]


def _run(op: Any, name: str, kernel: Kernel, keys: Any, *args: Any, **kwargs: Any) -> Any:
    casts_recorded = lower_dtype() is not None and not is_excluded(_CAST) and casts_op(name)
    first = args[0] if type(args[0]) is not list else args[0][0] if args[0] else None  # without tensors torch raises
    casts = casts_recorded or (
        first is not None and _is_cast_below(first) and has_kernel(f"aten::{name}", "AutocastCPU")
    )  # fmt: skip
    if casts or not _devices or transform_level() is not None:
        return op.redispatch(keys & _BELOW, *args, **kwargs)  # autocast's key is next, and dispatches the op here again
    with Excluding(_KEYS):
        return kernel(op, *args, **kwargs)
