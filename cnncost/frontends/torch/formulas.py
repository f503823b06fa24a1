"""Derivatives as autograd computes them without a dispatch mode.

Under a dispatch mode, autograd uses formulas without in-place writes or reads of values, which create more tensors than
a plain run. Here are the formulas of the plain run, to be recorded instead. Where those read values, the usual case is
assumed: no element is zero, none is NaN. The tests for zeros and NaNs are recorded, but their results are not used.
Ref: torch/csrc/autograd/FunctionsManual.cpp.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import Function


class Prod(Function):
    """The product of all elements, or along an axis. x: any shape."""

    @staticmethod
    def forward(ctx: Any, op: Any, x: torch.Tensor, *args: Any) -> torch.Tensor:
        result: torch.Tensor = op(x, *args)
        ctx.save_for_backward(x, result)
        ctx.dim, ctx.keepdim = (args[0], args[1]) if len(args) > 1 else (None, True)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """∂x = ∂y · y/x, after a test for zeros."""
        (x, result), (grad,), dim = ctx.saved_tensors, grads, ctx.dim
        if dim is None:
            torch.eq(x, 0)
            return None, grad * (result / x)
        if not ctx.keepdim:
            grad, result = grad.unsqueeze(dim), result.unsqueeze(dim)
        zeros = x == 0
        counts = zeros.sum(dim, True)
        counts.sum()
        return None, grad * (result / x), None, None


class Cumprod(Function):
    """Products of all elements up to each, along an axis."""

    @staticmethod
    def forward(ctx: Any, op: Any, x: torch.Tensor, dim: int) -> torch.Tensor:
        result: torch.Tensor = op(x, dim)
        ctx.save_for_backward(x, result)
        ctx.dim = dim
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """∂x = Σ (∂y·y)/x over each element and all after it, after a test for zeros."""
        (x, result), (grad,), dim = ctx.saved_tensors, grads, ctx.dim
        weighted = result * grad
        zeros = x == 0
        zeros.any()
        return None, _reverse_cumsum(weighted, dim).div(x), None


def _reverse_cumsum(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Reversed cumulative sum; intermediates live until it returns, like temporaries of a C++ expression."""
    flipped = x.flip(dim)
    sums = flipped.cumsum(dim)
    return sums.flip(dim)


class Extreme(Function):
    """Maximum, minimum or median of all elements. The gradient is divided equally among the elements that equal it."""

    @staticmethod
    def forward(ctx: Any, op: Any, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = op(x)
        ctx.save_for_backward(x, result)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """∂x = ∂y/n at the n elements where x = y, else 0, after a test for NaN."""
        (x, result), (grad,) = ctx.saved_tensors, grads
        result.isnan()
        mask = x == result
        return None, grad.new_zeros(x.shape).masked_fill_(mask, grad / mask.sum())
