"""Linear algebra: the textbook's counts, put in by hand."""

import pytest
import torch

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
    "qr of a wide matrix, R alone": (lambda a: torch.linalg.qr(a, mode="r")[1], ["6x9"], 2 * 36 * 9 - 2 * 6**3 // 3),
    "lu of a wide matrix": (torch.linalg.lu_factor, ["6x9"], 9 * 36 - 6**3 // 3),
    "eigenvalues": (torch.linalg.eigvals, ["6x6"], 10 * 6**3),
    "symmetric eigenvalues": (torch.linalg.eigvalsh, ["6x6"], 4 * 6**3 // 3),
    "complex inverses": (torch.linalg.inv, ["2x6x6:complex64"], 4 * 2 * 2 * 6**3),
    "complex singular values": (torch.linalg.svdvals, ["9x6:complex64"], 4 * (4 * 9 * 36 - 4 * 6**3 // 3)),
    "nothing": (torch.linalg.inv, [torch.zeros(0, 0)], 0),
}


@pytest.mark.parametrize(("function", "inputs", "expected"), TABLE.values(), ids=TABLE)
def test_counts(analyze, function, inputs, expected):
    totals = analyze(function, *inputs).totals
    assert (totals.macs, totals.flops) == (0, expected)
