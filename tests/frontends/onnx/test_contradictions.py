"""Sizes that contradict each other are refused, with the node and both of them: a count would follow from one alone."""

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
    pytest.param(one(microsoft("SkipLayerNormalization", "x s g"), [("x", 1, 3, 4), ("s", 1, 3, 4)], g=(5,)),
                 "scale of 5", id="a fused norm"),
]  # fmt: skip


@pytest.mark.parametrize(("proto", "told"), CASES)
def test_contradicting_sizes_are_refused(tmp_path, proto, told):
    with pytest.raises(SourceError, match=r"m\.onnx: node \w+: ") as error:
        analyzed(tmp_path, proto)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("op", "x", "w"),
    [("MatMul", (3, 4), (5, 7)), ("MatMul", (2, 3, 5), (3, 5, 7)), ("Gemm", (3, 4), (5, 7)), ("Add", (3, 4), (5, 7))],
)
def test_what_the_package_finds_is_unknown_by_name(tmp_path, op, x, w):
    report = analyzed(tmp_path, one(node(op, "x w", "y"), ("x", *x), w=w))
    assert report.unknown == {f"onnx.{op}": 1}
