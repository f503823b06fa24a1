"""Shapes computed from constants: each op that is evaluated, against the package onnx's own evaluator."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_files import analyzed, ints, model, node, value, weight


def stored(name, values, dtype=np.int64):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


SIZES = [2, 6, 4]
"""The shape of x: what the op under test gets, as s."""
CASES = [
    pytest.param([node("Split", "s", "a b c", axis=0), node("Concat", "c a", "t", axis=0)], [], 17, id="equal parts"),
    pytest.param([node("Split", "s", "a b", num_outputs=2, axis=0), node("Concat", "b a", "t", axis=0)], [], 18,
                 id="parts of which the last is smaller"),
    pytest.param([node("Split", "s n", "a t")], [stored("n", [1, 2])], 17, id="parts of given sizes"),
    pytest.param([node("ScatterND", "s i u", "t")], [stored("i", [[1], [2]]), stored("u", [8, 3])], 17, id="ScatterND"),
    pytest.param([node("ScatterElements", "s i u", "t")], [stored("i", [1, -1]), stored("u", [8, 3])], 17,
                 id="ScatterElements"),
    pytest.param([node("GatherElements", "s i", "t")], [stored("i", [2, 1, -3])], 17, id="GatherElements"),
    pytest.param([node("GatherND", "s i", "t")], [stored("i", [[2], [1], [-3]])], 17, id="GatherND"),
    pytest.param([node("Clip", "s low high", "t")], [stored("low", 3), stored("high", 5)], 17, id="Clip"),
    pytest.param([node("Clip", "s low", "t")], [stored("low", 3)], 17, id="Clip, one bound"),
    pytest.param([node("CumSum", "s zero", "t")], [stored("zero", 0)], 17, id="CumSum"),
    pytest.param([node("ArgMax", "s", "i"), node("Add", "i s", "t")], [], 17, id="ArgMax"),
    pytest.param([node("ArgMin", "s", "i", keepdims=0), node("Add", "i s", "t")], [], 17, id="ArgMin"),
    pytest.param([node("Sign", "s", "i"), node("Add", "i s", "t")], [], 17, id="Sign"),
    pytest.param([node("Add", "s s", "i"), node("Max", "i s", "j"), node("Sum", "f f f", "k"),
                  node("Cast", "k", "kk", to=7), node("Add", "j kk", "t")], [stored("f", [1, 2, 3], np.float32)], 17,
                 id="Sum"),
    pytest.param([node("OneHot", "one depth values", "h"), node("Add", "h s", "t")],
                 [stored("one", -2), stored("depth", 3), stored("values", [0, 5])], 17, id="OneHot"),
    pytest.param([node("Pad", "s p fill", "t")], [stored("p", [0, 1]), stored("fill", 7)], 17, id="Pad"),
    pytest.param([node("Trilu", "m", "l", upper=0), node("NonZero", "l", "n"), node("ReduceMax", "n", "r", keepdims=0),
                  node("Add", "r s", "t")], [stored("m", np.ones((3, 3)))], 17, id="Trilu and NonZero"),
    pytest.param([node("Slice", "s first last axes steps", "t")],
                 [ints("first", 9), ints("last", -9), ints("axes", 0), ints("steps", -1)], 17,
                 id="a slice backwards from behind the last"),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "given", "opset"), CASES)
def test_shapes_that_constants_fix(tmp_path, nodes, given, opset):
    one = stored("one_element", [1.0], np.float32)
    nodes = [node("Shape", "x", "s"), *nodes, node("Expand", "one_element t", "y")]
    proto = model(nodes, [("x", *SIZES)], stored=[one, *given], opset=opset)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": np.zeros(SIZES, np.float32)})
    report = analyzed(tmp_path, proto)
    assert report.unknown == {}
    assert report.graph.values[report.graph.outputs[0]].shape == expected.shape


def test_positions_as_old_exports_write_them(tmp_path):
    """Ones of the length, NonZero, Transpose, Squeeze: 0, 1, 2, 3."""
    nodes = [
        node("ConstantOfShape", "four", "ones", value=stored("", [1])), node("NonZero", "ones", "n"),
        node("Transpose", "n", "t"), node("Squeeze", "t axis", "p"), node("Gather", "w p", "y"),
    ]  # fmt: skip
    proto = model(nodes, [("x", 1)], stored=[ints("four", 4), ints("axis", 1), weight("w", 9, 5)])
    report = analyzed(tmp_path, proto)
    assert (report.unknown, report.graph.values[report.graph.outputs[0]].shape) == ({}, (4, 5))


@pytest.mark.parametrize("opset", [10, 13])
def test_factors_that_round_to_the_wanted_size(tmp_path, opset):
    """13/7 in float32, times 7, is 13 in float32 and less in float64: runtimes compute in float32. The two sizes, and
    the factors of batch and channels, are no parameters."""
    nodes = [
        node("Shape", "x", "s"), node("Slice", "s two four", "hw"), node("Cast", "hw", "f", to=TensorProto.FLOAT),
        node("Div", "wanted f", "r"), node("Concat", "ones r", "factors", axis=0),
        helper.make_node("Resize", ["x", *([""] if opset > 10 else []), "factors"], ["y"], mode="nearest"),
    ]  # fmt: skip
    given = [
        ints("two", 2),
        ints("four", 4),
        stored("wanted", [11, 13], np.float32),
        stored("ones", [1, 1], np.float32),
    ]
    report = analyzed(tmp_path, model(nodes, [("x", 1, 2, 5, 7)], stored=given, opset=opset))
    assert report.graph.values[report.graph.outputs[0]].shape == (1, 2, 11, 13)
    assert report.totals.params == 0


def test_factors_of_sizes_are_no_parameters(tmp_path):
    """Three sizes times 0.5, 2 and 1, as integers."""
    nodes = [node("Shape", "x", "s"), node("Cast", "s", "f", to=TensorProto.FLOAT), node("Mul", "f by", "g"),
             node("Cast", "g", "t", to=TensorProto.INT64), node("Reshape", "x t", "y")]  # fmt: skip
    proto = model(nodes, [value("x", 2, 6, 4)], stored=[stored("by", [0.5, 2, 1], np.float32)])
    report = analyzed(tmp_path, proto)
    assert (report.graph.values[report.graph.outputs[0]].shape, report.totals.params) == ((1, 12, 4), 0)


def test_a_slice_backwards_from_before_the_first_position(tmp_path):
    """By the standard it starts at the first position, so that one element is left; NumPy's slice is empty."""
    nodes = [node("Shape", "x", "s"), node("Slice", "s first last axes steps", "t"), node("Expand", "one t", "y")]
    given = [ints("first", -9), ints("last", -10), ints("axes", 0), ints("steps", -1)]
    report = analyzed(tmp_path, model(nodes, [("x", 6, 5)], stored=[*given, weight("one", 1)]))
    assert report.graph.values[report.graph.outputs[0]].shape == (6,)
