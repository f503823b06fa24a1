"""Autocast, for tensors without data.

Torch's own autocast ignores `meta` tensors. While a recording needs it, each op with an autocast kernel is dispatched
to one of ours. These are registered at the dispatch key of a device that torch is no longer built for. Like torch's own
key it is above autograd, so tensors are saved for backward after the cast. The dispatcher reports which ops have an
autocast kernel; the policies follow ATen's autocast_mode.h and autocast_mode.cpp (torch's "Autocast Op Reference").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any, TypeAlias
from weakref import ref

import torch

from cnncost import units
from cnncost.frontends.torch.autocast_setting import Autocast
from cnncost.frontends.torch.compat.autocast import SUPPORTED_DEVICES
from cnncost.frontends.torch.compat.autograd import grad_enabled
from cnncost.frontends.torch.compat.dispatch import (
    OURS,
    BelowAutograd,
    Excluding,
    has_kernel,
    key_on,
    keys_below,
    op_names,
)
from cnncost.frontends.torch.compat.facts import AUTOCAST_CASTS_WITH_GRADIENTS, AUTOCAST_KEEPS_CASTS_OF_INFERENCE
from cnncost.frontends.torch.compat.ops import schema_of
from cnncost.frontends.torch.compat.tensors import is_view
from cnncost.frontends.torch.types import tensors_in

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]
Policy: TypeAlias = "Callable[[Casting, Any, Args, Kwargs], Any]"

DEVICES = tuple([device for device in SUPPORTED_DEVICES if device not in {"ipu", "hpu"}])
"""Devices with autocast, except those whose dispatch keys this package uses for itself, here and in `unwatched.py`."""
_NAME = "AutocastIPU"
"""The dispatch key of our kernels."""
_KEY = OURS[_NAME]
_KEYS = torch.DispatchKeySet(_KEY)
_BELOW = keys_below(_KEY)


def in_force() -> Autocast | None:
    """Return the autocast region around the caller, if any."""
    device = enabled_device()
    return Autocast(device, torch.get_autocast_dtype(device)) if device is not None else None


def enabled_device() -> str | None:
    """Return the device that autocast is on for, if any. Torch's own check would include our dispatch key."""
    return next((device for device in DEVICES if torch.is_autocast_enabled(device)), None)


CASTS_AT_EACH_USE = (
    "the peak of inference is that under torch.inference_mode, where autocast casts weights at each use; under "
    "torch.no_grad it caches the casts"
)
_CONJUGATES = "the peak of inference under autocast lacks the copies that matrix ops make of conjugated operands"
_PINV = "the peak under autocast lacks the casts within linalg.pinv"


class Casting:
    """Emulates autocast in one recording.

    Args:
        caches: whether casts of weights are cached until autocast exits, as in torch, whose newer versions don't do so
            under `torch.inference_mode`.
        device: the device whose op lists apply: the CPU or, for all other devices, CUDA.

    Attributes:
        regions: number of regions that forward has entered.
        inexact: notes on what is missing in the peaks.
    """

    def __init__(self, caches: bool, device: str) -> None:
        self.device = "cpu" if device == "cpu" else "cuda"
        self.regions = 0
        self.inexact: set[str] = set()
        self._caches_casts = caches
        self._uncached_bytes: dict[int, int] = {}  # of the casts that a cache would hold, by the weight's id
        self._casts: dict[int, tuple[ref[torch.Tensor], torch.Tensor]] = {}
        self._depth = depth()
        self._without_region = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Context in which the ops of this thread are cast while autocast is on."""
        _register_kernels()
        _running.append(self)
        try:
            with key_on(_KEY):
                yield
        finally:
            _running.pop()

    def enter_region(self, device: str) -> None:
        """Note that forward enters a region. Once it has entered one for CUDA, CUDA's op lists apply.

        Such a region also turns the CPU's autocast on, so torch's state doesn't show which lists apply.
        """
        self.regions += 1
        if device != "cpu":
            self.device = "cuda"

    def turn_on(self, device: str) -> None:
        """Note that forward turns autocast on by torch's setters. Outside of a region, no end drops the casts."""
        self.enter_region(device)
        self._without_region |= depth() == self._depth

    def drop_casts(self) -> None:
        """Drop all cached casts."""
        self._casts.clear()

    def lower_dtype(self) -> torch.dtype:
        """Return the dtype that matrix ops run in."""
        return torch.get_autocast_dtype(enabled_device() or "cpu")

    def _caches(self) -> bool:
        if not self._caches_casts or not torch.is_autocast_cache_enabled():
            return False
        return AUTOCAST_KEEPS_CASTS_OF_INFERENCE or not torch.is_inference_mode_enabled()

    def drop_stale(self) -> None:
        """Drop cached casts if the autocast region that made them has exited."""
        if self._casts and not self._without_region and depth() == self._depth:
            self._casts.clear()

    def notes(self) -> tuple[str, ...]:
        """Return notes on what is missing in the peaks, and on what the caller's grad mode would change."""
        nbytes = sum(self._uncached_bytes.values())
        on_weights = [f"{CASTS_AT_EACH_USE}, and the peak is up to {units.data(nbytes)} higher"] if nbytes else []
        return (*sorted(self.inexact), *on_weights)

    def cast(self, value: Any, dtype: torch.dtype) -> Any:
        """Return an argument of an op with its tensors cast to `dtype`."""
        if isinstance(value, (list, tuple)):
            return type(value)([self.cast(item, dtype) for item in value])
        if not _eligible(value) or value.dtype is dtype:
            return value
        weight = value.dtype is torch.float32 and value.requires_grad and value.is_leaf and not is_view(value)
        cacheable = weight and dtype is self.lower_dtype()
        if not (cacheable and self._caches()):
            if cacheable and not self._caches_casts and torch.is_autocast_cache_enabled():
                self._uncached_bytes[id(value)] = value.numel() * dtype.itemsize
            return value.to(dtype)
        cached = self._casts.get(id(value))
        if cached is None or cached[0]() is not value:
            with grad_enabled() if AUTOCAST_CASTS_WITH_GRADIENTS else nullcontext():  # the first use may be in no_grad
                cached = self._casts[id(value)] = (ref(value), value.to(dtype))
        return cached[1]


def depth() -> int:
    """Return the nesting depth of autocast regions. Torch returns it only from these two functions."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


def _eligible(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype is not torch.float64


# ---- policies for an op's arguments


def _cast_all(dtype: torch.dtype | None, casting: Casting, op: Any, args: Args, kwargs: Kwargs) -> Any:
    """Run an op in `dtype`; None: in autocast's lower dtype.

    The last argument is cast first, as in torch's builds by GCC (C++ does not specify the order). Backward computes the
    casts' gradients in the opposite order, which determines the live tensors at a training step's peak.
    """
    dtype = dtype or casting.lower_dtype()
    named = {name: casting.cast(value, dtype) for name, value in reversed(kwargs.items())}
    placed = [casting.cast(value, dtype) for value in reversed(args)]
    return op(*reversed(placed), **named)


def _cast_to_widest(casting: Casting, op: Any, args: Args, kwargs: Kwargs) -> Any:
    """Run in float32 if an argument is float32, else in the lower dtype. Raises RuntimeError for a third dtype."""
    dtypes = {tensor.dtype for tensor in tensors_in((args, kwargs)) if _eligible(tensor)}
    if other := dtypes - {torch.float32, casting.lower_dtype()}:
        raise RuntimeError(
            f"{op} under autocast: expected operands of torch.float32 or {casting.lower_dtype()}, but got {other.pop()}"
        )
    return _cast_all(torch.float32 if torch.float32 in dtypes else None, casting, op, args, kwargs)


def _request_float32(casting: Casting, op: Any, args: Args, kwargs: Kwargs) -> Any:  # noqa: ARG001  # a policy
    """Request a float32 result if the call names no dtype."""
    index = [argument.name for argument in schema_of(op).arguments].index("dtype")
    dtype = kwargs.get("dtype") if len(args) <= index else args[index]
    if dtype is not None or not _eligible(args[0]):
        return op(*args, **kwargs)
    if len(args) > index:
        return op(*args[:index], torch.float32, *args[index + 1 :], **kwargs)
    return op(*args, **{**kwargs, "dtype": torch.float32})


def _norm_with_dtype(casting: Casting, op: Any, args: Args, kwargs: Kwargs) -> Any:  # noqa: ARG001  # a policy
    """Run a norm through the overload that takes a result dtype."""
    bound = {a.name: a.default_value for a in schema_of(op).arguments if a.has_default_value()}
    bound.update(zip([a.name for a in schema_of(op).arguments], args, strict=False), **kwargs)
    dtype = torch.float32 if _eligible(bound["self"]) else bound["self"].dtype
    return torch.norm(bound["self"], bound["p"], bound.get("dim"), bound.get("keepdim", False), dtype=dtype)


def _raise_banned(casting: Casting, op: Any, args: Args, kwargs: Kwargs) -> Any:  # noqa: ARG001  # a policy
    raise RuntimeError(
        "torch does not allow binary_cross_entropy under CUDA's autocast, because it may overflow in float16; expected "
        "binary_cross_entropy_with_logits on the input of the sigmoid"
    )


_LOWER: Policy = partial(_cast_all, None)
_FULL: Policy = partial(_cast_all, torch.float32)


def _by_op(**policies: tuple[Policy, str]) -> dict[str, Policy]:
    """Return the policy by op, from pairs of a policy and the names of its ops. The keywords only label them."""
    return {name: policy for policy, names in policies.values() for name in names.split()}


_MATMULS = (
    "_convolution.deprecated addbmm addmm baddbmm bmm conv1d conv2d conv3d conv_tbc conv_transpose1d "
    "conv_transpose2d.input conv_transpose3d.input linalg_vecdot linear matmul mm prelu scaled_dot_product_attention "
)
_LISTS = {
    "cpu": ("AutocastCPU", _by_op(
        lower=(_LOWER, _MATMULS + "_addmm_activation _native_multi_head_attention conv1d.padding conv2d.padding "
            "conv3d.padding mkldnn_rnn_layer"),
        widest=(_cast_to_widest, "cat index_copy stack"),
    )),
    "cuda": ("AutocastCUDA", _by_op(
        lower=(_LOWER, _MATMULS + "_convolution _cudnn_rnn _scaled_dot_product_flash_attention _thnn_fused_gru_cell "
            "_thnn_fused_lstm_cell addmv addr chain_matmul convolution cudnn_convolution cudnn_convolution_transpose "
            "einsum gru_cell linalg_multi_dot lstm_cell mv rnn_relu_cell rnn_tanh_cell"),
        widest=(_cast_to_widest,
            "addcdiv addcmul atan2 bilinear cross dot grid_sampler index_put scatter_add tensordot vdot"),
        out=(_request_float32, (
            "cumprod cumsum linalg_matrix_norm linalg_matrix_norm.str_ord linalg_vector_norm log_softmax.int prod "
            "prod.dim_int softmax.int sum sum.dim_IntList "
            # up to 2.12
            "cumprod.dimname cumsum.dimname log_softmax.Dimname prod.dim_Dimname softmax.Dimname sum.dim_DimnameList")),
        norm=(_norm_with_dtype, "norm.Scalar norm.ScalarOpt_dim norm.names_ScalarOpt_dim"),
        banned=(_raise_banned, "binary_cross_entropy"),
    )),
}  # fmt: skip
"""By device: dispatch key of torch's own kernels, and the ops with a policy other than the default, float32."""


@cache
def _policies() -> dict[str, dict[str, Policy]]:
    """Return, by the op's name in the dispatcher, its policy by device."""
    table: dict[str, dict[str, Policy]] = {}
    for name in op_names():
        namespace, _, op = name.partition("::")
        by_device = {
            d: policies.get(op, _FULL)
            for d, (key, policies) in _LISTS.items()
            if namespace == "aten" and has_kernel(name, key)
        }
        if by_device:
            table[op] = by_device
    return table


# ---- kernels, which run only in recordings with autocast

_running: list[Casting] = []
"""One per recording with autocast that is running; the innermost one's is last."""


@cache
def _register_kernels() -> list[torch.library.Library]:
    """Register our kernels permanently; they are only reached while a Casting is installed."""
    all_ops, ops = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    all_ops.fallback(torch.library.fallthrough_kernel, _NAME)  # for ops without a policy
    for name, by_device in _policies().items():
        packet, _, overload = name.partition(".")
        op = getattr(getattr(torch.ops.aten, packet), overload or "default")
        ops.impl(op, partial(_kernel, op, by_device), _NAME, with_keyset=True)
    pinv = torch.ops.aten.linalg_pinv.atol_rtol_tensor
    ops.impl(pinv, partial(_pinv_kernel, pinv), _NAME, with_keyset=True)
    ops.impl(torch.ops.aten.pad.default, partial(_pad_kernel, torch.ops.aten.pad.default), _NAME, with_keyset=True)
    return [all_ops, ops]  # kernels are removed when their library is freed


def _pinv_kernel(op: Any, keys: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Our kernel of `linalg.pinv`, which has no policy, but whose last product is cast. x: *,M,N."""
    result = op.redispatch(keys & _BELOW, x, *args, **kwargs)
    if enabled_device() is None or not _eligible(x):
        return result
    _running[-1].inexact.add(_PINV)
    return result.to(_running[-1].lower_dtype())


def _pad_kernel(op: Any, keys: Any, *args: Any, **kwargs: Any) -> Any:
    """Our kernel of `pad`. Without autograd and casts, record one node, as with autocast off."""
    if torch.is_grad_enabled() or (enabled_device() is not None and _pads_by_kernel(args, kwargs)):
        return op.redispatch(keys & _BELOW, *args, **kwargs)
    with Excluding(_KEYS), BelowAutograd():
        return op(*args, **kwargs)


def _pads_by_kernel(args: Args, kwargs: Kwargs) -> bool:
    """True if `pad` calls an op such as `reflection_pad2d`, which the CPU's autocast runs in float32."""
    mode = args[2] if len(args) > 2 else kwargs.get("mode", "constant")
    return mode in ("reflect", "replicate") and _running[-1].device == "cpu"


def _kernel(op: Any, by_device: dict[str, Policy], keys: Any, *args: Any, **kwargs: Any) -> Any:
    """Our autocast kernel of an op: if autocast is on, apply the device's policy for it."""
    casting = _running[-1]
    policy = by_device.get(casting.device) if enabled_device() is not None else None
    if policy is None:
        return op.redispatch(keys & _BELOW, *args, **kwargs)
    if not torch.is_grad_enabled() and any(isinstance(arg, torch.Tensor) and arg.is_conj() for arg in args):
        casting.inexact.add(_CONJUGATES)
    with Excluding(_KEYS):  # the ops inside this one are not cast again
        return policy(casting, op, args, kwargs)


def casts(op: str) -> bool:
    """True if the current autocast has a policy for an op, given by its dispatcher name."""
    return bool(_running) and _running[-1].device in _policies().get(op, {})


def lower_dtype() -> torch.dtype | None:
    """Return the dtype that matrix ops are cast to; None if autocast is off."""
    return _running[-1].lower_dtype() if _running and enabled_device() is not None else None


def lowered(*values: Any) -> tuple[Any, ...]:
    """Return values in the lower dtype if autocast is on, else unchanged."""
    dtype = lower_dtype()
    return values if dtype is None else tuple([_running[-1].cast(value, dtype) for value in values])
