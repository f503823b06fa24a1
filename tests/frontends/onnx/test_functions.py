"""Functions of the file: attributes of the call in subgraphs, overloads, functions that call functions."""

import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper
from onnx_files import analyzed, ints, model, node, value, weight

OPSET = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]


def with_functions(nodes, functions, *stored):
    proto = model(nodes, [("x", 4, 4)], stored=[weight("w", 4, 4), *stored])
    proto.ir_version = 10
    proto.opset_import.append(helper.make_opsetid("my", 1))
    proto.functions.extend(functions)
    return proto


def referring(name, to, kind):
    """An attribute whose value is that of the function's own."""
    attribute = AttributeProto()
    attribute.name, attribute.ref_attr_name, attribute.type = name, to, kind
    return attribute


def branch(name, *ops):
    return helper.make_graph(list(ops), name, [], [value(f"{name}_out", 4, 4)])


@pytest.mark.parametrize("depth", [1, 2], ids=["in a branch", "in a branch of a branch"])
@pytest.mark.parametrize(("axis", "exponentials"), [(0, 16), (1, 16)])
def test_attributes_of_the_call_within_graphs(tmp_path, depth, axis, exponentials):
    """Softmax of 4×4: 5 FLOPs for each of 16 elements, along the axis that the call names."""
    soft = node("Softmax", "x", "then_out")
    soft.attribute.append(referring("axis", "along", AttributeProto.INT))
    other = branch("else", node("Neg", "x", "else_out"))
    inner = node("If", "yes", "z", then_branch=branch("then", soft), else_branch=other)
    for _ in range(depth - 1):
        inner.output[0] = "deep_out"
        inner = node("If", "yes", "z", then_branch=branch("deep", inner), else_branch=other)
    yes = node("Constant", "", "yes", value=helper.make_tensor("v", TensorProto.BOOL, [], [True]))
    function = helper.make_function("my", "Along", ["x"], ["z"], [yes, inner], OPSET, ["along"])
    report = analyzed(
        tmp_path, with_functions([helper.make_node("Along", ["x"], ["y"], domain="my", along=axis)], [function])
    )
    assert report.totals.flops == 5 * exponentials
    (found,) = [n.spec for n in report.graph.nodes if n.spec.kind == "softmax"]
    assert found["axis"] == axis


@pytest.mark.parametrize("order", [1, -1])
def test_overloads_of_one_name(tmp_path, order):
    """`product` is a matrix product, of 64 multiply-accumulates; the other is one multiplication for each element."""
    functions = []
    for overload, op in (("product", "MatMul"), ("elements", "Mul")):
        body = [node(op, "x w", "z")]
        functions.append(helper.make_function("my", "Times", ["x", "w"], ["z"], body, OPSET, overload=overload))
    for overload, macs, flops in (("product", 64, 128), ("elements", 0, 16)):
        call = helper.make_node("Times", ["x", "w"], ["y"], domain="my", overload=overload)
        totals = analyzed(tmp_path, with_functions([call], functions[::order])).totals
        assert (totals.macs, totals.flops, totals.params) == (macs, flops, 16)


def test_a_function_called_by_another_twice(tmp_path):
    """Two products of 4×4 by 4×4 with one weight."""
    once = helper.make_function("my", "Once", ["x", "w"], ["z"], [node("MatMul", "x w", "z")], OPSET)
    calls = [helper.make_node("Once", [a, "w"], [b], domain="my") for a, b in (("x", "t"), ("t", "z"))]
    twice = helper.make_function("my", "Twice", ["x", "w"], ["z"], calls, OPSET)
    report = analyzed(
        tmp_path, with_functions([helper.make_node("Twice", ["x", "w"], ["y"], domain="my")], [twice, once])
    )
    assert (report.totals.macs, report.totals.params) == (128, 16)


def test_a_reference_without_a_value_is_the_default(tmp_path):
    """The call gives no axis: that of Softmax itself holds, the last one."""
    soft = node("Softmax", "x", "z")
    soft.attribute.append(referring("axis", "along", AttributeProto.INT))
    function = helper.make_function("my", "Along", ["x"], ["z"], [soft], OPSET, ["along"])
    proto = with_functions([helper.make_node("Along", ["x"], ["y"], domain="my")], [function], ints("unused", 1))
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(proto))
    (found,) = [n.spec for n in analyzed(tmp_path, proto).graph.nodes]
    assert found["axis"] == 1


def constant(name, shape):
    return node("Constant", "", name, value=weight(name, *shape))


@pytest.mark.parametrize("overloads", [("", "other"), ("one", "other")])
def test_constants_of_overloads_are_their_own(tmp_path, overloads):
    """Two functions of one name, each with a weight w of 4×4."""
    functions = [
        helper.make_function("my", "By", ["x"], ["z"], [constant("w", (4, 4)), node("MatMul", "x w", "z")], OPSET,
                             overload=overload)
        for overload in overloads
    ]  # fmt: skip
    calls = [
        helper.make_node("By", [a], [b], domain="my", overload=overload)
        for (a, b), overload in zip((("x", "t"), ("t", "y")), overloads, strict=True)
    ]
    proto = with_functions(calls, functions)
    del proto.graph.initializer[:]
    totals = analyzed(tmp_path, proto).totals
    assert (totals.macs, totals.params) == (128, 2 * 16)


def multiplied_by_attribute(name, inner=None):
    """x·v, where the call gives v; or the call of a function that does so."""
    own = node("Constant", "", "w") if inner is None else helper.make_node(inner, ["x"], ["z"], domain="my")
    own.attribute.append(referring("value" if inner is None else "v", "v", AttributeProto.TENSOR))
    nodes = [own, node("MatMul", "x w", "z")] if inner is None else [own]
    return helper.make_function("my", name, ["x"], ["z"], nodes, OPSET, ["v"])


@pytest.mark.parametrize("name", ["By", "Outer"], ids=["directly", "through another function"])
def test_weights_that_are_attributes_of_calls_are_those_of_each_call(tmp_path, name):
    """Weights of 4×6 and 6×4; the name in the function is the same."""
    calls = [
        helper.make_node(name, [a], [b], domain="my", v=weight("", *shape))
        for a, b, shape in (("x", "t", (4, 6)), ("t", "y", (6, 4)))
    ]
    functions = [multiplied_by_attribute("By"), multiplied_by_attribute("Outer", "By")]
    proto = with_functions(calls, functions)
    del proto.graph.initializer[:]
    totals = analyzed(tmp_path, proto).totals
    assert (totals.macs, totals.params) == (2 * 96, 2 * 24)


def test_floats_that_are_attributes_of_calls_are_those_of_each_call(tmp_path):
    """x·v, where the first call gives v as four floats and the second, on 4×2, as two."""
    constant = node("Constant", "", "w")
    constant.attribute.append(referring("value_floats", "v", AttributeProto.FLOATS))
    function = helper.make_function("my", "By", ["x"], ["z"], [constant, node("Mul", "x w", "z")], OPSET, ["v"])
    first, second = (
        helper.make_node("By", [a], [b], domain="my", v=[2.0] * n) for a, b, n in (("x", "t", 4), ("h", "y", 2))
    )
    proto = with_functions([first, node("MatMul", "t w", "h"), second], [function])
    proto.graph.initializer[0].CopyFrom(weight("w", 4, 2))
    report = analyzed(tmp_path, proto)
    assert (report.totals.params, report.totals.flops) == (4 + 4 * 2 + 2, 16 + 2 * 32 + 8)
    assert report.graph.values[report.graph.outputs[0]].shape == (4, 2)


def test_a_weight_in_a_function_that_is_an_attribute_of_an_inner_call_is_one(tmp_path):
    """The outer function, called twice, gives the inner one its weight of 4×4."""
    call = helper.make_node("By", ["x"], ["z"], domain="my", v=weight("", 4, 4))
    outer = helper.make_function("my", "Twice", ["x"], ["z"], [call], OPSET)
    calls = [helper.make_node("Twice", [a], [b], domain="my") for a, b in (("x", "t"), ("t", "y"))]
    proto = with_functions(calls, [multiplied_by_attribute("By"), outer])
    del proto.graph.initializer[:]
    totals = analyzed(tmp_path, proto).totals
    assert (totals.macs, totals.params) == (128, 16)


def test_a_declared_output_of_a_function_whose_body_is_unknown(tmp_path):
    """The graph says that the call returns 4×6, so that the product after it is counted; the call is unknown, too."""
    odd = helper.make_node("Odd", ["x"], ["z"], domain="odd")
    function = helper.make_function("my", "F", ["x"], ["z"], [odd], [*OPSET, helper.make_opsetid("odd", 1)])
    calls = [helper.make_node("F", ["x"], ["h"], domain="my"), node("MatMul", "h v", "y")]
    proto = with_functions(calls, [function], weight("v", 6, 2))
    proto.graph.value_info.append(value("h", 4, 6))
    report = analyzed(tmp_path, proto)
    assert (report.unknown, report.totals.macs) == ({"odd.Odd": 1, "my.F": 1}, 4 * 6 * 2)


def test_the_shape_of_an_op_whose_definition_fails(tmp_path):
    """The definition of AffineGrid squeezes a batch of one away; the convolution of what follows is counted."""
    nodes = [node("AffineGrid", "t size", "g"), node("GridSample", "x g", "s"), node("Conv", "s k", "y")]
    given = [("x", 1, 3, 6, 7), ("t", 1, 2, 3)]
    proto = model(nodes, given, stored=[ints("size", 1, 3, 5, 5), weight("k", 4, 3, 1, 1)], opset=20)
    report = analyzed(tmp_path, proto)
    assert report.unknown["onnx.AffineGrid"] == 1
    assert report.graph.values[report.graph.outputs[0]].shape == (1, 4, 5, 5)
