"""Ops on blocked layouts (com.microsoft.nchwc), which ONNX Runtime's optimizer writes for the processor it runs on.

A tensor of C channels is stored with C rounded up to a multiple of the processor's block of 8 or 16 channels. Shapes,
weights and counts are those of the padded tensors, because padded channels are computed as well; a note says so.
"""

from __future__ import annotations

from typing import Any

from cnncost.frontends.onnx.lowering.fused import ACTIVATIONS
from cnncost.frontends.onnx.lowering.products import geometry
from cnncost.frontends.onnx.lowering.quantized import window_positions
from cnncost.frontends.onnx.lowering.registry import BLOCKED, Op, Outputs, lowers, shapes
from cnncost.frontends.onnx.lowering.windows import global_pool, pool
from cnncost.graph import Shape
from cnncost.tensor_types import TensorType

LARGEST_BLOCK = 16
"""The largest block of any processor: multiples of it are never padded."""
NOTE = "com.microsoft.nchwc: channels are counted as the file stores them, rounded up to the processor's blocks"


@shapes("Conv", domain=BLOCKED)
def conv_type(op: Op) -> list[TensorType | None] | None:
    """x: N,C,*; w: K,C/g,*. The first convolution reads an image that isn't blocked."""
    x, w = op.x().shape, op.x(1).shape
    if len(x) != len(w) or len(w) < 3 or x[1] != w[1] * op.get("group", 1):
        return None
    space = window_positions(op, x[2:], w[2:])
    return None if space is None else [op.x()._replace(shape=(x[0], w[0], *space))]


@lowers("Conv", domain=BLOCKED, weights=(1, 2))
def conv(op: Op) -> Outputs | None:
    """x, w, bias?, addend?; then an activation, or none."""
    attrs, name = geometry(op, op.x().shape, op.x(1).shape), op.get("activation", "")
    if attrs is None or (name and name not in ACTIVATIONS):
        return None
    op.notes.append(NOTE)
    result = op.step("conv", attrs, op.present(0, 1, 2))
    if op.has(3):
        result = op.pointwise("add", [result, 3])
    return [op.pointwise(ACTIVATIONS[name], [result]) if name else result]


@shapes("MaxPool", "AveragePool", domain=BLOCKED)
def pool_type(op: Op) -> list[TensorType | None] | None:
    """x: N,C,*."""
    x, kernel = op.x().shape, tuple(op.get("kernel_shape") or ())
    space = window_positions(op, x[2:], kernel) if len(x) == len(kernel) + 2 and kernel else None
    return None if space is None else [op.x()._replace(shape=(*x[:2], *space))]


@shapes("GlobalMaxPool", "GlobalAveragePool", domain=BLOCKED)
def global_pool_type(op: Op) -> list[TensorType | None]:
    """y: one position per channel."""
    x = op.x().shape
    return [op.x()._replace(shape=(*x[:2], *[1] * (len(x) - 2)))]


lowers("MaxPool", "AveragePool", domain=BLOCKED)(pool)
lowers("GlobalMaxPool", "GlobalAveragePool", domain=BLOCKED)(global_pool)


@shapes("ReorderInput", domain=BLOCKED)
def reorder_input_type(op: Op) -> list[TensorType | None] | None:
    """y: N,C,*; None unless C is a multiple of 16: the file does not state the block's size."""
    x = op.x().shape
    if len(x) < 3:
        return None
    shape: Shape = (x[0], x[-1], *x[1:-1]) if op.get("channels_last") else x
    return None if shape[1] % LARGEST_BLOCK else [op.x()._replace(shape=shape)]


@lowers("ReorderInput", domain=BLOCKED)
def reorder_input(op: Op) -> Outputs:
    """x: N,C,* or N,*,C, converted to blocks; the last block is filled with zeros."""
    rank, moves = len(op.x().shape), _channels_to_front(op)
    given = op.x().shape[-1 if op.get("channels_last") else 1]
    added = op.y().shape[1] - given
    moves += (("pad", 1, 0, added, "constant"),) if added else ()
    # without moves, the axes stay in order: only the memory layout changes
    return op.lower_to("layout", {"copy": True, "moves": moves or (("permute", tuple(range(rank))),)})


def _channels_to_front(op: Op) -> tuple[Any, ...]:
    rank = len(op.x().shape)
    return (("permute", (0, rank - 1, *range(1, rank - 1))),) if op.get("channels_last") else ()


@shapes("ReorderOutput", domain=BLOCKED)
def reorder_output_type(op: Op) -> list[TensorType | None] | None:
    """y: N,C,* or N,*,C; C is the attribute `channels`."""
    x, channels = op.x().shape, op.get("channels", 0)
    if not 0 < channels <= x[1]:
        return None
    shape: Shape = (x[0], *x[2:], channels) if op.get("channels_last") else (x[0], channels, *x[2:])
    return [op.x()._replace(shape=shape)]


@lowers("ReorderOutput", domain=BLOCKED)
def reorder_output(op: Op) -> Outputs:
    """Converts blocks to N,C,* or N,*,C, and drops the channels that pad the last block."""
    x, channels = op.x().shape, op.get("channels")
    moves: tuple[Any, ...] = (("slice", 1, 0, channels, 1),) if channels != x[1] else ()
    if op.get("channels_last"):
        moves += (("permute", (0, *range(2, len(x)), 1)),)
    return op.lower_to("layout", {"copy": True, "moves": moves or (("permute", tuple(range(len(x)))),)})


@shapes("Upsample", domain=BLOCKED)
def upsample_type(op: Op) -> list[TensorType | None] | None:
    """y: each spatial size times an integer factor."""
    x, scales = op.x().shape, tuple(op.get("scales") or ())
    if len(scales) != len(x) or min(scales) < 1:
        return None
    return [op.x()._replace(shape=tuple(n * s for n, s in zip(x, scales, strict=True)))]


@lowers("Upsample", domain=BLOCKED)
def upsample(op: Op) -> Outputs | None:
    """Nearest copies one element; linear interpolates between two along each axis."""
    x, scales, mode = op.x().shape, tuple(op.get("scales")), op.get("mode", "nearest")
    coordinates, axes = op.get("coordinate_transformation_mode", "asymmetric"), len(x) - 2
    if scales[:2] != (1, 1) or not 1 <= axes <= 3 or mode not in {"nearest", "linear"}:
        return None
    attrs: dict[str, Any] = {
        "mode": mode, "taps": 1 if mode == "nearest" else 2, "axes": axes, "align": coordinates == "align_corners",
        "scales": tuple(map(float, scales[2:])), "antialias": False,
    }  # fmt: skip
    result = op.step("resize", attrs, [0])
    tracked = mode == "nearest" or coordinates in {"half_pixel", "align_corners"}
    return [result if tracked else op.move(result, None, op.y())]
