"""Sequences and optionals: shapes from the package's own evaluator, figures by hand."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx_files import analyzed, ints, model, node, value, weight


def at(name, position):
    return helper.make_tensor(name, TensorProto.INT64, [], [position])


def empty(inputs, outputs, op="Optional", **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def optional_of(kind):
    return helper.make_tensor_type_proto(kind, None)


PAIR = node("SequenceConstruct", "x z", "s")
JOINED = node("ConcatFromSequence", "s", "y", axis=1)
TWO = [("x", 3, 4), ("z", 3, 2)]
WEIGHTED = [weight("w", 4, 5)]
BODY = helper.make_graph([node("MatMul", "a w", "p"), node("Relu", "p", "r")], "body", [value("a", 2, 4)], [value("r")],
                         WEIGHTED)  # fmt: skip
ADDING = helper.make_graph([node("Add", "a b", "r")], "body", [value("a", 2, 4), value("b", 2, 4)], [value("r")])
OUTER = helper.make_graph([node("Identity", "go", "on"), node("SequenceInsert", "s x", "longer")], "body",
                          [value("i", dtype=TensorProto.INT64), value("go", dtype=TensorProto.BOOL),
                           helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)],
                          [value("on", dtype=TensorProto.BOOL),
                           helper.make_tensor_sequence_value_info("longer", TensorProto.FLOAT, None)])  # fmt: skip
SPLIT = [("x", 6, 4)]
CASES = [
    pytest.param([PAIR, JOINED], TWO, [], 0, 0, id="two, joined"),
    pytest.param([node("SequenceConstruct", "x x", "s"), node("ConcatFromSequence", "s", "y", axis=-1, new_axis=1)],
                 [("x", 3, 4)], [], 0, 0, id="joined along a new axis"),
    pytest.param([PAIR, node("SequenceAt", "s i", "a"), node("Relu", "a", "y")], TWO, [at("i", -1)], 0, 6,
                 id="the last"),
    pytest.param([PAIR, node("SequenceInsert", "s x i", "t"), node("SequenceAt", "t j", "a"), node("Relu", "a", "y")],
                 TWO, [at("i", -1), at("j", 1)], 0, 12, id="inserted before the last"),
    pytest.param([PAIR, node("SequenceInsert", "s x", "t"), node("SequenceAt", "t j", "a"), node("Relu", "a", "y")],
                 TWO, [at("j", 2)], 0, 12, id="inserted at the end"),
    pytest.param([PAIR, node("SequenceErase", "s", "t"), node("ConcatFromSequence", "t", "a", axis=0),
                  node("Relu", "a", "y")], TWO, [], 0, 12, id="without the last"),
    pytest.param([PAIR, node("SequenceErase", "s i", "t"), node("ConcatFromSequence", "t", "a", axis=0),
                  node("Relu", "a", "y")], TWO, [at("i", 0)], 0, 6, id="without the first"),
    pytest.param([node("SplitToSequence", "x n", "s"), node("SequenceAt", "s i", "a"), node("MatMul", "a w", "y")],
                 SPLIT, [ints("n", 1, 2, 3), at("i", 2), *WEIGHTED], 3 * 4 * 5, 2 * 3 * 4 * 5, id="split by sizes"),
    pytest.param([node("SplitToSequence", "x n", "s"), node("SequenceAt", "s i", "a"), node("MatMul", "a w", "y")],
                 SPLIT, [at("n", 4), at("i", 1), *WEIGHTED], 2 * 4 * 5, 2 * 2 * 4 * 5, id="the smaller last part"),
    pytest.param([node("SplitToSequence", "x", "s", axis=1, keepdims=0), node("SequenceAt", "s i", "a"),
                  node("Relu", "a", "y")], SPLIT, [at("i", 3)], 0, 6, id="unbound"),
    pytest.param([node("SplitToSequence", "x n", "s", axis=0), node("SequenceMap", "s", "t", body=BODY),
                  node("ConcatFromSequence", "t", "y", axis=0)], SPLIT, [at("n", 2)],
                 6 * 4 * 5, 2 * 6 * 4 * 5 + 6 * 5, id="a map"),
    pytest.param([node("SplitToSequence", "x n", "s", axis=0), node("SequenceMap", "s z", "t", body=ADDING),
                  node("ConcatFromSequence", "t", "y", axis=0)], [*SPLIT, ("z", 2, 4)], [at("n", 2)], 0, 24,
                 id="a map with one tensor for all"),
    pytest.param([empty([], ["e"], "SequenceEmpty"), helper.make_node("Loop", ["n", "c", "e"], ["s"], body=OUTER),
                  node("ConcatFromSequence", "s", "a", axis=0), node("MatMul", "a w", "y")], [("x", 3, 4)],
                 [at("n", 3), helper.make_tensor("c", TensorProto.BOOL, [], [1]), *WEIGHTED], 9 * 4 * 5, 2 * 9 * 4 * 5,
                 id="grown by a loop"),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "inputs", "stored", "macs", "flops"), CASES)
def test_sequences(tmp_path, nodes, inputs, stored, macs, flops):
    proto = model(nodes, inputs, stored=stored)
    proto.ir_version = 10
    feeds = {name: np.ones(shape, np.float32) for name, *shape in inputs}
    (wanted,) = ReferenceEvaluator(proto).run(None, feeds)
    report = analyzed(tmp_path, proto)
    assert report.unknown == {}
    assert [report.graph.values[i].shape for i in report.graph.outputs] == [wanted.shape]
    assert (report.totals.macs, report.totals.flops) == (macs, flops)


def test_its_length_is_known(tmp_path):
    """As a size of Reshape: 3·4 elements as 2×6."""
    nodes = [PAIR, node("SequenceLength", "s", "n"), node("Unsqueeze", "n zero", "m"),
             node("Concat", "m rest", "to", axis=0), node("Reshape", "x to", "y")]  # fmt: skip
    report = analyzed(tmp_path, model(nodes, TWO, stored=[ints("zero", 0), ints("rest", -1)]))
    assert report.unknown == {}
    assert report.graph.values[report.graph.outputs[0]].shape == (2, 6)


def test_tensors_stay_as_long_as_they_are_read(tmp_path):
    """x and its Relu of 48 bytes each, z and its Relu of 24: all are alive until both are joined to 72."""
    nodes = [node("Relu", "x", "a"), node("Relu", "z", "b"), node("SequenceConstruct", "a b", "s"), JOINED]
    report = analyzed(tmp_path, model(nodes, [("x", 3, 4), ("z", 3, 2)]))
    assert report.memory.inference_peak == 2 * (48 + 24) + 72


def test_a_sequence_as_the_output_is_its_tensors(tmp_path):
    proto = model([node("SplitToSequence", "x n", "y")], SPLIT, stored=[ints("n", 1, 2, 3)])
    proto.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    graph = analyzed(tmp_path, proto).graph
    assert [graph.values[i].shape for i in graph.outputs] == [(1, 4), (2, 4), (3, 4)]


@pytest.mark.parametrize(
    ("nodes", "taken"),
    [
        pytest.param([node("Optional", "x", "o"), node("OptionalHasElement", "o", "c")], 40, id="something"),
        pytest.param([node("OptionalHasElement", "x", "c")], 40, id="a tensor itself"),
        pytest.param([empty([], ["o"], type=optional_of(TensorProto.FLOAT)), node("OptionalHasElement", "o", "c")], 0,
                     id="nothing"),
        pytest.param([empty([], ["c"], "OptionalHasElement")], 0, id="no input at all"),
    ],
)  # fmt: skip
def test_optionals_decide_branches(tmp_path, nodes, taken):
    """A product of 2×4 by 4×5 if there is an element, else only a comparison for each of 8 elements."""
    product = helper.make_graph([node("MatMul", "x w", "a")], "then", [], [value("a")])
    other = helper.make_graph([node("Relu", "x", "b")], "else", [], [value("b")])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=product, else_branch=other)
    report = analyzed(tmp_path, model([*nodes, branch], [("x", 2, 4)], stored=WEIGHTED, opset=18))
    assert report.unknown == {}
    assert (report.totals.macs, report.totals.flops) == (taken, 2 * taken or 8)


@pytest.mark.parametrize("opset", [15, 18])
def test_what_is_in_an_optional(tmp_path, opset):
    """The op of opset 15 takes optionals alone, that of 18 tensors, too."""
    nodes = [node("Optional", "x", "o"), node("OptionalGetElement", "o", "a"), node("MatMul", "a w", "y")]
    report = analyzed(tmp_path, model(nodes, [("x", 2, 4)], stored=WEIGHTED, opset=opset))
    assert (report.totals.macs, report.notes) == (40, ())


def test_a_place_that_is_data_is_unknown_by_name(tmp_path):
    nodes = [PAIR, node("SequenceAt", "s i", "y")]
    report = analyzed(tmp_path, model(nodes, [*TWO, value("i", 1, dtype=TensorProto.INT64)]))
    assert report.unknown == {"onnx.SequenceAt": 1}


def test_a_sequence_that_is_given_is_unknown_by_name(tmp_path):
    proto = model([node("ConcatFromSequence", "s", "y", axis=0)], [("x", 2)])
    proto.graph.input.append(helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None))
    assert analyzed(tmp_path, proto).unknown == {"onnx.ConcatFromSequence": 1}


def test_maps_have_weights_of_their_own(tmp_path):
    """Two bodies with the same names, 20 weights each."""
    bodies = []
    for _ in range(2):
        body = helper.GraphProto()
        body.CopyFrom(BODY)
        bodies.append(body)
    maps = [node("SequenceMap", "s", f"t{i}", body=body) for i, body in enumerate(bodies)]
    nodes = [node("SplitToSequence", "x n", "s"), *maps, node("SequenceAt", "t0 i", "a"),
             node("SequenceAt", "t1 i", "b"), node("Add", "a b", "y")]  # fmt: skip
    report = analyzed(tmp_path, model(nodes, SPLIT, stored=[at("n", 2), at("i", 0)]))
    assert (report.totals.params, report.totals.macs) == (40, 2 * 6 * 4 * 5)
