"""Settings of modules, as diffs name them."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost.budget.settings import settings

CONVOLUTIONS = [
    pytest.param(lambda: nn.Conv1d(3, 8, 3), (20,), "3", id="1 axis"),
    pytest.param(lambda: nn.Conv2d(3, 8, 3, groups=1), (20, 24), "3", id="2 axes"),
    pytest.param(lambda: nn.Conv3d(3, 8, (1, 2, 3)), (5, 6, 7), "1×2×3", id="3 axes"),
    pytest.param(lambda: nn.ConvTranspose2d(3, 8, 2), (20, 24), "2", id="transposed"),
]


@pytest.mark.parametrize("batch", [(), (2,)], ids=["without a batch", "with one"])
@pytest.mark.parametrize(("build", "size", "kernel"), CONVOLUTIONS)
def test_channels_of_a_convolution(build, size, kernel, batch):
    graph = cnncost.analyze(build(), torch.empty(*batch, 3, *size, device="meta")).graph
    assert settings(graph)[""] == {"kernel": kernel, "in": "3", "out": "8"}


@pytest.mark.parametrize("batch", [(), (2,), (2, 7)], ids=str)
def test_features_of_a_linear_layer(batch):
    graph = cnncost.analyze(nn.Linear(5, 4), torch.empty(*batch, 5, device="meta")).graph
    assert settings(graph)[""] == {"in": "5", "out": "4"}


@pytest.mark.parametrize("shape", [(5,), (2, 5)], ids=str)
def test_a_product_with_a_vector_of_weights_has_no_features(shape):
    class Vector(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5))

        def forward(self, x):
            return nn.functional.linear(x, self.weight)

    assert settings(cnncost.analyze(Vector(), shape).graph)[""] == {}
