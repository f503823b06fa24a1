"""Attributes that change shapes or counts, in old and new opsets. Shapes are torch's or ONNX Runtime's."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_files import analyzed, ints, model, node, value, weight

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
    """No window starts beyond the image, in any opset; a window is R − 1 comparisons, or R − 1 sums and a division."""
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
    """Two positions by steps of two: the second window would start beyond them."""
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
    """24 elements times the FLOPs of each; ONNX Runtime returns 3 and 9 for the L1 norm and square of −3."""
    proto = model([node(op, "x", "y", noop_with_empty_axes=1)], [("x", 2, 3, 4)], opset=18 + 2 * (op == "ReduceMax"))
    report = analyzed(tmp_path, proto)
    assert shapes(report) == [(2, 3, 4)]
    assert (report.totals.flops, report.unknown) == (flops, {})


def floats(name, *values):
    return helper.make_tensor(name, TensorProto.FLOAT, [len(values)], values)


@pytest.mark.parametrize(
    ("op", "opset", "attributes", "stored", "y"),
    [
        pytest.param("Upsample", 7, {"scales": [1.0, 1.0, 2.0, 3.0]}, {}, (1, 2, 10, 21), id="by attribute"),
        pytest.param("Upsample", 9, {}, {"s": [1, 1, 2, 3]}, (1, 2, 10, 21), id="by input"),
        pytest.param("Resize", 10, {}, {"s": [1, 1, 1.5, 3]}, (1, 2, 7, 21), id="without regions yet"),
        pytest.param("Resize", 13, {}, {"r": [], "s": [1, 1, 1.5, 3]}, (1, 2, 7, 21), id="behind regions"),
        pytest.param("Resize", 18, {"axes": [3, 2]}, {"r": [], "s": [3, 1.5]}, (1, 2, 7, 21), id="of two axes"),
        pytest.param("Resize", 13, {}, {"r": [0] * 4 + [1] * 4, "s": [1, 1, 1.5, 3]}, (1, 2, 7, 21), id="regions"),
    ],
)
def test_resizing(tmp_path, op, opset, attributes, stored, y):
    """Each output weights four inputs: four products, three sums. Its factors are no parameters."""
    made = node(op, " ".join(["x", *stored]), "y", mode="linear", **attributes)
    proto = model([made], [("x", 1, 2, 5, 7)], stored=[floats(n, *v) for n, v in stored.items()], opset=opset)
    report = analyzed(tmp_path, proto)
    assert shapes(report) == [y]
    assert (report.totals.flops, report.totals.params, report.unknown) == (int(np.prod(y)) * 7, 0, {})


@pytest.mark.parametrize(
    ("attributes", "factors", "reach"),
    [
        pytest.param({}, [1, 1, 1.5, 3], (1.5, 3.0), id="all axes"),
        pytest.param({"axes": [3, 2]}, [3, 1.5], (1.5, 3.0), id="two in another order"),
        pytest.param({"axes": [-2, -1]}, [1.5, 3], (1.5, 3.0), id="two from the end"),
        pytest.param({"axes": [3]}, [3], (1.0, 3.0), id="one"),
    ],
)
def test_factors_of_a_resize_belong_to_their_axes(tmp_path, attributes, factors, reach):
    made = node("Resize", "x r s", "y", mode="linear", **attributes)
    proto = model([made], [("x", 1, 2, 5, 7)], stored=[floats("r"), floats("s", *factors)], opset=18)
    assert analyzed(tmp_path, proto).graph.nodes[0].spec["scales"] == reach


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_sizes_that_keep_the_aspect_ratio(tmp_path, mode, policy):
    """5×7 to at most or at least 8×9: by 9/7 or 8/5. Which positions are seen is not followed."""
    made = node("Resize", "x - - s".replace("-", "e"), "y", mode=mode, axes=[2, 3], keep_aspect_ratio_policy=policy,
                coordinate_transformation_mode="asymmetric" if mode == "nearest" else "half_pixel",
                nearest_mode="floor")  # fmt: skip
    made.input[1] = made.input[2] = ""
    report = analyzed(tmp_path, model([made], [("x", 1, 2, 5, 7)], stored=[ints("s", 8, 9)], opset=18))
    size = {"stretch": (8, 9), "not_larger": (6, 9), "not_smaller": (8, 11)}[policy]
    assert shapes(report) == [(1, 2, *size)]
    assert any(n.spec.get("moves", ()) is None for n in report.graph.nodes) == (policy != "stretch")


@pytest.mark.parametrize("axis", [0, -1])
def test_values_of_one_hot_are_no_parameters(tmp_path, axis):
    stored = [ints("d", 5), floats("v", 0, 1)]
    made = node("OneHot", "x d v", "y", axis=axis)
    report = analyzed(tmp_path, model([made], [value("x", 3, dtype=TensorProto.INT64)], stored=stored))
    assert (report.totals.params, report.totals.flops, report.unknown) == (0, 0, {})


def test_a_weight_that_is_a_setting_of_another_op_too(tmp_path):
    """An addend of four elements that are a resize's factors, too, is a parameter."""
    nodes = [node("Resize", "x r s", "h", mode="nearest"), node("Add", "h s", "y")]
    stored = [floats("r"), floats("s", 1, 1, 2, 2)]
    report = analyzed(tmp_path, model(nodes, [("x", 1, 2, 5, 2)], stored=stored, opset=13))
    assert report.totals.params == 4


@pytest.mark.parametrize(
    ("op", "opset", "stored", "flops"),
    [
        pytest.param("GroupNormalization", 18, (2, 2), 40 * 8, id="a scale for each group"),
        pytest.param("GroupNormalization", 21, (4, 4), 40 * 8, id="a scale for each channel"),
        pytest.param("InstanceNormalization", 17, (4, 4), 40 * 8, id="of each channel"),
    ],
)
def test_norms_over_channels(tmp_path, op, opset, stored, flops):
    """2×4×5; per element 4 for statistics, 2 to normalise, 2 to scale and shift."""
    groups = {"num_groups": 2} if op == "GroupNormalization" else {}
    made = node(op, "x a b", "y", **groups)
    proto = model([made], [("x", 2, 4, 5)], stored=[weight("a", stored[0]), weight("b", stored[1])], opset=opset)
    report = analyzed(tmp_path, proto)
    assert shapes(report) == [(2, 4, 5)]
    assert (report.totals.flops, report.totals.params, report.unknown) == (flops, sum(stored), {})


OLDER = [
    pytest.param(node("Clip", "x", "y", min=0.0, max=6.0), 7, 2 * 24, [(2, 3, 4)], id="two bounds"),
    pytest.param(node("Clip", "x", "y", min=0.0), 7, 24, [(2, 3, 4)], id="one bound"),
    pytest.param(node("Clip", "x", "y"), 7, 0, [(2, 3, 4)], id="no bound"),
    pytest.param(node("Pad", "x", "y", pads=[0, 1, 0, 0, 2, 5]), 7, 0, [(2, 6, 9)], id="pads"),
    pytest.param(node("Slice", "x", "y", starts=[-2], ends=[99], axes=[1]), 7, 0, [(2, 2, 4)], id="starts"),
    pytest.param(node("Squeeze", "x1", "y", axes=[0]), 7, 0, [(3, 4)], id="squeeze"),
    pytest.param(node("Unsqueeze", "x", "y", axes=[0, 4]), 7, 0, [(1, 2, 3, 4, 1)], id="unsqueeze"),
    pytest.param(node("ReduceSum", "x", "y", axes=[1], keepdims=0), 11, 24 - 8, [(2, 4)], id="axes"),
    pytest.param(node("Split", "x", "y z", axis=1, split=[1, 2]), 7, 0, [(2, 1, 4), (2, 2, 4)], id="sizes of parts"),
    pytest.param(node("Split", "x", "y z", axis=1, num_outputs=2), 18, 0, [(2, 2, 4), (2, 1, 4)], id="parts"),
    pytest.param(node("Dropout", "x", "y", ratio=0.5), 7, 0, [(2, 3, 4)], id="dropout"),
    pytest.param(node("Dropout", "x", "y m", ratio=0.5), 7, 0, [(2, 3, 4)] * 2, id="dropout with a mask"),
    pytest.param(node("Dropout", "x", "y m"), 10, 0, [(2, 3, 4)] * 2, id="dropout with a mask of booleans"),
    pytest.param(node("Dropout", "x", "y m"), 12, 0, [(2, 3, 4)] * 2, id="dropout with an input for its ratio"),
    pytest.param(node("Softmax", "x", "y", axis=1), 11, 5 * 24, [(2, 3, 4)], id="softmax as a matrix"),
    pytest.param(node("Softmax", "x", "y", axis=1), 13, 5 * 24, [(2, 3, 4)], id="softmax"),
]


@pytest.mark.parametrize(("made", "opset", "flops", "y"), OLDER)
def test_settings_by_attribute(tmp_path, made, opset, flops, y):
    given = ("x1", 1, 3, 4) if "x1" in made.input else ("x", 2, 3, 4)
    report = analyzed(tmp_path, model([made], [given], tuple(made.output), opset=opset))
    assert shapes(report) == y
    assert (report.totals.flops, report.totals.macs, report.unknown) == (flops, 0, {})


@pytest.mark.parametrize(("opset", "rows"), [(11, (2, 12)), (13, None)])
def test_a_softmax_before_opset_13_is_over_all_axes_from_the_first(tmp_path, opset, rows):
    report = analyzed(tmp_path, model([node("Softmax", "x", "y", axis=1)], [("x", 2, 3, 4)], opset=opset))
    spec = next(n.spec for n in report.graph.nodes if n.spec.kind == "softmax")
    assert (spec.inputs[0].shape, spec["axis"]) == (rows or (2, 3, 4), 1)


@pytest.mark.parametrize(
    ("attributes", "y"),
    [
        pytest.param({"output_shape": [10, 8]}, (10, 8), id="by size"),
        pytest.param({"auto_pad": "SAME_UPPER"}, (9, 6), id="same"),
        pytest.param({"auto_pad": "SAME_LOWER"}, (9, 6), id="same, lower"),
        pytest.param({"auto_pad": "VALID"}, (9, 7), id="valid"),
        pytest.param({"pads": [0, 1, 1, 2]}, (8, 4), id="uneven"),
        pytest.param({"output_padding": [2, 1]}, (11, 8), id="more"),
    ],
)
def test_transposed_convolutions_of_a_given_size(tmp_path, attributes, y):
    """3×3 by steps of 3 and 2: the count depends on the input's positions, not on padding or cropping of the output."""
    made = node("ConvTranspose", "x w", "y", strides=[3, 2], **attributes)
    report = analyzed(tmp_path, model([made], [("x", 1, 2, 3, 3)], stored=[weight("w", 2, 4, 3, 3)]))
    assert shapes(report) == [(1, 4, *y)]
    assert report.totals.macs == 2 * 3 * 3 * 4 * 3 * 3


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_norms(tmp_path, opset, training):
    """A product and a sum per element; statistics are buffers. Before opset 14 outputs say that it trains: unknown."""
    outputs = ("y om ov" if opset >= 14 else "y om ov sm sv") if training else "y"
    how = {"training_mode": 1} if training and opset >= 14 else {}
    made = node("BatchNormalization", "x a b m v", outputs, **how)
    proto = model([made], [("x", 2, 3, 4)], stored=[weight(n, 3) for n in "abmv"], opset=opset)
    report = analyzed(tmp_path, proto)
    known = opset >= 14 or not training
    assert report.totals.params == 2 * 3
    assert (report.totals.flops, report.unknown) == ((48, {}) if known else (0, {"onnx.BatchNormalization": 1}))


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_layouts_of_recurrent_layers(tmp_path, cell, layout, direction):
    """5 steps of 3 sequences, 4 features to 6: products of inputs and states for each gate."""
    gates, d = {"LSTM": 4, "GRU": 3, "RNN": 1}[cell], 2 if direction == "bidirectional" else 1
    made = node(cell, "x w r", "y h", hidden_size=6, layout=layout, direction=direction)
    stored = [weight("w", d, gates * 6, 4), weight("r", d, gates * 6, 6)]
    x = (3, 5, 4) if layout else (5, 3, 4)
    report = analyzed(tmp_path, model([made], [("x", *x)], ("y", "h"), stored))
    assert shapes(report) == ([(3, 5, d, 6), (3, d, 6)] if layout else [(5, d, 3, 6), (d, 3, 6)])
    assert (report.totals.macs, report.unknown) == (5 * 3 * d * gates * 6 * (4 + 6), {})
