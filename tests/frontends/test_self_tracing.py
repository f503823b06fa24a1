"""A forward that traces itself: what it traces was counted in part, and in part again by a second analysis."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

import cnncost
from cnncost.errors import ForwardError

MACS = 4 * 10 * 10
"""Of one call of the layer."""


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(10, 10)


class TracesAndRuns(Layer):
    def forward(self, x):
        return make_fx(self.layer)(x)(x)


class TracesItsDerivative(Layer):
    def forward(self, x):
        return make_fx(torch.func.jacrev(self.layer))(x[0])(x[0])


class Linearizes(Layer):
    def forward(self, x):
        return torch.func.linearize(self.layer, x)[1](x)


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.inner = nn.Linear(10, 10), TracesAndRuns()

    def forward(self, x):
        return self.inner(self.first(x))


@pytest.mark.parametrize("model", [TracesAndRuns, TracesItsDerivative, Linearizes, Deep])
@pytest.mark.parametrize("options", [{}, {"training": True}], ids=["inference", "training"])
def test_it_is_refused_without_values(model, options):
    for _ in range(2):
        with pytest.raises(ForwardError, match=r"forward traces itself .* have forward run on values"):
            cnncost.analyze(model(), torch.rand(4, 10), **options)


@pytest.mark.parametrize(("model", "calls"), [(TracesAndRuns, 2), (Deep, 3)])
def test_on_values_all_that_runs_is_counted(model, calls):
    """Tracing runs the layer once, and what it returns runs it again."""
    net = model()
    for _ in range(2):
        assert cnncost.analyze(net, torch.rand(4, 10), trace="real").totals.macs == calls * MACS


def test_what_was_traced_before_is_counted():
    traced = make_fx(nn.Linear(10, 10))(torch.rand(4, 10))
    for trace in ("static", "real"):
        assert cnncost.analyze(traced, torch.rand(4, 10), trace=trace).totals.macs == MACS
