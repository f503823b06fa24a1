"""Ops over spatial windows: pooling, normalization, interpolation, sampling; FFT and distances."""

from __future__ import annotations

from math import prod

from cnncost.frontends.torch.lowering.layouts import with_layout
from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, lowers, spread
from cnncost.frontends.torch.types import attribute
from cnncost.graph import Attr

POOLS = {
    **{f"{fn}_pool{axes}d": (fn, axes) for fn in ("max", "avg") for axes in (1, 2, 3)},
    **{f"max_pool{axes}d_with_indices": ("max", axes) for axes in (1, 2, 3)}, "mkldnn_max_pool2d": ("max", 2),
}  # fmt: skip
"""Pools: the function, and the number of spatial axes."""
ADAPTIVE_POOLS = {
    **{f"adaptive_{fn}_pool{axes}d": (fn, axes) for fn in ("max", "avg") for axes in (1, 2, 3)},
    **{f"_adaptive_avg_pool{axes}d": ("avg", axes) for axes in (2, 3)},
}  # fmt: skip
FRACTIONAL_POOLS = {f"fractional_max_pool{axes}d": ("max", axes) for axes in (2, 3)}


@lowers(*POOLS)
def forward_pool(call: OpCall) -> Lowered:
    """A pool, with its operand's layout."""
    return "pool", with_layout(pool(call, *POOLS[call.name]), call)


def pool(call: OpCall, fn: str, axes: int) -> Attrs:
    """Return the attributes of a pool. An empty stride means the kernel size."""
    kernel = call["kernel_size"]
    return {
        "fn": fn,
        "kernel": spread(kernel, axes),
        "stride": spread(call["stride"] or kernel, axes),
        "padding": spread(call["padding"], axes),
        "dilation": spread(call.get("dilation", 1), axes),
        "ceil": bool(call["ceil_mode"]),
    }


@lowers(*ADAPTIVE_POOLS)
def adaptive_pool(call: OpCall) -> Lowered:
    """An adaptive pool, with its operand's layout. Its windows follow from the input and output sizes."""
    fn, axes = ADAPTIVE_POOLS[call.name]
    return "adaptive_pool", with_layout({"fn": fn, "axes": axes}, call)


@lowers(
    "batch_norm", "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update", "_batch_norm_with_update_functional", "_batch_norm_no_update", "cudnn_batch_norm",
    "_native_batch_norm_legit_functional", "_batch_norm_impl_index",
)  # fmt: skip
def batch_norm(call: OpCall) -> Lowered:
    """Running statistics count as folded into scale and shift, in both modes; without any, statistics are computed."""
    statistics = call.get("running_mean") is None
    return "norm", {"fn": "batch", "affine": call.get("weight") is not None, "statistics": statistics}


@lowers("instance_norm")
def instance_norm(call: OpCall) -> Lowered:
    """Counted like batch norm."""
    statistics = call["running_mean"] is None
    return "norm", {"fn": "instance", "affine": call["weight"] is not None, "statistics": statistics}


@lowers("layer_norm", "native_layer_norm", "group_norm", "native_group_norm")
def group_norm(call: OpCall) -> Lowered:
    """Over the last axes, or over groups of channels."""
    attrs: Attrs = {"affine": call["weight"] is not None, "statistics": True}
    if "normalized_shape" in call.arguments:
        return "norm", with_layout({"fn": "layer", **attrs, "axes": len(call["normalized_shape"])}, call)
    return "norm", {"fn": "group", **attrs, "groups": call.first("num_groups", "group")}


@lowers("rms_norm", "_fused_rms_norm")
def rms_norm(call: OpCall) -> Lowered:
    """Root mean square over the last axes."""
    return "norm", {"fn": "rms", "affine": call["weight"] is not None, "statistics": True,
                    "axes": len(call["normalized_shape"])}  # fmt: skip


TAPS = {0: 2, 1: 1, 2: 4}
"""Input taps per axis, by interpolation mode: linear, nearest, cubic."""
MODES = {"nearest": 1, "nearest_exact": 1, "linear": 2, "cubic": 4}
"""The same by name."""
UPSAMPLE = {
    **{f"upsample_nearest{axes}d": ("nearest", axes, False) for axes in (1, 2, 3)},
    **{f"_upsample_nearest_exact{axes}d": ("nearest_exact", axes, False) for axes in (1, 2, 3)},
    "upsample_linear1d": ("linear", 1, False), "upsample_bilinear2d": ("linear", 2, False),
    "upsample_trilinear3d": ("linear", 3, False), "upsample_bicubic2d": ("cubic", 2, False),
    "_upsample_bilinear2d_aa": ("linear", 2, True), "_upsample_bicubic2d_aa": ("cubic", 2, True),
}  # fmt: skip
"""By op: the interpolation mode, the number of axes, and whether it is antialiased."""


@lowers(*UPSAMPLE)
def resize(call: OpCall) -> Lowered:
    """Taps per axis: 1, 2 or 4; antialiased downscaling widens the filter by the scale factor."""
    mode, axes, antialias = UPSAMPLE[call.name]
    taps = MODES[mode]
    if antialias:
        sizes = zip(call.inputs[0].shape[-axes:], call.outputs[0].shape[-axes:], strict=True)
        taps *= max(1, *(-(-x // y) for x, y in sizes))
    attrs: Attrs = {
        "mode": mode, "taps": taps, "axes": axes, "align": bool(call.get("align_corners", False)),
        "scales": _scales(call), "antialias": antialias,
    }  # fmt: skip
    return "resize", with_layout(attrs, call)


def _scales(call: OpCall) -> Attr:
    """Return the requested scale factors, one per axis; None if a size was requested."""
    if (factors := call.get("scale_factors")) is not None:
        return attribute(factors)
    scales = tuple(call[name] for name in ("scales", "scales_d", "scales_h", "scales_w") if name in call.arguments)
    return None if None in scales else scales


@lowers("grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "cudnn_grid_sampler")
def sample(call: OpCall) -> Lowered:
    """x: N,C,*; grid: N,*,d. Modes: 0 linear, 1 nearest, 2 cubic."""
    grid = call["grid"].shape
    taps = TAPS[call.get("interpolation_mode", 0)]
    return "sample", {"taps": taps, "axes": grid[-1], "locations": prod(grid[:-1])}


_REAL_FFT = {"_fft_r2c": True, "_fft_c2r": True, "_fft_c2c": False}
"""By op: whether its input or output is real."""


@lowers(*_REAL_FFT)
def fft(call: OpCall) -> Lowered:
    """Over the axes `dim`. Half of a real signal's spectrum is stored; the real tensor has all points."""
    full = call.outputs[0].shape if call.name == "_fft_c2r" else call.inputs[0].shape
    points = prod(full[d] for d in call["dim"])
    return "fft", {"points": points, "transforms": prod(full) // max(points, 1), "real": _REAL_FFT[call.name],
                   "dims": attribute(call["dim"])}  # fmt: skip


@lowers("affine_grid_generator")
def affine_grid(call: OpCall) -> Lowered:
    """theta: N,d,d+1; output: N,*,d. A product of each location with the matrix (Jaderberg et al. 2015)."""
    batch, d, columns = call["theta"].shape
    locations = call.outputs[0].numel // (batch * d)
    return "matmul", {"batch": batch, "m": locations, "k": columns, "n": d, "bias": False}


@lowers(*FRACTIONAL_POOLS)
def fractional_pool(call: OpCall) -> Lowered:
    """Windows of the kernel's size at random positions."""
    fn, axes = FRACTIONAL_POOLS[call.name]
    attrs: Attrs = {"fn": fn, "kernel": spread(call["kernel_size"], axes), "stride": None, "padding": None,
                    "dilation": None, "ceil": False}  # fmt: skip
    return "pool", attrs


@lowers("dist")
def dist(call: OpCall) -> Lowered:
    """One distance, between two flattened tensors."""
    return "distance", {"pairs": 1, "width": max(t.numel for t in call.inputs[:2])}


@lowers("_cdist_forward", "cdist", "_euclidean_dist", "_pdist_forward")
def distance(call: OpCall) -> Lowered:
    """Pairs of vectors of the same width."""
    return "distance", {"pairs": call.outputs[0].numel, "width": call.inputs[0].shape[-1]}
