"""Reductions, softmax, scans and sorting."""

from __future__ import annotations

from cnncost.frontends.onnx.constants import axes_of
from cnncost.frontends.onnx.lowering.registry import Attrs, Op, Outputs, Ref, Source, lowers

_REDUCTIONS = {
    "ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod",
    "ReduceL2": "norm", "ReduceLogSumExp": "logsumexp",
}  # fmt: skip
_COMPOSED = {"ReduceL1": ("abs", ""), "ReduceSumSquare": ("square", ""), "ReduceLogSum": ("", "log")}
"""Reductions that are a sum with an elementwise function before or after it; empty where there is none."""


@lowers(*_REDUCTIONS, *_COMPOSED)
def reduce(op: Op) -> Outputs | None:
    """Axes are an attribute or an input; without axes, all are reduced, or none with `noop_with_empty_axes`.

    With no axes to reduce, the op copies its input. Reductions with an elementwise function (|x|, x², log, …) still
    apply it then, and are unknown.
    """
    axes = axes_of(op.attributes, [op.constant(i) for i in range(len(op.inputs))])
    if axes is None and op.has(1):
        return None
    if not axes and op.get("noop_with_empty_axes"):
        if op.type in _COMPOSED or op.type in {"ReduceL2", "ReduceLogSumExp"}:
            return None
        return op.lower_to("layout", {"copy": True, "moves": (("reshape", op.x().shape),)}, [0])
    rank = len(op.x().shape)
    dim = tuple(axis % max(rank, 1) for axis in axes) if axes else tuple(range(rank))
    attrs: Attrs = {"dim": dim, "keepdim": bool(op.get("keepdims", 1))}
    if op.type in _REDUCTIONS:
        return op.lower_to("reduce", {"fn": _REDUCTIONS[op.type], **attrs}, [0])
    before, after = _COMPOSED[op.type]
    x: Source = op.pointwise(before, [0]) if before else 0
    total = op.step("reduce", {"fn": "sum", **attrs}, [x])
    return [op.pointwise(after, [total]) if after else total]


@lowers("ArgMax", "ArgMin")
def arg(op: Op) -> Outputs:
    """Along one axis."""
    attrs = {"dim": op.get("axis", 0) % len(op.x().shape), "keepdim": bool(op.get("keepdims", 1))}
    return op.lower_to("reduce", {"fn": op.type.lower(), **attrs})


@lowers("Softmax", "LogSoftmax")
def softmax(op: Op) -> Outputs:
    """Along an axis; before opset 13, over all axes from the given one on, flattened."""
    x, fn = op.x(), "log_softmax" if op.type == "LogSoftmax" else "softmax"
    if op.opset >= 13 or not x.shape:
        return op.lower_to("softmax", {"fn": fn, "axis": op.get("axis", -1) % max(len(x.shape), 1)})
    axis = op.get("axis", 1) % len(x.shape)
    if x.numel == 0 or all(size == 1 for size in x.shape[axis + 1 :]):
        return op.lower_to("softmax", {"fn": fn, "axis": axis})
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    flat = op.reshaped(0, (rows, x.numel // rows))
    return [op.reshaped(op.step("softmax", {"fn": fn, "axis": 1}, [flat], op.type_of(flat)), x.shape)]


@lowers("Hardmax")
def hardmax(op: Op) -> Outputs | None:
    """The maximum along an axis, and a comparison of each element with it."""
    if op.opset < 13:
        return None
    x = op.x()
    axis = op.get("axis", -1) % len(x.shape)
    small = x._replace(shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    top = op.step("reduce", {"fn": "max", "dim": (axis,), "keepdim": True}, [0], small)
    return [op.pointwise("eq", [0, top])]


@lowers("CumSum", "CumProd")
def scan(op: Op) -> Outputs | None:
    """Along a constant axis; `reverse` is lowered to a scan between two flips. Unknown with `exclusive`."""
    axis = op.constant(1)
    if axis is None or op.get("exclusive"):
        return None
    x, fn = op.x(), op.type.lower()
    at = int(axis.reshape(-1)[0]) % len(x.shape)
    if not op.get("reverse"):
        return op.lower_to("scan", {"fn": fn, "axis": at}, [0])
    flip = (("slice", at, x.shape[at] - 1, x.shape[at], -1),)
    inner = op.step("scan", {"fn": fn, "axis": at}, [op.move(0, flip, x, copy=True)], x)
    return [op.move(inner, flip, x, copy=True)]


@lowers("TopK")
def topk(op: Op) -> Outputs:
    """Values and indices along an axis."""
    return op.lower_to("sort", {"unique": False, "axis": op.get("axis", -1) % len(op.x().shape)}, [0])


@lowers("LpNormalization")
def lp_normalization(op: Op) -> Outputs:
    """A norm along an axis, and a division by it."""
    x = op.x()
    axis = op.get("axis", -1) % len(x.shape)
    small = x._replace(shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    attrs: Attrs = {"dim": (axis,), "keepdim": True}
    if op.get("p", 2) == 2:
        norm: Ref = op.step("reduce", {"fn": "norm", **attrs}, [0], small)
    else:
        norm = op.step("reduce", {"fn": "sum", **attrs}, [op.pointwise("abs", [0])], small)
    return [op.pointwise("div", [0, norm])]
