"""Multiply-accumulates of a real run, from the shapes of the tensors that it really multiplies.

A dispatch mode below autograd sees each op with its operands and counts the products of ops that multiply matrices:
each element of the result is a sum, with one product per term. Nothing here depends on how cnncost works; ops without
an entry are decomposed by torch, and ops without products count none.

Conventions: zero-padded positions count; a transposed convolution is counted by input positions; a complex product is
four real ones; masked attention pairs are computed too; a distance between vectors is not a product, whatever its
kernel computes. With a sparse operand, there is one product per stored element.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

Rule = Callable[..., int]
RULES: dict[str, Rule] = {}
"""By op name without overload: a function of the operands and the result."""


class Products(TorchDispatchMode):
    """Counts the products of all ops that run under it.

    Attributes:
        by_op: products of each op.
        seen: how often each uncounted op ran, so that none is silently overlooked.
        read: how often a value was read from a tensor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_op: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.read = 0

    @property
    def total(self) -> int:
        return sum(self.by_op.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        rule = RULES.get(name)
        if rule is None and torch._C._dispatch_has_kernel_for_dispatch_key(
            func.name(), torch._C.DispatchKey.CompositeImplicitAutograd
        ):
            with self:  # in inference mode composite ops arrive whole: decompose them
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if rule is None:
            self.seen[name] += 1
            self.read += name in {"aten::_local_scalar_dense", "aten::equal"}
        else:
            self.by_op[name] += rule(*args, out=out, **{k: v for k, v in kwargs.items() if k != "out"})
        return out


def counts(*names: str) -> Callable[[Rule], Rule]:
    def kept(rule: Rule) -> Rule:
        RULES.update({name if "::" in name else f"aten::{name}": rule for name in names})
        return rule

    return kept


def of(*operands: Any) -> int:
    """Real products per product of these operands: four if all are complex, two if one of two is."""
    n = sum(isinstance(t, torch.Tensor) and t.is_complex() for t in operands)
    return {0: 1, 1: 2}.get(n, 4)


def stored(tensor: torch.Tensor) -> int:
    """Number of elements of a matrix; for a sparse one, of stored elements."""
    if tensor.layout is torch.strided:
        return tensor.numel()
    return tensor._nnz() * prod(tensor._values().shape[1:] if tensor.layout is torch.sparse_coo else [1])


@counts("mm", "_sparse_mm", "_sparse_sparse_matmul", "_int_mm", "_scaled_mm")
def mm(a: torch.Tensor, b: torch.Tensor, *_: Any, out: Any, **__: Any) -> int:
    if b.layout is not torch.strided and a.layout is torch.strided:
        return a.shape[0] * stored(b) * of(a, b)
    if b.layout is not torch.strided:  # each stored element of one is multiplied by a stored row of the other
        rows = torch.bincount(b.to_sparse_coo().coalesce().indices()[0], minlength=b.shape[0])
        return int(rows[a.to_sparse_coo().coalesce().indices()[1]].sum()) * of(a, b)
    return stored(a) * b.shape[1] * of(a, b)


@counts("addmm", "_addmm_activation", "addmm_", "_sparse_addmm")
def addmm(_c: Any, a: torch.Tensor, b: torch.Tensor, *_: Any, out: Any, **__: Any) -> int:
    return mm(a, b, out=out)


@counts("bmm")
def bmm(a: torch.Tensor, b: torch.Tensor, *_: Any, out: Any, **__: Any) -> int:
    if a.layout is not torch.strided:
        return stored(a) * b.shape[-1] * of(a, b)
    return a.numel() * b.shape[-1] * of(a, b)


@counts("baddbmm", "baddbmm_", "addbmm", "addbmm_")
def baddbmm(_c: Any, a: torch.Tensor, b: torch.Tensor, *_: Any, out: Any, **__: Any) -> int:
    return bmm(a, b, out=out)


@counts("mv", "dot", "vdot")
def mv(a: torch.Tensor, b: torch.Tensor, *_: Any, out: Any, **__: Any) -> int:
    return stored(a) * of(a, b)


@counts("addmv", "addmv_")
def addmv(_c: Any, a: torch.Tensor, b: torch.Tensor, *_: Any, out: Any, **__: Any) -> int:
    return mv(a, b, out=out)


@counts("linear", "mkldnn_linear")
def linear(x: torch.Tensor, weight: torch.Tensor, *_: Any, out: Any, **__: Any) -> int:
    return x.numel() * weight.shape[0] * of(x, weight)


@counts("_trilinear")
def trilinear(
    a: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor,
    ea: Any,
    ew: Any,
    eb: Any,
    summed: Any,
    *_: Any,
    out: Any,
    **__: Any,
) -> int:
    """For `Bilinear`: each row times the weight (O, I, J), then the result (O, J) times the other row."""
    rows, (o, i, j) = out.numel() // out.shape[-1], [n for n in w.shape if n != 1] if w.dim() > 3 else w.shape
    return rows * (o * i * j + o * j)


def convolved(x: Any, weight: torch.Tensor, out: torch.Tensor, transposed: bool) -> int:
    """Each output is a sum over a kernel; if transposed, each input is multiplied by a kernel."""
    return (x if transposed else out).numel() * prod(weight.shape[1:]) * of(x, weight)


@counts("convolution", "_convolution", "convolution_overrideable")
def convolution(
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *_: Any,
    out: Any,
    **__: Any,
) -> int:
    return convolved(x, weight, out, transposed)


@counts("mkldnn_convolution", "thnn_conv2d", "_slow_conv2d_forward", "slow_conv3d", "slow_conv3d_forward",
        "conv_depthwise3d", "_conv_depthwise2d", "slow_conv_dilated2d", "slow_conv_dilated3d")  # fmt: skip
def plain_convolution(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:
    return convolved(x, weight, out[0] if isinstance(out, tuple) else out, transposed=False)


@counts("slow_conv_transpose2d", "slow_conv_transpose3d")
def transposed_convolution(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:
    return convolved(x, weight, out, transposed=True)


@counts("convolution_backward")
def convolution_backward(
    grad: Any, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    padded: Any, groups: int, mask: Any, *_: Any, out: Any, **__: Any,
) -> int:  # fmt: skip
    """As many as in forward for the input's gradient, and again for the weight's."""
    return convolved(x, weight, grad, transposed) * (mask[0] + mask[1])


@counts("conv_tbc")
def conv_tbc(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:
    """x: T,B,C; weight: R,C,K."""
    return out.numel() * weight.shape[0] * weight.shape[1]


@counts("torchvision::deform_conv2d")
def deform_conv2d(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> int:
    return convolved(x, weight, out, transposed=False)


@counts("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_fused_attention_overrideable")  # fmt: skip
def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: Any, out: Any, **__: Any) -> int:
    """q: *,L,E; k: *,S,E; v: *,S,V. Each query times each key, each attention weight times a value."""
    rows, keys = q.numel() // q.shape[-1], k.shape[-2]
    return rows * keys * (q.shape[-1] + v.shape[-1])


@counts("_scaled_dot_product_flash_attention_for_cpu_backward", "_scaled_dot_product_flash_attention_backward",
        "_scaled_dot_product_efficient_attention_backward")  # fmt: skip
def attention_backward(grad: Any, q: Any, k: Any, v: Any, *_: Any, out: Any, **__: Any) -> int:
    """The scores again, and the gradients of attention weights, values, queries and keys."""
    rows, keys = q.numel() // q.shape[-1], k.shape[-2]
    return rows * keys * (3 * q.shape[-1] + 2 * v.shape[-1])


@counts("mkldnn_rnn_layer")
def mkldnn_rnn_layer(x: Any, w_in: Any, w_hidden: Any, *_: Any, out: Any, **__: Any) -> int:
    """One direction of one layer: each step of each sequence is multiplied by both matrices. x: T,N,C."""
    return x.shape[0] * x.shape[1] * (w_in.numel() + w_hidden.numel())


@counts("_transformer_encoder_layer_fwd")
def encoder_layer(
    x: Any, width: int, heads: int, w_qkv: Any, b_qkv: Any, w_out: Any, b_out: Any, gelu: Any, first: Any, eps: Any,
    n1: Any, c1: Any, n2: Any, c2: Any, w_one: Any, b_one: Any, w_two: Any, *_: Any, out: Any, **__: Any,
) -> int:  # fmt: skip
    """x: N,L,E (for nested tensors only their own rows count, no padding)."""
    rows, pairs = tokens(x)
    return rows * sum(w.numel() for w in (w_qkv, w_out, w_one, w_two)) + 2 * pairs * width


@counts("_native_multi_head_attention")
def native_attention(
    q: Any, k: Any, v: Any, width: int, heads: int, w_qkv: Any, b_qkv: Any, w_out: Any, *_: Any, out: Any, **__: Any
) -> int:
    rows, pairs = tokens(q)
    return rows * (w_qkv.numel() + w_out.numel()) + 2 * pairs * width


def tokens(x: Any) -> tuple[int, int]:
    """Number of tokens, and number of pairs within a sequence."""
    lengths = [part.shape[0] for part in x.unbind()] if x.is_nested else [x.shape[1]] * x.shape[0]
    return sum(lengths), sum(n * n for n in lengths)


@counts("_grouped_mm", "_scaled_grouped_mm")
def grouped_mm(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> int:
    """Rows sorted by group (T,C), each group with its own matrix (E,C,K)."""
    return a.numel() * b.shape[-1]
