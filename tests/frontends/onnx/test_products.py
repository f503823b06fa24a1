"""Counts compared with loops over every multiplication, and shapes with torch's or NumPy's results."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_files import analyzed, model, node, weight

some = settings(max_examples=25, deadline=None)


def counted(x, w, y, transposed):
    """Multiplications of a convolution, tap by tap; padded positions count; a transposed one loops over its input."""
    positions = x[2:] if transposed else y[2:]
    channels = w[1]  # of each group: in, or out of a transposed one
    outer = x[1] if transposed else y[1]
    found = 0
    for _ in product(range(x[0]), range(outer), *map(range, positions)):
        for _ in product(range(channels), *map(range, w[2:])):
            found += 1
    return found


@some
@given(
    axes=st.integers(1, 2), groups=st.sampled_from([1, 2]), stride=st.integers(1, 3), dilation=st.integers(1, 2),
    kernel=st.integers(1, 3), pad=st.integers(0, 2), transposed=st.booleans(), extra=st.integers(0, 1),
)  # fmt: skip
def test_convolutions(tmp_path_factory, axes, groups, stride, dilation, kernel, pad, transposed, extra):
    extra = min(extra, max(stride, dilation) - 1) if transposed else 0
    pad = min(pad, dilation * (kernel - 1)) if transposed else pad
    classes = {(1, False): torch.nn.Conv1d, (2, False): torch.nn.Conv2d,
               (1, True): torch.nn.ConvTranspose1d, (2, True): torch.nn.ConvTranspose2d}  # fmt: skip
    how = {"output_padding": extra} if transposed else {}
    layer = classes[axes, transposed](4, 6, kernel, stride, pad, groups=groups, dilation=dilation, **how)
    shape = (2, 4, *[7] * axes)
    y = tuple(layer(torch.zeros(shape)).shape)
    w = tuple(layer.weight.shape)
    attributes = {"strides": [stride] * axes, "pads": [pad] * 2 * axes, "dilations": [dilation] * axes, "group": groups}
    if transposed:
        attributes["output_padding"] = [extra] * axes
    op = node("ConvTranspose" if transposed else "Conv", "x w b", "y", **attributes)
    proto = model([op], [("x", *shape)], stored=[weight("w", *w), weight("b", 6)])
    report = analyzed(tmp_path_factory.mktemp("conv"), proto)
    assert report.graph.values[report.graph.outputs[0]].shape == y
    assert report.totals.params == w[0] * w[1] * kernel**axes + 6
    assert report.totals.macs == counted(shape, w, y, transposed)


@pytest.mark.parametrize(("auto", "first"), [("SAME_UPPER", 1), ("SAME_LOWER", 2), ("VALID", 0)])
def test_auto_pad(tmp_path, auto, first):
    """A kernel of 4 over 8 positions at stride 1: three positions of padding, the odd one at the end or beginning."""
    proto = model([node("Conv", "x w", "y", auto_pad=auto)], [("x", 1, 1, 8)], stored=[weight("w", 1, 1, 4)])
    spec = analyzed(tmp_path, proto).graph.nodes[0].spec
    assert spec["padding"] == (first,)
    assert spec.outputs[0].shape[2] == (5 if auto == "VALID" else 8)


@pytest.mark.parametrize("flip_a", [0, 1])
@pytest.mark.parametrize("flip_b", [0, 1])
@pytest.mark.parametrize("bias", [(), (7,), (3, 1), (3, 7), (1,)])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 1.0), (1.0, 2.0)])
def test_gemm(tmp_path, flip_a, flip_b, bias, alpha, beta):
    """3×5 by 5×7. α and β other than 1 are a multiplication for each element that they scale; one addition each."""
    a, b = ((5, 3) if flip_a else (3, 5)), ((7, 5) if flip_b else (5, 7))
    op = node("Gemm", "x w c", "y", transA=flip_a, transB=flip_b, alpha=alpha, beta=beta)
    report = analyzed(tmp_path, model([op], [("x", *a)], stored=[weight("w", *b), weight("c", *bias)]))
    assert report.totals.macs == 3 * 5 * 7
    scaled = (alpha != 1) * 21 + (beta != 1) * int(np.prod(bias))
    assert report.totals.flops == 2 * 105 + 21 + scaled


@pytest.mark.parametrize(
    ("a", "b", "macs"),
    [
        pytest.param((5,), (5,), 5, id="two vectors"),
        pytest.param((3, 5), (5,), 15, id="a column"),
        pytest.param((5,), (5, 7), 35, id="a row"),
        pytest.param((4, 1, 3, 5), (2, 5, 7), 4 * 2 * 3 * 5 * 7, id="broadcast both ways"),
        pytest.param((2, 3, 5), (5, 7), 2 * 3 * 5 * 7, id="one matrix for all"),
    ],
)
def test_matmul(tmp_path, a, b, macs):
    report = analyzed(tmp_path, model([node("MatMul", "a b", "y")], [("a", *a), ("b", *b)]))
    assert report.totals.macs == macs
    assert report.graph.values[report.graph.outputs[0]].shape == np.matmul(np.zeros(a), np.zeros(b)).shape


@pytest.mark.parametrize(
    ("equation", "shapes", "macs", "flops"),
    [
        pytest.param("ij,jk->ik", [(3, 5), (5, 7)], 105, 210, id="a product"),
        pytest.param("bhld,bhsd->bhls", [(2, 3, 4, 5), (2, 3, 6, 5)], 2 * 3 * 4 * 5 * 6, None, id="scores"),
        pytest.param("...ij,...kj->...ik", [(2, 3, 5), (2, 7, 5)], 2 * 105, None, id="an ellipsis"),
        pytest.param("i,j->ij", [(3,), (5,)], 0, 15, id="nothing is accumulated"),
        pytest.param("ij,ij->", [(3, 5), (3, 5)], 15, 30, id="a dot product"),
        pytest.param("ij->ji", [(3, 5)], 0, 0, id="a transpose"),
        pytest.param("ij->i", [(3, 5)], 0, 12, id="a sum"),
        pytest.param("ijk,kl->il", [(2, 3, 5), (5, 7)], 2 * 5 * 7, 2 * 70 + 2 * 3 * 5 - 10, id="a sum before"),
        pytest.param("bij,jk", [(2, 3, 5), (5, 7)], 210, 420, id="without an arrow"),
        pytest.param(
            "...ij,...jk->...ik", [(4, 1, 3, 5), (4, 2, 5, 7)], 8 * 105, None, id="an axis of one in the dots"
        ),
        pytest.param("bij,bjk->bik", [(1, 3, 5), (2, 5, 7)], 210, None, id="an axis of one"),
        pytest.param("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], 2 * 3 * 4 + 2 * 4 * 5, None, id="three"),
        pytest.param("...ij,...jk,...kl->...il", [(2, 2, 3), (1, 3, 4), (2, 4, 5)], 2 * 64, None, id="three with dots"),
        pytest.param("i,i,i->i", [(3,), (3,), (3,)], 0, 6, id="three elementwise"),
        pytest.param("ii->i", [(3, 3)], 0, 0, id="a diagonal"),
        pytest.param("ii->", [(3, 3)], 0, 2, id="a trace"),
        pytest.param("iij,jk->ik", [(3, 3, 5), (5, 7)], 105, 210, id="a product with a diagonal"),
        pytest.param("ij,jk->ik", [(3, 1), (5, 7)], 0, 28 + 21, id="a sum before, and no axis left"),
    ],
)
def test_einsum(tmp_path, equation, shapes, macs, flops):
    names = "abc"[: len(shapes)]
    proto = model([node("Einsum", " ".join(names), "y", equation=equation)],
                  [(n, *s) for n, s in zip(names, shapes, strict=True)])  # fmt: skip
    report = analyzed(tmp_path, proto)
    assert report.totals.macs == macs
    assert report.totals.flops == (2 * macs if flops is None else flops)
    expected = np.einsum(equation, *map(np.zeros, shapes)).shape
    assert report.graph.values[report.graph.outputs[0]].shape == expected


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.mark.parametrize("cell", list(GATES))
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("bias", [False, True])
def test_recurrent(tmp_path, cell, direction, bias):
    """For each step, sequence, direction and gate: a product with the input, and one with the state."""
    steps, batch, width, hidden, gates = 5, 3, 4, 6, GATES[cell]
    directions = 2 if direction == "bidirectional" else 1
    rows = gates * hidden
    macs = sum(width + hidden for _ in product(range(steps), range(batch), range(directions), range(rows)))
    op = node(cell, "x w r b" if bias else "x w r", "y h", hidden_size=hidden, direction=direction)
    stored = [weight("w", directions, rows, width), weight("r", directions, rows, hidden)]
    stored += [weight("b", directions, 2 * rows)] if bias else []
    report = analyzed(tmp_path, model([op], [("x", steps, batch, width)], ("y", "h"), stored))
    graph = report.graph
    assert report.totals.macs == macs
    assert report.totals.params == directions * rows * (width + hidden + 2 * bias)
    assert [graph.values[i].shape for i in graph.outputs] == [
        (steps, directions, batch, hidden), (directions, batch, hidden)
    ]  # fmt: skip
    assert report.unknown == {}


def test_peepholes_are_unknown(tmp_path):
    op = node("LSTM", "x w r b l h c p", "y", hidden_size=2)
    sizes = {"w": (1, 8, 3), "r": (1, 8, 2), "b": (1, 16), "h": (1, 1, 2), "c": (1, 1, 2), "p": (1, 6)}
    stored = [weight(name, *shape) for name, shape in sizes.items()] + [weight("l", 1, dtype=6)]
    report = analyzed(tmp_path, model([op], [("x", 4, 1, 3)], stored=stored))
    assert report.unknown == {"onnx.LSTM": 1}


def test_integer_products_are_macs_and_no_flops(tmp_path):
    """3×5 by 5×7, returning accumulators; the same for a convolution."""
    proto = model([node("MatMulInteger", "a w", "y")], [("a", 3, 5)], stored=[weight("w", 5, 7, dtype=3)])
    proto.graph.input[0].type.tensor_type.elem_type = 3
    proto.graph.output[0].type.tensor_type.elem_type = 6
    report = analyzed(tmp_path, proto)
    assert (report.totals.macs, report.totals.flops, report.totals.params) == (105, 0, 35)
