from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from cnncost.graph import OpSpec, TensorType
from cnncost.ops import cost_of
from tests.oracles import multiplications, naive
from tests.oracles.counting import tallied

sizes = st.integers(1, 4)


@st.composite
def factors(draw):
    """Shapes of two operands of `@`: vectors, matrices, and batches that broadcast."""
    inner = draw(sizes)
    batch = draw(st.lists(sizes, max_size=3))

    def lead():
        kept = batch[len(batch) - draw(st.integers(0, len(batch))) :]
        return [1 if draw(st.booleans()) else size for size in kept]

    left = [inner] if draw(st.integers(0, 3)) == 0 else [*lead(), draw(sizes), inner]
    right = [inner] if draw(st.integers(0, 3)) == 0 else [*lead(), inner, draw(sizes)]
    return tuple(left), tuple(right)


@settings(max_examples=100, deadline=None)
@given(shapes=factors())
def test_macs_of_matmul(counted, shapes):
    expected = multiplications.matmul(*shapes)
    assert counted(torch.matmul, *shapes) == (expected, 2 * expected)
    assert counted(lambda a, b: a @ b, *shapes) == (expected, 2 * expected)


@settings(max_examples=60, deadline=None)
@given(shapes=factors())
def test_matmul_matches_torchs_counter(analyze, shapes):
    """Torch's counter knows mm and bmm; it omits products with vectors, so those are not compared."""
    a, b = shapes
    if len(a) > 1 and len(b) > 1:
        with FlopCounterMode(display=False) as counter:
            torch.matmul(torch.ones(a), torch.ones(b))
        assert 2 * analyze(torch.matmul, a, b).totals.macs == counter.get_total_flops()


@st.composite
def contractions(draw):
    """An einsum of two operands: indices in both and the result, in one and the result, in both and summed."""
    names = iter("abcdefghij")
    batch, left, right, inner = ([next(names) for _ in range(draw(st.integers(low, 2)))] for low in (0, 0, 0, 1))
    parts = (batch + left + inner, batch + right + inner, batch + left + right)
    a, b, out = (draw(st.permutations(letters)) for letters in parts)
    # with a summed axis of one element torch only multiplies
    size = {name: draw(st.integers(2, 4) if name in inner else sizes) for name in batch + left + right + inner}
    equation = f"{''.join(a)},{''.join(b)}->{''.join(out)}"
    return equation, tuple(size[n] for n in a), tuple(size[n] for n in b)


@settings(max_examples=100, deadline=None)
@given(case=contractions())
def test_macs_of_einsum(counted, case):
    equation, a, b = case
    expected = multiplications.einsum(equation, a, b)
    assert counted(lambda x, y: torch.einsum(equation, x, y), a, b) == (expected, 2 * expected)


@settings(max_examples=60, deadline=None)
@given(lead=st.lists(sizes, max_size=3), width=sizes, out=sizes, bias=st.booleans())
def test_macs_of_linear(counted, lead, width, out, bias):
    x = (*lead, width)
    expected = multiplications.linear(x, (out, width))
    rows = torch.Size(lead).numel()
    assert counted(nn.Linear(width, out, bias=bias), x) == (expected, 2 * expected + bias * rows * out)


@settings(max_examples=30, deadline=None)
@given(lead=st.lists(sizes, min_size=1, max_size=2), i=sizes, j=sizes, out=sizes, bias=st.booleans())
def test_macs_of_bilinear(counted, lead, i, j, out, bias):
    a, b = (*lead, i), (*lead, j)
    expected = multiplications.bilinear(a, b, (out, i, j))
    rows = torch.Size(lead).numel()
    assert counted(nn.Bilinear(i, j, out, bias=bias), a, b) == (expected, 2 * expected + bias * rows * out)


@pytest.mark.parametrize(
    ("function", "shapes", "macs", "other"),
    [
        pytest.param(torch.mm, [(4, 5), (5, 6)], 4 * 5 * 6, 0, id="mm: 120, of which torch's counter makes 240 FLOPs"),
        pytest.param(torch.bmm, [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6, 0, id="bmm"),
        pytest.param(torch.mv, [(4, 5), (5,)], 4 * 5, 0, id="mv"),
        pytest.param(torch.dot, [(5,), (5,)], 5, 0, id="dot"),
        pytest.param(torch.vdot, [(5,), (5,)], 5, 0, id="vdot"),
        pytest.param(torch.inner, [(4, 5), (6, 5)], 4 * 5 * 6, 0, id="inner"),
        pytest.param(torch.addmm, [(4, 6), (4, 5), (5, 6)], 4 * 5 * 6, 4 * 6, id="addmm: the addend once an output"),
        pytest.param(torch.addmm, [(6,), (4, 5), (5, 6)], 4 * 5 * 6, 4 * 6, id="addmm: an addend that broadcasts"),
        pytest.param(torch.addmv, [(4,), (4, 5), (5,)], 4 * 5, 4, id="addmv"),
        pytest.param(torch.baddbmm, [(3, 4, 6), (3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6, 3 * 4 * 6, id="baddbmm"),
        pytest.param(
            torch.addbmm, [(4, 6), (3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6, 4 * 6, id="addbmm: summed over the batch"
        ),
        pytest.param(
            lambda c, a, b: torch.addmm(c, a, b, beta=0), [(4, 6), (4, 5), (5, 6)], 4 * 5 * 6, 0,
            id="addmm with β = 0 adds nothing",
        ),
        pytest.param(
            lambda a, b: torch.tensordot(a, b, 2), [(2, 3, 4), (3, 4, 5)], 2 * 12 * 5, 0, id="tensordot over two axes"
        ),
        pytest.param(torch.kron, [(2, 3), (4, 5)], 0, 6 * 20, id="kron: products, nothing accumulated"),
        pytest.param(torch.outer, [(3,), (4,)], 0, 3 * 4, id="outer: products, nothing accumulated"),
        pytest.param(
            lambda *m: torch.linalg.multi_dot(m), [(9, 3), (3, 4), (4, 2)], 3 * 4 * 2 + 9 * 3 * 2, 0,
            id="a chain, the last product first",
        ),
        pytest.param(
            lambda *m: torch.linalg.multi_dot(m), [(2, 9), (9, 3), (3, 4)], 2 * 9 * 3 + 2 * 3 * 4, 0,
            id="a chain, the first product first",
        ),
        pytest.param(lambda a: torch.linalg.matrix_power(a, 3), [(4, 4)], 2 * 64, 0, id="a third power: two products"),
        pytest.param(
            lambda a: torch.einsum("ii->i", a), [(4, 4)], 0, 0, id="einsum that picks a diagonal computes nothing"
        ),
        pytest.param(lambda a: torch.einsum("ij->ji", a), [(4, 3)], 0, 0, id="einsum that transposes computes nothing"),
        pytest.param(
            lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c), [(2, 3), (3, 4), (4, 5)], 2 * 3 * 4 + 2 * 4 * 5, 0,
            id="einsum of three: from left to right",
        ),
        pytest.param(nn.Linear(100, 100), [(1, 100)], 10_000, 100, id="linear with a bias: one FLOP an output"),
        pytest.param(nn.Linear(5, 6, bias=False), [(5,)], 30, 0, id="linear on one vector"),
        pytest.param(F.linear, [(2, 5), (5,)], 2 * 5, 0, id="linear with one output and no axis for it"),
        pytest.param(
            nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)], 2 * 5 * (3 * 4 + 4), 2 * 5, id="bilinear: aᵀW, then times b"
        ),
    ],
)  # fmt: skip
def test_macs_by_hand(counted, function, shapes, macs, other):
    assert counted(function, *shapes) == (macs, 2 * macs + other)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        pytest.param("linear", [(2, 3, 4), (5, 4), (5,)], id="linear"),
        pytest.param("matmul", [(2, 1, 3, 4), (2, 4, 2)], id="matmul with batches that broadcast"),
        pytest.param("bilinear", [(3, 2), (3, 4), (5, 2, 4), (5,)], id="bilinear"),
    ],
)
def test_flops_of_a_computation_whose_result_is_right(counted, name, shapes):
    tensors = [torch.rand(shape, dtype=torch.float64) for shape in shapes]
    function = torch.matmul if name == "matmul" else getattr(F, name)
    result, tally = tallied(getattr(naive, name), *tensors)
    torch.testing.assert_close(result, function(*tensors))
    assert counted(function, *tensors) == (tally.multiplications, tally.flops)


# Grouped products: the rows of a mixture of experts, sorted by expert.

ENDS = torch.tensor([8, 24, 32], dtype=torch.int32)
ROWS = (8, 16, 8)


@pytest.mark.parametrize(
    ("a", "b", "ends", "expected"),
    [
        pytest.param(
            (32, 16), (3, 16, 24), ENDS, multiplications.grouped_matmul(ROWS, 16, 24),
            id="2D by 3D: each row meets its expert's matrix alone",
        ),
        pytest.param(
            (3, 8, 16), (3, 16, 24), None, multiplications.grouped_matmul((8, 8, 8), 16, 24), id="3D by 3D: a batch"
        ),
        pytest.param(
            (3, 8, 16), (16, 32), ENDS, sum(multiplications.matmul((8, 16), (16, rows)) for rows in ROWS),
            id="3D by 2D: the columns are split",
        ),
        pytest.param(
            (8, 32), (32, 24), ENDS, sum(multiplications.matmul((8, rows), (rows, 24)) for rows in ROWS),
            id="2D by 2D: the inner axis is split",
        ),
    ],
)  # fmt: skip
def test_grouped_matmul(analyze, a, b, ends, expected):
    """Counts by the rows of each expert; torch's own counter has no formula for the op."""
    left, right = (torch.empty(shape, dtype=torch.bfloat16, device="meta") for shape in (a, b))
    totals = analyze(lambda x, y, offs: torch._grouped_mm(x, y, offs=offs), left, right, ends).totals
    assert (totals.macs, totals.flops) == (expected, 2 * expected)


def test_a_bias_of_a_grouped_product_is_one_flop_an_output():
    types = [TensorType(shape, "bfloat16") for shape in ((32, 16), (3, 16, 24), (3, 24), (32, 24))]
    attrs = (("rows", 32), ("k", 16), ("n", 24), ("bias", True))
    cost = cost_of(OpSpec("grouped_matmul", tuple(types[:3]), (types[3],), attrs))
    assert (cost.macs, cost.flops) == (32 * 16 * 24, 2 * 32 * 16 * 24 + 32 * 24)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int8, torch.uint8])
@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        pytest.param(torch.mm, [(3, 4), (4, 5)], 3 * 4 * 5, id="mm"),
        pytest.param(torch.addmm, [(5,), (3, 4), (4, 5)], 3 * 4 * 5, id="addmm, with a sum"),
        pytest.param(torch.bmm, [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5, id="bmm"),
        pytest.param(F.linear, [(3, 4), (5, 4), (5,)], 3 * 4 * 5, id="linear, with a bias"),
        pytest.param(F.conv1d, [(1, 2, 9), (4, 2, 3), (4,)], 7 * 4 * 2 * 3, id="convolution, with a bias"),
    ],
)
def test_integer_products(analyze, function, shapes, macs, dtype):
    """Integer products are multiply-accumulates, but not floating-point operations; sums of integers are neither."""
    found = analyze(function, *(torch.ones(shape, dtype=dtype, device="meta") for shape in shapes)).totals
    assert (found.macs, found.flops) == (macs, 0)


def test_an_empty_product(analyze):
    x = torch.empty(0, 4, device="meta")
    assert analyze(nn.Linear(4, 5), x).totals.macs == 0


TRILINEAR = {
    # sizes of all axes, the axes of each of three tensors, the summed axes, MACs and FLOPs;
    # torch loops over axis 0
    "a number, a row": (
        # for both positions: a row of 3 times a number, and its product with a row of 3, summed
        (2, 3), ((True, True), (True, False), (True, True)), (1,), 2 * 3, 2 * 3 + 2 * (2 * 3),
    ),
    "an axis of the first alone": (
        # for both positions: 3 numbers summed, times a number, times a number
        (2, 3), ((True, True), (True, False), (True, False)), (1,), 0, 2 * (3 - 1) + 2 + 2,
    ),
    "an axis of the second alone, beside one that stays": (
        # for both positions: 3·4 numbers summed to 4, times a number, times a number
        (2, 3, 4), ((True, False, False), (True, True, True), (True, False, False)), (1,), 0,
        2 * (12 - 4) + 2 * 4 + 2 * 4,
    ),
    "over the places, too": (
        # 3 products for both positions, 3 more, summed; the two sums are added
        (2, 3), ((True, True),) * 3, (0, 1), 2 * 3, 2 * 3 + 2 * (2 * 3) + (2 - 1),
    ),
    "one place": ((1, 3), ((True, True),) * 3, (0, 1), 3, 3 + 2 * 3),
    "nothing": ((0, 3), ((True, True),) * 3, (0, 1), 0, 0),
    # no positions: nothing is added to the 4 outputs
    "nothing along another axis": (
        (2, 0, 4), ((True, True, False), (True, False, True), (True, False, False)), (0, 1), 0, 0,
    ),
}  # fmt: skip


def trilinear(sizes, has, summed, dtype="float32"):
    inputs = [TensorType(tuple(n for n, mine in zip(sizes, of, strict=True) if mine), dtype) for of in has]
    output = TensorType(tuple(n for i, n in enumerate(sizes) if i not in summed), dtype)
    attrs = (("has", has), ("sizes", sizes), ("summed", summed), ("unrolled", 0))
    found = cost_of(OpSpec("trilinear", tuple(inputs), (output,), attrs))
    return found.macs, found.flops


@pytest.mark.parametrize("name", TRILINEAR)
def test_a_product_of_three(name):
    *given, macs, flops = TRILINEAR[name]
    assert trilinear(*given) == (macs, flops)


def test_a_product_of_three_complex_tensors():
    """For both positions: 3 products of 4 real ones and 2 additions each; then 3 of 4 real ones, all accumulated."""
    found = trilinear((2, 3), ((True, True), (True, False), (True, True)), (1,), "complex64")
    assert found == (2 * 3 * 4, 2 * 3 * (4 + 2) + 2 * (2 * 3 * 4))


def test_factor_names_of_grouped_and_bilinear_products():
    types = [TensorType(shape, "float32") for shape in ((5, 3), (4, 3, 2), (5, 2))]
    rows = OpSpec("grouped_matmul", tuple(types[:2]), (types[2],), (("bias", False), ("k", 3), ("n", 2), ("rows", 5)))
    assert [term.factors for term in cost_of(rows).terms] == [(("T", 5), ("K", 3), ("N", 2))]
    x, w, y = (TensorType(shape, "float32") for shape in ((5, 3), (4, 3, 2), (5, 4)))
    pairs = OpSpec("bilinear", (x, TensorType((5, 2), "float32"), w), (y,), (("bias", True),))
    assert [term.factors for term in cost_of(pairs).terms] == [
        (("M", 5), ("O", 4), ("I", 3), ("J", 2)), (("M", 5), ("O", 4), ("J", 2)), (("M", 5), ("O", 4)),
    ]  # fmt: skip
