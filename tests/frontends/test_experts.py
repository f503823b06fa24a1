"""Grouped matrix products, as in mixtures of experts, compared with the allocator, also in float32."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from tests.oracles.allocations import training_peak
from tests.versions import facts

ROWS, WIDTH, INNER, EXPERTS = 24, 16, 32, 4


class Experts(nn.Module):
    """Rows sorted by expert; `columns`: weights have the memory layout of a Linear's."""

    def __init__(self, columns=True, trained=True):
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        sizes = [(WIDTH, INNER), (INNER, WIDTH)]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(EXPERTS, *(size[::-1] if columns else size)), requires_grad=trained)
            for size in sizes
        )
        self.columns = columns
        self.register_buffer("ends", torch.tensor([6, 10, 20, ROWS], dtype=torch.int32))

    def forward(self, x):
        up, down = (w.mT if self.columns else w for w in self.weights)
        hidden = facts.grouped_mm(self.first(x), up, offs=self.ends)
        return facts.grouped_mm(F.silu(hidden), down, offs=self.ends).square()


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("columns", [True, False])
def test_training_in_float32(columns, trained):
    """Each product has two more in backward, or one if only its rows need a gradient; the input needs none."""
    model, x = Experts(columns, trained), torch.randn(ROWS, WIDTH)
    report = cnncost.analyze(model, x, training=True)
    products = 2 * ROWS * WIDTH * INNER
    assert report.totals.training_macs == 2 * ROWS * WIDTH * WIDTH + products * (3 if trained else 2)
    assert report.memory.training_peak == training_peak(model, x)
    assert not report.unknown
