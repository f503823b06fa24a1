"""Ops that move, index or create elements: layout steps whose moves come from attributes or constant inputs."""

from __future__ import annotations

from typing import Any

from cnncost.frontends.onnx.lowering.registry import Op, Outputs, lowers, shapes
from cnncost.tensor_types import Shape, TensorType


def _layout(op: Op, moves: tuple[Any, ...] | None, copy: bool = True) -> Outputs:
    return op.lower_to("layout", {"copy": copy, "moves": moves}, [0])


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def reshape(op: Op) -> Outputs:
    """The same elements in the same order and memory."""
    return _layout(op, (("reshape", op.y().shape),), copy=False)


@lowers("Transpose")
def transpose(op: Op) -> Outputs:
    """perm; by default all axes are reversed."""
    order = tuple(op.get("perm") or range(len(op.x().shape))[::-1])
    return _layout(op, (("permute", order),))


@lowers("Expand")
def expand(op: Op) -> Outputs:
    """Broadcast both ways: unlike in torch, the shape may be 1 along an axis where the input is larger."""
    return _layout(op, (("expand", op.y().shape),))


def _ints(op: Op, index: int, attribute: str) -> list[int] | None:
    """Return a list of integers from an attribute or a constant input."""
    if attribute in op.attributes:
        return [int(n) for n in op.attributes[attribute]]
    value = op.constant(index)
    return None if value is None else [int(n) for n in value.reshape(-1)]


@lowers("Slice")
def slices(op: Op) -> Outputs:
    """One range for each listed axis."""
    x, y = op.x().shape, op.y().shape
    starts = _ints(op, 1, "starts")
    axes = _ints(op, 3, "axes") if op.has(3) or "axes" in op.attributes else list(range(len(starts or ())))
    steps = _ints(op, 4, "steps") if op.has(4) else [1] * len(starts or ())
    if starts is None or axes is None or steps is None:
        return _layout(op, None)
    moves = []
    for axis, start, step in zip([a % len(x) for a in axes], starts, steps, strict=True):
        size = x[axis]
        first = start + size if start < 0 else start
        first = min(max(first, 0), size - 1 if step < 0 else size)
        if y[axis] != size or step != 1:
            moves.append(("slice", axis, first, y[axis], step))
    return _layout(op, tuple(moves))


@lowers("Concat")
def concat(op: Op) -> Outputs:
    """All inputs along an axis."""
    axis = op.get("axis", 1) % len(op.y().shape)
    return op.lower_to("layout", {"copy": True, "moves": (("cat", axis),)})


@lowers("Split")
def split(op: Op) -> Outputs:
    """Consecutive ranges of an axis."""
    return _layout(op, (("split", op.get("axis", 0) % len(op.x().shape)),) if None not in op.outputs else None)


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@lowers("Pad")
def pad(op: Op) -> Outputs:
    """pads: first the amounts before each axis, then those after it."""
    x, y = op.x().shape, op.y().shape
    pads, mode = _ints(op, 1, "pads"), _PAD_MODES.get(op.get("mode", "constant"))
    axes = _ints(op, 3, "axes") if op.has(3) else list(range(len(x)))
    if pads is None or axes is None or mode is None:
        return _layout(op, None)
    half = len(axes)
    by_axis = [(axis % max(len(x), 1), pads[i], pads[half + i]) for i, axis in enumerate(axes)]
    wide = any(max(before, after) >= x[axis] for axis, before, after in by_axis)
    if mode in {"reflect", "circular"} and wide and 0 not in y:
        return _layout(op, None)  # wraps around more than once
    return _layout(op, tuple(("pad", a, before, after, mode) for a, before, after in by_axis if before or after))


@lowers("Tile")
def tile(op: Op) -> Outputs:
    """Repeat each axis; the input `repeats` has the counts."""
    times = _ints(op, 1, "repeats")
    if times is None:
        return _layout(op, None)
    return _layout(op, tuple(("tile", axis, n) for axis, n in enumerate(times) if n != 1))


@lowers("DepthToSpace")
def depth_to_space(op: Op) -> Outputs:
    """x: N,C,H,W. The position in the block is the outer part of C in mode DCR; in CRD, as in torch, the inner part."""
    n, c, h, w = op.x().shape
    b = op.get("blocksize")
    if op.get("mode", "DCR") == "CRD":
        inner: Shape = (n, c // b**2, b, b, h, w)
        order: Shape = (0, 1, 4, 2, 5, 3)
    else:
        inner, order = (n, b, b, c // b**2, h, w), (0, 3, 4, 1, 5, 2)
    return _layout(op, (("reshape", inner), ("permute", order), ("reshape", op.y().shape)))


@lowers("SpaceToDepth")
def space_to_depth(op: Op) -> Outputs:
    """x: N,C,H,W; the position in the block becomes the outer part of C."""
    n, c, h, w = op.x().shape
    b = op.get("blocksize")
    moves = (("reshape", (n, c, h // b, b, w // b, b)), ("permute", (0, 3, 5, 1, 2, 4)), ("reshape", op.y().shape))
    return _layout(op, moves)


@lowers("Trilu")
def trilu(op: Op) -> Outputs:
    """Keeps the elements on one side of a diagonal; the others are set to zero."""
    return op.lower_to("layout", {"copy": True, "moves": (("reshape", op.x().shape),), "zeroes": True}, [0])


@lowers("ReverseSequence", "CenterCropPad", "Compress")
def untracked(op: Op) -> Outputs:
    """Which elements go where depends on data, or isn't tracked."""
    return _layout(op, None)


# ---- by index


@lowers("Gather", weights=(0,))
def gather(op: Op) -> Outputs:
    """data, indices; axis. Constant indices are tracked; a gather of rows from a stored matrix is an embedding."""
    x, ids = op.x(), op.x(1)
    axis, known = op.get("axis", 0) % len(x.shape), op.constant(1)
    if known is None and axis == 0 and len(x.shape) == 2 and op.stored(0):
        return op.lower_to("gather", {"fn": "embedding"})
    if known is not None and not ids.shape:
        index = int(known) % x.shape[axis]
        return _layout(op, (("select", axis, index),))
    if len(ids.shape) != 1:
        return op.lower_to("gather", {"fn": "other"})
    attrs: dict[str, Any] = {"fn": "index_select", "dim": axis}
    if known is not None:
        attrs["positions"] = (_runs([int(i) % x.shape[axis] for i in known]),)
    return op.lower_to("gather", attrs)


def _runs(positions: list[int]) -> tuple[tuple[int, int, int], ...]:
    """Return positions as runs (first, count, step) of equally spaced ones."""
    runs: list[tuple[int, int, int]] = []
    at = 0
    while at < len(positions):
        step = positions[at + 1] - positions[at] if at + 1 < len(positions) else 1
        count = 1
        while at + count < len(positions) and positions[at + count] - positions[at + count - 1] == step:
            count += 1
        runs.append((positions[at], count, step))
        at += count
    return tuple(runs)


@lowers("GatherElements")
def gather_elements(op: Op) -> Outputs:
    """One index per output element."""
    return op.lower_to("gather", {"fn": "gather", "dim": op.get("axis", 0) % len(op.x().shape)})


@lowers("GatherND", "OneHot")
def gather_other(op: Op) -> Outputs:
    """Gather by position (GatherND), or write a one at each index (OneHot)."""
    if op.type == "OneHot" and op.get("axis", -1) in (-1, len(op.x().shape)):
        return op.lower_to("gather", {"fn": "one_hot"}, [0])
    return op.lower_to("gather", {"fn": "other"})


@lowers("Scatter", "ScatterElements", "ScatterND")
def scatter(op: Op) -> Outputs:
    """data, indices, updates; a reduction accumulates."""
    adds = op.get("reduction", "none") != "none"
    return op.lower_to("scatter", {"accumulate": adds, "elements": op.x(2).numel})


@lowers("MaxUnpool")
def unpool(op: Op) -> Outputs:
    """Each element is written to the position that its index gives."""
    return op.lower_to("scatter", {"accumulate": False, "elements": op.x().numel})


# ---- creation


@lowers(
    "ConstantOfShape", "EyeLike", "Range", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike",
    "Shape", "Size",
)  # fmt: skip
def create(op: Op) -> Outputs:
    """Constants, ranges, random numbers."""
    return op.lower_to("create", {})


@lowers("Bernoulli")
def bernoulli(op: Op) -> Outputs:
    """Each element is drawn with its own probability."""
    return op.lower_to("create", {"reads": (0,)})


# ---- shapes that the onnx package infers differently from what runtimes compute


@shapes("STFT", domain="")
def stft_type(op: Op) -> list[TensorType | None] | None:
    """x: N,T or N,T,1 or N,T,2; frame step; window?; frame length?. y: N, frames, frequencies, 2.

    The onnx package's inference ignores `onesided`, which is on by default.
    """
    x, step = op.x().shape, op.constant(1)
    given = op.constant(3)
    if not 2 <= len(x) <= 3 or step is None or step.size != 1 or (op.has(3) and given is None):
        return None
    length = int(given.reshape(-1)[0]) if given is not None else op.x(2).shape[0] if op.has(2) else 0
    hop = int(step.reshape(-1)[0])
    if not 0 < length <= x[1] or hop < 1:
        return None
    frequencies = length // 2 + 1 if op.get("onesided", 1) else length
    return [op.x()._replace(shape=(x[0], (x[1] - length) // hop + 1, frequencies, 2))]
