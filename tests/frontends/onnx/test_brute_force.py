"""MACs of ops, compared with loops over every multiplication, whose results equal those of onnx's evaluator."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_files import analyzed, model, node, value

from tests.oracles import onnx_ops as plain
from tests.oracles.onnx_ops import Products

some = settings(max_examples=25, deadline=None)
AUTO = st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
numbers = st.integers(0, 2**31)
TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(bool): TensorProto.BOOL,
         np.dtype(np.int8): TensorProto.INT8, np.dtype(np.uint8): TensorProto.UINT8}  # fmt: skip


def floats(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def integers(seed, dtype, *shape):
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, dtype, endpoint=True)


def held(folder, wanted, op, given, stored=(), opset=23, integer=False, torchs=None):
    """The report of the op, whose value is what the plain implementation gives.

    `torchs` is its value where the evaluator has none.
    """
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(stored).items()]
    inputs = [value(name, *array.shape, dtype=TYPES[array.dtype]) for name, array in given.items()]
    proto = model([op], inputs, (op.output[0],), constants, opset=opset)
    proto.ir_version = 10
    found = ReferenceEvaluator(proto).run(None, given)[0] if torchs is None else torchs
    np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=1e-3, atol=1e-4 if not integer else 1)
    report = analyzed(folder.mktemp("op"), proto)
    assert report.unknown == {}
    assert report.graph.values[report.graph.outputs[0]].shape == wanted.shape
    return report


@st.composite
def windows(draw, axes):
    """Settings of a convolution over `axes` axes of space: an input and a kernel that fits."""
    each = st.tuples(*[st.integers(1, 3)] * axes)
    kernel, strides = draw(each), draw(each)
    dilations = draw(st.tuples(*[st.integers(1, 2)] * axes))
    auto = draw(AUTO)
    if auto.startswith("SAME"):
        dilations = (1,) * axes  # the evaluator's padding overlooks dilation
    pads = draw(st.tuples(*[st.integers(0, 2)] * 2 * axes)) if auto == "NOTSET" else None
    size = tuple(draw(st.integers(d * (k - 1) + 1, 7)) for k, d in zip(kernel, dilations, strict=True))
    found = {"strides": [*strides], "dilations": [*dilations]}
    if pads is None:
        found["auto_pad"] = auto
    else:
        found["pads"] = [*pads]
    return size, kernel, found


def plainly(attributes):
    return {"pads": None, **attributes}


@some
@given(data=st.data(), axes=st.integers(1, 2), group=st.integers(1, 2), seed=numbers)
def test_conv(tmp_path_factory, data, axes, group, seed):
    size, kernel, attributes = data.draw(windows(axes))
    x, w = floats(seed, 2, 2 * group, *size), floats(seed + 1, 3 * group, 2, *kernel)
    dots = Products()
    y = plain.convolution(dots, x.astype(float), w, group=group, **plainly(attributes))
    report = held(tmp_path_factory, y, node("Conv", "x w", "y", group=group, **attributes), {"x": x}, {"w": w})
    assert report.totals.macs == dots.count


@some
@given(data=st.data(), group=st.integers(1, 2), seed=numbers)
def test_transposed_convolution(tmp_path_factory, data, group, seed):
    """Values are torch's: the evaluator has no groups here."""
    steps = st.tuples(st.integers(1, 3), st.integers(1, 3))
    strides, kernel, dilations = data.draw(steps), data.draw(steps), data.draw(st.tuples(*[st.integers(1, 2)] * 2))
    extra = [data.draw(st.integers(0, s - 1)) for s in strides]
    pads = [data.draw(st.integers(0, d * (k - 1) // 2)) for k, d in zip(kernel, dilations, strict=True)] * 2
    x, w = floats(seed, 2, 2 * group, 3, 4), floats(seed + 1, 2 * group, 3, *kernel)
    attributes = {"strides": [*strides], "dilations": [*dilations], "output_padding": extra, "pads": pads}
    dots = Products()
    y = plain.transposed_convolution(dots, x.astype(float), w, group=group, **attributes)
    how = {"stride": strides, "dilation": dilations, "output_padding": extra, "padding": pads[:2], "groups": group}
    torchs = torch.nn.functional.conv_transpose2d(torch.tensor(x), torch.tensor(w), **how).numpy()
    op = node("ConvTranspose", "x w", "y", group=group, **attributes)
    report = held(tmp_path_factory, y, op, {"x": x}, {"w": w}, torchs=torchs)
    assert report.totals.macs == dots.count


@some
@given(data=st.data(), zero=st.sampled_from(["", "x", "x w"]), seed=numbers)
def test_conv_integer(tmp_path_factory, data, zero, seed):
    """Groups of one: the evaluator of ONNX has no others."""
    size, kernel, attributes = data.draw(windows(2))
    x, w = integers(seed, np.uint8, 2, 3, *size), integers(seed + 1, np.uint8, 4, 3, *kernel)
    points = {f"{name}z": np.uint8(7 + i) for i, name in enumerate(zero.split())}
    shifted = [a.astype(np.int64) - int(points.get(f"{name}z", 0)) for name, a in (("x", x), ("w", w))]
    dots = Products()
    y = plain.convolution(dots, *shifted, **plainly(attributes))
    op = node("ConvInteger", " ".join(["x w", *points]), "y", **attributes)
    report = held(tmp_path_factory, y, op, {"x": x}, {"w": w, **points})
    assert report.totals.macs == dots.count
    assert report.totals.flops == 0  # integers: MACs, and no FLOPs


@some
@given(data=st.data(), group=st.integers(1, 2), bias=st.booleans(), seed=numbers)
def test_qlinear_conv(tmp_path_factory, data, group, bias, seed):
    size, kernel, attributes = data.draw(windows(2))
    x, w = integers(seed, np.uint8, 1, 2 * group, *size), integers(seed + 1, np.uint8, 3 * group, 2, *kernel)
    added = np.arange(3 * group, dtype=np.int32) * 100 if bias else np.zeros(3 * group, np.int32)
    scales = {"xs": np.float32(0.02), "xz": np.uint8(128), "ws": np.float32(0.03), "wz": np.uint8(120),
              "ys": np.float32(0.5), "yz": np.uint8(100)}  # fmt: skip
    dots = Products()
    sums = plain.convolution(
        dots, x.astype(np.int64) - 128, w.astype(np.int64) - 120, group=group, **plainly(attributes)
    ) + added.reshape(-1, 1, 1)  # fmt: skip
    y = np.clip(np.rint(sums * (0.02 * 0.03 / 0.5)) + 100, 0, 255)
    op = node("QLinearConv", "x xs xz w ws wz ys yz" + " b" * bias, "y", group=group, **attributes)
    stored = {"w": w, **scales, **({"b": added} if bias else {})}
    report = held(tmp_path_factory, y, op, {"x": x}, stored, integer=True)
    assert report.totals.macs == dots.count


@some
@given(
    group=st.integers(1, 2), offset_group=st.integers(1, 2), masked=st.booleans(), bias=st.booleans(),
    stride=st.integers(1, 2), dilation=st.integers(1, 2), pad=st.integers(0, 1), seed=numbers,
)  # fmt: skip
def test_deform_conv(tmp_path_factory, group, offset_group, masked, bias, stride, dilation, pad, seed):
    """Besides MACs: 12 FLOPs a place, 7 for each value between pixels, one for a mask, one for a bias."""
    x, w = floats(seed, 1, 4, 5, 6), floats(seed + 1, 4, 4 // group, 2, 3)
    p, q = (5 + 2 * pad - dilation - 1) // stride + 1, (6 + 2 * pad - 2 * dilation - 1) // stride + 1
    offset, mask = floats(seed + 2, 1, offset_group * 12, p, q), floats(seed + 3, 1, offset_group * 6, p, q)
    added = floats(seed + 4, 4)
    attributes = {"strides": [stride] * 2, "dilations": [dilation] * 2, "pads": [pad] * 4}
    dots = Products()
    y = plain.deformed_convolution(
        dots, x.astype(float), w, offset, mask if masked else None, group=group, offset_group=offset_group, **attributes
    )
    op = node("DeformConv", "x w offset", "y", group=group, offset_group=offset_group, **attributes)
    op.input.extend([*(["b"] if bias else [""] if masked else []), *(["mask"] if masked else [])])
    given = {"x": x, "offset": offset, **({"mask": mask} if masked else {})}
    stored = {"w": w, **({"b": added} if bias else {})}
    report = held(tmp_path_factory, y + added.reshape(-1, 1, 1) * bias, op, given, stored)
    assert report.totals.macs == dots.count
    taps = p * q * 6
    besides = taps * 4 * (7 + masked) + 12 * taps * offset_group + bias * 4 * p * q
    assert report.totals.flops == 2 * dots.count + besides


@some
@given(
    groups=st.integers(1, 2), each=st.integers(1, 2), sizes=st.tuples(*[st.integers(1, 4)] * 4), flat=st.booleans(),
    causal=st.booleans(), softcap=st.sampled_from([0.0, 2.0]), scale=st.sampled_from([None, 0.25]),
    mask=st.sampled_from(["", "float", "bool", "bool of keys"]), past=st.integers(0, 3), seed=numbers,
)  # fmt: skip
def test_attention(tmp_path_factory, groups, each, sizes, flat, causal, softcap, scale, mask, past, seed):
    """Groups of heads that share keys and values, heads in one axis or separate, masks, caches, soft caps."""
    (length, keys, width, value_width), heads = sizes, groups * each
    keys = max(keys, length)  # each query sees a key
    q = floats(seed, 2, heads, length, width)
    k, v = floats(seed + 1, 2, groups, keys, width), floats(seed + 2, 2, groups, keys, value_width)
    pk, pv = floats(seed + 3, 2, groups, past, width), floats(seed + 4, 2, groups, past, value_width)
    shape = (keys + past,) if mask == "bool of keys" else (length, keys + past)
    bias = floats(seed + 5, *shape)
    if mask.startswith("bool"):
        bias = bias > -2
        bias[..., 0] = True
    else:
        bias = bias if mask else None
    if bias is not None and bias.ndim == 1:
        bias = np.broadcast_to(bias, (length, keys + past)).copy()
    joint = [np.concatenate(pair, 2) for pair in ((pk, k), (pv, v))]
    dots = Products()
    y = plain.attention(dots, q, *joint, bias, causal=causal, scale=scale, softcap=softcap, past=past)
    attributes = {"is_causal": int(causal), "softcap": softcap} | ({} if scale is None else {"scale": scale})
    if flat:
        attributes |= {"q_num_heads": heads, "kv_num_heads": groups}
        y = y.transpose(0, 2, 1, 3).reshape(2, length, -1)
        q, k, v = (a.transpose(0, 2, 1, 3).reshape(2, a.shape[2], -1) for a in (q, k, v))
    given = {"q": q, "k": k, "v": v} | ({} if bias is None else {"mask": bias})
    op = node("Attention", "q k v", "y", **attributes)
    op.input.extend(["mask"] if bias is not None else [""] if past else [])
    if past:
        op.input.extend(["pk", "pv"])
        op.output.extend(["a", "b"])
        given |= {"pk": pk, "pv": pv}
    report = held(tmp_path_factory, y, op, given, opset=24)
    assert report.totals.macs == dots.count


EQUATIONS = ["ij,jk->ik", "bij,bjk->bik", "bij,kj->bik", "ij,ij->i", "i,i->", "bhqd,bhkd->bhqk", "abc,cd->dab",
             "ab,bc->c", "bij,bjk->ik", "abij,jcb->aic"]  # fmt: skip


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(tmp_path_factory, equation):
    """A letter that only one tensor has is summed before the product, and isn't multiplied."""
    sizes = dict(zip("abcdhijkq", (2, 3, 4, 5, 2, 3, 4, 5, 3), strict=True))
    terms = equation.split("->")[0].split(",")
    arrays = {f"x{i}": floats(i, *(sizes[c] for c in term)) for i, term in enumerate(terms)}
    dots = Products()
    letters = [{c for c in term if c in equation.split("->")[1] or c in terms[1 - i]} for i, term in enumerate(terms)]
    reduced = [
        x.astype(float).sum(tuple(axis for axis, c in enumerate(term) if c not in letters[i]))
        for i, (term, x) in enumerate(zip(terms, arrays.values(), strict=True))
    ]
    kept = ",".join("".join(c for c in term if c in letters[i]) for i, term in enumerate(terms))
    y = plain.by_letters(dots, f"{kept}->{equation.split('->')[1]}", *reduced)
    report = held(tmp_path_factory, y, node("Einsum", "x0 x1", "y", equation=equation), arrays)
    assert report.totals.macs == dots.count


@pytest.mark.parametrize(
    ("equation", "pairs"),
    [
        ("ij,jk,kl->il", ["ij,jk->ik", "ik,kl->il"]),
        ("ij,kl,jk->il", ["ij,kl->ijkl", "ijkl,jk->il"]),
        ("bi,bj,bk->b", ["b,b->b", "b,b->b"]),
        ("ab,ac,ad->bcd", ["ab,ac->abc", "abc,ad->bcd"]),
        ("bq,bqc,cd->bd", ["bq,bqc->bc", "bc,cd->bd"]),
        ("ab,bc,cd,da->", ["ab,bc->ac", "ac,cd->ad", "ad,da->"]),
        ("i,i,i->", ["i,i->i", "i,i->"]),
    ],
)
def test_einsum_of_several(tmp_path_factory, equation, pairs):
    """From left to right, like ONNX Runtime: the pairs are chosen by hand."""
    sizes = dict(zip("abcdijklq", (2, 3, 4, 5, 2, 3, 4, 5, 3), strict=True))
    terms = equation.split("->")[0].split(",")
    arrays = {f"x{i}": floats(i, *(sizes[c] for c in term)) for i, term in enumerate(terms)}
    alone = equation == "bi,bj,bk->b"  # i, j and k are summed before any product
    made, *parts = (x.astype(float).sum(1) if alone else x.astype(float) for x in arrays.values())
    dots, elementwise = Products(), Products()
    for pair, part in zip(pairs, parts, strict=True):
        read, kept = pair.split("->")
        made = plain.by_letters(dots if set(read) - {",", *kept} else elementwise, pair, made, part)
    report = held(tmp_path_factory, made, node("Einsum", " ".join(arrays), "y", equation=equation), arrays)
    assert report.totals.macs == dots.count


@some
@given(
    batches=st.sampled_from([((), ()), ((2,), ()), ((), (3,)), ((2, 1), (4,)), ((2, 3), (2, 3))]),
    sizes=st.tuples(*[st.integers(1, 4)] * 3), vectors=st.sampled_from(["", "a", "b", "ab"]), seed=numbers,
)  # fmt: skip
def test_matmul(tmp_path_factory, batches, sizes, vectors, seed):
    m, k, n = sizes
    a = floats(seed, k) if "a" in vectors else floats(seed, *batches[0], m, k)
    b = floats(seed + 1, k) if "b" in vectors else floats(seed + 1, *batches[1], k, n)
    rows, columns = np.atleast_2d(a), b if b.ndim > 1 else b[:, None]
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    rows = np.broadcast_to(rows, (*batch, *rows.shape[-2:]))
    columns = np.broadcast_to(columns, (*batch, *columns.shape[-2:]))
    dots = Products()
    y = np.zeros((*batch, rows.shape[-2], columns.shape[-1]))
    for at in np.ndindex(y.shape):
        y[at] = dots.dot(rows[at[:-1]].astype(float), columns[(*at[:-2], slice(None), at[-1])])
    y = y.reshape(np.matmul(a, b).shape)
    report = held(tmp_path_factory, y, node("MatMul", "a b", "y"), {"a": a, "b": b})
    assert report.totals.macs == dots.count


@some
@given(
    flips=st.tuples(*[st.integers(0, 1)] * 2), alpha=st.sampled_from([1.0, 0.5]), beta=st.sampled_from([1.0, 0.0, 2.0]),
    c=st.sampled_from([None, (), (1,), (4,), (3, 1), (3, 4)]), seed=numbers,
)  # fmt: skip
def test_gemm(tmp_path_factory, flips, alpha, beta, c, seed):
    a, b = floats(seed, 3, 5), floats(seed + 1, 5, 4)
    added = None if c is None else floats(seed + 2, *c)
    dots = Products()
    y = np.array([[dots.dot(a[i].astype(float), b[:, j]) for j in range(4)] for i in range(3)]) * alpha
    y = y if added is None else y + beta * added
    given = {"a": a.T if flips[0] else a, "b": b.T if flips[1] else b}
    attributes = {"transA": flips[0], "transB": flips[1], "alpha": alpha, "beta": beta}
    op = node("Gemm", "a b" if added is None else "a b c", "y", **attributes)
    report = held(tmp_path_factory, y, op, given, {} if added is None else {"c": added})
    assert report.totals.macs == dots.count


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("cell", "gates", "before_reset"), [("LSTM", 4, False), ("GRU", 3, False), ("GRU", 3, True), ("RNN", 1, False)]
)
def test_recurrent(tmp_path_factory, cell, gates, direction, before_reset):
    """The evaluator only runs forward: for backward it gets the steps in reverse, for both it runs twice."""
    steps, batch, width, hidden = 3, 2, 4, 5
    x = floats(0, steps, batch, width)
    ways = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    w, r = floats(1, len(ways), gates * hidden, width), floats(2, len(ways), gates * hidden, hidden)
    b = floats(3, len(ways), 2 * gates * hidden)
    dots = Products()
    found = [plain.recurrent(dots, cell, x, w[i], r[i], b[i], way, before_reset) for i, way in enumerate(ways)]
    settings_ = {"hidden_size": hidden} | ({"linear_before_reset": 1} if before_reset else {})
    for i, way in enumerate(ways):
        arrays = {"w": w[i : i + 1], "r": r[i : i + 1], "b": b[i : i + 1]}
        constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
        proto = model([node(cell, "x w r b", "y", **settings_)], [("x", *x.shape)], stored=constants)
        (alone,) = ReferenceEvaluator(proto).run(None, {"x": x[::-1].copy() if way else x})
        np.testing.assert_allclose(alone[::-1, 0] if way else alone[:, 0], found[i], rtol=1e-3, atol=1e-4)
    constants = [numpy_helper.from_array(array, name) for name, array in (("w", w), ("r", r), ("b", b))]
    op = node(cell, "x w r b", "y", direction=direction, **settings_)
    report = analyzed(tmp_path_factory.mktemp("cell"), model([op], [("x", *x.shape)], stored=constants))
    assert (report.unknown, report.totals.macs) == ({}, dots.count)
