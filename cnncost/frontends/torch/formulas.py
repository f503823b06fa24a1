"""Derivatives as autograd computes them without a dispatch mode.

Under a dispatch mode, autograd uses formulas without in-place writes or reads of values, which create more tensors than
a plain run. The formulas of the plain run are recorded instead. If those read values, the usual case is
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
        """∂x = ∂y · (y/x)* (* is the conjugate), after a test for zeros."""
        (x, result), (grad,), dim = ctx.saved_tensors, grads, ctx.dim
        x = x.to(grad.dtype)  # forward may have returned another dtype
        if dim is None:
            torch.eq(x, 0)
            return None, grad * (result / x).conj()
        if not ctx.keepdim:
            grad, result = grad.unsqueeze(dim), result.unsqueeze(dim)
        zeros = x == 0
        counts = zeros.sum(dim, True)
        counts.sum()
        return None, grad * (result / x).conj(), None, None


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
        """∂x = (Σ ∂y·y*)/x*, the sum over the element and all after it (* is the conjugate), after a test for zeros."""
        (x, result), (grad,), dim = ctx.saved_tensors, grads, ctx.dim
        grad = grad.to(x.dtype)  # unlike `Prod`
        weighted = result.conj() * grad
        zeros = x == 0
        zeros.any()
        return None, _reverse_cumsum(weighted, dim).div(x.conj()), None


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


class MatrixExp(Function):
    """Matrix exponential. x: *,N,N."""

    @staticmethod
    def forward(ctx: Any, op: Any, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = op(x)
        ctx.save_for_backward(x)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The upper right block of exp([[xᴴ, ∂y], [0, xᴴ]]) (Mathias, 1996)."""
        (x,), (grad,) = ctx.saved_tensors, grads
        adjoint, n = x.mH, x.shape[-1]
        blocks = grad.new_zeros((*x.shape[:-2], 2 * n, 2 * n))
        for block, row, column in ((adjoint, 0, 0), (grad, 0, n), (adjoint, n, n)):
            blocks.narrow(-2, row, n).narrow(-1, column, n).copy_(block)
        return None, torch.linalg.matrix_exp(blocks).narrow(-2, 0, n).narrow(-1, n, n)


class HouseholderProduct(Function):
    """The first M columns of a product of K Householder reflections. x: *,N,M; factors: *,K."""

    @staticmethod
    def forward(ctx: Any, op: Any, x: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = op(x, factors)
        ctx.save_for_backward(x, factors, result)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Compute the gradients of each reflection Hᵢ's vector and factor from a product P.

        First P = H₀⁻¹·y·∂yᴴ; after the gradients of each Hᵢ, P becomes Hᵢ₊₁⁻¹·P·Hᵢ.
        """
        (x, factors, result), (grad,) = ctx.saved_tensors, grads
        count = factors.shape[-1]
        if not count:
            return None, None, None
        vectors = x.tril(-1)
        vectors.diagonal(0, -2, -1).fill_(1)
        used = vectors.narrow(-1, 0, count)
        # factors of the inverse reflections
        inverse = factors / (factors * (used * used.conj()).sum(-2) - 1)
        product = result @ grad.mH
        _reflect_rows(product, vectors, inverse, 0)
        vector_grads, factor_grads = torch.zeros_like(x), torch.zeros_like(factors)
        for i in range(count):
            vector_grad, factor_grad = _reflection_grads(product, vectors, factors, i)
            vector_grads.select(-1, i).copy_(vector_grad.squeeze(-1))
            factor_grads.select(-1, i).copy_(factor_grad.squeeze(-1))
            if i + 1 < count:
                _reflect_rows(product, vectors, inverse, i + 1)
                _reflect_columns(product, vectors, factors, i)
            del vector_grad, factor_grad  # before those of the next iteration, as in C++
        return None, vector_grads.tril_(-1), factor_grads


def _vector(vectors: torch.Tensor, i: int) -> torch.Tensor:
    """The vector of a reflection below its zeros: *,N-i,1."""
    return vectors.narrow(-1, i, 1).narrow(-2, i, vectors.shape[-2] - i)


def _reflect_rows(product: torch.Tensor, vectors: torch.Tensor, factors: torch.Tensor, i: int) -> None:
    """Multiply rows i to N by I - factor·v·vᴴ from the left, in place. product: *,N,N."""
    v, factor = _vector(vectors, i), factors.narrow(-1, i, 1)
    rows = product.narrow(-2, i, v.shape[-2])
    projected = v.mH @ rows
    scaled = factor.unsqueeze(-1) * v
    rows.sub_(scaled * projected)


def _reflect_columns(product: torch.Tensor, vectors: torch.Tensor, factors: torch.Tensor, i: int) -> None:
    """Multiply columns i to N by I - factor·v·vᴴ from the right, in place. product: *,N,N."""
    v, factor = _vector(vectors, i), factors.narrow(-1, i, 1)
    columns = product.narrow(-1, i, v.shape[-2])
    projected = columns @ (factor.unsqueeze(-1) * v)
    columns.sub_(projected * v.mH)


def _reflection_grads(
    product: torch.Tensor, vectors: torch.Tensor, factors: torch.Tensor, i: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of a reflection's vector (*,N,1) and factor (*,1)."""
    v, factor = _vector(vectors, i), factors.narrow(-1, i, 1).unsqueeze(-1)
    left, right = v.mH @ product.narrow(-2, i, v.shape[-2]), product.narrow(-1, i, v.shape[-2]) @ v
    scaled, negative = factor * right, -factor
    vector_grad = (negative * left).conj().squeeze(-2) - scaled.squeeze(-1)
    factor_grad = -(left.narrow(-1, i, v.shape[-2]) @ v).conj()
    return vector_grad.unsqueeze(-1), factor_grad.squeeze(-1)
