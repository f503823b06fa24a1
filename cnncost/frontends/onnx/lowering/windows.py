"""Pools, norms, interpolation, sampling."""

from __future__ import annotations

from math import prod

import numpy as np

from cnncost.frontends.onnx.lowering.products import padding_before, per_axis
from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Attrs, Op, Outputs, Ref, Source, lowers, shapes
from cnncost.tensor_types import TensorType


@lowers("MaxPool", "AveragePool")
def pool(op: Op) -> Outputs | None:
    """x: N,C,*. Padded positions count, whether or not the average includes them."""
    x, kernel = op.x().shape, tuple(op.get("kernel_shape"))
    axes = len(kernel)
    if not 1 <= axes <= 3:
        return None
    stride, dilation = per_axis(op, "strides", axes), per_axis(op, "dilations", axes)
    attrs: Attrs = {
        "fn": "max" if op.type == "MaxPool" else "avg", "kernel": kernel, "stride": stride,
        "padding": padding_before(op, x[2:], op.y().shape[2:], kernel, stride, dilation), "dilation": dilation,
        "ceil": bool(op.get("ceil_mode", 0)),
    }  # fmt: skip
    return op.lower_to("pool", attrs)


@lowers("GlobalAveragePool", "GlobalMaxPool")
def global_pool(op: Op) -> Outputs | None:
    """Over all spatial positions."""
    axes = len(op.x().shape) - 2
    if not 1 <= axes <= 3:
        return None
    return op.lower_to("adaptive_pool", {"fn": "max" if "Max" in op.type else "avg", "axes": axes})


@lowers("GlobalLpPool")
def global_lp_pool(op: Op) -> Outputs | None:
    """The 2-norm over all spatial positions."""
    if op.get("p", 2) != 2:
        return None
    return op.lower_to("reduce", {"fn": "norm", "dim": tuple(range(2, len(op.x().shape))), "keepdim": True})


@lowers("BatchNormalization", weights=(1, 2, 3, 4))
def batch_norm(op: Op) -> Outputs | None:
    """x, scale, shift, mean, variance. Training mode counts the same."""
    if not op.get("training_mode"):  # only y is computed, though files of old opsets may name further outputs
        op.outputs[1:] = [None] * (len(op.outputs) - 1)
    return op.lower_to("norm", {"fn": "batch", "affine": True, "statistics": False})


@lowers("InstanceNormalization", weights=(1, 2))
def instance_norm(op: Op) -> Outputs:
    """x, scale, shift; statistics per example and channel."""
    return op.lower_to("norm", {"fn": "instance", "affine": True, "statistics": True})


@shapes("GroupNormalization", "MeanVarianceNormalization", domain="")
def same_type(op: Op) -> list[TensorType | None]:
    """y: the type of x, which the onnx package does not infer for these ops."""
    return [op.x()]


@lowers("GroupNormalization", weights=(1, 2))
def group_norm(op: Op) -> Outputs:
    """x, scale, shift."""
    return op.lower_to("norm", {"fn": "group", "affine": True, "statistics": True, "groups": op.get("num_groups")})


@shapes("LayerNormalization", domain="")
def layer_norm_type(op: Op) -> list[TensorType | None]:
    """y, mean and inverse standard deviation. ONNX Runtime writes this op into files of older opsets, too."""
    x, first = op.x(), op.get("axis", -1) % len(op.x().shape)
    statistics = TensorType((*x.shape[:first], *[1] * (len(x.shape) - first)), "float32")
    return [x, statistics, statistics]


@lowers("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", weights=(1, 2))
def layer_norm(op: Op) -> Outputs | None:
    """x, scale, shift?: over the axes from `axis` on. RMS norm has no shift."""
    x = op.x()
    first = op.get("axis", -1) % len(x.shape)
    if x.dtype != op.y().dtype:
        return None
    if op.type == "LayerNormalization":
        return op.lower_to("norm", {"fn": "layer", "affine": True, "statistics": True, "axes": len(x.shape) - first})
    return op.lower_to("norm", {"fn": "rms", "affine": True, "statistics": True, "axes": len(x.shape) - first}, [0, 1])


@shapes("SimplifiedLayerNormalization", domain="")
def simplified_norm_type(op: Op) -> list[TensorType | None]:
    """y: the type of x; the inverse standard deviation, usually left out."""
    first = op.get("axis", -1) % len(op.x().shape)
    return [op.x(), TensorType((*op.x().shape[:first], *[1] * (len(op.x().shape) - first)), "float32")]


@shapes("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
def skip_norm_type(op: Op) -> list[TensorType | None]:
    """y; mean and inverse standard deviation, both usually left out; the sum."""
    x = op.x()
    statistics = TensorType((*x.shape[:-1], 1), "float32")
    return [x, statistics, statistics, x]


@lowers("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MICROSOFT, weights=(2, 3, 4))
def skip_norm(op: Op) -> Outputs | None:
    """A norm of x + skip (+ bias). Simplified: x, skip, scale, bias?; else x, skip, scale, shift?, bias?."""
    simple = "Simplified" in op.type
    if any(output is not None for output in op.outputs[1:3]):
        return None
    x, bias = op.x(), 3 if simple else 4
    total: Ref = op.pointwise("add", [0, 1])
    if op.has(bias):
        total = op.pointwise("add", [total, bias])
    shift = () if simple else op.present(3)
    y = op.step("norm", {"fn": "rms" if simple else "layer", "affine": True, "statistics": True, "axes": 1},
                [total, 2, *shift], x)  # fmt: skip
    result: Outputs = [y, None, None, total]
    return result[: len(op.outputs)]


@lowers("LRN")
def lrn(op: Op) -> Outputs | None:
    """x / (k + α·mean of squares over neighboring channels)^β, lowered to the steps by which torch computes it."""
    x, size = op.x(), op.get("size")
    if len(x.shape) < 2:
        return None
    squares = op.pointwise("mul", [0, 0])
    n, c, rest = x.shape[0], x.shape[1], prod(x.shape[2:])
    rows = op.reshaped(squares, (n, 1, c, rest))
    window: Attrs = {"fn": "avg", "kernel": (size, 1), "stride": (1, 1), "padding": ((size - 1) // 2, 0),
                     "dilation": (1, 1), "ceil": False}  # fmt: skip
    mean = op.reshaped(op.step("pool", window, [rows], x._replace(shape=(n, 1, c, rest))), x.shape)
    power = op.pointwise("pow", [op.pointwise("add", [op.pointwise("mul", [mean])])])
    return [op.pointwise("div", [0, power])]


# ---- interpolation


@shapes("Resize", "Upsample", domain="")
def resized_type(op: Op) -> list[TensorType | None] | None:
    """Sizes times scales in float32, rounded down, as runtimes compute them; the onnx package may round differently.

    None if the op has no constant scale for each axis, or other settings determine the sizes: the package infers those.
    """
    x = op.x()
    factors = op.constant(2 if op.type == "Resize" and op.opset >= 11 else 1)
    given = op.get("scales") if factors is None else factors.reshape(-1)
    special = op.get("axes") is not None or op.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if given is None or len(given) != len(x.shape) or special or op.has(3) or min(given, default=0) <= 0:
        return None
    sizes = np.floor(np.asarray(x.shape, np.float32) * np.asarray(given, np.float32))
    return [x._replace(shape=tuple(int(size) for size in sizes))]


@lowers("Resize", "Upsample")
def resize(op: Op) -> Outputs | None:
    """x: N,C,*; sizes are constants.

    Receptive fields beyond it are unknown if torch has no equivalent mapping of coordinates.
    """
    x, y = op.x(), op.y()
    mode = op.get("mode", "nearest")
    coordinates = op.get("coordinate_transformation_mode", "half_pixel")
    if op.type == "Upsample" or op.opset < 11:
        coordinates = "asymmetric"
    if not 3 <= len(x.shape) <= 5 or x.shape[:2] != y.shape[:2] or coordinates == "tf_crop_and_resize":
        return None
    axes = len(x.shape) - 2
    stretched = op.get("keep_aspect_ratio_policy", "stretch") == "stretch"  # otherwise all axes share one factor
    if mode == "nearest":
        rounding = op.get("nearest_mode", "round_prefer_floor") if op.type == "Resize" and op.opset >= 11 else "floor"
        if coordinates != "asymmetric" or rounding != "floor" or not stretched:
            return [op.move(0, None, y, copy=True)]
        return op.lower_to("resize", _resize_attrs(op, "nearest", 1, axes, False), [0])
    taps = {"linear": 2, "bilinear": 2, "trilinear": 2, "cubic": 4}.get(mode)
    if taps is None:
        return None
    antialias = bool(op.get("antialias"))
    if antialias:
        taps *= max(1, *(-(-a // b) for a, b in zip(x.shape[2:], y.shape[2:], strict=True)))
    attrs = _resize_attrs(op, "cubic" if mode == "cubic" else "linear", taps, axes, coordinates == "align_corners")
    attrs["antialias"] = antialias
    result = op.step("resize", attrs, [0], y)
    tracked = coordinates in {"half_pixel", "pytorch_half_pixel", "align_corners"} and not op.get("exclude_outside")
    return [result if tracked and stretched else op.move(result, None, y)]


def _resize_attrs(op: Op, mode: str, taps: int, axes: int, align: bool) -> Attrs:
    """Return the attributes of a resize step; scales are None if the op has only output sizes."""
    scales = op.constant(2 if op.type == "Resize" and op.opset >= 11 else 1)
    given = op.get("scales") if scales is None or scales.size == 0 else [float(n) for n in scales.reshape(-1)]
    if given is not None and op.get("axes") is not None:  # scales of some axes, in any order; others are 1
        named = {axis % (axes + 2): n for axis, n in zip(op.get("axes"), given, strict=False)}
        given = [named.get(axis, 1.0) for axis in range(axes + 2)]
    factors = None if given is None or len(given) != axes + 2 else tuple(given[2:])
    return {"mode": mode, "taps": taps, "axes": axes, "align": align, "scales": factors, "antialias": False}


@lowers("GridSample")
def grid_sample(op: Op) -> Outputs | None:
    """x: N,C,*; grid: N,*,d."""
    grid = op.x(1).shape
    taps = {"linear": 2, "bilinear": 2, "nearest": 1, "cubic": 4, "bicubic": 4}.get(op.get("mode", "linear"))
    if taps is None or not 4 <= len(grid) <= 5:
        return None
    return op.lower_to("sample", {"taps": taps, "axes": grid[-1], "locations": prod(grid[:-1])})


@lowers("RoiAlign")
def roi_align(op: Op) -> Outputs | None:
    """x, regions, the batch index of each region.

    Unknown unless the number of samples is given; otherwise it depends on the sizes of the regions.
    """
    samples: Source = op.get("sampling_ratio", 0)
    return op.lower_to("roi_align", {"samples": samples}, [0, 1]) if samples else None
