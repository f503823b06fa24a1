"""Ops of com.microsoft: counts written out as products, shapes from runs of ONNX Runtime."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_files import analyzed, model, value, weight

SOFTMAX = 5
"""FLOPs per score."""
some = settings(max_examples=25, deadline=None)


def fused(op, inputs, outputs, **attributes):
    """A node whose inputs and outputs may be empty: `-`."""
    names = ([name.strip("-") for name in text.split()] for text in (inputs, outputs))
    return helper.make_node(op, *names, domain="com.microsoft", **attributes)


def scalar(name, dtype=TensorProto.FLOAT):
    return helper.make_tensor(name, dtype, [], [1])


def figures(report):
    """MACs, FLOPs, parameters and the outputs' shapes; everything known."""
    assert report.unknown == {}
    totals = report.totals
    return totals.macs, totals.flops, totals.params, [report.graph.values[i].shape for i in report.graph.outputs]


# ---- products


@some
@given(
    flips=st.tuples(st.integers(0, 1), st.integers(0, 1)), alpha=st.sampled_from([1.0, 0.125]),
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    batches=st.sampled_from([((), ()), ((2,), ()), ((), (3,)), ((2, 1), (4,)), ((2, 3), (2, 3))]),
)  # fmt: skip
def test_fused_matmul(tmp_path_factory, flips, alpha, sizes, batches):
    """Of each pair of matrices m·k·n products; α is a multiplication for each output."""
    m, k, n = sizes
    a, b = [(m, k), (k, m)][flips[0]], [(k, n), (n, k)][flips[1]]
    op = fused("FusedMatMul", "a b", "y", transA=flips[0], transB=flips[1], alpha=alpha)
    proto = model([op], [("a", *batches[0], *a), ("b", *batches[1], *b)])
    batch = np.broadcast_shapes(*batches)
    pairs = int(np.prod(batch))
    assert figures(analyzed(tmp_path_factory.mktemp("matmul"), proto)) == (
        pairs * m * k * n, 2 * pairs * m * k * n + (alpha != 1) * pairs * m * n, 0, [(*batch, m, n)]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "flips", "sizes"),
    [
        pytest.param((5, 2, 3), (2, 3, 4), {"transBatchA": 1}, (2, 5, 3, 4), id="the first axis are rows"),
        pytest.param((2, 3, 5), (5, 2, 4), {"transBatchB": 1}, (2, 3, 5, 4), id="of the second factor"),
        pytest.param((5, 2, 3), (2, 5, 4), {"transBatchA": 1, "transA": 1}, (2, 3, 5, 4), id="or columns"),
        pytest.param((9, 2, 4, 6), (7, 2, 4, 6), {"transBatchA": 1, "transBatchB": 1, "transB": 1}, (8, 9, 6, 7),
                     id="scores, as torch's attention has them"),
    ],
)  # fmt: skip
def test_fused_matmul_of_moved_batches(tmp_path, a, b, flips, sizes):
    """The shapes are those of ONNX Runtime's run; the file declares them, as its optimizer does."""
    pairs, m, k, n = sizes
    y = (2, 4, m, n) if len(a) == 4 else (pairs, m, n)
    proto = model([fused("FusedMatMul", "a b", "y", **flips)], [("a", *a), ("b", *b)])
    proto.graph.output[0].CopyFrom(value("y", *y))
    assert figures(analyzed(tmp_path, proto)) == (pairs * m * k * n, 2 * pairs * m * k * n, 0, [y])


def test_a_form_without_a_rule_is_unknown_even_if_its_output_is_declared(tmp_path):
    """Three heads do not divide eight features."""
    op = fused("MultiHeadAttention", "q q q", "y", num_heads=3)
    proto = model([op], [("q", 1, 5, 8)])
    proto.graph.output[0].CopyFrom(value("y", 1, 5, 8))
    assert analyzed(tmp_path, proto).unknown == {"com.microsoft.MultiHeadAttention": 1}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize(("activation", "each"), [("Relu", 1), ("LeakyRelu", 2), ("Sigmoid", 4), ("", 0)])
def test_fused_gemm(tmp_path, bias, alpha, activation, each):
    """3×5 by 5×7; an addition for the bias, a multiplication for α, and the activation for each output."""
    op = fused("FusedGemm", "x w c" if bias else "x w", "y", transB=1, alpha=alpha, activation=activation)
    stored = [weight("w", 7, 5), *([weight("c", 7)] if bias else [])]
    assert figures(analyzed(tmp_path, model([op], [("x", 3, 5)], stored=stored))) == (
        3 * 5 * 7, 2 * 3 * 5 * 7 + 21 * (bias + (alpha != 1) + each), 35 + 7 * bias, [(3, 7)]
    )  # fmt: skip


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("addend", [False, True])
@pytest.mark.parametrize(("activation", "each"), [("Relu", 1), ("LeakyRelu", 2), ("HardSigmoid", 4), ("", 0)])
@pytest.mark.parametrize("padding", [{"pads": [1] * 4}, {"auto_pad": "SAME_UPPER"}], ids=["pads", "by size"])
def test_fused_convolution(tmp_path, bias, addend, activation, each, padding):
    """2×4×7×7 to 2×6×4×4 by 3×3 in two groups; a bias, an addend and the activation for each output."""
    inputs = f"x w {'b' if bias else '-'} {'z' if addend else '-'}"
    op = fused("FusedConv", inputs, "y", strides=[2, 2], group=2, activation=activation, **padding)
    given = [("x", 2, 4, 7, 7), *([("z", 2, 6, 4, 4)] if addend else [])]
    stored = [weight("w", 6, 2, 3, 3), *([weight("b", 6)] if bias else [])]
    outputs, macs = 2 * 6 * 4 * 4, 2 * 6 * 4 * 4 * 2 * 3 * 3
    assert figures(analyzed(tmp_path, model([op], given, stored=stored))) == (
        macs, 2 * macs + outputs * (bias + addend + each), 6 * 2 * 3 * 3 + 6 * bias, [(2, 6, 4, 4)]
    )  # fmt: skip


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("block", [16, 32])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_with_packed_weights(tmp_path, bits, block, zeros, bias):
    """6 rows of 64 weights in blocks, each with a scale; one multiplication dequantizes each. Bytes are counted."""
    blocks = 64 // block
    stored = [weight("w", 6, blocks, block * bits // 8, dtype=TensorProto.UINT8), weight("s", 6 * blocks)]
    packed = 6 * -(-blocks * bits // 8)  # rows of zero points are filled to whole bytes
    stored += [weight("z", packed, dtype=TensorProto.UINT8)] if zeros else []
    stored += [weight("b", 6)] if bias else []
    inputs = f"x w s {'z' if zeros else '-'} - {'b' if bias else '-'}"
    op = fused("MatMulNBits", inputs, "y", K=64, N=6, bits=bits, block_size=block)
    report = analyzed(tmp_path, model([op], [("x", 2, 3, 64)], stored=stored))
    assert figures(report) == (
        2 * 3 * 64 * 6, 2 * 2 * 3 * 64 * 6 + 6 * 64 + bias * 2 * 3 * 6,
        6 * 64 * bits // 8 + 6 * blocks + zeros * packed + bias * 6, [(2, 3, 6)],
    )  # fmt: skip
    assert any("packed" in note for note in report.graph.notes) == (bits < 8)


# ---- elementwise


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "each"),
    [
        pytest.param("Gelu", "x", {}, 5, id="by erf"),
        pytest.param("BiasGelu", "x b", {}, 1 + 5, id="behind a bias"),
        pytest.param("FastGelu", "x", {}, 9, id="by tanh"),
        pytest.param("FastGelu", "x b", {}, 1 + 9, id="by tanh behind a bias"),
        pytest.param("QuickGelu", "x", {}, 1 + 4 + 1, id="by a sigmoid of 1.702·x"),
        pytest.param("QuickGelu", "x", {"alpha": 1.0}, 4 + 1, id="by a sigmoid"),
    ],
)
def test_gelus(tmp_path, op, inputs, attributes, each):
    bias = "b" in inputs
    proto = model([fused(op, inputs, "y", **attributes)], [("x", 2, 3, 8)], stored=[weight("b", 8)] if bias else [])
    assert figures(analyzed(tmp_path, proto)) == (0, 2 * 3 * 8 * each, 8 * bias, [(2, 3, 8)])


@pytest.mark.parametrize("simple", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("total", [False, True])
def test_a_norm_of_a_sum(tmp_path, simple, bias, total):
    """10 rows of 8. A layer norm is 8 FLOPs per element, an RMS norm 4 and 3 per row; a sum, and another of a bias."""
    names = ["g", *([] if simple else ["s"]), *(["b"] if bias else [])]
    op = "SkipSimplifiedLayerNormalization" if simple else "SkipLayerNormalization"
    made = fused(op, f"x r {' '.join(names)}", "y - - t" if total else "y")
    outputs = ("y", "t") if total else ("y",)
    proto = model([made], [("x", 2, 5, 8), ("r", 2, 5, 8)], outputs, [weight(name, 8) for name in names])
    norm = 80 * 4 + 10 * 3 if simple else 80 * 8
    assert figures(analyzed(tmp_path, proto)) == (
        0, norm + 80 * (1 + bias), 8 * len(names), [(2, 5, 8)] * len(outputs)
    )  # fmt: skip


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize(
    ("a", "b", "y"),
    [((2, 3, 4), (4,), (2, 3, 4)), ((3, 1), (2, 1, 4), (2, 3, 4)), ((4,), (4,), (4,))],
    ids=["one row for all", "both ways", "alike"],
)
def test_quantized_sums_and_products(tmp_path, op, a, b, y):
    """Each output: two are dequantized, the operation, a multiplication and a rounding."""
    byte = TensorProto.UINT8
    scales = [each for name in "aby" for each in (scalar(f"{name}s"), scalar(f"{name}z", byte))]
    made = fused(op, "a as az b bs bz ys yz", "y")
    proto = model([made], [value("a", *a, dtype=byte)], stored=[weight("b", *b, dtype=byte), *scales])
    proto.graph.output[0].type.tensor_type.elem_type = byte
    assert figures(analyzed(tmp_path, proto)) == (0, 5 * int(np.prod(y)), int(np.prod(b)), [y])


# ---- attention


@some
@given(
    batch=st.integers(1, 2), heads=st.integers(1, 3), queries=st.integers(1, 4), keys=st.integers(1, 5),
    width=st.integers(1, 4), value_width=st.integers(1, 4), bias=st.booleans(), added=st.booleans(),
    causal=st.booleans(),
)  # fmt: skip
def test_multi_head_attention(
    tmp_path_factory, batch, heads, queries, keys, width, value_width, bias, added, causal
):  # fmt: skip
    """Scores and weighted values of each head; queries and keys are scaled; one mask; biases of q, k and v."""
    d, v = heads * width, heads * value_width
    inputs = f"q k v {'b' if bias else '-'} - {'p' if added else '-'}"
    op = fused("MultiHeadAttention", inputs, "y", num_heads=heads, unidirectional=int(causal))
    given = [("q", batch, queries, d), ("k", batch, keys, d), ("v", batch, keys, v)]
    given += [("p", batch, heads, queries, keys)] if added else []
    proto = model([op], given, stored=[weight("b", d + d + v)] if bias else [])
    scores = batch * heads * queries * keys
    macs = scores * width + scores * value_width
    read = batch * (queries * d + keys * d)
    assert figures(analyzed(tmp_path_factory.mktemp("heads"), proto)) == (
        macs, 2 * macs + read + SOFTMAX * scores + (added or causal) * scores + bias * (read + batch * keys * v),
        bias * (d + d + v), [(batch, queries, v)],
    )  # fmt: skip


@some
@given(
    batch=st.integers(1, 2), heads=st.integers(1, 3), length=st.integers(1, 5), width=st.integers(1, 4),
    hidden=st.integers(1, 7), bias=st.booleans(), causal=st.booleans(),
)  # fmt: skip
def test_packed_attention(tmp_path_factory, batch, heads, length, width, hidden, bias, causal):
    """x of `hidden` features, projected to queries, keys and values of d each, then as above."""
    d = heads * width
    op = fused("Attention", "x w b" if bias else "x w", "y", num_heads=heads, unidirectional=int(causal))
    stored = [weight("w", hidden, 3 * d), *([weight("b", 3 * d)] if bias else [])]
    proto = model([op], [("x", batch, length, hidden)], stored=stored)
    scores = batch * heads * length * length
    macs = batch * length * hidden * 3 * d + 2 * scores * width
    flops = 2 * macs + bias * batch * length * 3 * d + 2 * batch * length * d + (SOFTMAX + causal) * scores
    assert figures(analyzed(tmp_path_factory.mktemp("packed"), proto)) == (
        macs, flops, hidden * 3 * d + bias * 3 * d, [(batch, length, d)]
    )  # fmt: skip


LINE = {
    "x": (2, 5, 8),
    "q": (2, 5, 8),
    "k": (2, 7, 8),
    "v": (2, 7, 8),
    "packed": (2, 5, 2, 3, 4),
    "pair": (2, 7, 2, 2, 4),
}
LINE |= {"m": (2, 7), "past": (2, 2, 2, 3, 4), "bias": (2, 2, 5, 5), "pk": (2, 2, 3, 4), "kk": (2, 2, 7, 3)}
LINE |= {"a": (5,), "b": (5, 7), "c": (3, 5)}
LINE |= {"taps": (3, 5, 3), "t": (2, 3, 64), "odd": (2, 3, 60)}


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "attributes"),
    [
        pytest.param("Attention", "x w", "y", {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}, id="widths"),
        pytest.param("Attention", "x w - m - bias", "y", {"num_heads": 2}, id="a mask and a bias"),
        pytest.param("MultiHeadAttention", "q k v - m bias", "y", {"num_heads": 2}, id="padding and a bias"),
        pytest.param("RotaryEmbedding", "x", "y", {"rotary_embedding_dim": 4}, id="a part of the features"),
        pytest.param("Attention", "x w", "y", {"num_heads": 3}, id="heads that do not divide"),
        pytest.param("Attention", "x w", "y", {}, id="no heads"),
        pytest.param("MultiHeadAttention", "q kk kk", "y", {"num_heads": 2}, id="keys by heads of another width"),
        pytest.param("MultiHeadAttention", "q k v", "y", {"num_heads": 3}, id="heads of another number"),
        pytest.param("GroupQueryAttention", "q k v", "y", {"num_heads": 2, "kv_num_heads": 2}, id="groups"),
        pytest.param("FusedMatMul", "a b", "y", {"transA": 1}, id="a row"),
        pytest.param("FusedMatMul", "c a", "y", {"transB": 1}, id="a column"),
        pytest.param("FusedMatMul", "x q", "y", {"transBatchA": 1}, id="batches that do not fit"),
        pytest.param("SkipLayerNormalization", "x q g", "y mean", {}, id="a mean"),
        pytest.param("FusedConv", "q taps", "y", {"activation": "Swish"}, id="an activation of another name"),
        pytest.param("MatMulNBits", "odd w s", "y", {"K": 64, "N": 6, "block_size": 32}, id="another width"),
        pytest.param("FusedGemm", "c b", "y", {"activation": "Softmax"}, id="another activation"),
    ],
)
def test_what_is_not_followed_is_unknown_by_name(tmp_path, op, inputs, outputs, attributes):
    stored = {"w": weight("w", 8, 24), "g": weight("g", 8), "s": weight("s", 12)}
    names = dict.fromkeys(name for name in inputs.split() if name != "-")
    report = analyzed(
        tmp_path,
        model([fused(op, inputs, outputs, **attributes)], [(n, *LINE[n]) for n in names if n in LINE],
              stored=[stored[n] for n in names if n in stored]),
    )  # fmt: skip
    assert report.unknown == {f"com.microsoft.{op}": 1}
    assert report.totals.macs == 0
