"""Ops over lists of tensors: the cost of one op per tensor, and the memory of a real step."""

import pytest
import torch
from oracles.allocations import peaks
from torch import nn

import cnncost

SIZES = ((3, 5), (7,), (2, 2))
ALL = 15 + 7 + 4


class Over(nn.Module):
    def __init__(self, does):
        super().__init__()
        self.does = does

    def forward(self, *tensors):
        return self.does([t.clone() for t in tensors])


OPS = {
    "a number, in place": (lambda ts: torch._foreach_mul_(ts, 0.5), ALL),
    "a list, in place": (lambda ts: torch._foreach_add_(ts, ts), ALL),
    "scaled": (lambda ts: torch._foreach_add(ts, ts, alpha=2), 2 * ALL),
    "a number each": (lambda ts: torch._foreach_mul(ts, [1.0, 2.0, 3.0]), ALL),
    "a tensor for all": (lambda ts: torch._foreach_mul(ts, torch.ones(())), ALL),
    "of one": (torch._foreach_neg, ALL),
    "in place under no name": (lambda ts: torch._foreach_maximum_(ts, ts), ALL),
    "three lists and a number": (lambda ts: torch._foreach_addcmul_(ts, ts, ts, 0.5), 3 * ALL),
    "three lists and a number each": (lambda ts: torch._foreach_addcdiv(ts, ts, ts, [1.0, 2.0, 3.0]), 3 * ALL),
    "between": (lambda ts: torch._foreach_lerp_(ts, ts, 0.1), 3 * ALL),
    "powers of a number": (lambda ts: torch._foreach_pow(2.0, ts), None),
    "norms": (torch._foreach_norm, None),
    "copies": (lambda ts: torch._foreach_copy_(ts, ts), 0),
    "zeros": (torch._foreach_zero_, 0),
}


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", OPS)
def test_the_work_of_one_for_each(name, trace):
    does, expected = OPS[name]
    inputs = tuple(torch.rand(size) for size in SIZES)
    real = does([t.clone() for t in inputs])
    report = cnncost.analyze(Over(lambda ts: does(ts) or ts), inputs, trace=trace)
    assert not report.unknown
    assert expected is None or report.totals.flops == expected
    shapes = [tuple(t.shape) for t in real] if real else list(SIZES)
    assert [report.graph.values[i].type.shape for i in report.graph.outputs] == shapes


def test_norms_are_those_of_each():
    norms = cnncost.analyze(Over(torch._foreach_norm), tuple(torch.rand(size) for size in SIZES))
    one = [cnncost.analyze(Over(lambda ts: torch.linalg.vector_norm(ts[0])), torch.rand(size)) for size in SIZES]
    assert norms.totals.flops == sum(each.totals.flops for each in one)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SGD", {"momentum": 0.9, "weight_decay": 0.1}), ("AdamW", {}), ("Adam", {"amsgrad": True}),
        ("RMSprop", {"momentum": 0.9, "centered": True}), ("NAdam", {}), ("RAdam", {}), ("Adadelta", {}),
        ("Adagrad", {}), ("Adamax", {}), ("Rprop", {}),
    ],
)  # fmt: skip
def test_the_peak_of_an_optimizers_step_is_the_allocators(name, arguments, foreach):
    model, x = nn.Sequential(*[nn.Linear(64, 64) for _ in range(6)]), torch.randn(2, 64)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01, foreach=foreach, **arguments)
    predicted = cnncost.analyze(model, x, training=True, optimizer=optimizer).memory.training_peak

    def clear():
        for parameter in model.parameters():
            parameter.grad = None

    def step(_=None):
        out = model(x)
        loss = out.sum()
        loss.backward()
        optimizer.step()
        return out, loss

    step()  # makes the state
    held = [*model.parameters(), x, *[t for state in optimizer.state.values() for t in state.values()]]
    there = sum({t.data_ptr(): t.nbytes for t in held if isinstance(t, torch.Tensor)}.values())
    assert predicted == pytest.approx(peaks(step, clear).tensors + there, rel=0.002)
