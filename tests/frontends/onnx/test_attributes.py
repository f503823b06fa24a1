"""Attributes that change shapes or counts, in opsets old and new. Shapes as torch or ONNX Runtime makes them."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx_files import analyzed, model, node

some = settings(max_examples=40, deadline=None)


def shapes(report):
    return [report.graph.values[i].shape for i in report.graph.outputs]


@some
@given(
    kind=st.sampled_from(["MaxPool", "AveragePool"]), opset=st.sampled_from([10, 11, 12, 17, 19, 21, 22]),
    size=st.integers(2, 9), kernel=st.integers(1, 4), stride=st.integers(1, 4), pad=st.integers(0, 2),
    dilation=st.integers(1, 2), ceil=st.booleans(),
)  # fmt: skip
def test_pools(tmp_path_factory, kind, opset, size, kernel, stride, pad, dilation, ceil):
    """No window begins behind the image, in no opset; a window is R − 1 comparisons, or R − 1 sums and a division."""
    dilation = dilation if kind == "MaxPool" else 1
    pad = min(pad, kernel // 2)
    assume(size + 2 * pad >= dilation * (kernel - 1) + 1)
    x = torch.zeros(2, 3, size, size)
    if kind == "MaxPool":
        y = torch.nn.functional.max_pool2d(x, kernel, stride, pad, dilation, ceil)
    else:
        y = torch.nn.functional.avg_pool2d(x, kernel, stride, pad, ceil)
    attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4, "ceil_mode": int(ceil)}
    if dilation > 1:
        attributes["dilations"] = [dilation] * 2
    proto = model([node(kind, "x", "y", **attributes)], [("x", 2, 3, size, size)], opset=opset)
    report = analyzed(tmp_path_factory.mktemp("pool"), proto)
    assert shapes(report) == [tuple(y.shape)]
    assert report.totals.flops == y.numel() * (kernel**2 - (kind == "MaxPool"))
    assert report.unknown == {}


@pytest.mark.parametrize(
    ("kind", "opset"),
    [*((kind, opset) for kind in ("MaxPool", "AveragePool") for opset in (10, 17, 21, 22)), ("LpPool", 18)],
)
def test_a_pool_of_one_position_in_ceil_mode(tmp_path, kind, opset):
    """Two positions by steps of two: the second window would begin behind them."""
    proto = model([node(kind, "x", "y", kernel_shape=[1], strides=[2], ceil_mode=1)], [("x", 1, 1, 2)], opset=opset)
    assert shapes(analyzed(tmp_path, proto)) == [(1, 1, 1)]


@pytest.mark.parametrize(
    ("op", "flops"),
    [
        pytest.param("ReduceSum", 0, id="a sum"),
        pytest.param("ReduceMax", 0, id="a maximum"),
        pytest.param("ReduceL1", 24, id="absolute values"),
        pytest.param("ReduceSumSquare", 24, id="squares"),
        pytest.param("ReduceL2", 48, id="squares and roots"),
        pytest.param("ReduceLogSum", 24, id="logarithms"),
    ],
)
def test_reductions_over_no_axis(tmp_path, op, flops):
    """24 elements, what the op does to each of them; ONNX Runtime gives 3 and 9 for the L1 norm and square of −3."""
    proto = model([node(op, "x", "y", noop_with_empty_axes=1)], [("x", 2, 3, 4)], opset=18 + 2 * (op == "ReduceMax"))
    report = analyzed(tmp_path, proto)
    assert shapes(report) == [(2, 3, 4)]
    assert (report.totals.flops, report.unknown) == (flops, {})
