"""Linear algebra: textbook counts, with numbers filled in by hand."""

import pytest
import torch
from torch.linalg import solve_triangular

TABLE = {
    "lu": (torch.linalg.lu_factor, ["6x6"], 2 * 6**3 // 3),
    "cholesky": (torch.linalg.cholesky, ["6x6"], 6**3 // 3),
    "inverse": (torch.linalg.inv, ["2x6x6"], 2 * 2 * 6**3),
    "solve": (torch.linalg.solve, ["6x6", "6x5"], 2 * 6**3 // 3 + 2 * 6 * 6 * 5),
    "solve of one right side": (torch.linalg.solve, ["6x6", "6"], 2 * 6**3 // 3 + 2 * 6 * 6),
    "qr, R alone": (lambda a: torch.linalg.qr(a, mode="r")[1], ["9x6"], 2 * 36 * 9 - 2 * 6**3 // 3),
    "qr, thin": (torch.linalg.qr, ["9x6"], 2 * (2 * 36 * 9 - 2 * 6**3 // 3)),
    "singular values": (torch.linalg.svdvals, ["9x6"], 4 * 9 * 36 - 4 * 6**3 // 3),
    "svd, thin": (lambda a: torch.linalg.svd(a, full_matrices=False), ["9x6"], 14 * 9 * 36 + 8 * 6**3),
    "svd": (torch.linalg.svd, ["9x6"], 4 * 81 * 6 + 8 * 9 * 36 + 9 * 6**3),
    "svd of a wide matrix": (torch.linalg.svdvals, ["6x9"], 4 * 9 * 36 - 4 * 6**3 // 3),
    "symmetric eigenvalues and vectors": (torch.linalg.eigh, ["6x6"], 9 * 6**3),
    "eigenvalues and vectors": (torch.linalg.eig, ["6x6"], 25 * 6**3),
    "triangle, three right sides": (lambda a, b: solve_triangular(a, b, upper=True), ["6x6", "6x3"], 36 * 3),
    "triangle, from the right": (lambda a, b: solve_triangular(a, b, upper=True, left=False), ["6x6", "5x6"], 36 * 5),
    "triangle for a batch of right sides": (
        lambda a, b: solve_triangular(a, b, upper=False), ["6x6", "4x6x3"], 4 * 36 * 3
    ),
    "triangular_solve": (lambda b, a: torch.triangular_solve(b, a)[0], ["6x3", "6x6"], 36 * 3),
    "solve by cholesky's factors": (torch.cholesky_solve, ["6x3", "6x6"], 2 * 36 * 3),
    "inverse by cholesky's factors": (torch.cholesky_inverse, ["6x6"], 2 * 6**3 // 3),
    "solve by lu's factors": (torch.linalg.lu_solve, ["6x6", "6:int32", "6x3"], 2 * 36 * 3),
    "ldl": (torch.linalg.ldl_factor, ["2x6x6"], 2 * (6**3 // 3)),
    "solve by ldl's factors": (torch.linalg.ldl_solve, ["6x6", "6:int32", "6x3"], 2 * 36 * 3),
    "factors of qr": (torch.geqrf, ["9x6"], 2 * 36 * 9 - 2 * 6**3 // 3),
    "Q from its reflections": (torch.linalg.householder_product, ["9x6", "6"], 2 * 36 * 9 - 2 * 6**3 // 3),
    "Q from fewer reflections": (
        torch.linalg.householder_product, ["9x6", "3"], 4 * 9 * 6 * 3 - 2 * (9 + 6) * 9 + 4 * 27 // 3
    ),
    # 3 reflections, of 9 rows and one row less each time, at 4 FLOPs per row and column
    "Q times a matrix": (torch.ormqr, ["9x3", "3", "9x5"], 4 * 9 * 5 * 3 - 2 * 5 * 9),
    "a matrix times Q": (
        lambda a, t, c: torch.ormqr(a, t, c, left=False), ["9x3", "3", "5x9"], 4 * 9 * 5 * 3 - 2 * 5 * 9
    ),
    "unpacked factors": (torch.lu_unpack, ["6x6", "6:int32"], 0),
    "qr of a wide matrix, R alone": (lambda a: torch.linalg.qr(a, mode="r")[1], ["6x9"], 2 * 36 * 9 - 2 * 6**3 // 3),
    "lu of a wide matrix": (torch.linalg.lu_factor, ["6x9"], 9 * 36 - 6**3 // 3),
    "eigenvalues": (torch.linalg.eigvals, ["6x6"], 10 * 6**3),
    "symmetric eigenvalues": (torch.linalg.eigvalsh, ["6x6"], 4 * 6**3 // 3),
    "complex inverses": (torch.linalg.inv, ["2x6x6:complex64"], 4 * 2 * 2 * 6**3),
    "complex singular values": (torch.linalg.svdvals, ["9x6:complex64"], 4 * (4 * 9 * 36 - 4 * 6**3 // 3)),
    "nothing": (torch.linalg.inv, [torch.zeros(0, 0)], 0),
}  # fmt: skip


@pytest.mark.parametrize(("function", "inputs", "expected"), TABLE.values(), ids=TABLE)
def test_counts(analyze, function, inputs, expected):
    totals = analyze(function, *inputs).totals
    assert (totals.macs, totals.flops) == (0, expected)


FIT = 2 * 36 * 9 - 2 * 6**3 // 3
"""QR of 9 equations in 6 unknowns."""
LEAST_SQUARES = {
    # for a right-hand side: six reflections of 9 to 4 rows, 4 FLOPs each, and a triangle of 36
    "by QR": ({}, FIT + 2 * (4 * (9 + 8 + 7 + 6 + 5 + 4) - 2 * 6 + 36)),
    "by SVD": ({"driver": "gelsd"}, 4 * 9 * 36 + 8 * 6**3 + 2 * 4 * 9 * 6),
}


@pytest.mark.parametrize(("settings", "expected"), LEAST_SQUARES.values(), ids=LEAST_SQUARES)
def test_least_squares(analyze, settings, expected):
    """The sizes of its results depend on the rank: it can be counted here because its operands have values."""
    torch.manual_seed(0)
    a, b = torch.rand(9, 6), torch.rand(9, 2)

    def function(x):
        return torch.linalg.lstsq(a, b, **settings)[0] + x

    assert analyze(function, "6x2").totals.flops == expected + 6 * 2


@pytest.mark.parametrize("m", [4, 9], ids=["wide", "tall"])
def test_pseudoinverse(analyze, m):
    """A thin SVD of the matrix, long side first; then 1/σ, V·Σ⁺ and its product with Uᵀ."""
    long, short = max(m, 6), min(m, 6)
    totals = analyze(torch.linalg.pinv, (2, m, 6)).totals
    assert totals.macs == 2 * m * 6 * short
    assert totals.flops == 2 * (14 * long * short**2 + 8 * short**3 + short + 6 * short + 2 * m * 6 * short)


def test_pseudoinverse_of_a_symmetric_matrix(analyze):
    totals = analyze(lambda a: torch.linalg.pinv(a, hermitian=True), "6x6").totals
    assert (totals.macs, totals.flops) == (6**3, 9 * 6**3 + 6 + 36 + 2 * 6**3)


def test_complex_matrices_cost_four_times_as_much(analyze):
    assert analyze(torch.cholesky_inverse, "6x6:complex64").totals.flops == 4 * (2 * 6**3 // 3)
    assert analyze(torch.linalg.pinv, "6x6:complex64").totals.macs == 4 * 6**3
