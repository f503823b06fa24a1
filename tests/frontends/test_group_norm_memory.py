"""Group norm compared with the allocator: a CPU's kernel reads channels last without a copy, also in backward."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import cnncost
from tests.oracles.allocations import training_peak

ORDERS = {4: torch.channels_last, 5: torch.channels_last_3d}


class Does(nn.Module):
    def __init__(self, does, **parts):
        super().__init__()
        self.does = does
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.does(self, x)


def last(*sizes):
    return torch.randn(sizes).to(memory_format=ORDERS[len(sizes)])


def predicted(model, x):
    return cnncost.analyze(model, x, training=True).memory.training_peak


NORM = nn.GroupNorm(4, 16)
BEHIND = {
    "a sum, whose gradient has no rows": (lambda m, y: y),
    "relu": (lambda m, y: y.relu()),
    "a product": (lambda m, y: y * y),
    "convolution": (lambda m, y: m.conv(y)),
    "rows of it": (lambda m, y: y.flatten(1) * y.flatten(1)),
    "rows of it in the usual order": (lambda m, y: y.contiguous().relu()),
    "its mean": (lambda m, y: y.mean((2, 3))),
    "tokens": (lambda m, y: y.flatten(2).transpose(1, 2).softmax(-1)),
    "another norm": (lambda m, y: m.second(y)),
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
def test_whatever_comes_behind(behind, order):
    """The next op decides the gradient's memory format: if it differs from the input's, the gradient is copied."""
    does = BEHIND[behind]
    parts = {"first": nn.Conv2d(3, 16, 1), "norm": NORM, "conv": nn.Conv2d(16, 8, 1), "second": nn.GroupNorm(2, 16)}
    model = Does(lambda m, x: does(m, m.norm(m.first(x))), **parts)
    x = torch.randn(2, 3, 24, 24).to(memory_format=order)
    assert predicted(model, x) == training_peak(model, x)


@pytest.mark.parametrize("frozen", ["nothing", "weight", "bias", "both"])
@pytest.mark.parametrize("behind", ["a sum, whose gradient has no rows", "relu", "convolution", "its mean"])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
def test_gradients_under_autocast_have_the_inputs_dtype(order, behind, frozen):
    """In bfloat16, though weights are in float32."""
    does, norm = BEHIND[behind], nn.GroupNorm(4, 16)
    norm.weight.requires_grad_(frozen not in {"weight", "both"})
    norm.bias.requires_grad_(frozen not in {"bias", "both"})
    model = Does(
        lambda m, x: does(m, m.norm(m.first(x))), first=nn.Conv2d(3, 16, 1), norm=norm, conv=nn.Conv2d(16, 8, 1)
    )
    x = torch.randn(2, 3, 24, 24).to(memory_format=order)
    said = cnncost.analyze(model, x, training=True, autocast="bf16").memory.training_peak
    assert said == training_peak(model, x, lambda: torch.autocast("cpu", torch.bfloat16))


BY_NAME = {
    "module": (lambda m, x: m.norm(x)),
    "function": (lambda m, x: F.group_norm(x, 4, m.norm.weight, m.norm.bias)),
    "keywords": (lambda m, x: F.group_norm(x, num_groups=4, bias=m.norm.bias, weight=m.norm.weight, eps=1e-3)),
    "torch's": (lambda m, x: torch.group_norm(x, 4)),
    "the kernel": (lambda m, x: torch.native_group_norm(x, m.norm.weight, m.norm.bias, 2, 16, 576, 4, 1e-5)[0]),
}


@pytest.mark.parametrize("name", BY_NAME)
def test_by_every_name(name):
    model = Does(lambda m, x: BY_NAME[name](m, m.first(x)).square(), first=nn.Conv2d(3, 16, 1), norm=NORM)
    x = last(2, 3, 24, 24)
    assert predicted(model, x) == training_peak(model, x)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_all_settings(data):
    axes = data.draw(st.sampled_from([1, 2, 3]), "axes")
    groups, inner, batch = (data.draw(st.integers(1, 4), name) for name in ("groups", "inner", "batch"))
    channels, side = groups * inner * 2, data.draw(st.integers(2, 12), "side")
    norm = nn.GroupNorm(groups, channels, affine=data.draw(st.booleans(), "affine"))
    norm.requires_grad_(data.draw(st.booleans(), "trained"))
    convs = [getattr(nn, f"Conv{axes}d") for _ in range(2)]
    model = nn.Sequential(convs[0](2, channels, 1), norm, *data.draw(st.sampled_from([[], [nn.SiLU()]]), "behind"))
    if data.draw(st.booleans(), "a convolution behind"):
        model.append(convs[1](channels, 3, 1))
    x = torch.randn(batch, 2, *[side] * axes)
    if axes > 1 and data.draw(st.booleans(), "channels last"):
        x = x.to(memory_format=ORDERS[axes + 2])
    assert predicted(model, x) == pytest.approx(training_peak(model, x), rel=0.002, abs=64)


def test_a_penalty_of_gradients():
    """The gradient of a gradient: torch has another formula for it, which no order in memory enters."""

    def penalty(model, x):
        y = model(x)
        (slope,) = torch.autograd.grad(y.square().sum(), model[0].weight, create_graph=True)
        return slope.square().sum()

    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8))
    flops = [
        cnncost.analyze(Does(lambda m, x: penalty(m.model, x), model=model), x, training=True).totals.training_flops
        for x in (torch.randn(2, 3, 8, 8), last(2, 3, 8, 8))
    ]
    assert flops[0] == flops[1]


@pytest.mark.parametrize("hook", [lambda g: g.contiguous(), lambda g: g.contiguous().view(2, -1).view_as(g)])
def test_a_hook_on_its_output_gets_the_order_that_it_asks_for(hook):
    """It runs with group norm's own node current, whose formula asks for another."""

    class Hooked(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 16, 1), nn.GroupNorm(4, 16)

        def forward(self, x):
            y = self.norm(self.conv(x))
            y.register_hook(hook)
            return y.relu()

    model, x = Hooked(), last(2, 3, 24, 24)
    assert predicted(model, x) == pytest.approx(training_peak(model, x), rel=0.001)
