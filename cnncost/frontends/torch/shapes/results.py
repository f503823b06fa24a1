"""Shape rules for ops without a meta kernel, and for ops whose meta kernel reads values unnecessarily."""

from __future__ import annotations

from math import comb
from typing import Any

import torch

from cnncost.frontends.torch.shapes.registry import Output, packed, shapes


@shapes("geqrf")
def _geqrf(a: dict[str, Any]) -> list[Output] | None:
    """The factors, column-major as LAPACK returns them, and one number per Householder reflection."""
    x = a["self"]
    *batch, m, n = x.shape
    _, strides, _ = packed((*batch, n, m), x.dtype)
    factors = ((*batch, m, n), (*strides[:-2], 1, max(m, 1)), x.dtype)
    return [factors, packed((*batch, min(m, n)), x.dtype)]


@shapes("histogram")
def _histogram(a: dict[str, Any]) -> list[Output] | None:
    """The count of each bin, and the bins' edges, of which there is one more."""
    x, bins = a["self"], a["bins"]
    count = bins.shape[0] - 1 if isinstance(bins, torch.Tensor) else bins
    return [packed((count,), x.dtype), packed((count + 1,), x.dtype)] if count > 0 else None


@shapes("_histogramdd_bin_edges")
def _edges(a: dict[str, Any]) -> list[Output] | None:
    """The edges of the bins along each axis."""
    return [packed((n + 1,), a["self"].dtype) for n in a["bins"]] if len(a["bins"]) == a["self"].shape[-1] else None


@shapes("_histogramdd_from_bin_cts")
def _counts(a: dict[str, Any]) -> list[Output] | None:
    return [packed(tuple(a["bins"]), a["self"].dtype)] if len(a["bins"]) == a["self"].shape[-1] else None


@shapes("_histogramdd_from_bin_tensors")
def _counts_between(a: dict[str, Any]) -> list[Output] | None:
    bins = tuple(edges.shape[0] - 1 for edges in a["bins"])
    return [packed(bins, a["self"].dtype)] if len(bins) == a["self"].shape[-1] and min(bins) > 0 else None


@shapes("combinations")
def _combinations(a: dict[str, Any]) -> list[Output] | None:
    """One row per combination of r elements out of n."""
    x, r = a["self"], a["r"]
    if x.dim() != 1 or r < 1:
        return None
    n = x.shape[0] + (r - 1 if a["with_replacement"] else 0)
    return [packed((comb(n, r) if n else 0, r), x.dtype)]


@shapes("_ctc_loss_backward")
def _ctc_backward(a: dict[str, Any]) -> list[Output] | None:
    """A contiguous gradient of the log-probabilities (T,N,C), whatever their strides."""
    x = a["log_probs"]
    return [packed(tuple(x.shape), x.dtype)] if x.dim() == 3 else None


@shapes(
    "multi_margin_loss_backward", "multilabel_margin_loss_backward", "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
)  # fmt: skip
def _like_input(a: dict[str, Any]) -> list[Output] | None:
    """A contiguous gradient of the input's shape."""
    return [packed(tuple(a["self"].shape), a["self"].dtype)]
