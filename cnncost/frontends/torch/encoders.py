"""Encoder layers that torch runs as one kernel if nothing needs gradients, and the memory of that kernel.

The layers are recorded op by op, because the kernel hides its parts. On a CPU the kernel holds the scores of all heads
at once, which `scaled_dot_product_attention` doesn't, and frees other tensors earlier. A Graph therefore marks the
nodes that the kernel replaces.

The conditions are those in `forward` of nn.MultiheadAttention and nn.TransformerEncoderLayer.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from cnncost.frontends.torch.autocast import lower_dtype
from cnncost.frontends.torch.compat.modules import FORWARD_HOOKS, has_one_width, tables_of
from cnncost.frontends.torch.fused_lstm import under_cpu_autocast
from cnncost.frontends.torch.recorder import Recorder
from cnncost.graph import FusedNodes

Kernel: TypeAlias = "tuple[str, dict[str, int | None]]"
"""A kernel's name and sizes, as in FusedNodes."""


def may_fuse(kind: type) -> bool:
    """True if torch may run modules of this class as one kernel."""
    return id(getattr(kind, "forward", None)) in _LAYERS


def noting_fused(call: Callable[..., Any], recorder: Recorder, thread: int) -> Callable[..., Any]:
    """Return a function that calls a module through `call`, and notes the nodes of a layer that runs as one kernel.

    For modules of a class that `may_fuse`. Only calls in the recording thread, `thread`, are noted.
    """
    in_kernel = False  # while a fused layer runs the modules inside it

    def run(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        nonlocal in_kernel
        _, kernel_of = _LAYERS[id(type(module).forward)]
        if in_kernel or get_ident() != thread or recorder.phase != "forward":
            return call(module, *args, **kwargs)
        kernel = _kernel(kernel_of, module, args, kwargs, recorder) if recorder.fuses_encoders else None
        if kernel is None:
            return call(module, *args, **kwargs)
        in_kernel, first = True, len(recorder.nodes)
        try:
            result = call(module, *args, **kwargs)
        finally:
            in_kernel = False
        if len(recorder.nodes) > first:
            name, sizes = kernel
            recorder.fused.append(FusedNodes(first, len(recorder.nodes) - 1, name, tuple(sizes.items())))
        return result

    return run


def _kernel(
    kernel_of: Callable[..., Kernel | None], module: nn.Module, args: Any, kwargs: Any, recorder: Recorder
) -> Kernel | None:
    """Return the kernel that a layer runs as; None if it runs op by op, or under autocast."""
    x = args[0] if args else kwargs.get("query", kwargs.get("src"))
    if not isinstance(x, torch.Tensor) or x.dim() != 3 or x.is_nested or not x.numel():
        return None
    if not all(map(recorder.on_cpu, (x, next(module.parameters(), x)))):
        return None
    if module.training or "forward" in vars(module):
        return None
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *module.parameters())):
        return None
    try:
        kernel = kernel_of(module, recorder, *args, **kwargs)
    except (AttributeError, TypeError):  # wrong arguments, for which forward raises
        return None
    if kernel is None:
        return None
    if lower_dtype() is not None:
        if under_cpu_autocast():  # torch runs the kernel all the same: it checks only CUDA's autocast
            _note(recorder, _CAST)
        return None
    if any(is_parametrized(part) or any(FORWARD_HOOKS(part)) for part in module.modules()):
        _note(recorder, _COMPUTED)
    return kernel


def _note(recorder: Recorder, text: str) -> None:
    if text not in recorder.notes:
        recorder.notes.append(text)


def _attention(
    module: nn.MultiheadAttention, _: Recorder, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    key_padding_mask: torch.Tensor | None = None, need_weights: bool = True, attn_mask: torch.Tensor | None = None,
    average_attn_weights: bool = True, is_causal: bool = False,  # noqa: ARG001  # as forward is called
) -> Kernel | None:  # fmt: skip
    masks = [mask for mask in (attn_mask, key_padding_mask) if mask is not None]
    if query is not key or key is not value or any(mask.is_floating_point() for mask in masks):
        return None
    sizes = _sizes(module, query, attn_mask, key_padding_mask)
    if sizes is None or not module.batch_first:
        return None
    return "attention", {**sizes, "weights": need_weights, "average": need_weights and average_attn_weights}


def _layer(
    module: nn.TransformerEncoderLayer, _: Recorder, src: torch.Tensor, src_mask: torch.Tensor | None = None,
    src_key_padding_mask: torch.Tensor | None = None, is_causal: bool = False,  # noqa: ARG001  # as forward is called
) -> Kernel | None:  # fmt: skip
    attention: Any = module.self_attn
    if not attention.batch_first or not module.activation_relu_or_gelu or module.norm1.eps != module.norm2.eps:
        return None
    if any(any(FORWARD_HOOKS(part)) for part in module.modules()):
        return None
    sizes = _sizes(attention, src, src_mask, src_key_padding_mask)
    if sizes is None:
        return None
    return "layer", {**sizes, "ffn": module.linear1.out_features, "norm_first": module.norm_first}


def _encoder(
    module: nn.TransformerEncoder, recorder: Recorder, src: torch.Tensor, mask: torch.Tensor | None = None,
    src_key_padding_mask: torch.Tensor | None = None, is_causal: bool | None = None,  # noqa: ARG001  # as above
) -> None:  # fmt: skip
    """Add a note that padded positions are counted, if torch leaves them out."""
    layer: Any = module.layers[0]
    nested = module.enable_nested_tensor and not layer.norm_first  # `use_nested_tensor` is off in copies
    if nested and mask is None and src_key_padding_mask is not None and _layer(layer, recorder, src) is not None:
        _note(recorder, _PADDED)


_CAST = (
    "under the CPU's autocast torch runs encoder layers as one kernel; the peak of inference is that of their ops, "
    "and may be too high or too low"
)
_COMPUTED = (
    "torch runs encoder layers as one kernel; what hooks on them and parametrized weights hold meanwhile is not in the "
    "peak of inference"
)
_PADDED = (
    "padded positions of nn.TransformerEncoder are counted; where nothing needs gradients, torch leaves them out if "
    "they are at the end (enable_nested_tensor=True)"
)


def _sizes(
    module: nn.MultiheadAttention, x: torch.Tensor, mask: torch.Tensor | None, padding: torch.Tensor | None
) -> dict[str, int | None] | None:
    """Return the sizes of self-attention; None if it runs op by op."""
    special = _has(module, "bias_k") or _has(module, "bias_v") or module.add_zero_attn
    if special or module.num_heads % 2 or not has_one_width(module) or not _has(module, "in_proj_bias"):
        return None
    if any(parameter.dtype != x.dtype for parameter in module.parameters()):
        return None
    batch, length, width = x.shape
    heads, item = module.num_heads, x.element_size()
    scores = batch * heads * length**2
    converted = sum(m.numel() * item for m in (mask, padding) if m is not None and not m.is_floating_point())
    masked = None
    if mask is not None:  # expanded to all scores, after both masks are added
        masked = scores
        converted += scores * item if padding is not None else 0
    elif padding is not None:
        masked = batch * length
    return {
        "batch": batch, "length": length, "width": width, "heads": heads, "item": item, "masked": masked,
        "converted": converted,
    }  # fmt: skip


def _has(module: nn.Module, name: str) -> bool:
    """True if a module has a parameter of this name. Reading the attribute would run and record a parametrization."""
    own, pruned = tables_of(module)[0].get(name), vars(module).get(name)
    return own is not None or pruned is not None or name in getattr(module, "parametrizations", ())


_LAYERS: dict[int, tuple[Any, Callable[..., Kernel | None]]] = {
    id(forward): (forward, kernel_of)
    for forward, kernel_of in (
        (nn.TransformerEncoder.forward, _encoder),
        (nn.MultiheadAttention.forward, _attention),
        (nn.TransformerEncoderLayer.forward, _layer),
    )
}
"""By the `id` of `forward`, which in a user's class may not be hashable; the value keeps the function alive."""
