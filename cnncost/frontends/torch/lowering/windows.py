"""Ops over spatial windows: pooling, normalization, interpolation, sampling; FFT and distances."""

from __future__ import annotations

from math import prod

from cnncost.frontends.torch.lowering.layouts import with_layout
from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, lowers, spread
from cnncost.frontends.torch.types import attribute
from cnncost.graph import Attr


def _axes(name: str) -> int:
    """Return the number of spatial axes in an op's name, such as 2 for `max_pool2d`."""
    return next(int(c) for c in name if c.isdigit())


@lowers(
    "max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "mkldnn_max_pool2d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
)  # fmt: skip
def forward_pool(call: OpCall) -> Lowered:
    """A pool, with its operand's layout."""
    kind, attrs = pool(call)
    return kind, with_layout(attrs, call)


def pool(call: OpCall) -> Lowered:
    """Lower a pool. An empty stride means the kernel size."""
    axes = _axes(call.name)
    kernel = call["kernel_size"]
    attrs: Attrs = {
        "fn": "max" if "max" in call.name else "avg",
        "kernel": spread(kernel, axes),
        "stride": spread(call["stride"] or kernel, axes),
        "padding": spread(call["padding"], axes),
        "dilation": spread(call.get("dilation", 1), axes),
        "ceil": bool(call["ceil_mode"]),
    }
    return "pool", attrs


@lowers(
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
)  # fmt: skip
def forward_adaptive_pool(call: OpCall) -> Lowered:
    """An adaptive pool, with its operand's layout."""
    kind, attrs = adaptive_pool(call)
    return kind, with_layout(attrs, call)


def adaptive_pool(call: OpCall) -> Lowered:
    """Lower an adaptive pool, whose windows follow from the input and output sizes."""
    return "adaptive_pool", {"fn": "max" if "max" in call.name else "avg", "axes": _axes(call.name)}


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
    attrs: Attrs = {
        "fn": "layer" if "layer" in call.name else "group",
        "affine": call["weight"] is not None,
        "statistics": True,
    }
    if "normalized_shape" in call.arguments:
        attrs["axes"] = len(call["normalized_shape"])
    else:
        attrs["groups"] = call.first("num_groups", "group")
    return "norm", with_layout(attrs, call) if attrs["fn"] == "layer" else attrs


@lowers("rms_norm", "_fused_rms_norm")
def rms_norm(call: OpCall) -> Lowered:
    """Root mean square over the last axes."""
    return "norm", {"fn": "rms", "affine": call["weight"] is not None, "statistics": True,
                    "axes": len(call["normalized_shape"])}  # fmt: skip


TAPS = {0: 2, 1: 1, 2: 4}
"""Input taps per axis, by interpolation mode: linear, nearest, cubic."""
UPSAMPLE = {
    "upsample_nearest1d": (1, 1), "upsample_nearest2d": (1, 2), "upsample_nearest3d": (1, 3),
    "_upsample_nearest_exact1d": (1, 1), "_upsample_nearest_exact2d": (1, 2), "_upsample_nearest_exact3d": (1, 3),
    "upsample_linear1d": (2, 1), "upsample_bilinear2d": (2, 2), "upsample_trilinear3d": (2, 3),
    "upsample_bicubic2d": (4, 2), "_upsample_bilinear2d_aa": (2, 2), "_upsample_bicubic2d_aa": (4, 2),
}  # fmt: skip
"""By op: the number of input taps per axis (unless `_aa` downscales), and the number of axes."""


@lowers(*UPSAMPLE)
def resize(call: OpCall) -> Lowered:
    """Taps per axis: 1, 2 or 4; antialiased downscaling widens the filter by the scale factor."""
    taps, axes = UPSAMPLE[call.name]
    if call.name.endswith("_aa"):
        sizes = zip(call.inputs[0].shape[-axes:], call.outputs[0].shape[-axes:], strict=True)
        taps *= max(1, *(-(-x // y) for x, y in sizes))
    mode = {1: "nearest", 2: "linear", 4: "cubic"}[UPSAMPLE[call.name][0]]
    attrs: Attrs = {
        "mode": "nearest_exact" if "exact" in call.name else mode,
        "taps": taps, "axes": axes, "align": bool(call.get("align_corners", False)), "scales": _scales(call),
        "antialias": call.name.endswith("_aa"),
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


@lowers("fractional_max_pool2d", "fractional_max_pool3d")
def fractional_pool(call: OpCall) -> Lowered:
    """Windows of the kernel's size at random positions."""
    axes = _axes(call.name)
    attrs: Attrs = {"fn": "max", "kernel": spread(call["kernel_size"], axes), "stride": None, "padding": None,
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
