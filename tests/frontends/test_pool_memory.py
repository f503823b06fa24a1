"""1-d max pooling has its own kernel on a CPU without autograd, which stores no indices."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from tests.oracles.allocations import training_peak


class Pools(nn.Module):
    def __init__(self, first, wanted=True):
        super().__init__()
        self.first, self.last = first.requires_grad_(wanted), nn.Linear(200, 4)

    def forward(self, x):
        return self.last(F.max_pool1d(self.first(x), 2))


class Off(Pools):
    def forward(self, x):
        with torch.no_grad():
            pooled = F.max_pool1d(self.first(x), kernel_size=2, return_indices=False)
        return self.last(pooled)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: Pools(nn.Identity()), id="of the input"),
        pytest.param(lambda: Pools(nn.Conv1d(16, 16, 3, padding=1), wanted=False), id="behind a frozen layer"),
        pytest.param(lambda: Pools(nn.Conv1d(16, 16, 3, padding=1)), id="differentiated"),
        pytest.param(lambda: Off(nn.Conv1d(16, 16, 3, padding=1)), id="with autograd off"),
    ],
)
@pytest.mark.parametrize("shape", [(2, 16, 400), (16, 400)], ids=["a batch", "one example"])
def test_the_training_peak_is_the_allocators(model, shape):
    net, x = model(), torch.randn(shape)
    report = cnncost.analyze(net, x, training=True)
    assert report.memory.training_peak == pytest.approx(training_peak(net, x), rel=0.001)
    assert not report.unknown
