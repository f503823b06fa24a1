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
    "least squares": (torch.linalg.lstsq, ["9x6", "9x5"], 2 * 36 * 9 - 2 * 6**3 // 3 + 5 * (4 * 9 * 6 - 36)),
    "least squares of one right side": (
        torch.linalg.lstsq, ["2x9x6", "2x9"], 2 * (2 * 36 * 9 - 2 * 6**3 // 3 + 4 * 9 * 6 - 36)
    ),
    "least squares by singular values": (
        lambda a, b: torch.linalg.lstsq(a, b, driver="gelsd"), ["6x6", "6x5"],
        14 * 6**3 + 8 * 6**3 + 5 * (2 * 6 * 6 + 2 * 6 * 6),
    ),
    "nothing": (torch.linalg.inv, [torch.zeros(0, 0)], 0),
}  # fmt: skip


@pytest.mark.parametrize(("function", "inputs", "expected"), TABLE.values(), ids=TABLE)
def test_counts(analyze, function, inputs, expected):
    totals = analyze(function, *inputs).totals
    assert (totals.macs, totals.flops) == (0, expected)
