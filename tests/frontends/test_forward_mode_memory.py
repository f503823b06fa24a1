"""Peaks of forwards that differentiate, beside the allocator's: tangents, and the zeros without memory among them."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp
from torch.nn import functional as F

import cnncost
from tests.oracles.allocations import peaks


def dense():
    return nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 32))


def repeated():
    return nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(32, 32), nn.GELU(), nn.LayerNorm(32))])


def convolutions():
    return nn.Sequential(
        nn.Unflatten(1, (2, 4, 4)), nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(32, 32),
    ).eval()  # fmt: skip


def dual(net, x):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(net(forward_ad.make_dual(x, torch.ones_like(x))))


DERIVATIVES = {
    "jvp": lambda net, x: jvp(net, (x,), (torch.ones_like(x),)),
    "jvp, the tangent alone": lambda net, x: jvp(net, (x,), (torch.ones_like(x),))[1],
    "a dual number": dual,
    "jacfwd": lambda net, x: jacfwd(net)(x),
    "jacrev": lambda net, x: jacrev(net)(x),
    "vjp": lambda net, x: vjp(net, x)[1](x),
    "grad": lambda net, x: grad(lambda t: net(t).sum())(x),
    "hessian": lambda net, x: hessian(lambda t: net(t).pow(2).sum())(x),
    "hessian of cross entropy": lambda net, x: hessian(
        lambda t: F.cross_entropy(net(t), torch.zeros(2, dtype=torch.long))
    )(x),
}  # fmt: skip
NETS = {"dense": dense, "repeated": repeated, "convolutions": convolutions}
MODES = {"with autograd": nullcontext, "under no_grad": torch.no_grad}


class Differentiates(nn.Module):
    def __init__(self, net, derivative):
        super().__init__()
        self.net, self.derivative = net, derivative

    def forward(self, x):
        return self.derivative(self.net, x)


CASES = [*((net, mode, "static") for net in NETS for mode in MODES), ("dense", "with autograd", "real")]


@pytest.mark.parametrize(("net", "mode", "trace"), CASES)
@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_the_peak_is_the_allocators(derivative, net, mode, trace):
    model, x = Differentiates(NETS[net](), DERIVATIVES[derivative]), torch.randn(2, 32)
    fixed = sum(t.nbytes for t in (*model.parameters(), *model.buffers(), x))

    def run():
        with MODES[mode]():
            return model(x)

    with MODES[mode]():
        memory = cnncost.analyze(model, x, trace=trace).memory
    real = peaks(run)
    assert not memory.figures.unseen
    lowest, highest = fixed + real.tensors, fixed + real.everything  # a kernel of a derivative's formula has workspaces
    assert lowest * 0.999 <= memory.inference_peak <= highest * 1.001


PRODUCTS = {
    "of itself": lambda t: t * t,
    "with a constant": lambda t: t * torch.ones(64, 64),
    "and a constant added": lambda t: t.sin() + torch.ones(64, 64),
    "of rows": lambda t: t - torch.ones(64),
    "of a chain": lambda t: t.sin().exp().tanh(),
    "written in place": lambda t: (t * 2).mul_(3).relu_(),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_tangent_takes_its_bytes(name):
    """Values and tangents are of one size; beside them are the results of the op that runs, and of its formula."""
    model, x = Differentiates(PRODUCTS[name], DERIVATIVES["jvp"]), torch.randn(64, 64)
    real = peaks(lambda: model(x))
    assert cnncost.analyze(model, x).memory.inference_peak == pytest.approx(x.nbytes + real.tensors, abs=64)


def test_no_grad_is_that_of_the_call():
    """Under `no_grad`, a derivative is computed as well, but nothing is kept for one of the outer autograd."""
    model, x = Differentiates(dense(), DERIVATIVES["jvp"]), torch.randn(64, 32)
    with torch.no_grad():
        off = cnncost.analyze(model, x).memory.inference_peak
    assert off < cnncost.analyze(model, x).memory.inference_peak
    with torch.no_grad():
        assert cnncost.analyze(model, x).memory.inference_peak == off
