"""Peaks of linear algebra beside the allocator's: ops that compute no vectors, and those that hold a decomposition."""

import pytest
import torch
from torch import nn

import cnncost
from tests.oracles.allocations import peaks, training_peak

L = torch.linalg
SQUARE, TALL, WIDE = (3, 40, 40), (3, 60, 25), (3, 25, 60)
SYMMETRIC = "symmetric"


class Do(nn.Module):
    def __init__(self, op):
        super().__init__()
        self.op = op

    def forward(self, x):
        return self.op(x)


class Scaled(Do):
    """An op on a tensor that a parameter has scaled, or on a constant beside it."""

    def __init__(self, op, constant):
        super().__init__(op)
        self.scale, self.constant = nn.Parameter(torch.ones(())), constant

    def forward(self, x):
        return self.op(x) * self.scale if self.constant else self.op(x * self.scale)


def matrices(shape, dtype=torch.float32):
    a = torch.randn(SQUARE if shape is SYMMETRIC else shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return a @ a.mT if shape is SYMMETRIC else a


VALUES = {
    "singular values": (L.svdvals, TALL),
    "the nuclear norm": (lambda a: L.matrix_norm(a, "nuc"), TALL),
    "the spectral norm": (lambda a: L.matrix_norm(a, 2), WIDE),
    "the least gain": (lambda a: L.matrix_norm(a, -2), WIDE),
    "torch.norm": (lambda a: torch.norm(a, "nuc", dim=(1, 2)), SQUARE),
    "the condition": (L.cond, SQUARE),
    "the condition by the nuclear norm": (lambda a: L.cond(a, "nuc"), SQUARE),
    "eigenvalues": (lambda a: L.eigvals(a).abs(), SQUARE),
    "eigenvalues of a symmetric matrix": (L.eigvalsh, SYMMETRIC),
    "the rank": (L.matrix_rank, TALL),
    "the rank of a symmetric matrix": (lambda a: L.matrix_rank(a, hermitian=True), SYMMETRIC),
}


@pytest.mark.parametrize("autocast", [None, "bf16"])
@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", VALUES)
def test_values_alone_take_no_vectors_memory(name, trace, autocast):
    op, shape = VALUES[name]
    model, x = Do(op), matrices(shape)

    @torch.inference_mode()
    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast is not None):
            return model(x)

    predicted = cnncost.analyze(model, x, trace=trace, autocast=autocast).memory.inference_peak
    assert predicted == pytest.approx(x.nbytes + peaks(run).tensors, abs=64)


@pytest.mark.parametrize("constant", [False, True], ids=["differentiated", "of a constant"])
@pytest.mark.parametrize("name", [name for name in VALUES if "rank" not in name and name != "eigenvalues"])
def test_they_do_if_they_are_differentiated(name, constant):
    op, shape = VALUES[name]
    model, x = Scaled(op, constant), matrices(shape)
    assert cnncost.analyze(model, x, training=True).memory.training_peak == training_peak(model, x)


INVERSES = {
    "square": (L.pinv, SQUARE, torch.float32),
    "tall": (L.pinv, TALL, torch.float32),
    "wide": (L.pinv, WIDE, torch.float32),
    "one matrix": (L.pinv, (60, 25), torch.float32),
    "with a tolerance": (lambda a: L.pinv(a, rtol=1e-3), TALL, torch.float32),
    "by its old name": (torch.pinverse, WIDE, torch.float32),
    "symmetric": (lambda a: L.pinv(a, hermitian=True), SYMMETRIC, torch.float32),
    "in float64": (L.pinv, TALL, torch.float64),
    "complex": (L.pinv, WIDE, torch.complex64),
    "complex and symmetric": (lambda a: L.pinv(a, hermitian=True), SYMMETRIC, torch.complex128),
}


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", INVERSES)
def test_a_pseudoinverse_holds_its_decomposition(name, trace):
    op, shape, dtype = INVERSES[name]
    model, x = Do(op), matrices(shape, dtype)
    with torch.no_grad():
        real = peaks(lambda: model(x)).everything  # some overloads are one kernel
    report = cnncost.analyze(model, x, trace=trace)
    assert report.memory.inference_peak == pytest.approx(x.nbytes + real, rel=0.003)
    assert not report.memory.figures.unseen


def test_the_bytes_of_a_pseudoinverse_by_hand():
    """U: 6×4, Vᴴ: 4×4, Σ and its reciprocals, V·Σ⁺: 4×4 in float32, a tolerance in float64, and those of the call."""
    held = 4 * (6 * 4 + 4 * 4 + 2 * 4 + 4 * 4) + 8
    given = 4 * (6 * 4 + 4 * 6)
    assert cnncost.analyze(Do(lambda a: L.pinv(a, rtol=0.1)), (6, 4)).memory.inference_peak == given + held + 2 * 8
