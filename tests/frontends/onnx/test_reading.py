"""Files: what is read, bound and refused."""

import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_files import analyzed, ints, model, node, saved, value, weight

import cnncost
from cnncost.errors import CnncostError, InputError, SourceError

SMALL = [node("Conv", "x w b", "c", name="/block/block.0/Conv", pads=[1, 1, 1, 1]),
         node("Relu", "c", "y", name="/block/block.1/Relu")]  # fmt: skip
STORED = [weight("w", 8, 3, 3, 3), weight("b", 8)]


def small(batch=2):
    return model(SMALL, [("x", batch, 3, 5, 6)], stored=STORED)


def test_a_convolution(tmp_path):
    report = analyzed(tmp_path, small())
    assert report.totals.params == 8 * 3 * 9 + 8
    assert report.totals.macs == 2 * 8 * (5 * 6) * 3 * 9
    assert report.totals.flops == 2 * report.totals.macs + 2 * 8 * 30 + 2 * 8 * 30
    assert [(row.path, row.params) for row in report.layers if row.params] == [("block.0", 224)]


def test_torch_is_not_imported(tmp_path):
    path = saved(tmp_path, small())
    code = (
        "import sys, contextlib\nfrom cnncost.cli import main\n"
        f"with contextlib.suppress(SystemExit): main(['summarize', {path!r}, '--format', 'csv'])\n"
        f"with contextlib.suppress(SystemExit): main(['memory', {path!r}])\n"
        f"with contextlib.suppress(SystemExit): main(['rf', {path!r}])\n"
        f"with contextlib.suppress(SystemExit): main(['roofline', {path!r}, '--device', 'h100'])\n"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"
    assert not found.stderr


@pytest.mark.parametrize(
    ("how", "batch"),
    [
        pytest.param({"inputs": "4x3x5x6"}, 4, id="text"),
        pytest.param({"inputs": {"x": (4, 3, 5, 6)}}, 4, id="by name"),
        pytest.param({"model_args": {"N": 3}}, 3, id="an axis"),
    ],
)
def test_open_axes_are_bound(tmp_path, how, batch):
    report = cnncost.analyze(saved(tmp_path, small("N")), **how)
    assert report.totals.macs == batch * 8 * 30 * 27


@pytest.mark.parametrize(
    ("how", "told"),
    [
        pytest.param({}, "axis 0 is open in N×3×5×6; bind it by --input x=1x3x5x6 or --dim N=1", id="open"),
        pytest.param({"inputs": {"xx": "4x3x5x6"}}, "did you mean x", id="a wrong name"),
        pytest.param({"inputs": "4x5x5x6"}, "axis 1 is 3", id="another size than the file's"),
        pytest.param({"inputs": "4x5x5"}, "expected 4 axes", id="another rank"),
        pytest.param({"model_args": {"M": 3}}, "no axis is called M", id="an axis that is not there"),
        pytest.param({"model_args": {"N": 0}}, "expected a size of 1 or more", id="an empty axis"),
        pytest.param({"inputs": ("1x3x5x6", "1x3")}, "expected at most 1 input", id="too many"),
        pytest.param({"inputs": "1x3x5x6:int64"}, "dtype is float32, got int64", id="another dtype"),
        pytest.param({"inputs": "1x3x5x6", "training": True}, "no backward pass", id="training"),
        pytest.param({"inputs": "1x3x5x6", "trace": "real"}, "is read, not run on data", id="real data"),
        pytest.param({"inputs": "1x3x5x6", "autocast": "bf16"}, "autocast is only for PyTorch models", id="autocast"),
    ],
)
def test_wrong_inputs_are_refused(tmp_path, how, told):
    with pytest.raises(InputError, match=r"m\.onnx") as error:
        cnncost.analyze(saved(tmp_path, small("N")), **how)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"no model at all", "not an ONNX model", id="text"),
        pytest.param(b"", "not an ONNX model", id="empty"),
        pytest.param(small().SerializeToString()[:200], "not an ONNX model", id="truncated"),
        pytest.param(model(SMALL, [("x", 1, 3, 5, 6)], stored=STORED, opset=6).SerializeToString(),
                     "opset 6; expected 7 or newer", id="an old opset"),
        pytest.param(model(SMALL, [("x", 1, 3, 5, 6)], stored=STORED, opset=99).SerializeToString(),
                     "opset 99; the installed onnx", id="a future opset"),
        pytest.param(model(SMALL[::-1], [("x", 1, 3, 5, 6)], stored=STORED).SerializeToString(),
                     "reads 'c', which no earlier node returns", id="out of order"),
        pytest.param(model([node("Relu", "b", "a"), node("Relu", "a", "b")], [], outputs="a").SerializeToString(),
                     "without cycles", id="a cycle"),
    ],
)  # fmt: skip
def test_damaged_files_are_refused(tmp_path, content, told):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"m\.onnx") as error:
        cnncost.analyze(str(path))
    assert told in str(error.value)


def test_a_missing_file_has_near_ones(tmp_path):
    saved(tmp_path, small(), "network.onnx")
    with pytest.raises(SourceError, match=r"no such file; did you mean network\.onnx"):
        cnncost.analyze(str(tmp_path / "netwrok.onnx"))


def test_a_missing_package_gives_the_command(tmp_path, monkeypatch):
    path = saved(tmp_path, small())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CnncostError, match=r"pip install 'cnncost\[onnx\]'"):
        cnncost.analyze(path)


def test_external_data_is_never_read(tmp_path):
    proto = small()
    w = proto.graph.initializer[0]
    w.ClearField("float_data")
    w.data_location = TensorProto.EXTERNAL
    entry = w.external_data.add()
    entry.key, entry.value = "location", "missing.bin"
    assert analyzed(tmp_path, proto).totals.params == 224


def test_declared_sizes_are_not_allocated(tmp_path):
    """Two to the fifty elements."""
    huge = helper.make_tensor("w", TensorProto.FLOAT, [1], [0.0])
    huge.ClearField("float_data")
    huge.dims[:] = [2**25, 2**25]
    report = analyzed(tmp_path, model([node("MatMul", "x w", "y")], [("x", 1, 2**25)], stored=[huge]))
    assert report.totals.params == report.totals.macs == 2**50


def test_initializers_listed_among_the_inputs(tmp_path):
    proto = small()
    proto.graph.input.extend([value("w", 8, 3, 3, 3), value("b", 8)])
    assert analyzed(tmp_path, proto).totals.params == 224


def test_shared_initializers_count_once(tmp_path):
    nodes = [node("MatMul", "x w", "a"), node("Identity", "w", "v"), node("MatMul", "a v", "y")]
    report = analyzed(tmp_path, model(nodes, [("x", 3, 5)], stored=[weight("w", 5, 5)]))
    assert (report.totals.params, report.totals.macs) == (25, 2 * 3 * 5 * 5)


def test_constant_nodes_are_weights_where_an_op_has_weights(tmp_path):
    constant = helper.make_node("Constant", [], ["w"], value=weight("w", 5, 7))
    report = analyzed(tmp_path, model([constant, node("MatMul", "x w", "y")], [("x", 3, 5)]))
    assert (report.totals.params, report.totals.macs) == (35, 3 * 5 * 7)


def test_shapes_computed_in_the_file(tmp_path):
    """x: 2,3,4; Shape, Gather, Mul, Concat, Reshape to 2·3,4."""
    nodes = [
        node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Gather", "s one", "c"), node("Mul", "n c", "m"),
        node("Concat", "m rest", "to", axis=0), node("Reshape", "x to", "y"),
    ]  # fmt: skip
    stored = [ints("zero", 0), ints("one", 1), ints("rest", -1)]
    report = analyzed(tmp_path, model(nodes, [("x", 2, 3, 4)], stored=stored))
    graph = report.graph
    assert [graph.values[i].shape for i in graph.outputs] == [(6, 4)]
    assert [n.spec.kind for n in graph.nodes] == ["layout"]


def test_what_has_no_shape_is_unknown_by_name(tmp_path):
    nodes = [node("NonZero", "x", "i"), node("Cast", "i", "y", to=1)]
    report = analyzed(tmp_path, model(nodes, [("x", 2, 3)]))
    assert report.unknown == {"onnx.NonZero": 1, "onnx.Cast": 1}


def test_a_function_of_the_file(tmp_path):
    """Its attribute is given by the caller."""
    body = [node("Gemm", "a b", "c")]
    body[0].attribute.append(onnx.AttributeProto(name="transB", type=onnx.AttributeProto.INT, ref_attr_name="flip"))
    function = helper.make_function("mine", "Twice", ["a", "b"], ["c"], body, [helper.make_opsetid("", 17)], ["flip"])
    call = helper.make_node("Twice", ["x", "w"], ["y"], domain="mine", flip=1)
    proto = model([call], [("x", 3, 5)], stored=[weight("w", 7, 5)], functions=[function])
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    assert analyzed(tmp_path, proto).totals.macs == 3 * 5 * 7


def test_an_op_of_an_unknown_domain_is_unknown_by_name(tmp_path):
    call = helper.make_node("Foo", ["x"], ["z"], domain="strange")
    report = analyzed(tmp_path, model([node("Relu", "x", "y"), call], [("x", 3, 5)], outputs=("y", "z")))
    assert report.unknown == {"strange.Foo": 1}
    assert report.totals.flops == 15


def test_constants_of_the_same_name_in_functions_are_their_own(tmp_path):
    """w is 5×7 in one, 7×2 in the other, which is called twice, and 2×7 in the graph itself."""

    def function(name, *shape):
        constant = helper.make_node("Constant", [], ["w"], value=weight("w", *shape))
        body = [constant, node("MatMul", "a w", "c")]
        return helper.make_function("mine", name, ["a"], ["c"], body, [helper.make_opsetid("", 17)])

    nodes = [
        helper.make_node("Wide", ["x"], ["p"], domain="mine"), helper.make_node("Thin", ["p"], ["q"], domain="mine"),
        node("MatMul", "q w", "r"), helper.make_node("Thin", ["r"], ["y"], domain="mine"),
    ]  # fmt: skip
    functions = [function("Wide", 5, 7), function("Thin", 7, 2)]
    proto = model(nodes, [("x", 3, 5)], stored=[weight("w", 2, 7)], functions=functions)
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    report = analyzed(tmp_path, proto)
    assert report.totals.params == 5 * 7 + 7 * 2 + 2 * 7
    assert report.totals.macs == 3 * (5 * 7 + 7 * 2 + 2 * 7 + 7 * 2)


def loop(trips):
    """h ← h·w so many times, w in the body."""
    body = helper.make_graph(
        [node("MatMul", "h w", "g"), node("Identity", "c", "on")], "body",
        [value("i", dtype=TensorProto.INT64), value("c", dtype=TensorProto.BOOL), value("h", 3, 5)],
        [value("on", dtype=TensorProto.BOOL), value("g", 3, 5)], [weight("w", 5, 5)],
    )  # fmt: skip
    return node("Loop", f"{trips} on x", "y", body=body)


def test_a_loop_of_constant_length_runs_its_body_as_often(tmp_path):
    stored = [ints("four", 4), helper.make_tensor("on", TensorProto.BOOL, [], [1])]
    report = analyzed(tmp_path, model([loop("four")], [("x", 3, 5)], stored=stored))
    assert (report.totals.params, report.totals.macs) == (25, 4 * 3 * 5 * 5)


def test_a_loop_whose_length_is_in_the_data_is_unknown(tmp_path):
    stored = [helper.make_tensor("on", TensorProto.BOOL, [], [1])]
    given = [("x", 3, 5), value("n", 1, dtype=TensorProto.INT64)]
    report = analyzed(tmp_path, model([loop("n")], given, stored=stored))
    assert report.unknown == {"onnx.Loop": 1}
    assert report.totals.params == 5 * 5  # they are in the file, however often they are read


@pytest.mark.parametrize(("which", "macs"), [(1, 3 * 5 * 7), (0, 3 * 5 * 2)])
def test_the_branch_that_a_constant_chooses(tmp_path, which, macs):
    then, other = (
        helper.make_graph([node("MatMul", "x w", "z")], name, [], [value("z", 3, n)], [weight("w", 5, n)])
        for name, n in (("a", 7), ("b", 2))
    )
    stored = [helper.make_tensor("c", TensorProto.BOOL, [], [which])]
    op = node("If", "c", "y", then_branch=then, else_branch=other)
    report = analyzed(tmp_path, model([op], [("x", 3, 5)], stored=stored))
    assert (report.totals.macs, report.totals.params) == (macs, macs // 3)


def chosen(which):
    """Of two branches with products of different sizes, each with its weight w; the second has a choice in it."""
    inner = [
        helper.make_graph([node("MatMul", "x w", "z")], name, [], [value("z", 3, 2)], [weight("w", 5, 2)])
        for name in ("c", "d")
    ]
    then = helper.make_graph([node("MatMul", "x w", "z")], "a", [], [value("z", 3, 2)], [weight("w", 5, 2)])
    other = helper.make_graph(
        [node("If", which, "z", then_branch=inner[0], else_branch=inner[1])], "b", [], [value("z", 3, 2)]
    )
    return node("If", which, "y", then_branch=then, else_branch=other)


def test_weights_of_branches_that_the_data_choose_are_counted(tmp_path):
    given = [("x", 3, 5), value("c", 1, dtype=TensorProto.BOOL)]
    report = analyzed(tmp_path, model([chosen("c")], given))
    assert report.unknown == {"onnx.If": 1}
    assert report.totals.params == 3 * 5 * 2


def test_weights_of_one_name_in_several_choices_are_several(tmp_path):
    branches = [
        helper.make_graph([node("MatMul", f"{x} w", "z")], x, [], [value("z", 3, 5)], [weight("w", 5, 5)])
        for x in ("x", "x", "y", "y")
    ]
    stored = [helper.make_tensor("c", TensorProto.BOOL, [], [1])]
    nodes = [
        node("If", "c", "y", then_branch=branches[0], else_branch=branches[1]),
        node("If", "c", "out", then_branch=branches[2], else_branch=branches[3]),
    ]
    report = analyzed(tmp_path, model(nodes, [("x", 3, 5)], outputs=("out",), stored=stored))
    assert (report.totals.params, report.totals.macs) == (2 * 5 * 5, 2 * 3 * 5 * 5)


# ---- axes without a name, and inputs of one integer


@pytest.mark.parametrize("name", ["?", "None", "-1", -1])
def test_axes_without_a_name_are_not_one_axis(tmp_path, name):
    """Converters write a question mark for each of them."""
    path = saved(tmp_path, model([node("Relu", "x", "y")], [("x", name, 3, name, name)]))
    assert cnncost.analyze(path, "1x3x4x5").totals.flops == 60
    with pytest.raises(InputError, match=r"open in \?×3×\?×\?; bind it by --input x=1x3x224x224$"):
        cnncost.analyze(path)


def rates():
    """A product by 7 columns at a rate of 16, else by 2."""
    then, other = (
        helper.make_graph([node("MatMul", "x w", "z")], name, [], [value("z", 3, n)], [weight("w", 5, n)])
        for name, n in (("a", 7), ("b", 2))
    )
    nodes = [node("Equal", "rate sixteen", "c"), node("If", "c", "y", then_branch=then, else_branch=other)]
    rate = helper.make_tensor_value_info("rate", TensorProto.INT64, [])
    sixteen = helper.make_tensor("sixteen", TensorProto.INT64, [], [16])
    return model(nodes, [("x", 3, 5), rate], stored=[sixteen])


@pytest.mark.parametrize("given", ["16", 16, np.asarray(16)], ids=["text", "a number", "an array"])
def test_the_value_of_one_integer(tmp_path, given):
    report = analyzed(tmp_path, rates(), {"rate": given})
    assert (report.totals.macs, report.totals.params, report.unknown) == (3 * 5 * 7, 5 * 7, {})
    assert "rate is given as 16: the figures hold for this value" in report.graph.notes
    assert analyzed(tmp_path, rates(), {"rate": 8}).totals.macs == 3 * 5 * 2


@pytest.mark.parametrize("given", [None, {"rate": "scalar"}, {"rate": "scalar:int64"}])
def test_one_integer_without_a_value(tmp_path, given):
    report = analyzed(tmp_path, rates(), given)
    assert (report.unknown, report.totals.params) == ({"onnx.If": 1}, 5 * 7 + 5 * 2)


def chain(count):
    """So many ops, five to a module."""
    ops = ("Conv", "Relu", "Mul", "Add", "Sigmoid")
    nodes, last = [], "x"
    for i in range(count // 5):
        for op in ops:
            inputs = {"Conv": f"{last} w", "Mul": f"{last} {last}", "Add": f"{last} {last}"}.get(op, last)
            nodes.append(node(op, inputs, f"{op}{i}", name=f"/b{i // 50}/b{i // 50}.{i % 50}/{op}"))
            last = f"{op}{i}"
    return model(nodes, [("x", 1, 2, 4, 4)], (last,), [weight("w", 2, 2, 1, 1)])


def test_time_is_linear_in_nodes(tmp_path):
    """Five times the nodes take less than ten times as long; a quadratic algorithm takes twenty-five times."""
    paths = [saved(tmp_path, chain(count), f"{count}.onnx") for count in (1_500, 7_500)]
    seconds = []
    for path in paths:
        before = time.process_time()
        report = cnncost.analyze(path)
        seconds.append(time.process_time() - before)
    assert report.totals.macs == 1_500 * 2 * 2 * 16
    assert seconds[1] < 10 * seconds[0]
