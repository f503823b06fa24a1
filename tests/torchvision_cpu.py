"""Torchvision beside a torch that its compiled part does not fit. `install()` comes before torchvision.

The wheels on PyPI are compiled for CUDA, and their library does not load beside a CPU-only torch. Torchvision then
fails on import, for it describes the shapes of ops that nobody has defined. Where its library loads, nothing is
done here; else the ops are defined by their schemas, and those that detection models run in a forward get a plain
kernel in Python: slow, and right. `tests/test_torchvision_cpu.py` holds them against loops.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import torch
from torch.nn import functional as F  # as everywhere

_POOLED = "float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_SOURCE = "SymInt batch_size, SymInt channels, SymInt height, SymInt width"
_DEFORMED = (
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, "
    "SymInt groups, SymInt offset_groups, bool use_mask"
)
SCHEMAS = (
    "_cuda_version() -> int",
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "box_iou_rotated(Tensor boxes1, Tensor boxes2) -> Tensor",
    f"roi_align(Tensor input, Tensor rois, {_POOLED}, int sampling_ratio, bool aligned) -> Tensor",
    (
        "qroi_align(Tensor input, Tensor rois, float input_scale, int input_zero_point, float rois_scale, "
        f"int rois_zero_point, {_POOLED}, int sampling_ratio, bool aligned) -> Tensor"
    ),
    f"_roi_align_backward(Tensor grad, Tensor rois, {_POOLED}, {_SOURCE}, int sampling_ratio, bool aligned) -> Tensor",
    f"roi_pool(Tensor input, Tensor rois, {_POOLED}) -> (Tensor, Tensor)",
    f"_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, {_POOLED}, {_SOURCE}) -> Tensor",
    f"ps_roi_align(Tensor input, Tensor rois, {_POOLED}, int sampling_ratio) -> (Tensor, Tensor)",
    (
        f"_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor channel_mapping, {_POOLED}, int sampling_ratio, "
        f"{_SOURCE}) -> Tensor"
    ),
    f"ps_roi_pool(Tensor input, Tensor rois, {_POOLED}) -> (Tensor, Tensor)",
    f"_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor channel_mapping, {_POOLED}, {_SOURCE}) -> Tensor",
    f"deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, {_DEFORMED}) -> Tensor",
    (
        "_deform_conv2d_backward(Tensor grad, Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, "
        f"{_DEFORMED}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
    ),
)
_KEPT: list[torch.library.Library] = []
"""The definitions: they go when their library object does."""


def present() -> bool:
    """Whether torchvision is installed at all."""
    return importlib.util.find_spec("torchvision") is not None


def install() -> bool:
    """Make `import torchvision` work. True if its library did not load and the kernels here took its place."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or _KEPT:
        return bool(_KEPT)
    library = Path(spec.submodule_search_locations[0]) / "_C.so"
    load = torch.ops.load_library
    try:
        load(str(library))
    except OSError:
        _define()
    else:
        return False
    # Told that its library is there, torchvision describes the shapes of its ops itself.
    torch.ops.load_library = lambda path: None if Path(path).name == "_C.so" else load(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Warning only once")  # it puts its own in place of our autograd
            importlib.import_module("torchvision")
    finally:
        torch.ops.load_library = load
    return True


def _define() -> None:
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    library.impl("_cuda_version", lambda: -1, "CompositeImplicitAutograd")
    library.impl("nms", nms, "CPU")
    library.impl("roi_align", roi_align, "CPU")
    library.impl("deform_conv2d", deform_conv2d, "CPU")
    torch.library.register_autograd(
        "torchvision::deform_conv2d", _deform_conv2d_backward, setup_context=_keep, lib=library
    )
    _KEPT.append(library)


def _keep(ctx, inputs, output) -> None:  # as torch calls it
    ctx.save_for_backward(*inputs[:5])
    ctx.geometry = inputs[5:]


def _deform_conv2d_backward(ctx, grad):
    """By torchvision's own op, which has no kernel here: shapes alone."""
    found = torch.ops.torchvision._deform_conv2d_backward(grad, *ctx.saved_tensors, *ctx.geometry)
    return (*found, *[None] * len(ctx.geometry))


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Indices of the boxes (x1, y1, x2, y2) that no better box overlaps by more than `threshold`, best first."""
    order = scores.argsort(descending=True, stable=True)
    sorted_boxes = boxes[order].double()
    width, height = (sorted_boxes[:, 2:] - sorted_boxes[:, :2]).unbind(1)
    area = width * height
    alive = torch.ones(len(order), dtype=torch.bool)
    for i in range(len(order)):
        if not alive[i]:
            continue
        rest = sorted_boxes[i + 1 :]
        low = torch.maximum(sorted_boxes[i, :2], rest[:, :2])
        high = torch.minimum(sorted_boxes[i, 2:], rest[:, 2:])
        common = (high - low).clamp(min=0).prod(1)
        alive[i + 1 :] &= common <= threshold * (area[i] + area[i + 1 :] - common)
    return order[alive]


def roi_align(
    x: torch.Tensor, rois: torch.Tensor, scale: float, height: int, width: int, ratio: int, aligned: bool
) -> torch.Tensor:
    """x: N,C,H,W; rois: K,5 (image, x1, y1, x2, y2). Means of bilinear samples, `ratio` by `ratio` in each bin."""
    if not len(rois):
        return x.new_zeros((0, x.shape[1], height, width))
    return torch.cat([_aligned(x[int(roi[0])], roi[1:] * scale, (height, width), ratio, aligned) for roi in rois])


def _aligned(image: torch.Tensor, box: torch.Tensor, size: tuple[int, int], ratio: int, aligned: bool) -> torch.Tensor:
    offset = 0.5 if aligned else 0.0
    points = []
    for axis, bins in ((1, size[0]), (0, size[1])):  # y, then x
        start, end = float(box[axis]) - offset, float(box[axis + 2]) - offset
        length = end - start if aligned else max(end - start, 1.0)
        samples = ratio if ratio > 0 else max(-int(-length // bins), 1)
        points.append((start + length * (torch.arange(bins * samples) + 0.5) / (bins * samples), samples))
    (ys, per_y), (xs, per_x) = points
    sampled = _bilinear(image, ys.to(image.dtype), xs.to(image.dtype))
    blocks = sampled.reshape(image.shape[0], size[0], per_y, size[1], per_x)
    return blocks.mean((2, 4)).unsqueeze(0)


def _bilinear(image: torch.Tensor, ys: torch.Tensor, xs: torch.Tensor) -> torch.Tensor:
    """image: C,H,W at each of ys by xs; within a pixel of the border it is held, beyond it is zero."""
    rows, columns = (_interpolation(points, size) for points, size in ((ys, image.shape[1]), (xs, image.shape[2])))
    used_y, used_x = (slice(*_range(weights)) for weights in (rows, columns))  # a region is a small part of an image
    return torch.einsum("yh,chw,xw->cyx", rows[:, used_y], image[:, used_y, used_x], columns[:, used_x])


def _range(weights: torch.Tensor) -> tuple[int, int]:
    """The first column that is not all zero, and the one after the last."""
    used = weights.any(0).nonzero()
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)


def _interpolation(points: torch.Tensor, size: int) -> torch.Tensor:
    """How much each pixel of an axis counts for each point: at most two do."""
    inside = (points >= -1) & (points <= size)
    at = points.clamp(0, size - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=size - 1)
    part = at - low
    rows = torch.arange(len(points))
    weights = points.new_zeros((len(points), size))
    weights.index_put_((rows, low), 1 - part, accumulate=True)
    weights.index_put_((rows, high), part, accumulate=True)
    return weights * inside.unsqueeze(1)


def deform_conv2d(
    x: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor, bias: torch.Tensor,
    stride_h: int, stride_w: int, pad_h: int, pad_w: int, dilation_h: int, dilation_w: int,
    groups: int, offset_groups: int, use_mask: bool,
) -> torch.Tensor:  # fmt: skip
    """x: N,C,H,W; weight: K,C/g,R,S; offset: N,2·o·R·S,P,Q. A convolution whose taps are sampled where offsets say."""
    (n, c, h, w), (k, per_group, kernel_h, kernel_w) = x.shape, weight.shape
    p, q = offset.shape[-2:]
    taps = kernel_h * kernel_w
    moved = offset.view(n, offset_groups, taps, 2, p, q)
    tap_y, tap_x = (
        t.reshape(-1, 1, 1) for t in torch.meshgrid(torch.arange(kernel_h), torch.arange(kernel_w), indexing="ij")
    )
    ys = moved[:, :, :, 0] + tap_y * dilation_h - pad_h + torch.arange(p).view(-1, 1) * stride_h
    xs = moved[:, :, :, 1] + tap_x * dilation_w - pad_w + torch.arange(q).view(1, -1) * stride_w
    grid = torch.stack(((2 * xs + 1) / w - 1, (2 * ys + 1) / h - 1), -1).view(n * offset_groups, taps * p, q, 2)
    parts = x.reshape(n * offset_groups, c // offset_groups, h, w)
    sampled = F.grid_sample(parts, grid.to(x.dtype), align_corners=False)
    sampled = sampled.view(n, offset_groups, c // offset_groups, taps, p, q)
    if use_mask:
        sampled = sampled * mask.view(n, offset_groups, 1, taps, p, q)
    columns = sampled.reshape(n, groups, per_group * taps, p * q)
    out = torch.einsum("gkt,ngtp->ngkp", weight.reshape(groups, k // groups, per_group * taps), columns)
    return out.reshape(n, k, p, q) + bias.view(1, -1, 1, 1)
