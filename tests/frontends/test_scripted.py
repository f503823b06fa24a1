"""Scripted and traced modules: the figures of the module they were made of, and nothing is left in them."""

import io

import pytest
import torch
from torch import nn

import cnncost
from cnncost.frontends.torch import record
from tests.oracles.allocations import peaks, training_peak

# torch's own, when TorchScript is imported or used
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

TRACE = pytest.mark.parametrize("trace", ["static", "real"])
INPUT = (4, 3, 8, 8)


def net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(144, 32), nn.GELU(),
        nn.Linear(32, 5),
    )  # fmt: skip


def loaded(script):
    file = io.BytesIO()
    torch.jit.save(script, file)
    file.seek(0)
    return torch.jit.load(file)


class ByMethod(torch.jit.ScriptModule):
    """A class derived from ScriptModule, as before `torch.jit.script`."""

    def __init__(self):
        super().__init__()
        self.net = net()

    @torch.jit.script_method
    def forward(self, x):
        return self.net(x)


MADE = {
    "scripted": lambda: torch.jit.script(net()),
    "traced": lambda: torch.jit.trace(net(), torch.rand(INPUT), check_trace=False),
    "loaded": lambda: loaded(torch.jit.script(net())),
    "by a method": ByMethod,
    "inside of a module": lambda: nn.Sequential(torch.jit.script(net()), nn.Identity()),
    "inside of another script": lambda: torch.jit.script(nn.Sequential(torch.jit.script(net()))),
}


@TRACE
@pytest.mark.parametrize("name", MADE)
def test_a_training_step_is_that_of_the_module(name, trace):
    model = MADE[name]()
    found = cnncost.analyze(model, torch.rand(INPUT), training=True, optimizer="adam", trace=trace)
    plain = cnncost.analyze(net(), torch.rand(INPUT), training=True, optimizer="adam", trace=trace)
    for figure in ("params", "trainable_params", "macs", "training_macs"):
        assert getattr(found.totals, figure) == getattr(plain.totals, figure), figure
    assert found.totals.params == sum(p.numel() for p in model.parameters())
    assert not found.unknown


@TRACE
def test_an_optimizer_of_the_users_is_of_the_scripts_parameters(trace):
    model = MADE["scripted"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    report = cnncost.analyze(model, torch.rand(INPUT), training=True, optimizer=optimizer, trace=trace)
    assert report.memory.training_peak > 0
    assert not optimizer.state


@TRACE
@pytest.mark.parametrize("name", ["scripted", "inside of a module"])
def test_the_peaks_are_the_allocators(name, trace):
    model = MADE[name]()
    x = torch.rand(INPUT)
    held = sum(t.nbytes for t in (*model.parameters(), *model.buffers(), x))
    report = cnncost.analyze(model, x, training=True, trace=trace)
    with torch.no_grad():
        assert report.memory.inference_peak == pytest.approx(held + peaks(lambda: model(x)).tensors, abs=128)
    assert report.memory.training_peak == pytest.approx(training_peak(model, x), abs=128)


# ---- the user's script afterwards


class Counting(nn.Module):
    """Writes to a buffer, a tensor that is no buffer, a number, lists and dicts."""

    kept: list[torch.Tensor]
    sizes: list[int]
    named: dict[str, torch.Tensor]

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.register_buffer("seen", torch.zeros(1))
        self.free, self.calls = torch.zeros(2), 0
        self.kept, self.sizes, self.named = [torch.zeros(2)], [], {}

    def forward(self, x):
        self.seen += 1
        self.free.add_(1)
        self.calls += 1
        self.kept[0].add_(1)
        self.kept.append(x)
        self.sizes.append(x.size(0))
        self.named["x"] = x
        with torch.no_grad():
            self.linear.weight.mul_(0.5)
        return self.norm(self.linear(x))


def contents(script):
    lists = [
        script.calls,
        script.sizes,
        [t.tolist() for t in script.kept],
        {n: t.tolist() for n, t in script.named.items()},
    ]
    tensors = [*script.parameters(), *script.buffers(), script.free]
    return [
        *lists, script.training,
        *[(id(t), t._version, t.tolist(), t.requires_grad, t.grad is None, str(t.device)) for t in tensors],
    ]  # fmt: skip


@TRACE
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("wrap", [lambda script: script, nn.Sequential], ids=["alone", "in a module"])
def test_a_script_is_as_it_was(wrap, training, trace):
    script = torch.jit.script(Counting())
    before, shared = contents(script), trace == "real" and not training
    optimizer = "sgd" if training else None
    cnncost.analyze(wrap(script), torch.rand(2, 4), training=training, optimizer=optimizer, trace=trace)
    after = contents(script)
    if shared:  # a run on values shares the weights and restores what was written to them
        before, after = (
            [each[:1] + each[2:] if type(each) is tuple else each for each in of] for of in (before, after)
        )
    assert after == before


@TRACE
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_a_script_computes_afterwards_what_it_did(training, trace):
    class Padded(nn.Module):
        def forward(self, x):
            return torch.cat([x.relu() * x.sigmoid(), torch.zeros(x.size(0), 1, device=x.device, dtype=x.dtype)], 1)

    script = torch.jit.script(Padded())
    for _ in range(3):  # TorchScript observes its first runs, and specializes the code to what it saw
        cnncost.analyze(nn.Sequential(nn.Linear(4, 4), script), torch.rand(2, 4), training=training, trace=trace)
    for batch in (2, 3, 2, 2):
        x = torch.rand(batch, 4, requires_grad=True)
        found, expected = script(x), Padded()(x)
        assert torch.equal(found, expected)
        assert torch.equal(*[torch.autograd.grad(each.sum(), x)[0] for each in (found, expected)])


@pytest.mark.parametrize("train", [True, False])
def test_the_mode_asked_for_is_that_of_all_modules_in_a_script(train):
    plain, script = net(), torch.jit.script(net().train(not train))
    recorded = [record(model, INPUT, train=train).nodes for model in (plain, script)]
    of_plain, of_script = [[(n.name, n.spec) for n in nodes if "add_" not in n.name] for nodes in recorded]
    assert of_script == of_plain
    assert script.training is not train


def test_parameters_that_modules_share_are_shared_in_the_copy():
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    script = torch.jit.script(tied)
    assert cnncost.analyze(script, (2, 4)).totals.params == 24
    assert cnncost.analyze(nn.Sequential(tied, script), (2, 4)).totals.params == 24
