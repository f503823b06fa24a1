"""Optimizers' steps compared with the allocator: what they read, keep, and compute in one kernel."""

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import cnncost
from cnncost.errors import InputError
from cnncost.frontends.torch import Training, record
from cnncost.passes.compute import compute
from cnncost.passes.memory import memory
from tests.frontends.test_training import measured
from tests.oracles import optimizers
from tests.oracles.counting import Number, Tally


def network(bias=True):
    return nn.Sequential(
        nn.Linear(64, 96, bias=bias), nn.ReLU(), nn.Linear(96, 96, bias=bias), nn.ReLU(), nn.Linear(96, 10, bias=bias)
    )


RATE = torch.tensor(0.01)
STEPS = [
    ("SGD", {"fused": True}), ("SGD", {"fused": True, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"fused": True, "lr": RATE}), ("SGD", {"lr": RATE}), ("SGD", {"foreach": True, "lr": RATE}),
    ("Adam", {"fused": True}), ("Adam", {"fused": True, "amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"foreach": False, "amsgrad": True}), ("Adam", {"foreach": True, "maximize": True}),
    ("AdamW", {"fused": True}), ("AdamW", {"fused": True, "lr": RATE}), ("AdamW", {"lr": RATE}),
    ("Adagrad", {"fused": True}), ("Adagrad", {}), ("Adagrad", {"foreach": True}),
    ("ASGD", {"foreach": False}), ("ASGD", {"foreach": True}), ("ASGD", {"weight_decay": 0.1}),
    ("Rprop", {"foreach": False}), ("Rprop", {"foreach": True}), ("RAdam", {}), ("NAdam", {}), ("Adadelta", {}),
    ("Adafactor", {}), ("Adafactor", {"foreach": True}), ("Adafactor", {"lr": RATE}),
    ("Adafactor", {"weight_decay": 0.1, "maximize": True}), ("Muon", {}), ("Muon", {"nesterov": False}),
]  # fmt: skip


def named(step):
    return f"{step[0]} {step[1]}"


@pytest.mark.parametrize("step", STEPS, ids=named)
def test_the_peak_of_a_step_is_the_allocators(step):
    name, arguments = step
    model, x = network(bias=name != "Muon"), torch.randn(2, 64)

    def make(parameters):
        return getattr(torch.optim, name)(parameters, **{"lr": 0.01, **arguments})

    report = cnncost.analyze(model, x, training=True, optimizer=make)
    assert report.unknown == {}
    assert report.memory.training_peak == pytest.approx(measured(model, x, make), rel=0.0005)


@pytest.mark.parametrize("step", [s for s in STEPS if s[0] != "Muon"], ids=named)
def test_the_users_own_with_its_state_says_the_same(step):
    """An optimizer after a step, one before its first, a function that creates one, and a run on values."""
    name, arguments = step
    model, x = network(), torch.randn(2, 64)
    fresh, used = [getattr(torch.optim, name)(model.parameters(), **{"lr": 0.01, **arguments}) for _ in range(2)]
    model(x).sum().backward()
    used.step()
    model.zero_grad()
    given = [
        {"optimizer": fresh}, {"optimizer": used},
        {"optimizer": fresh, "trace": "real"}, {"optimizer": used, "trace": "real"},
        {"optimizer": lambda p: getattr(torch.optim, name)(p, **{"lr": 0.01, **arguments})},
    ]  # fmt: skip
    reports = [cnncost.analyze(model, x, training=True, **how) for how in given]
    assert len({r.memory.figures.optimizer_state for r in reports}) == 1
    peaks = [r.memory.training_peak for r in reports]
    assert max(peaks) - min(peaks) <= 128  # numbers of a step, and how often a sign is set
    flops = [r.totals.training_flops for r in reports]
    assert max(flops) - min(flops) <= 64


# ---- one kernel for all that a step does


KERNELS = [
    ("Adam", {}, 13), ("Adam", {"amsgrad": True}, 14), ("Adam", {"weight_decay": 0.1}, 15),
    ("Adam", {"maximize": True}, 14), ("AdamW", {"weight_decay": 0.1}, 14), ("AdamW", {"weight_decay": 0.0}, 13),
    ("SGD", {}, 2), ("SGD", {"momentum": 0.9}, 4), ("SGD", {"momentum": 0.9, "dampening": 0.5}, 5),
    ("SGD", {"momentum": 0.9, "nesterov": True}, 6), ("SGD", {"weight_decay": 0.1, "maximize": True}, 5),
    ("Adagrad", {}, 7), ("Adagrad", {"weight_decay": 0.1}, 9), ("Adagrad", {"maximize": True}, 8),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "each"), KERNELS, ids=str)
def test_flops_of_a_fused_step(name, arguments, each):
    """Derived by hand, and by an oracle whose parameters after two steps equal torch's."""
    weight, grads = torch.rand(3, dtype=torch.float64) + 0.5, torch.rand(2, 3, dtype=torch.float64) + 0.5
    parameter = nn.Parameter(weight.clone())
    optimizer = getattr(torch.optim, name)([parameter], lr=0.01, fused=True, **arguments)
    parameter.grad = grads[0]
    optimizer.step()
    state = {k: v.clone() for k, v in optimizer.state[parameter].items() if v is not None}
    before = parameter.detach().clone()
    parameter.grad = grads[1]
    optimizer.step()
    tally = Tally()
    after = [_by_hand(name, arguments, tally, before[i], grads[1][i], {k: v[i] if v.dim() else v for k, v in
             state.items()}) for i in range(3)]  # fmt: skip
    torch.testing.assert_close(torch.tensor([float(p) for p in after], dtype=torch.float64), parameter.detach())
    assert tally.flops == 3 * each

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3))

        def forward(self, x):
            return self.weight * x

    model = Scaled()
    made = getattr(torch.optim, name)(model.parameters(), lr=0.01, fused=True, **arguments)
    with_step, without = [
        cnncost.analyze(model, (3,), training=True, optimizer=o).totals.training_flops for o in (made, None)
    ]
    counts_steps = 0 if name == "SGD" else 1
    assert with_step - without == 3 * each + counts_steps


def _by_hand(name, arguments, tally, p, g, state):
    p, g = Number(p, tally), Number(g, tally)
    common = {"lr": 0.01, "decay": arguments.get("weight_decay", 0), "maximize": arguments.get("maximize", False)}
    if name == "SGD":
        buffer = Number(state.get("momentum_buffer", 0.0), tally)
        rest = {k: v for k, v in arguments.items() if k in {"momentum", "dampening", "nesterov"}}
        return optimizers.sgd(p, g, buffer, **common, **rest)
    if name == "Adagrad":
        return optimizers.adagrad(p, g, Number(state["sum"], tally), eps=1e-10, **common)
    moments = [Number(state[key], tally) for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if key in state]
    return optimizers.adam(p, g, *moments, t=2, betas=(0.9, 0.999), eps=1e-8, decoupled=name == "AdamW", **common)


# ---- where a step is made


@pytest.mark.parametrize(
    "arguments", [{"capturable": True}, {"capturable": True, "foreach": True}, {"fused": True}], ids=str
)
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_what_a_gpu_alone_can_do_is_done_on_a_claimed_one(name, arguments):
    """The state of a step: two moments and a count for each parameter."""
    model = network()
    graph = on_gpu(model, lambda parameters: getattr(torch.optim, name)(parameters, **arguments))
    state = [s.nbytes for s in graph.storages if s.use == "state"]
    assert sum(state) == sum(8 * p.numel() + 4 for p in model.parameters())
    assert compute(graph).unknown == ()


def on_gpu(model, make):
    return record(model, (2, 64), device="cuda", training=Training(optimizer=make))


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adadelta"])
def test_capturable_on_a_cpu_is_what_torch_refuses(name):
    model, x = nn.Linear(4, 4), torch.randn(2, 4)
    real = getattr(torch.optim, name)(model.parameters(), capturable=True)
    model(x).sum().backward()
    with pytest.raises(AssertionError, match="capturable=True"):
        real.step()
    with pytest.raises(InputError, match=r"expected capturable=False, or a model on a GPU"):
        cnncost.analyze(model, x, training=True, optimizer=f"{name.lower()}:capturable=True")
    assert not cnncost.analyze(model, x, training=True, optimizer=f"{name.lower()}:capturable=False").unknown


@pytest.mark.parametrize("name", ["NAdam", "Adam", "AdamW", "Adadelta", "ASGD", "Rprop"])
def test_a_gpu_takes_all_parameters_at_once(name):
    """Torch's default there, the same as `foreach=True`."""
    kind = getattr(torch.optim, name)
    there, said, one_by_one = [
        memory(on_gpu(network(), lambda p, how=how: kind(p, lr=0.01, **how))).peak.nbytes
        for how in ({}, {"foreach": True}, {"foreach": False})
    ]
    assert there == said != one_by_one


# ---- numbers that are read


class Reading(torch.optim.SGD):
    """Calls `does`, which reads values of the gradient, for each parameter and its gradient."""

    def __init__(self, parameters, does):
        super().__init__(parameters, lr=0.1)
        self.does = does

    @torch.no_grad()
    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            self.does(parameter, parameter.grad)


def _clipped(p, g):
    p.add_(g, alpha=-0.1 / max(1.0, g.norm().item()))


def _shrunk_if_large(p, g):
    if g.norm().item() > 3:
        g = g * 0.5
    p.sub_(g)


def _skipped_if_not_finite(p, g):
    if bool(torch.isfinite(g).all()):
        p.sub_(g)


def _as_often(p, g):
    for _ in range(int(g.norm().item()) % 7):
        p.sub_(g)


@pytest.mark.parametrize("does", [_clipped, lambda p, g: p.mul_(1 - float(g.mean())), lambda p, g: p.sub_(g.sum())])
def test_numbers_that_only_scale_are_read(does):
    model, x = nn.Linear(8, 8), torch.randn(2, 8)
    report = cnncost.analyze(model, x, training=True, optimizer=lambda p: Reading(p, does))
    real = cnncost.analyze(model, x, training=True, optimizer=lambda p: Reading(p, does), trace="real")
    assert report.totals.training_flops == real.totals.training_flops
    assert report.memory.training_peak == pytest.approx(
        measured(model, x, lambda p: Reading(p, does)), rel=0.0005, abs=8
    )


@pytest.mark.parametrize("does", [_shrunk_if_large, _skipped_if_not_finite, _as_often])
def test_what_hangs_on_a_number_is_refused_and_the_remedy_helps(does):
    model, x = nn.Linear(8, 8), torch.randn(2, 8)
    with pytest.raises(InputError, match="trace='real'"):
        cnncost.analyze(model, x, training=True, optimizer=lambda p: Reading(p, does))
    report = cnncost.analyze(model, x, training=True, optimizer=lambda p: Reading(p, does), trace="real")
    assert report.unknown == {}


def test_sparse_adam_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"SparseAdam takes only sparse gradients.*expected an optimizer for dense"):
        cnncost.analyze(nn.Linear(4, 4), (2, 4), training=True, optimizer="sparseadam")


def test_a_function_that_returns_an_optimizer_of_its_own_is_refused_before_a_step():
    layer = nn.Linear(8, 8)
    own = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer(torch.randn(2, 8)).sum().backward()
    before = layer.weight.clone()
    with pytest.raises(InputError, match="pass the optimizer itself"):
        cnncost.analyze(layer, torch.randn(2, 8), training=True, optimizer=lambda _: own)
    assert torch.equal(layer.weight, before)
    assert cnncost.analyze(layer, torch.randn(2, 8), training=True, optimizer=own).totals.training_macs  # the advice
    assert torch.equal(layer.weight, before)


class Later(torch.optim.Optimizer):
    """Reads a number from its second step on, and does more if it is large."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            if "n" not in self.state[p]:
                self.state[p]["n"] = 0
            elif p.grad.norm().item() > 2:
                torch.cat([p.grad.flatten()] * 500)


def test_what_is_read_from_the_second_step_on_is_refused():
    with pytest.raises(InputError, match="trace='real'"):
        cnncost.analyze(nn.Linear(8, 8), torch.randn(2, 8), training=True, optimizer=Later)
    assert cnncost.analyze(nn.Linear(8, 8), torch.randn(2, 8), training=True, optimizer=Later, trace="real")


class Deciding(torch.optim.Optimizer):
    """Does more if numbers that it reads say so."""

    def __init__(self, parameters, decides):
        super().__init__(parameters, {})
        self.decides = decides

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            if self.decides(p):
                torch.cat([p.grad.flatten()] * 500)


@pytest.mark.parametrize(
    "decides",
    [
        lambda p: p.grad.sum().item() < 0, lambda p: p.grad.norm().item() < p.norm().item(),
        lambda p: p.grad.norm().item() == 0, lambda p: p.grad.norm().item() > 100, lambda p: bool(p.grad.sum().item()),
        lambda p: p.grad.max().item() > 2 * p.grad.mean().item(),
    ],
    ids=["a sign", "two numbers", "zero", "a threshold", "any", "a factor between two"],
)  # fmt: skip
def test_a_step_that_decides_by_what_it_reads_is_refused(decides):
    def make(parameters):
        return Deciding(parameters, decides)

    with pytest.raises(InputError, match="trace='real'"):
        cnncost.analyze(nn.Linear(8, 8), torch.randn(2, 8), training=True, optimizer=make)
    assert cnncost.analyze(nn.Linear(8, 8), torch.randn(2, 8), training=True, optimizer=make, trace="real")


def _with_hooks(register):
    model = nn.Linear(8, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = register(optimizer)
    return model, optimizer, handle


HOOKED = {
    "before": lambda optimizer: optimizer.register_step_pre_hook(lambda *_: None),
    "after": lambda optimizer: optimizer.register_step_post_hook(lambda *_: None),
    "before all": lambda _: register_optimizer_step_pre_hook(lambda *_: None),
    "after all": lambda _: register_optimizer_step_post_hook(lambda *_: None),
    "none": lambda _: None,
}


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", HOOKED)
def test_hooks_that_are_not_run_are_named(name, trace):
    model, optimizer, handle = _with_hooks(HOOKED[name])
    try:
        report = cnncost.analyze(model, torch.rand(2, 8), training=True, optimizer=optimizer, trace=trace)
    finally:
        if handle is not None:
            handle.remove()
    assert any("are not run: figures of the training step are lower bounds" in n for n in report.notes) == (
        name != "none"
    )
