"""Models of one op of com.microsoft each, with figures by hand; ONNX Runtime runs them for the shapes."""

from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx_files import model, value

BYTE = TensorProto.UINT8
SOFTMAX = 5
"""FLOPs per score."""
ROTATION = 3
"""Per feature: two products, a sum."""
LENGTHS = TensorProto.INT32


class Fused(NamedTuple):
    """A model, and its MACs, FLOPs and outputs' shapes."""

    name: str
    model: Any
    macs: int
    flops: int
    shapes: list[tuple[int, ...]]


def numbers(name, data, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(data, dtype), name)


def case(name, op, inputs, macs, flops, shapes, *, given=(), stored=(), types=(), domain="com.microsoft", **attributes):
    """Inputs of the node by name, `-` for those left out; `types` of outputs that are not float."""
    names = [each.strip("-") for each in inputs.split()]
    outputs = [f"y{i}" if shape else "" for i, shape in enumerate(shapes)]
    node = helper.make_node(op, names, outputs, domain=domain, **attributes)
    proto = model([node], given, [o for o in outputs if o], stored, ir_version=8)
    for output, kind in zip(proto.graph.output, types, strict=False):
        output.type.tensor_type.elem_type = kind
    return Fused(name, proto, macs, flops, [shape for shape in shapes if shape])


def attended(heads, queries, keys, width, value_width=None, *, batch=1, mask=False):
    """MACs and FLOPs: scores and weighted values; queries and keys are scaled; softmax; a mask."""
    scores = batch * heads * queries * keys
    macs = scores * (width + (width if value_width is None else value_width))
    return macs, 2 * macs + batch * heads * (queries + keys) * width + (SOFTMAX + mask) * scores


def multi_head():
    """2 sequences of 5 queries and 7 keys, 2 heads of 4 features."""
    q, k, v = (2, 5, 8), (2, 7, 8), (2, 7, 8)
    plain = attended(2, 5, 7, 4, batch=2)
    masked = attended(2, 5, 7, 4, batch=2, mask=True)
    inputs = [("q", *q), ("k", *k), ("v", *v)]
    yield case("keys by heads", "MultiHeadAttention", "q k v", *plain, [q], num_heads=2,
               given=[("q", *q), ("k", 2, 2, 7, 4), ("v", 2, 2, 7, 4)])  # fmt: skip
    yield case("keys with values", "MultiHeadAttention", "q kv", *plain, [q], num_heads=2,
               given=[("q", *q), ("kv", 2, 7, 2, 2, 4)])  # fmt: skip
    yield case("all packed", "MultiHeadAttention", "qkv", *attended(2, 5, 5, 4, batch=2), [q], num_heads=2,
               given=[("qkv", 2, 5, 2, 3, 4)])  # fmt: skip
    yield case("padding", "MultiHeadAttention", "q k v - m", *masked, [q], num_heads=2,
               given=[*inputs, value("m", 2, 7, dtype=LENGTHS)])  # fmt: skip
    yield case("a bias of positions", "MultiHeadAttention", "q k v - - p", *masked, [q], num_heads=2,
               given=[*inputs, ("p", 1, 2, 5, 7)])  # fmt: skip
    yield case("keys are returned", "MultiHeadAttention", "q k v", *plain, [q, (2, 2, 7, 4), (2, 2, 7, 4)],
               num_heads=2, given=inputs)  # fmt: skip
    cached, past = attended(2, 5, 3 + 5, 4, batch=2), [(name, 2, 2, 3, 4) for name in ("pk", "pv")]
    yield case("a cache", "MultiHeadAttention", "q k v - - - pk pv", *cached, [q, (2, 2, 8, 4), (2, 2, 8, 4)],
               num_heads=2, given=[("q", *q), ("k", *q), ("v", *q), *past])  # fmt: skip
    yield case("a cache and a bias", "MultiHeadAttention", "q k v b - - pk pv", cached[0], cached[1] + 3 * 80,
               [q, (2, 2, 8, 4), (2, 2, 8, 4)], num_heads=2, stored=[numbers("b", np.zeros(24))],
               given=[("q", *q), ("k", *q), ("v", *q), *past])  # fmt: skip


def packed():
    """2 sequences of 5 with 6 features, projected to 8 for each of queries, keys and values; 2 heads."""
    x, joint = (2, 5, 6), 2 * 5 * 6 * 24
    stored = [numbers("w", np.zeros((6, 24))), numbers("b", np.zeros(24))]

    def both(core, extra=0):
        return joint + core[0], 2 * joint + 2 * 5 * 24 + core[1] + extra

    def one(name, inputs, figures, shapes, *more, **attributes):
        return case(name, "Attention", f"x w b {inputs}", *figures, shapes, given=[("x", *x), *more], stored=stored,
                    num_heads=2, **attributes)  # fmt: skip

    y = (2, 5, 8)
    plain, masked = (attended(2, 5, 5, 4, batch=2, mask=m) for m in (False, True))
    yield one("a mask of keys", "m", both(masked), [y], value("m", 2, 5, dtype=LENGTHS))
    yield one("lengths", "m", both(masked), [y], value("m", 2, dtype=LENGTHS))
    yield one("a bias of positions, packed", "- - p", both(masked), [y], ("p", 2, 2, 5, 5))
    yield one("keys and values are returned", "", both(plain), [y, (2, 2, 2, 5, 4)])
    yield one("a cache, packed", "- past", both(attended(2, 5, 8, 4, batch=2)), [y, (2, 2, 2, 8, 4)],
              ("past", 2, 2, 2, 3, 4))  # fmt: skip
    yield case("widths", "Attention", "x w b", 2 * 5 * 6 * 20 + attended(2, 5, 5, 4, 2, batch=2)[0],
               2 * 2 * 5 * 6 * 20 + 2 * 5 * 20 + attended(2, 5, 5, 4, 2, batch=2)[1], [(2, 5, 4)],
               given=[("x", *x)], stored=[numbers("w", np.zeros((6, 20))), numbers("b", np.zeros(20))], num_heads=2,
               qkv_hidden_sizes=[8, 8, 4])  # fmt: skip


def grouped():
    """4 heads of 16 features in 2 groups; 3 new tokens behind 5, or a buffer of 16 for them."""
    q, k, total = (1, 3, 64), (1, 3, 32), [numbers("n", 8, np.int32)]
    lengths = value("lengths", 1, dtype=LENGTHS)
    core = attended(4, 3, 8, 16, mask=True)
    turned = ROTATION * (3 * 64 + 3 * 32)
    tables = [numbers("c", np.zeros((16, 8))), numbers("s", np.zeros((16, 8)))]
    past, buffer = ([(name, 1, 2, n, 16) for name in ("pk", "pv")] for n in (5, 16))
    separate = [("q", *q), ("k", *k), ("v", *k)]

    def one(name, inputs, given, room, extra=0, stored=(), **how):
        shapes = [q, (1, 2, room, 16), (1, 2, room, 16)]
        return case(name, "GroupQueryAttention", inputs, core[0], core[1] + extra, shapes, num_heads=4, kv_num_heads=2,
                    given=[*given, lengths], stored=[*total, *stored], **how)  # fmt: skip

    yield one("groups", "q k v pk pv lengths n", [*separate, *past], 8)
    yield one("groups, rotated", "q k v pk pv lengths n c s", [*separate, *past], 8, turned, tables, do_rotary=1)
    yield one("groups, in one tensor", "qkv - - pk pv lengths n", [("qkv", 1, 3, 128), *past], 8)
    yield one("groups with a buffer", "q k v pk pv lengths n", [*separate, *buffer], 16)
    yield one("groups with a window", "q k v pk pv lengths n", [*separate, *past], 8, local_window_size=4)
    first = attended(4, 3, 3, 16, mask=True)
    yield case("groups without a past", "GroupQueryAttention", "q k v - - lengths n", *first,
               [q, (1, 2, 3, 16), (1, 2, 3, 16)], num_heads=4, kv_num_heads=2, given=[*separate, lengths],
               stored=[numbers("n", 3, np.int32)])  # fmt: skip
    yield case("rotation", "RotaryEmbedding", "x p c s", 0, ROTATION * 2 * 4 * 3 * 16, [(2, 4, 3, 16)], stored=tables,
               given=[("x", 2, 4, 3, 16), value("p", 2, 3, dtype=TensorProto.INT64)])  # fmt: skip


def quantized():
    """8-bit ops: dequantized by 1 FLOP per element, computed, and requantized by 2."""
    scale = [numbers(name, 0.5) for name in ("xs", "ws", "ys")]
    zero = [numbers(name, 0, np.uint8) for name in ("xz", "wz", "yz")]
    stored = [*scale, *zero]
    x, n = (2, 3, 4, 4), 96

    def one(name, op, inputs, macs, flops, shape, *given, types=(BYTE,), **how):
        more = how.pop("more", [])
        return case(name, op, inputs, macs, flops, [shape], given=given, stored=[*stored, *more], types=types, **how)

    bytes_of = [value("x", *x, dtype=BYTE)]
    yield one("sigmoid", "QLinearSigmoid", "x xs xz ys yz", 0, n * (1 + 4 + 2), x, *bytes_of)
    yield one("leaky relu", "QLinearLeakyRelu", "x xs xz ys yz", 0, n * (1 + 2 + 2), x, *bytes_of, alpha=0.1)
    yield one("softmax", "QLinearSoftmax", "x xs xz ys yz", 0, n * (1 + SOFTMAX + 2), x, *bytes_of, axis=-1, opset=13)
    yield one(
        "global pool", "QLinearGlobalAveragePool", "x xs xz ys yz", 0, n + 6 * 16 + 6 * 2, (2, 3, 1, 1), *bytes_of
    )
    yield one("concat", "QLinearConcat", "ys yz x xs xz w ws wz", 0, 2 * (n + 64), (2, 5, 4, 4), *bytes_of,
              value("w", 2, 2, 4, 4, dtype=BYTE), axis=1)  # fmt: skip
    rows = [value("a", 3, 5, dtype=BYTE)]
    weights = [numbers("b", np.zeros((5, 7)), np.uint8)]
    yield one("a linear layer", "QGemm", "a xs xz b ws wz - ys yz", 105, 2 * 21, (3, 7), *rows, more=weights)
    yield one("a linear layer to floats", "QGemm", "a xs xz b ws wz c", 105, 2 * 21, (3, 7), *rows, types=(),
              more=[numbers("b", np.zeros((7, 5)), np.uint8), numbers("c", [0] * 7, np.int32)], transB=1)  # fmt: skip
    yield one("a product to floats", "MatMulIntegerToFloat", "a b xs ws xz wz", 105, 2 * 21, (3, 7), *rows, types=(),
              more=weights)  # fmt: skip
    yield one("a dynamic product", "DynamicQuantizeMatMul", "f b ws wz", 105, 7 * 15 + 2 * 21, (3, 7), ("f", 3, 5),
              types=(), more=weights)  # fmt: skip
    yield one("a sum", "QLinearAdd", "x xs xz w ws wz ys yz", 0, 5 * n, x, *bytes_of, value("w", 4, dtype=BYTE))


def channels_last():
    """2 images of 7×9 pixels and 4 channels, with channels last or not; 6 kernels of 3×3 in groups of 2 channels."""
    zeros = [numbers(name, 0, np.uint8) for name in ("xz", "wz", "yz")]
    stored = [*(numbers(name, 0.5) for name in ("xs", "ws", "ys")), *zeros, numbers("b", [0] * 6, np.int32)]
    weights = numbers("w", np.zeros((6, 2, 3, 3)), np.uint8)
    last, first = [value("x", 2, 7, 9, 4, dtype=BYTE)], [value("x", 2, 4, 7, 9, dtype=BYTE)]

    def conv(name, given, space, shape, **how):
        """Each position is 6·2·3·3 integer products for each image; each output is requantized by 2 FLOPs."""
        inputs = "x xs xz w ws wz ys yz b"
        return case(name, "QLinearConv", inputs, 2 * space * 6 * 18, 2 * 2 * space * 6, [shape], given=given,
                    stored=[*stored, weights], types=(BYTE,), group=2, **how)  # fmt: skip

    yield conv("8-bit convolution, channels last", last, 5 * 7, (2, 5, 7, 6), channels_last=1)
    yield conv("8-bit convolution, channels first", first, 5 * 7, (2, 6, 5, 7), channels_last=0)
    yield conv("with a stride and padding", last, 4 * 4, (2, 4, 4, 6), channels_last=1, strides=[2, 2],
               pads=[1, 0, 1, 0])  # fmt: skip
    yield conv("with dilation", last, 3 * 7, (2, 3, 7, 6), channels_last=1, dilations=[2, 1])
    yield conv("padded by itself", last, 4 * 5, (2, 4, 5, 6), channels_last=1, auto_pad="SAME_LOWER", strides=[2, 2])

    def pool(name, shape, **how):
        """Integers are compared: no FLOPs."""
        return case(name, "NhwcMaxPool", "x", 0, 0, [shape], given=last, types=(BYTE,), **how)

    yield pool("8-bit pool", (2, 3, 4, 4), kernel_shape=[2, 2], strides=[2, 2])
    yield pool("8-bit pool, rounded up", (2, 4, 5, 4), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    yield pool("8-bit pool, padded", (2, 4, 5, 4), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    yield case("8-bit global pool, channels last", "QLinearGlobalAveragePool", "x xs xz ys yz", 0,
               504 + 8 * 63 + 8 * 2, [(2, 1, 1, 4)], given=last, stored=stored, types=(BYTE,),
               channels_last=1)  # fmt: skip


def blocked():
    """2 images of 7×9 pixels and 16 channels, one block or two; 32 kernels of 3×3, with their biases."""
    x, given, size = (2, 16, 7, 9), [("x", 2, 16, 7, 9)], 2 * 16 * 63
    stored = [numbers("b", np.zeros(32)), numbers("w", np.zeros((32, 16, 3, 3)))]

    def one(name, op, inputs, macs, flops, shape, more=(), **how):
        return case(name, op, inputs, macs, flops, [shape], domain="com.microsoft.nchwc", given=[*given, *more], **how)

    out, macs = 2 * 32 * 35, 2 * 32 * 35 * 16 * 9
    yield one("convolution in blocks", "Conv", "x w b", macs, 2 * macs + out, (2, 32, 5, 7), stored=stored)
    yield one("with an addend and an activation", "Conv", "x w b s", macs, 2 * macs + 3 * out, (2, 32, 5, 7),
              [("s", 2, 32, 5, 7)], stored=stored, activation="Relu")  # fmt: skip
    yield one("a stride in blocks", "Conv", "x w", 2 * 32 * 20 * 144, 2 * 2 * 32 * 20 * 144, (2, 32, 4, 5),
              stored=stored[1:], strides=[2, 2], pads=[1, 1, 1, 1])  # fmt: skip
    yield one("one kernel a channel", "Conv", "x w", 2 * 16 * 35 * 9, 2 * 2 * 16 * 35 * 9, (2, 16, 5, 7), group=16,
              stored=[numbers("w", np.zeros((16, 1, 3, 3)))])  # fmt: skip
    yield case("images into blocks", "Conv", "x w", 2 * 32 * 35 * 27, 2 * 2 * 32 * 35 * 27, [(2, 32, 5, 7)],
               domain="com.microsoft.nchwc", given=[("x", 2, 3, 7, 9)],
               stored=[numbers("w", np.zeros((32, 3, 3, 3)))])  # fmt: skip
    yield one("maxima in blocks", "MaxPool", "x", 0, 2 * 16 * 12 * 3, (2, 16, 3, 4), kernel_shape=[2, 2],
              strides=[2, 2])  # fmt: skip
    yield one("means in blocks", "AveragePool", "x", 0, 2 * 16 * 20 * 4, (2, 16, 4, 5), kernel_shape=[2, 2],
              strides=[2, 2], ceil_mode=1)  # fmt: skip
    yield one("one maximum", "GlobalMaxPool", "x", 0, 2 * 16 * 62, (2, 16, 1, 1))
    yield one("one mean", "GlobalAveragePool", "x", 0, size, (2, 16, 1, 1))
    yield one("out of blocks", "ReorderOutput", "x", 0, 0, (2, 12, 7, 9), channels=12)
    yield one("out of blocks, channels last", "ReorderOutput", "x", 0, 0, (2, 7, 9, 16), channels=16, channels_last=1)
    yield one("into blocks", "ReorderInput", "x", 0, 0, x)
    yield case("into blocks, channels last", "ReorderInput", "x", 0, 0, [x], domain="com.microsoft.nchwc",
               given=[("x", 2, 7, 9, 16)], channels_last=1)  # fmt: skip
    yield one("copies in blocks", "Upsample", "x", 0, 0, (2, 16, 14, 27), scales=[1, 1, 2, 3], mode="nearest")


def experts():
    """6 tokens of 8 features, each of them to 2 of 4 experts with 16 features inside: 12 rows."""
    x, rows, best = (2, 3, 8), 12, 5 * 6 * 4 + 6 * 4 * 2  # softmax over the experts, and a sort of 4
    given, mixed = [("x", *x), ("r", 6, 4)], rows * 8 + 6 * 8  # weights, and a sum of two
    macs = rows * (8 * 16 + 16 * 8)
    stored = [numbers("w1", np.zeros((4, 16, 8))), numbers("w2", np.zeros((4, 8, 16)))]
    biases = [numbers("b1", np.zeros((4, 16))), numbers("b2", np.zeros((4, 8)))]
    gated = [numbers("w1", np.zeros((4, 32, 8))), stored[1]]
    wide = rows * (8 * 32 + 16 * 8)

    def one(name, inputs, macs, flops, stored, **how):
        return case(name, "MoE", inputs, macs, flops, [x], given=given, stored=stored, k=2, **how)

    yield one("experts", "x r w1 - w2", macs, 2 * macs + best + rows * 16 + mixed, stored)
    yield one("experts with biases", "x r w1 b1 w2 b2", macs, 2 * macs + best + rows * (16 + 16 + 8) + mixed,
              [*stored, *biases], activation_type="relu")  # fmt: skip
    yield one("weights that sum to one", "x r w1 - w2", macs, 2 * macs + best + 6 + 12 + 5 * rows * 16 + mixed, stored,
              activation_type="silu", normalize_routing_weights=1)  # fmt: skip
    yield one("gated experts", "x r w1 - w2", wide, 2 * wide + best + 6 * rows * 16 + mixed, gated,
              activation_type="swiglu", swiglu_fusion=1)  # fmt: skip
    yield one("gated within a limit", "x r w1 - w2", wide, 2 * wide + best + 11 * rows * 16 + mixed, gated,
              activation_type="swiglu", swiglu_fusion=1, activation_alpha=1.702, activation_beta=1.0,
              swiglu_limit=7.0)  # fmt: skip
    yield one("a gate of its own", "x r w1 - w2 - w3", wide, 2 * wide + best + 6 * rows * 16 + mixed,
              [*stored, numbers("w3", np.zeros((4, 16, 8)))], activation_type="silu")  # fmt: skip
    scales = [numbers("s1", np.ones((4, 32))), numbers("s2", np.ones((4, 8)))]
    chosen = 6 * 4 * 2 + 5 * 6 * 2  # the sort, then softmax over two
    how = {"activation_type": "swiglu", "swiglu_fusion": 1, "k": 2}
    for bits, packed in ((8, 1), (4, 2)):
        weights = [numbers("w1", np.zeros((4, 32, 8 // packed)), np.uint8),
                   numbers("w2", np.zeros((4, 8, 16 // packed)), np.uint8)]  # fmt: skip
        flops = 2 * wide + chosen + 6 * rows * 16 + mixed + 4 * (32 * 8 + 8 * 16)
        yield case(f"experts of {bits} bits", "QMoE", "x r w1 s1 - w2 s2", wide, flops, [x], given=given,
                   stored=[*weights, *scales], expert_weight_bits=bits, **how)  # fmt: skip


def norms():
    """A layer norm that ONNX Runtime wrote into a file of an older opset."""
    made = case("layer norm of opset 11", "LayerNormalization", "x g s", 0, 8 * 24, [(2, 3, 4)], given=[("x", 2, 3, 4)],
                stored=[numbers("g", np.ones(4)), numbers("s", np.zeros(4))], domain="", axis=-1)  # fmt: skip
    made.model.opset_import[0].version = 11
    yield made


def models():
    """All of them."""
    for family in (multi_head, packed, grouped, quantized, channels_last, blocked, experts, norms):
        yield from family()


def feeds(proto, rng):
    """Random data for a model's inputs; what is an integer is a length or a mask of ones."""
    found = {}
    for each in proto.graph.input:
        shape = tuple(d.dim_value for d in each.type.tensor_type.shape.dim)
        kind = helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type)
        if kind == np.float32:
            found[each.name] = rng.standard_normal(shape).astype(kind)
        elif each.name == "lengths":
            total = next(numpy_helper.to_array(t) for t in proto.graph.initializer if t.name == "n")
            found[each.name] = np.full(shape, total - 1, kind)
        else:
            found[each.name] = np.ones(shape, kind)
    return found
