"""Sparse tensors in forward, as buffers and as inputs: products are counted by what is stored."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # as everywhere

import cnncost
from cnncost.errors import DataDependentError
from cnncost.frontends.torch import Training, record
from cnncost.graph_json import from_json, to_json
from tests.oracles.sparse import Counter, products

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")

EDGES = torch.tensor([[0, 1, 2, 2], [1, 0, 0, 1]])  # four elements
DOUBLED = torch.tensor([[0, 1, 2, 2, 0], [1, 0, 0, 1, 1]])  # five, two of them in one place


class _Model(nn.Module):
    """A function with a linear layer 8 → 4, a vector of four weights, and whatever else it is given."""

    def __init__(self, function: Any, **held: torch.Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)
        self.weight = nn.Parameter(torch.ones(4))
        self.function = function
        for name, tensor in held.items():
            self.register_buffer(name, tensor)

    def forward(self, *args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        return self.function(self, *args, **kwargs)


def coo(indices: torch.Tensor = EDGES, n: int = 3, m: int | None = None) -> torch.Tensor:
    return torch.sparse_coo_tensor(indices, torch.ones(indices.shape[1]), (n, m or n))


LINEAR = 3 * 8 * 4
X = (3, 8)

IN_FORWARD: list[Any] = [
    pytest.param(lambda s, x: torch.sparse.mm(coo(), s.linear(x)), LINEAR + 4 * 4, id="torch.sparse.mm"),
    pytest.param(lambda s, x: coo() @ s.linear(x), LINEAR + 4 * 4, id="@"),
    pytest.param(lambda s, x: coo().matmul(s.linear(x)), LINEAR + 4 * 4, id="matmul"),
    pytest.param(lambda s, x: torch.spmm(coo(), s.linear(x)), LINEAR + 4 * 4, id="spmm"),
    pytest.param(lambda s, x: torch.mm(coo(DOUBLED), s.linear(x)), LINEAR + 5 * 4, id="duplicates are multiplied"),
    pytest.param(lambda s, x: coo(DOUBLED).coalesce() @ s.linear(x), LINEAR + 4 * 4, id="coalesced: one of two"),
    pytest.param(lambda s, x: s.linear(x).t() @ coo(), LINEAR + 4 * 4, id="dense times sparse"),
    pytest.param(lambda s, x: coo().t() @ s.linear(x), LINEAR + 4 * 4, id="transposed"),
    pytest.param(
        lambda s, x: coo().transpose(0, 1).coalesce() @ s.linear(x), LINEAR + 4 * 4, id="transposed, coalesced"
    ),
    pytest.param(
        lambda s, x: torch.sparse.addmm(s.linear(x), coo(), s.linear(x)), 2 * LINEAR + 4 * 4, id="torch.sparse.addmm"
    ),
    pytest.param(lambda s, x: torch.addmm(s.linear(x), coo(), s.linear(x)), 2 * LINEAR + 4 * 4, id="addmm"),
    pytest.param(lambda s, x: coo() @ s.linear(x)[:, 0], LINEAR + 4, id="a vector"),
    pytest.param(lambda s, x: coo().mv(s.linear(x)[:, 0]), LINEAR + 4, id="mv"),
    pytest.param(lambda s, x: coo().to_sparse_csr() @ s.linear(x), LINEAR + 4 * 4, id="CSR of COO"),
    pytest.param(lambda s, x: coo(DOUBLED).to_sparse_csr() @ s.linear(x), LINEAR + 4 * 4, id="CSR of duplicates"),
    pytest.param(lambda s, x: coo().to_sparse_csc() @ s.linear(x), LINEAR + 4 * 4, id="CSC of COO"),
    pytest.param(lambda s, x: coo().to_sparse_csr().t() @ s.linear(x), LINEAR + 4 * 4, id="CSR transposed"),
    pytest.param(lambda s, x: s.linear(x).t() @ coo().to_sparse_csr(), LINEAR + 4 * 4, id="dense times CSR"),
    pytest.param(
        lambda s, x: torch.sparse_csr_tensor(
            torch.tensor([0, 1, 2, 4]), torch.tensor([1, 0, 0, 1]), torch.ones(4), (3, 3)) @ s.linear(x),
        LINEAR + 4 * 4, id="CSR of its parts"),
    pytest.param(
        lambda s, x: torch.sparse_csc_tensor(
            torch.tensor([0, 2, 4, 4]), torch.tensor([1, 2, 0, 2]), torch.ones(4), (3, 3)) @ s.linear(x),
        LINEAR + 4 * 4, id="CSC of its parts"),
    pytest.param(
        lambda s, x: coo(EDGES, 4).to_sparse_bsr((2, 2)) @ F.pad(s.linear(x), (0, 0, 0, 1)),
        LINEAR + (2 * 2 * 2) * 4, id="BSR: two blocks of four"),  # rows 0-1 × columns 0-1, rows 2-3 × columns 0-1
    pytest.param(
        lambda s, x: torch.sparse_bsr_tensor(
            torch.tensor([0, 1, 1]), torch.tensor([1]), torch.ones(1, 2, 2), (4, 4)) @ F.pad(s.linear(x), (0, 0, 0, 1)),
        LINEAR + (1 * 2 * 2) * 4, id="BSR of its parts"),
    pytest.param(
        lambda s, x: torch.sparse_coo_tensor(EDGES, s.weight, (3, 3)) @ s.linear(x), LINEAR + 4 * 4, id="learned edges"
    ),
    pytest.param(
        lambda s, x: torch.sparse_coo_tensor(EDGES, s.linear(x)[:2, :2].reshape(-1), (3, 3)) @ s.linear(x),
        2 * LINEAR + 4 * 4, id="computed edges"),
    pytest.param(
        lambda s, x: torch.sparse_coo_tensor(DOUBLED, torch.cat([s.weight, s.weight[:1]]), (3, 3)).coalesce()
        @ s.linear(x),
        LINEAR + 4 * 4, id="computed edges, coalesced"),
    pytest.param(
        lambda s, x: torch.sparse_coo_tensor(EDGES, s.weight) @ s.linear(x)[:2], LINEAR + 4 * 4, id="of its own size"
    ),
    pytest.param(
        lambda s, x: torch.sparse.softmax(torch.sparse_coo_tensor(EDGES, s.weight, (3, 3)), 1) @ s.linear(x),
        LINEAR + 4 * 4, id="attention over edges"),
    pytest.param(
        lambda s, x: torch.sparse.log_softmax(coo(), 1) @ s.linear(x), LINEAR + 4 * 4, id="log-softmax"
    ),
    pytest.param(lambda s, x: (coo() * 2).neg() @ s.linear(x), LINEAR + 4 * 4, id="scaled"),
    pytest.param(lambda s, x: (coo() * coo()) @ s.linear(x), LINEAR + 4 * 4, id="product with itself"),
    pytest.param(
        # self loops: 4 + 3 elements, none of them twice
        lambda s, x: (coo().coalesce() + torch.eye(3).to_sparse()).coalesce() @ s.linear(x), LINEAR + 7 * 4,
        id="with self loops"),
    pytest.param(
        # (0,1)·(1,0) (1,0)·(0,1) (2,0)·(0,1) (2,1)·(1,0), then (0,0) (1,1) (2,1) (2,0) are left
        lambda s, x: torch.sparse.mm(coo(), coo()) @ s.linear(x), LINEAR + 4 + 4 * 4, id="sparse times sparse"),
    pytest.param(
        lambda s, x: (coo().to_sparse_csr() @ coo().to_sparse_csr()) @ s.linear(x), LINEAR + 4 + 4 * 4,
        id="CSR times CSR"),
    pytest.param(
        lambda s, x: torch.sparse.sampled_addmm(coo().to_sparse_csr(), s.linear(x), s.linear(x).t()) @ s.linear(x),
        3 * LINEAR + 4 * 4 + 4 * 4, id="sampled_addmm"),
    pytest.param(
        lambda s, x: torch.bmm(torch.stack([coo(), coo()]), s.linear(x).expand(2, 3, 4)), LINEAR + 8 * 4, id="bmm"
    ),
    pytest.param(lambda s, x: coo().to_dense() @ s.linear(x), LINEAR + 3 * 3 * 4, id="made dense"),
    pytest.param(
        lambda s, x: torch.sparse.mm(coo().to_sparse_csr(), s.linear(x), "sum"), LINEAR + 4 * 4, id="reduce: sum"
    ),
    pytest.param(
        lambda s, x: torch.sparse.mm(coo().to_sparse_csr(), s.linear(x), "mean"), LINEAR + 4 * 4, id="reduce: mean"
    ),
    pytest.param(
        lambda s, x: torch.sparse.mm(coo().to_sparse_csr(), s.linear(x), "amax"), LINEAR, id="largest: none accumulated"
    ),
    pytest.param(lambda s, x: F.linear(s.linear(x).t(), coo()), LINEAR + 4 * 4, id="F.linear with a sparse weight"),
    pytest.param(
        lambda s, x: coo().index_select(0, torch.tensor([2])) @ s.linear(x), LINEAR + 2 * 4, id="a node's edges"
    ),
    pytest.param(lambda s, x: torch.cat([coo(), coo()]) @ s.linear(x), LINEAR + 8 * 4, id="stacked graphs"),
    pytest.param(lambda s, x: coo().to(torch.float64) @ s.linear(x).double(), LINEAR + 4 * 4, id="double precision"),
    pytest.param(
        lambda s, x: torch.diag(torch.tensor([1.0, 2, 0])).to_sparse() @ s.linear(x), LINEAR + 2 * 4, id="of a literal"
    ),
    pytest.param(
        lambda s, x: torch.sparse.spdiags(torch.ones(1, 3), torch.tensor([0]), (3, 3)) @ s.linear(x),
        LINEAR + 3 * 4, id="a diagonal"),
    pytest.param(
        lambda s, x: torch.sparse.sum(coo(), 1).to_dense()[:, None] * s.linear(x), LINEAR, id="degrees: sums only"
    ),
    pytest.param(
        # 1/degree by edge, put back: nothing but edges is multiplied
        lambda s, x: _normalised(coo()) @ s.linear(x), LINEAR + 4 * 4, id="normalised by degree"),
    pytest.param(
        lambda s, x: s.linear(x).new_zeros(3, 4).index_add(0, EDGES[0], s.linear(x)[EDGES[1]]), 2 * LINEAR,
        id="by scatter: sums, no products"),
]  # fmt: skip


def _normalised(adjacency: torch.Tensor) -> torch.Tensor:
    adjacency = adjacency.coalesce()
    row, _ = adjacency.indices()
    degree = torch.zeros(3).index_add(0, row, adjacency.values())
    return torch.sparse_coo_tensor(adjacency.indices(), adjacency.values() / degree[row], adjacency.shape)


@pytest.mark.parametrize("use_memo", [True, False], ids=["memo", "no memo"])
@pytest.mark.parametrize(("function", "expected"), IN_FORWARD)
def test_in_forward_without_data(function: Any, expected: int, use_memo: bool) -> None:
    model = _Model(function).eval()
    first = record(model, X, use_memo=use_memo)
    report = cnncost.analyze(first)
    assert (report.totals.macs, report.unknown) == (expected, {})
    assert record(model, X, use_memo=use_memo) == first
    assert record(model, X, use_memo=not use_memo) == first


@pytest.mark.parametrize(("function", "expected"), IN_FORWARD)
def test_in_forward_on_values(function: Any, expected: int) -> None:
    model = _Model(function).eval()
    for _ in range(2):
        report = cnncost.analyze(model, torch.rand(X), trace="real")
        assert (report.totals.macs, report.unknown) == (expected, {})


def _layouts(tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "COO": tensor, "COO, coalesced": tensor.coalesce(), "CSR": tensor.to_sparse_csr(),
        "CSC": tensor.to_sparse_csc(), "BSR": tensor.to_sparse_bsr((2, 2)),
    }  # fmt: skip


def _graph() -> torch.Tensor:
    with warnings.catch_warnings():  # torch's, of sparse tensors as such
        warnings.simplefilter("ignore")
        return coo(torch.tensor([[0, 1, 2, 3, 3, 5, 5], [1, 0, 0, 1, 1, 2, 5]]), 6)


_LAYOUTS = ("COO", "COO, coalesced", "CSR", "CSC", "BSR")  # torch multiplies no BSC


@pytest.mark.parametrize("layout", _LAYOUTS)
@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("held", ["input", "buffer", "attribute", "keyword", "global"])
def test_that_is_given(layout: str, trace: Any, held: str) -> None:
    adjacency = _layouts(_graph())[layout]  # seven elements, (3, 1) twice
    expected = 6 * 8 * 4 + products(adjacency, torch.ones(6, 4))
    inputs: Any = {"x": torch.ones(6, 8)} if trace == "real" else {"x": (6, 8)}
    model = _Model(lambda s, x, a=None: (s.adjacency if a is None else a) @ s.linear(x))
    if held == "input":
        inputs = (inputs["x"], adjacency)
    elif held == "keyword":
        inputs = {**inputs, "a": adjacency}
    elif held == "buffer":
        model.register_buffer("adjacency", adjacency)
    elif held == "attribute":
        model.adjacency = adjacency
    else:
        model = _Model(lambda s, x: adjacency @ s.linear(x))
    before = adjacency.to_dense().clone()
    for _ in range(2):
        assert cnncost.analyze(model.eval(), inputs, trace=trace).totals.macs == expected
    assert torch.equal(adjacency.to_dense(), before)
    assert not vars(adjacency)


def test_the_count_of_a_large_graph() -> None:
    n, edges = 1_000_000, 3_000_000
    places = torch.stack([torch.arange(edges) % n, torch.arange(edges) * 7 % n])
    adjacency = torch.sparse_coo_tensor(places, torch.ones(edges), (n, n))
    model = _Model(lambda s, x, a: a @ s.linear(x))
    assert cnncost.analyze(model, ((n, 8), adjacency)).totals.macs == n * 8 * 4 + edges * 4


@pytest.mark.parametrize("use_memo", [True, False], ids=["memo", "no memo"])
def test_two_graphs_of_one_shape_are_told_apart(use_memo: bool) -> None:
    model = _Model(lambda s, x, a: a @ s.linear(x))
    for indices in (EDGES, DOUBLED, EDGES[:, :1], EDGES):
        graph = record(model, (X, coo(indices)), use_memo=use_memo)
        assert cnncost.analyze(graph).totals.macs == LINEAR + indices.shape[1] * 4


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_product_of_any_layout(data: Any) -> None:
    rows, columns, width = (data.draw(st.integers(1, 5)) * 2 for _ in range(3))
    count = data.draw(st.integers(0, 12))
    place = st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1))
    places = data.draw(st.lists(place, min_size=count, max_size=count))
    indices = torch.tensor(places, dtype=torch.int64).reshape(-1, 2).t()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adjacency = torch.sparse_coo_tensor(indices, torch.ones(count), (rows, columns))
        adjacency = _layouts(adjacency)[data.draw(st.sampled_from(_LAYOUTS))]
        side = data.draw(st.sampled_from(["left", "right", "both"]))
        x = torch.ones((columns, width) if side == "left" else (width, rows))
        other = adjacency.to_dense().t().to_sparse()
        if side == "both" and adjacency.layout is not torch.sparse_coo:
            side = "left"
            x = torch.ones(columns, width)
        forward = {"left": lambda x, a: a @ x, "right": lambda x, a: x @ a, "both": lambda x, a: a @ other}[side]
        factors = {"left": (adjacency, x), "right": (x, adjacency), "both": (adjacency, other)}[side]
        model = _Model(lambda s, x, a: forward(x, a))
        expected = products(*factors)
        for trace in ("static", "real"):
            try:
                (adjacency @ x if side == "left" else x @ adjacency if side == "right" else adjacency @ other)
            except RuntimeError:
                return  # torch has no kernel for it
            report = cnncost.analyze(model, (x, adjacency), trace=trace)
            assert (report.totals.macs, report.unknown) == (expected, {})


TRAINED: list[Any] = [
    pytest.param(lambda s, x: torch.sparse.mm(coo(), s.linear(x)), id="a constant graph"),
    pytest.param(lambda s, x: coo() @ s.linear(x), id="@"),
    pytest.param(lambda s, x: coo().to_sparse_csr() @ s.linear(x), id="CSR"),
    pytest.param(lambda s, x: torch.sparse.addmm(s.linear(x), coo(), s.linear(x)), id="addmm"),
    pytest.param(lambda s, x: torch.sparse_coo_tensor(EDGES, s.weight, (3, 3)) @ s.linear(x), id="learned edges"),
    pytest.param(
        lambda s, x: torch.sparse.mm(
            torch.sparse_coo_tensor(EDGES, s.linear(x)[:2, :2].reshape(-1), (3, 3)), s.linear(x)),
        id="computed edges"),
    pytest.param(
        lambda s, x: torch.sparse.mm(
            torch.sparse.softmax(torch.sparse_coo_tensor(EDGES, s.weight, (3, 3)), 1), s.linear(x)),
        id="attention over edges"),
    pytest.param(
        lambda s, x: torch.sparse_coo_tensor(DOUBLED, torch.cat([s.weight, s.weight[:1]]), (3, 3)).coalesce()
        @ s.linear(x), id="coalesced"),
    pytest.param(
        lambda s, x: torch.sparse_coo_tensor(EDGES, s.weight, (3, 3)).to_dense() @ s.linear(x), id="made dense"),
    pytest.param(
        lambda s, x: torch.sparse_coo_tensor(EDGES, s.weight, (3, 3)).t() @ s.linear(x), id="transposed"),
    pytest.param(lambda s, x: coo() @ s.linear(x)[:, 0], id="a vector"),
]  # fmt: skip


@pytest.mark.parametrize("use_memo", [True, False], ids=["memo", "no memo"])
@pytest.mark.parametrize("function", TRAINED)
def test_training(function: Any, use_memo: bool) -> None:
    model = _Model(function)
    model(torch.rand(X)).sum()
    with Counter() as counter:
        model(torch.rand(X)).sum().backward()
    for parameter in model.parameters():
        parameter.grad = None
    graph = record(model, X, training=Training(None, "sgd", True), use_memo=use_memo)
    assert record(model, X, training=Training(None, "sgd", True), use_memo=not use_memo) == graph
    report = cnncost.analyze(model, X, training=True)
    assert (report.totals.training_macs, report.unknown) == (counter.count, {})


@pytest.mark.parametrize("function", TRAINED)
def test_with_autograd_on(function: Any) -> None:
    model = _Model(function)
    with torch.no_grad(), Counter() as counter:
        model(torch.rand(X))
    assert cnncost.analyze(record(model, X, grad=True)).totals.macs == counter.count


FLOPS: list[Any] = [  # beside the linear layer's 2·96 + 12
    pytest.param(lambda s, x: coo() @ s.linear(x), 2 * 4 * 4, id="a product"),
    pytest.param(lambda s, x: torch.sparse.addmm(s.weight, coo(), s.linear(x)), 2 * 4 * 4 + 3 * 4, id="and an addend"),
    pytest.param(
        lambda s, x: torch.sparse.mm(coo().to_sparse_csr(), s.linear(x), "mean"), 2 * 4 * 4 + 3 * 4, id="a mean"
    ),
    pytest.param(
        lambda s, x: torch.sparse.mm(coo().to_sparse_csr(), s.linear(x), "amax"), 2 * 4 * 4, id="products compared"
    ),
    pytest.param(
        lambda s, x: torch.sparse_coo_tensor(DOUBLED, torch.ones(5), (3, 3)).coalesce() @ s.linear(x), 1 + 2 * 4 * 4,
        id="one duplicate added up"),
    pytest.param(lambda s, x: (coo() * 2) @ s.linear(x), 4 + 2 * 4 * 4, id="scaled: four products"),
    pytest.param(
        # the 5·4 of a softmax, after four elements that need no adding up
        lambda s, x: torch.sparse.softmax(coo(), 1) @ s.linear(x), 5 * 4 + 2 * 4 * 4, id="softmax"),
    pytest.param(lambda s, x: (coo() + coo()) @ s.linear(x), 4 + 2 * 4 * 4, id="a sum, of elements that both have"),
    pytest.param(
        lambda s, x: (coo().coalesce() + torch.eye(3).to_sparse()) @ s.linear(x), 2 * 7 * 4, id="that none has twice"
    ),
    pytest.param(lambda s, x: s.linear(x)[:, :3] + coo(), 4, id="a sum with a dense one"),
    pytest.param(lambda s, x: torch.sparse.sum(coo().coalesce()) * s.linear(x), 3 + 12, id="the sum of all"),
    pytest.param(
        lambda s, x: torch.sparse.sum(coo().coalesce(), 1).to_dense() * s.linear(x)[:, 0], 1 + 3, id="by rows"
    ),
    pytest.param(lambda s, x: (coo() * 0).coalesce().to_sparse_csr().sum() * s.linear(x), 4 + 3 + 12, id="of a CSR"),
    pytest.param(
        lambda s, x: torch.sparse_csr_tensor([0, 0, 0, 0], [], [], (3, 3), dtype=torch.float32).sum() * s.linear(x),
        12, id="the sum of nothing"),
    pytest.param(
        lambda s, x: torch.sparse.sampled_addmm(coo().to_sparse_csr(), s.linear(x), s.linear(x).t()).to_dense(),
        2 * 96 + 12 + 2 * 4 * 4 + 4, id="sampled"),
]  # fmt: skip


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize(("function", "expected"), FLOPS)
def test_flops(function: Any, expected: int, trace: Any) -> None:
    report = cnncost.analyze(_Model(function).eval(), X, trace=trace)
    assert (report.totals.flops, report.unknown) == (2 * LINEAR + 12 + expected, {})


UNKNOWN: list[Any] = [
    pytest.param(lambda s, x, i: s.linear(x).to_sparse() @ torch.ones(4, 2), id="which of computed values are zero"),
    pytest.param(lambda s, x, i: s.linear(x).relu().to_sparse_csr() @ torch.ones(4, 2), id="of a CSR"),
    pytest.param(lambda s, x, i: torch.sparse_coo_tensor(i, s.weight, (3, 3)).coalesce() @ x, id="duplicates"),
    pytest.param(lambda s, x, i: torch.sparse_coo_tensor(i, s.weight, (3, 3)).to_sparse_csr() @ x, id="converted"),
    pytest.param(lambda s, x, i: torch.sparse_coo_tensor(i, s.weight) @ x[:2], id="sizes"),
    pytest.param(lambda s, x, i: torch.sparse.mm(coo(), torch.sparse_coo_tensor(i, s.weight, (3, 3))) @ x, id="pairs"),
    pytest.param(lambda s, x, i: (torch.sparse_coo_tensor(i, s.weight, (3, 3)) + coo()).mm(x), id="in both"),
]


@pytest.mark.parametrize("function", UNKNOWN)
def test_what_hangs_on_values_is_refused_and_the_advice_helps(function: Any) -> None:
    model = _Model(function).eval()
    with pytest.raises(DataDependentError, match=r"depend.* --trace real") as refused:
        cnncost.analyze(model, (X, "2x4:int64"))
    assert "\n" not in str(refused.value)
    real = cnncost.analyze(model, (torch.rand(X), EDGES), trace="real")
    assert real.totals.macs > 0
    if "to_sparse" in str(refused.value) and "_csr" not in str(refused.value):
        return  # no index was read
    try:
        given = cnncost.analyze(model, (X, EDGES))  # an integer tensor with its values
    except DataDependentError:
        assert "to_sparse_csr" in str(refused.value)
    else:
        assert (given.totals.macs, given.totals.flops) == (real.totals.macs, real.totals.flops)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda s, x, i: torch.sparse_coo_tensor(i, s.weight, (3, 3)) @ s.linear(x), LINEAR + 4 * 4),
        (lambda s, x, i: torch.sparse_coo_tensor(i, s.weight, (3, 3)).t() @ s.linear(x), LINEAR + 4 * 4),
        (lambda s, x, i: (torch.sparse_coo_tensor(i, s.weight, (3, 3)) * 2) @ s.linear(x), LINEAR + 4 * 4),
        (lambda s, x, i: torch.sparse.mm(torch.sparse_coo_tensor(i, s.weight, (3, 3)), s.linear(x)), LINEAR + 4 * 4),
    ],
)  # fmt: skip
def test_how_many_edges_is_enough_where_no_place_matters(function: Any, expected: int) -> None:
    assert cnncost.analyze(_Model(function).eval(), (X, "2x4:int64")).totals.macs == expected


def test_memory_is_that_of_what_is_stored() -> None:
    model = _Model(lambda s, x: s.adjacency @ s.linear(x), adjacency=coo()).eval()
    graph = record(model, X)
    report = cnncost.analyze(graph)
    adjacency = 4 * 4 + 2 * 4 * 8
    weights = (8 * 4 + 4 + 4) * 4
    assert report.totals.buffer_bytes == adjacency
    # the product is made while the linear layer's output is alive
    assert report.memory.inference_peak == adjacency + weights + 3 * 8 * 4 + 2 * (3 * 4 * 4)
    assert from_json(to_json(graph)) == graph


def test_a_temporary_graph_dies() -> None:
    def once(s: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.sparse_coo_tensor(x.new_zeros(2, 1000, dtype=torch.int64), torch.ones(1000), (3, 3)) @ s.linear(x)

    def thrice(s: Any, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            y = once(s, x)
        return y

    peaks = [cnncost.analyze(_Model(f).eval(), X).memory.inference_peak for f in (once, thrice)]
    assert peaks[1] - peaks[0] == 3 * 4 * 4  # the last result, while the next is made


@pytest.mark.parametrize("trace", ["static", "real"])
def test_all_views_of_a_report(trace: Any, tmp_path: Any) -> None:
    model = nn.Sequential(_Model(lambda s, x: s.adjacency @ s.linear(x), adjacency=coo()))
    report = cnncost.analyze(model.eval(), X, trace=trace)
    assert "Z·N" in report.explain("0")
    for name in ("a.md", "a.csv", "a.json", "a.html"):
        report.save(tmp_path / name)
    assert report.with_receptive_fields().with_memory().to_markdown()


def test_an_op_that_nothing_is_known_of_marks_the_total() -> None:
    model = _Model(lambda s, x: coo().coalesce().sspaddmm(coo(), s.linear(x)[:, :3])).eval()
    solved = _Model(lambda s, x: torch.triangular_solve(s.linear(x), torch.eye(3).to_sparse_csr())[0]).eval()
    assert cnncost.analyze(model, X).totals.macs == LINEAR + 4 * 3
    assert cnncost.analyze(solved, X, trace="real").totals.lower_bound


INEXACT: list[Any] = [
    pytest.param(lambda s, x: coo().to_sparse_csr() @ s.linear(x), ["aten._to_sparse_csr"], id="converted"),
    pytest.param(lambda s, x: (coo() + coo()) @ s.linear(x), ["aten.add.Tensor"], id="added"),
    pytest.param(lambda s, x: torch.sparse.sum(coo().coalesce(), 1).to_dense(), ["aten._sparse_sum.dim"], id="summed"),
    pytest.param(lambda s, x: coo() @ s.linear(x), [], id="multiplied"),
    pytest.param(lambda s, x: coo().coalesce() @ s.linear(x), ["aten._coalesce"], id="coalesced"),
    pytest.param(lambda s, x: torch.sparse.softmax(coo(), 1) @ s.linear(x), [], id="a softmax"),
]


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize(("function", "names"), INEXACT)
def test_peaks_that_are_not_exact_are_marked(function: Any, names: list[str], trace: Any) -> None:
    notes = [note for note in cnncost.analyze(_Model(function), X, trace=trace).notes if "peaks may be" in note]
    assert len(notes) == (1 if names else 0)
    assert all(name in notes[0] for name in names)


class Scaled(torch.nn.Module):
    """Sparse gradients that a product passes on to its other operand, where their parts are asked for twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(16, 8))
        self.register_buffer("index", torch.tensor([1, 2, 2]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.embedding(self.index, self.weight * 1.5, sparse=True).sum() + x.sum()


@pytest.mark.parametrize("trace", ["static", "real"])
def test_sparse_gradients_of_a_scaled_table(trace: Any) -> None:
    report = cnncost.analyze(Scaled(), (1,), training=True, trace=trace)
    # 16·8 products and 3·8 elements summed in forward; backward scales what 3 rows of 8 store
    assert (report.totals.flops, report.unknown) == (16 * 8 + 3 * 8 - 1 + 1, {})
