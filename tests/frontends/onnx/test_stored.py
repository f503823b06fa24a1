"""Which stored tensors count as parameters, also where an op reads only a value computed from them."""

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx_files import analyzed, model, node, value, weight


def filled(name, *shape, one=True):
    """A tensor of ones or zeros; `weight` gives zeros, which count as parameters wherever an op expects weights."""
    return numpy_helper.from_array(np.full(shape, float(one), np.float32), name)


def joined(*parts, read="b"):
    """Gemm whose bias is concatenated from parts, as exporters write that of recurrent layers."""
    return [node("Concat", " ".join(parts), "b", axis=0), node("Gemm", f"x w {read}", "y")]


HALVES = [weight("w", 5, 8), weight("p", 4), weight("q", 4)]


def as_a_function():
    constants = [helper.make_node("Constant", [], [each.name], value=each) for each in HALVES]
    function = helper.make_function("mine", "Layer", ["x"], ["y"], [*constants, *joined("p", "q")],
                                    [helper.make_opsetid("", 17)])  # fmt: skip
    proto = model([helper.make_node("Layer", ["x"], ["y"], domain="mine")], [("x", 3, 5)], functions=[function])
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    return proto


def as_a_branch(*more):
    body = helper.make_graph(joined("p", "q"), "body", [], [value("y", 3, 8)], [*HALVES, *more])
    stored = [helper.make_tensor("c", TensorProto.BOOL, [], [1])]
    return model([node("If", "c", "z", then_branch=body, else_branch=body)], [("x", 3, 5)], ("z",), stored)


@pytest.mark.parametrize(
    ("proto", "params"),
    [
        pytest.param(model(joined("p", "q"), [("x", 3, 5)], stored=HALVES), 40 + 8, id="initializers"),
        pytest.param(model(joined("p", "p"), [("x", 3, 5)], stored=HALVES[:2]), 40 + 4, id="one of them twice"),
        pytest.param(as_a_function(), 40 + 8, id="constants of a function"),
        pytest.param(as_a_branch(), 40 + 8, id="initializers of a branch"),
        pytest.param(as_a_branch(weight("idle", 2, 3)), 40 + 8 + 6, id="and one that no op reads"),
    ],
)
def test_weights_that_a_constant_is_computed_from(tmp_path, proto, params):
    report = analyzed(tmp_path, proto)
    assert (report.totals.params, report.totals.macs, report.unknown) == (params, 3 * 5 * 8, {})


def test_weights_that_are_read_themselves_and_in_a_constant_count_once(tmp_path):
    nodes = [*joined("p", "q"), node("Add", "z p", "s")]
    report = analyzed(tmp_path, model(nodes, [("x", 3, 5), ("z", 2, 4)], ("y", "s"), HALVES))
    assert report.totals.params == 40 + 8


# ---- zeros


def recurrent(state, *, constant, one, sliced=False):
    """An LSTM with initial states: of the file, or by a Constant node, which may be sliced first."""
    stored = [weight("w", 1, 4 * 6, 4), weight("r", 1, 4 * 6, 6)]
    nodes = [helper.make_node("LSTM", ["x", "w", "r", "", "", "h", "h"], ["y"], hidden_size=6)]
    made = filled("a" if sliced else "h", *state, one=one)
    if sliced:
        bounds = [numpy_helper.from_array(np.array([n]), name) for name, n in (("from", 0), ("to", 1))]
        nodes, stored = [node("Slice", "a from to", "h"), *nodes], [*stored, *bounds]
    if constant:
        nodes = [helper.make_node("Constant", [], [made.name], value=made), *nodes]
    else:
        stored.append(made)
    return model(nodes, [("x", 5, state[1], 4)], stored=stored)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("batch", [3, 1000], ids=["few", "many"])
@pytest.mark.parametrize("one", [False, True])
def test_initial_states(tmp_path, constant, batch, one):
    """Zeros are not parameters; other stored values may have been trained."""
    report = analyzed(tmp_path, recurrent((1, batch, 6), constant=constant, one=one))
    assert (report.totals.params, report.unknown) == (4 * 6 * (4 + 6) + one * batch * 6, {})


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("batch", [3, 1000], ids=["few", "many"])
def test_parts_of_a_constant(tmp_path, batch, one):
    """States of two layers, of which the first is read: as exporters write them."""
    report = analyzed(tmp_path, recurrent((2, batch, 6), constant=True, one=one, sliced=True))
    assert (report.totals.params, report.unknown) == (4 * 6 * (4 + 6) + one * 2 * batch * 6, {})


def test_zeros_where_an_op_has_weights_are_weights(tmp_path):
    """A bias that was never trained."""
    constant = helper.make_node("Constant", [], ["b"], value=weight("b", 8))
    proto = model([constant, node("Gemm", "x w b", "y")], [("x", 3, 5)], stored=[weight("w", 5, 8)])
    assert analyzed(tmp_path, proto).totals.params == 40 + 8


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize("constant", [True, False])
def test_scales_that_do_nothing(tmp_path, constant, one):
    """A group norm as torch exports it: an instance norm without scale and shift, then its own scale and shift."""
    scale, shift = filled("a", 2, one=one), filled("b", 2, one=False)
    made = [helper.make_node("Constant", [], [each.name], value=each) for each in (scale, shift)] if constant else []
    nodes = [*made, node("InstanceNormalization", "x a b", "h"), node("Mul", "h g", "m"), node("Add", "m s", "y")]
    stored = [filled("g", 2, 1), filled("s", 2, 1), *(() if constant else (scale, shift))]
    report = analyzed(tmp_path, model(nodes, [("x", 1, 2, 5)], stored=stored))
    neither = 4 - 2 * one - 2 if constant else 4
    assert (report.totals.params, report.unknown) == (2 + 2 + neither, {})


# ---- quantized weights that other ops move, cast or scale first; of few and of more elements than are looked into

SCALE = helper.make_tensor("s", TensorProto.FLOAT, [], [0.5])


def quantized(rows, columns, *nodes, dtype=TensorProto.INT8, product="MatMul", more=()):
    """x: 2×rows, times what the nodes make of w: columns×rows."""
    given = value("x", 2, rows, dtype=TensorProto.INT8 if product == "MatMulInteger" else TensorProto.FLOAT)
    stored = [weight("w", columns, rows, dtype=dtype), SCALE, *more]
    return model([*nodes, node(product, "x v", "y")], [given], stored=stored, opset=23)


TURNED = node("Transpose", "w", "t")
TO_FLOAT = node("Cast", "t", "f", to=TensorProto.FLOAT)


@pytest.mark.parametrize(("rows", "columns"), [(8, 6), (80, 60)])
@pytest.mark.parametrize(
    ("nodes", "how"),
    [
        pytest.param([TURNED, node("DequantizeLinear", "t s", "v")], {}, id="transposed"),
        pytest.param([TURNED, node("Identity", "t", "v")], {"product": "MatMulInteger"}, id="integers"),
        pytest.param([TURNED, TO_FLOAT, node("Mul", "f s", "v")], {}, id="dequantized by hand"),
        pytest.param([TURNED, TO_FLOAT, node("Mul", "f s", "v")], {"dtype": TensorProto.UINT8}, id="unsigned"),
        pytest.param([TURNED, TO_FLOAT, node("Mul", "f s", "v")], {"dtype": TensorProto.INT4}, id="of four bits"),
        pytest.param([TURNED, TO_FLOAT, node("Mul", "f s", "v")], {"dtype": TensorProto.FLOAT4E2M1}, id="small floats"),
        pytest.param([TURNED, TO_FLOAT, node("Mul", "f c", "v")], {"more": [weight("c", 1, 6)]}, id="by channel"),
    ],
)  # fmt: skip
def test_quantized_weights_that_are_moved_or_cast(tmp_path, rows, columns, nodes, how):
    if how.get("more"):
        how = {"more": [weight("c", 1, columns)]}
    report = analyzed(tmp_path, quantized(rows, columns, *nodes, **how))
    scales = columns if how.get("more") else 0
    assert (report.totals.params, report.totals.macs) == (rows * columns + scales, 2 * rows * columns)


def test_masks_of_bytes_are_no_parameters(tmp_path):
    """GPT-2's causal mask, as older exports have it: no op reads it as a weight."""
    mask = weight("m", 80, 80, dtype=TensorProto.UINT8)
    nodes = [node("Cast", "m", "c", to=TensorProto.BOOL), node("Where", "c x low", "y")]
    low = helper.make_tensor("low", TensorProto.FLOAT, [], [-1e4])
    assert analyzed(tmp_path, model(nodes, [("x", 80, 80)], stored=[mask, low])).totals.params == 0


def sparse(name, *shape):
    """A sparse matrix with two elements."""
    elements, places = helper.make_tensor(name, TensorProto.FLOAT, [2], [1, 2]), numpy_helper.from_array(np.arange(2))
    return helper.make_sparse_tensor(elements, places, shape)


def with_sparse(graph, *tensors):
    graph.sparse_initializer.extend(tensors)
    return graph


PRODUCT = node("MatMul", "x s", "y")
BRANCH = with_sparse(helper.make_graph([PRODUCT], "g", [], [value("y", 3, 8)]), sparse("s", 5, 8))
CONDITION = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
ON = helper.make_tensor("on", TensorProto.BOOL, [], [1])


@pytest.mark.parametrize(
    ("proto", "params", "macs"),
    [
        pytest.param(model([PRODUCT], [("x", 3, 5)]), 40, 120, id="an initializer"),
        pytest.param(model([node("Relu", "x", "y")], [("x", 3, 5)]), 40, 0, id="one that no op reads"),
        pytest.param(model([node("Constant", "", "k", sparse_value=sparse("v", 5, 8)), node("MatMul", "x k", "y")],
                           [("x", 3, 5)]), 80, 120, id="a constant besides"),
        pytest.param(model([node("If", "on", "y", then_branch=BRANCH, else_branch=BRANCH)], [("x", 3, 5)], stored=[ON]),
                     80, 120, id="one of a branch besides"),
        pytest.param(model([node("If", "c", "y", then_branch=BRANCH, else_branch=BRANCH)], [("x", 3, 5), CONDITION]),
                     120, 0, id="one of each branch that may run"),
    ],
)  # fmt: skip
def test_sparse_weights_count_in_full(tmp_path, proto, params, macs):
    """ONNX Runtime reads them as dense tensors; each model also has one of 5×8."""
    outer = "s" if any("s" in node.input for node in proto.graph.node) else "other"
    with_sparse(proto.graph, sparse(outer, 5, 8))
    report = analyzed(tmp_path, proto)
    assert (report.totals.params, report.totals.macs) == (params, macs)
    assert report.totals.param_bytes == 4 * params
    assert any(f"{outer} is sparse: it is counted in full" in note for note in report.notes)


def test_floats_in_an_attribute(tmp_path):
    """A bias of four in `value_floats`."""
    bias = helper.make_node("Constant", [], ["b"], value_floats=[1.0, 2.0, 3.0, 4.0])
    proto = model([bias, node("Gemm", "x w b", "y")], [("x", 3, 5)], stored=[weight("w", 5, 4)])
    assert analyzed(tmp_path, proto).totals.params == 5 * 4 + 4


def test_no_floats_in_an_attribute(tmp_path):
    """The region of interest of a Resize, as exporters leave it empty."""
    region = node("Constant", "", "r")
    region.attribute.add(name="value_floats", type=AttributeProto.FLOATS)
    factors = helper.make_node("Constant", [], ["f"], value_floats=[1.0, 1.0, 2.0, 2.0])
    nodes = [region, factors, node("Resize", "x r f", "h"), node("Conv", "h w", "y")]
    report = analyzed(tmp_path, model(nodes, [("x", 1, 3, 4, 4)], stored=[weight("w", 5, 3, 1, 1)]))
    assert (report.unknown, report.totals.params, report.totals.macs) == ({}, 15, 64 * 15)
