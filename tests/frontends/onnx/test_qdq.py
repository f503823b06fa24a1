"""Products between QuantizeLinear and DequantizeLinear: integer MACs, as in runtimes that fuse them."""

from math import prod

import pytest
from onnx import TensorProto, helper
from onnx_files import analyzed, model, node, value, weight

INT8, UINT8 = TensorProto.INT8, TensorProto.UINT8


def around(x, *, dtype=INT8, **how):
    """x through QuantizeLinear and DequantizeLinear: the result is called xd."""
    zero = helper.make_tensor(f"{x}z", dtype, [], [0])
    nodes = [node("QuantizeLinear", f"{x} s {x}z", f"{x}q", **how),
             node("DequantizeLinear", f"{x}q s {x}z", f"{x}d", **how)]  # fmt: skip
    return nodes, zero


def quantized(op, x, w, *, bias=0, out=True, dtype=INT8, **attributes):
    """x → Q → DQ → op(w → DQ) → Q → DQ."""
    before, xz = around("x", dtype=UINT8)
    stored = [helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]), xz, weight("w", *w, dtype=dtype)]
    nodes = [
        *before,
        node("DequantizeLinear", "w s", "wd"),
        node(op, "xd wd b" if bias else "xd wd", "h", **attributes),
    ]
    stored += [weight("b", bias)] if bias else []
    if out:
        after, hz = around("h", dtype=UINT8)
        nodes, stored = [*nodes, *after], [*stored, hz]
    return model(nodes, [("x", *x)], ("hd" if out else "h",), stored, opset=21)


CASES = [
    pytest.param("Conv", (2, 4, 6, 6), (8, 4, 3, 3), 8, {"pads": [1] * 4}, 2 * 8 * 36 * 4 * 9, (2, 8, 6, 6), id="conv"),
    pytest.param("Conv", (2, 4, 6), (8, 2, 3), 0, {"group": 2}, 2 * 8 * 4 * 2 * 3, (2, 8, 4), id="groups, 1-D"),
    pytest.param("ConvTranspose", (1, 4, 3, 3), (4, 3, 2, 2), 6, {"group": 2, "strides": [2, 2]},
                 4 * 9 * 3 * 4, (1, 6, 6, 6), id="transposed"),
    pytest.param("Gemm", (3, 5), (7, 5), 7, {"transB": 1}, 3 * 5 * 7, (3, 7), id="a linear layer"),
    pytest.param("Gemm", (5, 3), (5, 7), 7, {"transA": 1}, 3 * 5 * 7, (3, 7), id="a product with an addend"),
    pytest.param("MatMul", (2, 3, 5), (5, 7), 0, {}, 2 * 3 * 5 * 7, (2, 3, 7), id="a product"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "x", "w", "bias", "attributes", "macs", "y"), CASES)
@pytest.mark.parametrize("out", [True, False])
def test_products_of_dequantized_integers(tmp_path, op, x, w, bias, attributes, macs, y, out):
    """Each input is quantized by 5 FLOPs, each output scaled by 1 (and a bias), and quantized and dequantized by 6."""
    report = analyzed(tmp_path, quantized(op, x, w, bias=bias, out=out, **attributes))
    assert report.graph.values[report.graph.outputs[0]].shape == y
    assert (report.totals.macs, report.unknown, report.mac_dtypes) == (macs, {}, {"int8": macs})
    assert report.totals.flops == 5 * prod(x) + prod(y) * (1 + (bias > 0) + 6 * out)
    assert report.totals.params == prod(w) + bias


@pytest.mark.parametrize(("op", "x", "w", "bias", "attributes", "macs", "y"), CASES)
def test_products_that_stay_in_floating_point(tmp_path, op, x, w, bias, attributes, macs, y):
    """Only weights are stored as integers: they are dequantized, one FLOP each, and the product is of floats."""
    nodes = [node("DequantizeLinear", "w s", "wd"), node(op, "x wd b" if bias else "x wd", "y", **attributes)]
    stored = [helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]), weight("w", *w, dtype=INT8)]
    report = analyzed(tmp_path, model(nodes, [("x", *x)], stored=[*stored, *([weight("b", bias)] if bias else [])]))
    assert (report.totals.macs, report.mac_dtypes) == (macs, {"float32": macs})
    assert report.totals.flops == 2 * macs + prod(w) + prod(y) * (bias > 0)


def test_sixteen_bits_stay_in_floating_point(tmp_path):
    report = analyzed(tmp_path, quantized("MatMul", (3, 5), (5, 7), dtype=TensorProto.INT16))
    assert report.mac_dtypes == {"float32": 3 * 5 * 7}


def test_scales_of_blocks_stay_in_floating_point(tmp_path):
    """Sums of integers cannot go across blocks of another scale each."""
    before, zero = around("x")
    stored = [
        helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]),
        zero,
        weight("w", 8, 7, dtype=INT8),
        weight("b", 2, 7),
    ]
    nodes = [*before, node("DequantizeLinear", "w b", "wd", axis=0, block_size=4), node("MatMul", "xd wd", "y")]
    assert analyzed(tmp_path, model(nodes, [("x", 3, 8)], stored=stored, opset=21)).mac_dtypes == {"float32": 3 * 8 * 7}


def test_what_is_read_in_floating_point_too_is_dequantized_once(tmp_path):
    """3×5 into two activations, a product and the output: 15 FLOPs to dequantize, and one each for the others."""
    before, zero = around("x")
    stored = [helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]), zero, weight("w", 5, 7, dtype=INT8)]
    nodes = [*before, node("DequantizeLinear", "w s", "wd"), node("MatMul", "xd wd", "y"), node("Relu", "xd", "a"),
             node("Relu", "xd", "b")]  # fmt: skip
    report = analyzed(tmp_path, model(nodes, [("x", 3, 5)], ("y", "a", "b", "xd"), stored))
    assert report.totals.flops == 5 * 15 + 15 + 2 * 15 + 21
    assert report.mac_dtypes == {"int8": 105}


def test_scores_of_two_activations(tmp_path):
    """Neither factor is a weight."""
    (a, az), (b, bz) = around("a"), around("b")
    stored = [helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]), az, bz]
    report = analyzed(
        tmp_path, model([*a, *b, node("MatMul", "ad bd", "y")], [("a", 2, 3, 5), ("b", 2, 5, 4)], stored=stored)
    )
    assert report.mac_dtypes == {"int8": 2 * 3 * 5 * 4}


@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_both_domains(tmp_path, domain):
    proto = quantized("Conv", (1, 3, 8, 8), (4, 3, 3, 3))
    for each in proto.graph.node:
        if "Linear" in each.op_type:
            each.domain = domain
    report = analyzed(tmp_path, proto)
    assert (report.mac_dtypes, report.unknown) == ({"int8": 4 * 36 * 27}, {})
    conv = next(i for i, n in enumerate(report.graph.nodes) if n.spec.kind == "conv")
    assert report.graph.nodes[conv].spec.inputs[1].dtype == "int8"


def test_receptive_fields_go_through(tmp_path):
    proto = quantized("Conv", (1, 3, 8, 8), (4, 3, 3, 3), strides=[2, 2])
    proto.graph.node[3].name = "/body/conv/Conv"
    field = analyzed(tmp_path, proto).receptive_field("body.conv")
    assert (field.size, field.jump, field.start) == ((3, 3), (2, 2), (0, 0))


def test_memory_of_integers(tmp_path):
    """x, 3×5 floats, becomes bytes; then the product reads these and 35 bytes of weights and writes 3×7 floats."""
    report = analyzed(tmp_path, quantized("MatMul", (3, 5), (5, 7), out=False))
    scale, zero = 4, 1
    assert report.memory.inference_peak == 4 * 15 + 15 + 35 + 4 * 21 + scale + zero


def test_values_that_are_inputs(tmp_path):
    """Integers given from outside."""
    stored = [helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]), weight("w", 5, 7, dtype=INT8)]
    nodes = [node("DequantizeLinear", "x s", "xd"), node("DequantizeLinear", "w s", "wd"), node("MatMul", "xd wd", "y")]
    report = analyzed(tmp_path, model(nodes, [value("x", 3, 5, dtype=INT8)], stored=stored))
    assert (report.mac_dtypes, report.totals.flops) == ({"int8": 105}, 21)


@pytest.mark.parametrize("zero", [TensorProto.INT4, TensorProto.UINT4])
def test_weights_of_four_bits_stay_in_floating_point(tmp_path, zero):
    """They are counted as bytes, and are none: the activation, of eight bits, is dequantized as well."""
    before, xz = around("x")
    stored = [helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]), xz, weight("w", 5, 7, dtype=zero)]
    nodes = [*before, node("DequantizeLinear", "w s", "wd"), node("MatMul", "xd wd", "y")]
    report = analyzed(tmp_path, model(nodes, [("x", 3, 5)], stored=stored, opset=21))
    assert (report.totals.params, report.mac_dtypes) == (5 * 7, {"float32": 3 * 5 * 7})


PACKED = "elements of less than a byte are counted as one byte each"


@pytest.mark.parametrize(
    ("op", "given"),
    [
        pytest.param(node("DequantizeLinear", "x s", "y"), value("x", 3, 5, dtype=TensorProto.INT4), id="an input"),
        pytest.param(node("Cast", "x", "y", to=TensorProto.UINT4), value("x", 3, 5), id="a cast"),
        pytest.param(node("QuantizeLinear", "x s", "y", output_dtype=TensorProto.INT4), value("x", 3, 5),
                     id="a quantized activation"),
    ],
)  # fmt: skip
def test_elements_of_less_than_a_byte_are_noted(tmp_path, op, given):
    stored = [helper.make_tensor("s", TensorProto.FLOAT, [], [0.5])]
    assert PACKED in analyzed(tmp_path, model([op], [given], stored=stored, opset=21)).notes
