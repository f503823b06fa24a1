"""Sizes that contradict each other are refused with a message that has the node and both sizes."""

import pytest
from onnx import TensorProto, helper
from onnx_files import analyzed, ints, model, node, value, weight

from cnncost.errors import SourceError

BYTE = TensorProto.INT8
X = ("x", 1, 3, 6, 6)


def microsoft(op, inputs, **attributes):
    return helper.make_node(op, inputs.split(), ["y"], domain="com.microsoft", **attributes)


def quantized(shape):
    """QLinearConv of these weights."""
    scalars = [helper.make_tensor(n, TensorProto.FLOAT, [], [1]) for n in ("xs", "ws", "ys")]
    zeros = [helper.make_tensor(n, BYTE, [], [0]) for n in ("xz", "wz", "yz")]
    return model([node("QLinearConv", "x xs xz w ws wz ys yz", "y")], [value(*X, dtype=BYTE)],
                 stored=[weight("w", *shape, dtype=BYTE), *scalars, *zeros])  # fmt: skip


def one(op, given, **stored):
    return model(
        [op], [given] if isinstance(given[0], str) else given, stored=[weight(n, *s) for n, s in stored.items()]
    )


CASES = [
    pytest.param(one(node("Conv", "x w", "y"), ("x", 1, 4, 6, 6), w=(8, 3, 3, 3)), "4 channels", id="channels"),
    pytest.param(one(node("Conv", "x w", "y", group=3), X, w=(8, 1, 3, 3)), "3 groups", id="groups"),
    pytest.param(one(node("Conv", "x w b", "y"), X, w=(8, 3, 3, 3), b=(5,)), "bias of 5", id="a bias"),
    pytest.param(one(node("Conv", "x w", "y", kernel_shape=[5, 5]), X, w=(8, 3, 3, 3)), "kernel_shape", id="a kernel"),
    pytest.param(one(node("Conv", "x w", "y"), ("x", 1, 3, 2, 2), w=(8, 3, 3, 3)), "fits nowhere", id="too large"),
    pytest.param(one(node("ConvTranspose", "x w", "y"), X, w=(4, 8, 3, 3)), "3 channels", id="transposed"),
    pytest.param(
        model([node("ConvInteger", "x w", "y")], [value("x", 1, 4, 6, 6, dtype=BYTE)],
              stored=[weight("w", 8, 3, 3, 3, dtype=BYTE)]), "4 channels", id="of integers"),
    pytest.param(quantized((8, 4, 3, 3)), "3 channels", id="quantized"),
    pytest.param(one(node("LSTM", "x w r", "y", hidden_size=6), ("x", 5, 3, 5), w=(1, 24, 4), r=(1, 24, 6)),
                 "5 features", id="features of a recurrent layer"),
    pytest.param(one(node("GRU", "x w r", "y", hidden_size=6), ("x", 5, 3, 4), w=(1, 18, 4), r=(1, 18, 5)),
                 "3 gates", id="recurrent weights"),
    pytest.param(one(node("LSTM", "x w r", "y", hidden_size=6, direction="bidirectional"), ("x", 5, 3, 4),
                     w=(1, 24, 4), r=(1, 24, 6)), "2 directions of 6", id="directions"),
    pytest.param(one(node("GRU", "x w r", "y", hidden_size=5), ("x", 5, 3, 4), w=(1, 18, 4), r=(1, 18, 6)),
                 "1 directions of 5", id="hidden features"),
    pytest.param(one(node("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[2, -1]), X), "strides of 2×-1",
                 id="a step backwards"),
    pytest.param(one(node("PRelu", "x w", "y"), ("x", 3, 4), w=(5,)), "does not broadcast", id="a slope"),
    pytest.param(one(node("LayerNormalization", "x w", "y"), ("x", 3, 4), w=(5,)), "does not broadcast", id="a scale"),
    pytest.param(one(node("InstanceNormalization", "x w b", "y"), X, w=(5,), b=(5,)), "scale of 5", id="each channel"),
    pytest.param(model([node("Reshape", "x s", "y")], [("x", 3, 4)], stored=[ints("s", 5, 5)]), "12 elements",
                 id="a reshape"),
    pytest.param(model([node("Attention", "q k v", "y")], [("q", 1, 2, 3, 4), ("k", 1, 2, 5, 8), ("v", 1, 2, 5, 4)],
                       opset=23), "heads", id="heads"),
    pytest.param(model([node("Attention", "q k v", "y")], [("q", 1, 2, 3, 4), ("k", 1, 2, 5, 4), ("v", 1, 2, 6, 4)],
                       opset=23), "keys", id="keys and values"),
    pytest.param(one(microsoft("Attention", "x w b", num_heads=2), ("x", 1, 3, 6), w=(8, 24), b=(24,)), "6 features",
                 id="a projection"),
    pytest.param(one(microsoft("MultiHeadAttention", "q k v", num_heads=2),
                     [("q", 1, 3, 8), ("k", 1, 5, 8), ("v", 1, 6, 8)]), "keys", id="fused keys and values"),
    pytest.param(one(microsoft("FusedGemm", "x w", activation="Relu"), ("x", 3, 4), w=(5, 7)), "3×4 and 5×7",
                 id="a fused product"),
    pytest.param(one(node("MatMul", "x w", "y"), ("x", 3, 4), w=(5, 7)), "product of 3×4 and 5×7", id="a product"),
    pytest.param(one(node("MatMul", "x w", "y"), ("x", 2, 3, 5), w=(3, 5, 7)), "2×3×5 and 3×5×7", id="its batches"),
    pytest.param(one(node("MatMul", "x w", "y"), ("x", 4), w=(5,)), "product of 4 and 5", id="vectors"),
    pytest.param(one(node("Gemm", "x w", "y"), ("x", 3, 4), w=(5, 7)), "3×4 and 5×7", id="Gemm"),
    pytest.param(one(node("Gemm", "x w", "y"), ("x", 2, 1, 4), w=(4, 7)), "2×1×4 and 4×7", id="Gemm of three axes"),
    pytest.param(one(node("Add", "x w", "y"), ("x", 3, 4), w=(5, 7)), "3×4 and 5×7, which do not", id="a sum"),
    pytest.param(one(node("Concat", "x w", "y", axis=1), ("x", 3, 4), w=(5, 4)), "along axis 1", id="joined"),
    pytest.param(one(node("Concat", "x w", "y", axis=2), ("x", 3, 4), w=(3, 4)), "along axis 2", id="no such axis"),
    pytest.param(one(node("DepthToSpace", "x", "y", blocksize=3), ("x", 1, 8, 2, 2)), "32 elements", id="a block"),
    pytest.param(model([node("Attention", "q q q", "y", q_num_heads=3, kv_num_heads=2)], [("q", 1, 4, 7)], opset=23),
                 "3 heads of queries and 2", id="numbers of heads"),
    pytest.param(one(node("Conv", "x", "y"), X), "Conv needs 2 inputs, but has 1", id="an input is missing"),
    pytest.param(model([microsoft("MatMulNBits", "x w s", N=6, K=32, bits=4, block_size=16)], [("x", 3, 32)],
                       stored=[weight("w", 5, 2, 8, dtype=TensorProto.UINT8), weight("s", 12)]),
                 "weights of 5×2×8 bytes for 6 outputs of 32 features", id="packed weights"),
    pytest.param(one(microsoft("SkipLayerNormalization", "x s g"), [("x", 1, 3, 4), ("s", 1, 3, 4)], g=(5,)),
                 "scale of 5", id="a fused norm"),
]  # fmt: skip


@pytest.mark.parametrize(("proto", "told"), CASES)
def test_contradicting_sizes_are_refused(tmp_path, proto, told):
    with pytest.raises(SourceError, match=r"m\.onnx: node \w+: ") as error:
        analyzed(tmp_path, proto)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("op", "w"),
    [
        pytest.param(node("Expand", "x to", "y"), ints("to", 5, 4), id="Expand"),
        pytest.param(node("Einsum", "x to", "y", equation="ij,jkl->ik"), weight("to", 4, 2), id="Einsum"),
        pytest.param(node("Transpose", "x", "y", perm=[0, 0]), ints("to", 1), id="Transpose"),
    ],
)
def test_what_the_package_finds_is_unknown_by_name(tmp_path, op, w):
    report = analyzed(tmp_path, model([op], [("x", 3, 4)], stored=[w]))
    assert report.unknown == {f"onnx.{op.op_type}": 1}


def test_a_size_below_zero_is_said(tmp_path):
    """The op that reads it is unknown; only the header is read, so nothing is allocated."""
    w = weight("w", 1, 4)
    w.dims[0] = -3
    report = analyzed(tmp_path, model([node("MatMul", "x w", "y")], [("x", 1, 4)], stored=[w]))
    assert report.unknown == {"onnx.MatMul": 1}
    assert any("w: a size below zero" in note for note in report.notes)


def test_a_function_that_calls_itself(tmp_path):
    call = helper.make_node("F", ["x"], ["y"], domain="my")
    body = [helper.make_node("F", ["x"], ["y"], domain="my")]
    proto = model([call], [("x", 3)])
    proto.functions.append(helper.make_function("my", "F", ["x"], ["y"], body, [helper.make_opsetid("my", 1)]))
    proto.opset_import.append(helper.make_opsetid("my", 1))
    with pytest.raises(SourceError, match="the function my::F calls itself"):
        analyzed(tmp_path, proto)
