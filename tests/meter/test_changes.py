"""A model that changes between steps: each step has the cost of the model that it ran, by hand."""

import gc

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import CnncostError
from cnncost.meter import Meter

torch.set_num_threads(1)
FORWARD, WEIGHT, INPUT = 8 * 16 + 16 * 2, (8 * 16, 16 * 2), 16 * 2
"""MACs of one example: forward, each layer's weight gradient, and the gradient of the second layer's input."""
ALL = FORWARD + sum(WEIGHT) + INPUT


def network():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))


def freeze(layer):
    return lambda model: model[layer].requires_grad_(False)


def replace(layer, make):
    def change(model):
        model[layer] = make()

    return change


def grow(model):
    """The same parameter, of 4 outputs."""
    model[2].weight.data, model[2].bias.data = torch.zeros(4, 16), torch.zeros(4)


def share(model):
    model[0].weight = nn.Parameter(torch.zeros(32, 8))
    model[0].bias = None
    model[2].weight = nn.Parameter(torch.zeros(2, 32))


class Changed(nn.Module):
    """Whatever it computes, in another place of the tree."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(self.inner(x))


CHANGES = [
    pytest.param(freeze(0), FORWARD + WEIGHT[1], id="the first layer is frozen, so that nothing goes back to it"),
    pytest.param(freeze(2), FORWARD + WEIGHT[0] + INPUT, id="the last layer is frozen"),
    pytest.param(replace(1, lambda: nn.Linear(16, 16)), ALL + 3 * 16 * 16, id="a layer in place of another one"),
    pytest.param(replace(1, nn.Identity), ALL, id="one that costs the same"),
    pytest.param(lambda model: model.append(nn.Linear(2, 5)), ALL + 3 * 2 * 5, id="a layer more"),
    pytest.param(lambda model: model.pop(2), 2 * 8 * 16, id="a layer less"),
    pytest.param(grow, 2 * 8 * 16 + 3 * 16 * 4, id="a parameter that has other data"),
    pytest.param(share, 2 * 8 * 32 + 3 * 32 * 2, id="other parameters in the same modules"),
    pytest.param(
        replace(1, lambda: Changed(nn.Linear(16, 16))), ALL + 2 * 3 * 16 * 16, id="a module within a new module"
    ),
]


@pytest.mark.parametrize("asked_before", [True, False])
@pytest.mark.parametrize(("change", "after"), CHANGES)
def test_each_step_has_the_cost_of_the_model_that_it_ran(change, after, asked_before):
    model = network()
    meter = Meter(model, "4x8", warmup=0)
    meter.step()
    meter.step(3)
    if asked_before:
        assert meter.lap().macs == 7 * ALL
    change(model)
    meter.step()
    meter.step(2)

    assert meter.rates().macs == 7 * ALL + 6 * after
    if asked_before:
        assert meter.lap().macs == 6 * after


def test_a_layer_of_the_same_shape_that_does_something_else():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    meter = Meter(model, "1x3x9x9", warmup=0, training=False)
    meter.step()
    model[0] = nn.Conv2d(3, 4, 3, stride=2)
    gc.collect()  # the new one may have the id of the old one
    meter.step()

    assert meter.rates().macs == 4 * 3 * 9 * (7 * 7 + 4 * 4) + 4 * 4 * 9 * (5 * 5 + 2 * 2)


def test_a_state_that_comes_again_is_not_analyzed_again(monkeypatch):
    """As by one optimizer a half of a model, each in every other step."""
    model, analyses, analyze = network(), [], cnncost.analysis.analyze
    monkeypatch.setattr("cnncost.analysis.analyze", lambda *args, **how: analyses.append(1) or analyze(*args, **how))
    meter = Meter(model, "4x8", warmup=0)
    heads = [model[2], nn.Linear(16, 3)]
    for step in range(8):
        model[0].requires_grad_(step % 2 == 0)
        model[2] = heads[step // 2 % 2]
        model[1].calls = step  # what a module notes about itself is nothing new
        model[0].weight = nn.Parameter(model[0].weight.detach(), requires_grad=step % 2 == 0)
        meter.step()

    both = [FORWARD + WEIGHT[1], FORWARD + 16 + 16 * 3]
    assert meter.rates().macs == 2 * 4 * (ALL + (ALL + 3 * 16) + sum(both))
    assert len(analyses) == 4


def test_what_was_not_analyzed_before_a_change_is_never_guessed():
    """The first step fails to be analyzed, and can't be once the model is another one."""
    model = nn.Sequential(nn.Linear(8, 16), nn.Bilinear(2, 2, 2))
    meter = Meter(model, "4x8", warmup=0)
    meter.step()
    model[1] = nn.Linear(16, 2)
    meter.step()

    with pytest.raises(CnncostError, match="Bilinear"):
        meter.rates()


def test_a_cost_of_the_users_own_asks_nothing_of_the_model():
    model = network()
    meter = Meter(model, "4x8", warmup=0, cost=(10, 20))
    meter.step()
    model[2] = nn.Bilinear(2, 2, 2)
    meter.step()

    assert meter.rates().macs == 80


def test_lazy_and_scripted_modules_are_in_one_state():
    lazy = nn.Sequential(nn.LazyLinear(16), nn.Linear(16, 2))
    meter = Meter(lazy, "4x8", warmup=0)
    for _ in range(3):
        lazy(torch.zeros(4, 8))
        meter.step()
    assert meter.rates().macs == 12 * ALL

    states = cnncost.analysis.states_of(nn.Sequential(torch.jit.script(nn.Linear(8, 4)), nn.Linear(4, 4)))
    assert {states.current() for _ in range(3)} == {0}
