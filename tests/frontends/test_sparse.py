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
from cnncost import CnncostError
from cnncost.frontends.torch import record
from tests.oracles.sparse import products

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

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        return self.function(self, *args)


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
        lambda s, x: torch.sparse_coo_tensor(EDGES, s.weight) @ s.linear(x)[:2], LINEAR + 4 * 4, id="size of its indices"
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
    pytest.param(lambda s, x: torch.sparse.mm(coo().to_sparse_csr(), s.linear(x), "sum"), LINEAR + 4 * 4, id="reduce: sum"),
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
