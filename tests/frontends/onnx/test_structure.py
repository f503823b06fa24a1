"""Graphs whose names, subgraphs or attributes ONNX does not allow, and what a file declares about other graphs."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_files import analyzed, ints, model, node, value, weight

from cnncost.errors import SourceError

FLAG = helper.make_tensor("on", TensorProto.BOOL, [], [1])
FOUR = numpy_helper.from_array(np.array(4), "four")
X = ("x", 3, 5)
SCALAR = helper.make_tensor_value_info("x", TensorProto.FLOAT, [])

CONDITION = helper.make_tensor_value_info("c", TensorProto.BOOL, [])


def flag(name):
    return value(name, dtype=TensorProto.BOOL)


def body(*nodes, inputs=("h",), outputs=("g",)):
    """The body of a Loop, with the iteration and the condition before the given inputs."""
    given = [value("i", dtype=TensorProto.INT64), flag("c"), *(value(name, 3, 5) for name in inputs)]
    made = [flag("go"), *(value(name, 3, 5) for name in outputs)]
    return helper.make_graph([*nodes, node("Identity", "c", "go")], "body", given, made)


def looping(inputs, graph=None):
    attributes = {"body": body(node("Relu", "h", "g"))} if graph is None else {"body": graph} if graph else {}
    return model([node("Loop", inputs, "y", **attributes)], [X], stored=[FOUR, FLAG])


def branching(outputs, **branches):
    graph = helper.make_graph([node("Relu", "x", "z")], "g", [], [value("z", 3, 5)])
    return model([node("If", "on", outputs, **dict.fromkeys(branches, graph))], [X], stored=[FLAG])


def scanning(**attributes):
    """h ← h + x, for each row of x."""
    graph = helper.make_graph([node("Add", "h r", "g")], "body", [value("h", 5), value("r", 5)], [value("g", 5)])
    return model([node("Scan", "h0 x", "y", body=graph, **attributes)], [X, ("h0", 5)])


def scanned_together(first, second):
    graph = helper.make_graph([node("Add", "a b", "s")], "body", [value("a", 5), value("b", 5)], [value("s", 5)])
    return model([node("Scan", "x z", "y", body=graph, num_scan_inputs=2)], [("x", first, 5), ("z", second, 5)])


def called(*nodes):
    function = helper.make_function("my", "F", ["a"], ["c"], list(nodes), [helper.make_opsetid("", 17)])
    proto = model([helper.make_node("F", ["x"], ["y"], domain="my")], [X], functions=[function])
    proto.opset_import.append(helper.make_opsetid("my", 1))
    return proto


CASES = [
    pytest.param(model([node("Relu", "x", "h"), node("Neg", "h", "h"), node("Relu", "h", "y")], [X]), "returns 'h'",
                 id="two nodes return one name"),
    pytest.param(model([node("Relu", "x", "w"), node("Add", "x w", "y")], [X], stored=[weight("w", 3, 5)]),
                 "returns 'w'", id="a node returns an initializer's name"),
    pytest.param(model([node("Relu", "x", "x"), node("Relu", "x", "y")], [X]), "returns 'x'", id="an input's name"),
    pytest.param(model([node("Relu", "x", "y")], [X, ("x", 4, 5)]), "two inputs are called 'x'", id="two inputs"),
    pytest.param(called(node("Relu", "a", "h"), node("Neg", "h", "h"), node("Relu", "h", "c")),
                 "F: node Neg returns 'h'", id="in a function"),
    pytest.param(looping("four on x", body(node("Relu", "h", "g"), node("Neg", "h", "g"))),
                 "body: node Neg returns 'g'", id="in a body"),
    pytest.param(looping("four on"), "a body of 2 inputs and 2 or more outputs, it has 3 and 2",
                 id="a state is missing"),
    pytest.param(looping("four on x x"), "a body of 4 inputs and 3 or more outputs", id="a state too many"),
    pytest.param(looping("four on x", body(outputs=("gone",))), "no node computes 'gone'", id="an output of nothing"),
    pytest.param(looping("four on x", False), "expected a graph as attribute body", id="no body"),
    pytest.param(branching("y", then_branch=1), "expected a graph as attribute else_branch", id="no other branch"),
    pytest.param(branching("y z", then_branch=1, else_branch=1), "a then_branch of 0 inputs and 2 or more outputs",
                 id="too few outputs of a branch"),
    pytest.param(scanning(), "num_scan_inputs is None", id="no number of inputs"),
    pytest.param(scanning(num_scan_inputs=3), "num_scan_inputs is 3, but there are 2 inputs",
                 id="too many inputs to scan"),
    pytest.param(scanning(num_scan_inputs=1, scan_input_axes=[4]), "axis 4 does not exist in an input of 2 axes",
                 id="no such axis"),
    pytest.param(scanning(num_scan_inputs=1, scan_input_directions=[0, 1]), "has 2 entries for 1 inputs",
                 id="directions"),
    pytest.param(model([node("Constant", "", "", value_int=3), node("Relu", "x", "y")], [X]),
                 "Constant: it has no outputs", id="a constant without outputs"),
    pytest.param(model([node("Cast", "x", "", to=1), node("Relu", "x", "y")], [X]), "Cast: it has no outputs",
                 id="an op without outputs"),
    pytest.param(model([node("Shape", "x", "y", start=1.0)], [X]), "start is a number, expected an integer",
                 id="where a shape starts"),
    pytest.param(model([node("ConstantOfShape", "four", "y", value=[1.0])], [X], stored=[ints("four", 4)]),
                 "value is a list of numbers, expected a tensor", id="what a shape is filled with"),
    pytest.param(model([node("Constant", "", "y", value_ints=["a"])], [X]),
                 "value_ints is a list of texts, expected a list of integers", id="a constant of texts"),
    pytest.param(model([node("Einsum", "x", "y", equation=b"\xff")], [SCALAR]), r"the equation is '\\xff'",
                 id="an equation of no letters"),
    pytest.param(model([node("GatherND", "x i", "y", batch_dims=-7)], [X], stored=[ints("i", 1)]), "batch_dims is -7",
                 id="batch axes below zero"),
    pytest.param(scanned_together(7, 6), "equal length, they have 7 and 6 positions", id="positions to scan"),
    pytest.param(model([node("Conv", "x w", "y", strides=[2.0, 2.0])], [("x", 1, 3, 5, 5)],
                       stored=[weight("w", 4, 3, 3, 3)]), "strides is a list of numbers, expected a list of integers",
                 id="another type of an attribute"),
]  # fmt: skip


@pytest.mark.parametrize(("proto", "told"), CASES)
def test_structures_that_onnx_does_not_allow_are_refused(tmp_path, proto, told):
    with pytest.raises(SourceError, match=r"m\.onnx") as error:
        analyzed(tmp_path, proto)
    assert told in str(error.value)


def test_an_initializer_that_is_stored_twice(tmp_path):
    """ONNX Runtime warns, and reads the last one."""
    proto = model([node("MatMul", "x w", "y")], [X], stored=[weight("w", 5, 7), weight("w", 5, 2)])
    report = analyzed(tmp_path, proto)
    assert (report.totals.params, report.totals.macs) == (5 * 2, 3 * 5 * 2)
    assert any("w: stored more than once" in note for note in report.notes)


@pytest.mark.parametrize(
    ("op", "given", "note"),
    [
        pytest.param(node("Conv", "x w", "y", stride=[2, 2]), value("x", 1, 3, 5, 5),
                     "Conv: opset 17 has no attribute stride; did you mean strides", id="of a convolution"),
        pytest.param(node("LpPool", "x", "y", kernel_shape=[2, 2], count=1), value("x", 1, 3, 5, 5),
                     "LpPool: opset 17 has no attribute count", id="of an op without a fast rule"),
        pytest.param(node("Squeeze", "x", "y", axes=[0]), value("x", 1, 3), "Squeeze: opset 17 has no attribute axes",
                     id="of an older opset"),
        pytest.param(node("Gather", "x x", "y"), value("x", 3), "Gather: opset 17 takes no float32 as indices",
                     id="a dtype"),
    ],
)  # fmt: skip
def test_settings_that_an_op_does_not_have_are_noted(tmp_path, op, given, note):
    report = analyzed(tmp_path, model([op], [given], stored=[weight("w", 4, 3, 3, 3)]))
    assert any(each.startswith(note) for each in report.notes)


def odd(*names):
    return helper.make_node("Odd", *[[name] for name in names], domain="odd")


def with_odd(proto):
    proto.opset_import.append(helper.make_opsetid("odd", 1))
    return proto


def test_types_declared_for_the_graph_are_not_those_of_a_function(tmp_path):
    """The graph's h is 5×5, the function's the result of an unknown op."""
    proto = with_odd(called(odd("a", "h"), node("MatMul", "h h", "c")))
    proto.graph.value_info.append(value("h", 5, 5))
    report = analyzed(tmp_path, proto)
    assert (report.unknown, report.totals.macs) == ({"odd.Odd": 1, "onnx.MatMul": 1}, 0)


def test_types_declared_in_a_branch(tmp_path):
    """h, of an unknown op, is 3×5 as the branch says, and not 9×9 as the graph does of its own h."""
    then = helper.make_graph([odd("x", "h"), node("MatMul", "h w", "z")], "then", [], [value("z", 3, 7)],
                             value_info=[value("h", 3, 5)])  # fmt: skip
    choice = node("If", "on", "y", then_branch=then, else_branch=then)
    proto = with_odd(model([choice], [X], stored=[FLAG, weight("w", 5, 7)]))
    proto.graph.value_info.append(value("h", 9, 9))
    report = analyzed(tmp_path, proto)
    assert (report.unknown, report.totals.macs) == ({"odd.Odd": 1}, 3 * 5 * 7)


def test_an_index_beyond_its_axis(tmp_path):
    for size, index in ((3, 5), (0, 0)):
        proto = model([node("Gather", "x i", "y")], [("x", size, 4)], stored=[ints("i", index)])
        with pytest.raises(SourceError, match=f"indices from {index} to {index} into axis 0"):
            analyzed(tmp_path, proto)


@pytest.mark.parametrize(
    ("op", "told"),
    [
        pytest.param(helper.make_node("Conv", ["x", "", "b"], ["y"]), "Conv needs its input W, whose name is empty",
                     id="in between"),
        pytest.param(helper.make_node("Concat", ["x", "", "x"], ["y"], axis=0), "needs its input inputs",
                     id="of a list"),
        pytest.param(helper.make_node("MatMul", ["x", ""], ["y"]), "MatMul needs its input B", id="the last"),
        pytest.param(helper.make_node("MatMul", ["x"], ["y"]), "MatMul needs 2 inputs, but has 1", id="too few"),
        pytest.param(helper.make_node("Identity", [""], ["y"]), "Identity needs its input input", id="the only one"),
        pytest.param(helper.make_node("SplitToSequence", [], ["y"]), "SplitToSequence needs 1 inputs",
                     id="a sequence's"),
        pytest.param(helper.make_node("Loop", [], ["y"]), "Loop needs 2 inputs", id="a loop's"),
        pytest.param(helper.make_node("Split", ["x"], ["y", "z"], num_outputs=3), "into 3 parts, of 2 outputs",
                     id="parts"),
    ],
)  # fmt: skip
def test_inputs_that_an_op_needs(tmp_path, op, told):
    """The last one ends a process that infers its shapes by the package."""
    proto = model([op], [("x", 3, 4)], stored=[weight("b", 4)], opset=18)
    with pytest.raises(SourceError, match=rf"m\.onnx: node {op.op_type}: ") as error:
        analyzed(tmp_path, proto)
    assert told in str(error.value)


def microsoft(op, inputs, **attributes):
    return helper.make_node(op, inputs.split(), ["y"], domain="com.microsoft", **attributes)


@pytest.mark.parametrize(
    "op",
    [
        pytest.param(microsoft("FusedConv", "x", activation="Relu"), id="no weights"),
        pytest.param(microsoft("QLinearConcat", "s z x s z"), id="no axis"),
        pytest.param(microsoft("FusedGemm", "x s", activation="Relu"), id="a scalar"),
        pytest.param(microsoft("NhwcMaxPool", "x", kernel_shape=[2, 2, 2]), id="a kernel of more axes"),
        pytest.param(microsoft("QLinearConv", "x"), id="a quantized convolution"),
        pytest.param(node("AveragePool", "x", "y", kernel_shape=[2, 2]), id="an output without a name"),
        pytest.param(node("SpaceToDepth", "x", "y"), id="no block"),
        pytest.param(node("TopK", "s k", "y i"), id="an axis of a scalar"),
        pytest.param(microsoft("MoE", "m m e e", k=-1), id="sizes below zero"),
        pytest.param(node("SequenceMap", "s", "y"), id="no body"),
    ],
)
def test_ops_that_lack_what_their_rules_read_are_unknown(tmp_path, op):
    if op.op_type == "AveragePool":
        op.output[0] = ""
    stored = [helper.make_tensor("s", TensorProto.FLOAT, [], [1]), helper.make_tensor("z", TensorProto.UINT8, [], [0])]
    stored += [ints("k", 1), weight("m", 4, 4), weight("e", 4, 4, 4)]
    proto = model([op, node("Relu", "x", "out")], [("x", 1, 2, 4, 4)], ("out",), stored)
    report = analyzed(tmp_path, proto)
    assert list(report.unknown.values()) == [1]
    assert report.totals.flops == 32


def test_a_file_without_an_opset_for_its_ops(tmp_path):
    proto = model([node("Relu", "x", "y")], [X])
    del proto.opset_import[:]
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(SourceError, match=r"m\.onnx: no opset is given for the ops of ONNX itself"):
        analyzed(tmp_path, proto)


def test_an_axis_of_no_elements_is_noted(tmp_path):
    """Some converters write 0 for an open axis; as a size it makes of all figures zeros."""
    path_note = (
        "x: the file declares 0×5, an input without elements; give its shape, x=…, if the axis is meant to be open"
    )
    proto = model([node("MatMul", "x w", "y")], [("x", 0, 5)], stored=[weight("w", 5, 7)])
    report = analyzed(tmp_path, proto)
    assert (report.totals.macs, path_note in report.notes) == (0, True)
    given = analyzed(tmp_path, proto, "3x5")
    assert (given.totals.macs, path_note in given.notes) == (3 * 5 * 7, False)


def external(name, offset):
    tensor = weight(name, 5, 5)
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    place = (("location", "w.bin"), ("offset", str(offset)), ("length", "100"))
    for key, text in place if offset is not None else ():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    return tensor


@pytest.mark.parametrize(
    ("first", "offset", "params"), [(0, 0, 25), (0, 100, 50), (None, None, 50)], ids=["one", "two", "places are lost"]
)
def test_two_names_of_the_same_external_data(tmp_path, first, offset, params):
    """Tied weights: the file stores the data once."""
    nodes = [node("MatMul", "x w", "h"), node("MatMul", "h v", "y")]
    report = analyzed(tmp_path, model(nodes, [X], stored=[external("w", first), external("v", offset)]))
    assert (report.totals.params, report.totals.macs) == (params, 2 * 3 * 25)


def test_weights_of_eight_bits_that_an_unknown_op_reads(tmp_path):
    """A matrix is a parameter, a vector of zero points beside it is none; the bias is of floats."""
    op = microsoft("QAttention", "x w b z")
    stored = [weight("w", 5, 15, dtype=TensorProto.INT8), weight("b", 15), weight("z", 15, dtype=TensorProto.INT8)]
    report = analyzed(tmp_path, model([op], [X], stored=stored))
    assert (report.unknown, report.totals.params) == ({"com.microsoft.QAttention": 1}, 5 * 15 + 15)


def test_weights_of_eight_bits_in_a_loop_of_unknown_length(tmp_path):
    graph = body(node("Relu", "h", "g"))
    graph.initializer.extend([weight("w", 5, 5, dtype=TensorProto.INT8), weight("z", 5, dtype=TensorProto.INT8)])
    trips = value("n", 1, dtype=TensorProto.INT64)
    proto = model([node("Loop", "n on x", "y", body=graph)], [X, trips], stored=[FLAG])
    report = analyzed(tmp_path, proto)
    assert (report.unknown, report.totals.params) == ({"onnx.Loop": 1}, 25)


def test_frequencies_of_a_spectrum(tmp_path):
    """64 samples, windows of 16 every 8: 7 frames of 9 frequencies; both signs have 16."""
    stored = [numpy_helper.from_array(np.array(8), "hop"), weight("w", 16), numpy_helper.from_array(np.array(16), "n")]
    for inputs, attributes, shape in (
        ("x hop w", {}, (2, 7, 9, 2)),
        ("x hop w n", {"onesided": 0}, (2, 7, 16, 2)),
        (["x", "hop", "", "n"], {}, (2, 7, 9, 2)),
    ):
        names = inputs.split() if isinstance(inputs, str) else inputs
        op = helper.make_node("STFT", names, ["y"], **attributes)
        report = analyzed(tmp_path, model([op], [("x", 2, 64, 1)], stored=stored))
        assert report.graph.values[report.graph.outputs[0]].shape == shape


def test_a_branch_with_a_constant_without_outputs(tmp_path):
    """The branch is not followed, as its condition is unknown; the file stores the constant's weights all the same."""
    constant = node("Constant", "", "", value=weight("w", 5, 7))
    branch = helper.make_graph([constant, node("Relu", "x", "z")], "g", [], [value("z", 3, 5)])
    proto = model([node("If", "c", "y", then_branch=branch, else_branch=branch)], [X, CONDITION])
    report = analyzed(tmp_path, proto)
    assert (report.unknown, report.totals.params) == ({"onnx.If": 1}, 2 * 5 * 7)


@pytest.mark.parametrize("dims", [(-1,), (1, -1, -1)], ids=["one", "two"])
def test_a_tensor_attribute_with_sizes_below_zero(tmp_path, dims):
    fill = weight("v", 1)
    fill.dims[:] = dims
    report = analyzed(tmp_path, model([node("ConstantOfShape", "s", "y", value=fill)], [], stored=[ints("s", 4)]))
    assert report.totals.macs == 0


def test_a_shape_that_ends_at_a_number_that_is_not_whole(tmp_path):
    """Before opset 15, Shape has no such attribute: a note says so, and its result is not known."""
    proto = model([node("Shape", "x", "s", end=1.5), node("Expand", "x s", "y")], [X], opset=13)
    assert any("no attribute end" in note for note in analyzed(tmp_path, proto).notes)
