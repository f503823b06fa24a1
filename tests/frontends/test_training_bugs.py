"""Training steps: bugs that were found, one row each. Expected peaks are the allocator's."""

import copy

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import InputError
from tests.frontends.test_training import measured


class Wrapping(torch.optim.Optimizer):
    """Steps another optimizer, as Lookahead and SAM do."""

    def __init__(self, base):
        self.base = base
        super().__init__(base.param_groups, {})

    def step(self, closure=None):
        return self.base.step(closure)


class OfItsOwn(torch.optim.Optimizer):
    """Keeps its state in an attribute, and counts."""

    def __init__(self, parameters):
        super().__init__(parameters, {})
        self.buffers, self.steps = {}, [0]

    @torch.no_grad()
    def step(self, closure=None):
        self.steps[0] += 1
        for i, parameter in enumerate(self.param_groups[0]["params"]):
            buffer = self.buffers.setdefault(i, torch.zeros_like(parameter))
            buffer.add_(parameter.grad)
            parameter.sub_(buffer)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda p: Wrapping(torch.optim.SGD(p, lr=0.1)), id="around SGD"),
        pytest.param(lambda p: Wrapping(torch.optim.Adam(p)), id="around Adam"),
        pytest.param(OfItsOwn, id="state of its own"),
    ],
)
@pytest.mark.parametrize("warm", [False, True])
def test_the_users_optimizer_is_not_stepped(build, warm):
    model, x = nn.Linear(8, 4), torch.randn(2, 8)
    optimizer = build(list(model.parameters()))
    model(x).sum().backward()
    if warm:
        optimizer.step()
    before = copy.deepcopy((list(model.parameters()), vars(optimizer)))
    report = cnncost.analyze(model, x, training=True, optimizer=optimizer)
    after = (list(model.parameters()), vars(optimizer))
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    for name in ("buffers", "steps"):
        torch.testing.assert_close(before[1].get(name), after[1].get(name), rtol=0, atol=0)
    held = {"OfItsOwn": 4 * 36, "Wrapping": 0}[type(optimizer).__name__]
    if isinstance(getattr(optimizer, "base", None), torch.optim.Adam):
        held = 2 * 4 * 36 + 2 * 4
    assert report.memory.figures.optimizer_state == held
    model(x).sum().backward()
    optimizer.step()
    assert not torch.equal(before[0][0], model.weight)


def test_hooks_of_parameters_run():
    """g @ g is 512³ multiply-accumulates more; forward and the weight's gradient are 4·512² each."""
    model = nn.Linear(512, 512, bias=False)
    model.weight.register_hook(lambda g: g @ g)
    report = cnncost.analyze(model, (4, 512), training=True)
    assert report.totals.training_macs == 2 * 4 * 512**2 + 512**3


def test_hooks_after_accumulation_are_refused():
    model = nn.Linear(4, 4)
    model.weight.register_post_accumulate_grad_hook(lambda p: setattr(p, "grad", None))
    with pytest.raises(InputError, match="a post-accumulate-grad hook"):
        cnncost.analyze(model, (2, 4), training=True)


@pytest.mark.parametrize("layer", [nn.Embedding(10, 4, sparse=True), nn.EmbeddingBag(10, 4, sparse=True)])
def test_sparse_gradients_are_refused(layer):
    with pytest.raises(InputError, match="sparse=False"):
        cnncost.analyze(nn.Sequential(layer), torch.zeros(4, 3, dtype=torch.long), training=True)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(1000, 64), nn.Linear(64, 1000, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, ids):
        return self.out(self.embedding(ids))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)

    def forward(self, x):
        return self.attention(x, x + 1, x + 2)[0]


class Squared(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(128, 128)

    def forward(self, x):
        y = self.fc(x)
        return y * y


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(256, 256))
        self.register_buffer("index", torch.arange(10))

    def forward(self, x):
        return self.table[self.index] + x[:10]


class Picked(nn.Module):
    def __init__(self, pick):
        super().__init__()
        self.fc, self.pick = nn.Linear(64, 64), pick

    def forward(self, x):
        return self.pick(self.fc(x))


class Heads(nn.Module):
    """Attention of four heads of 16, by torch's own function."""

    def __init__(self, **how):
        super().__init__()
        self.qkv, self.how = nn.Linear(64, 192), how

    def forward(self, x):
        n, length, _ = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, 4, 16).permute(2, 0, 3, 1, 4)
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, **self.how)
        return y.transpose(1, 2).reshape(n, length, 64)


class Masked(Heads):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.ones(256, 256, dtype=torch.bool).tril())

    def forward(self, x):
        self.how = {"attn_mask": self.mask}
        return super().forward(x)


def encoder():
    return nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)


SUMS = {
    "fused attention": (Heads, lambda: torch.randn(1, 1024, 64)),
    "causal attention": (lambda: Heads(is_causal=True), lambda: torch.randn(2, 256, 64)),
    "masked attention": (Masked, lambda: torch.randn(2, 256, 64)),
    "attention with dropout": (lambda: Heads(dropout_p=0.1), lambda: torch.randn(2, 128, 64)),
    "an encoder layer": (encoder, lambda: torch.randn(1, 512, 64)),
    "tied weights": (Tied, lambda: torch.randint(0, 1000, (2, 3))),
    "three inputs of one product": (Attention, lambda: torch.randn(1, 256, 64)),
    "a value by itself": (Squared, lambda: torch.randn(256, 128)),
    "a table by index": (Table, lambda: torch.randn(16, 256)),
    "index_select": (lambda: Picked(lambda y: y.index_select(0, torch.arange(5))), lambda: torch.randn(512, 64)),
    "gather": (
        lambda: Picked(lambda y: y.gather(0, torch.zeros(3, 64, dtype=torch.long))), lambda: torch.randn(512, 64),
    ),
    "a variance": (lambda: Picked(lambda y: y.var(1)), lambda: torch.randn(256, 64)),
    "a norm": (lambda: Picked(lambda y: y.norm(dim=1)), lambda: torch.randn(256, 64)),
    "log sum exp": (lambda: Picked(lambda y: y.logsumexp(1)), lambda: torch.randn(256, 64)),
}  # fmt: skip


@pytest.mark.parametrize(("build", "inputs"), SUMS.values(), ids=SUMS)
def test_gradients_are_added_up_as_autograd_does(build, inputs):
    model, x = build(), inputs()
    expected = measured(model, x)
    assert abs(cnncost.analyze(model, x, training=True).memory.training_peak - expected) <= 0.01 * expected


@pytest.mark.parametrize("cell", [nn.GRU, nn.RNN])
@pytest.mark.parametrize("layers", [1, 2])
def test_recurrent_layers_hold_their_gates(cell, layers):
    from tests.oracles.allocations import peaks

    model, x = cell(64, 256, layers).eval(), torch.randn(100, 8, 64)

    def run():
        with torch.no_grad():
            return model(x)

    expected = peaks(run).tensors + sum(4 * t.numel() for t in (*model.parameters(), x))
    assert abs(cnncost.analyze(model, x).memory.inference_peak - expected) <= 0.03 * expected


def test_anomaly_detection_stays_out_of_it():
    with torch.autograd.set_detect_anomaly(True):
        report = cnncost.analyze(nn.Linear(8, 4), (2, 8), training=True)
        assert torch.is_anomaly_enabled()
    assert report.totals.training_macs == 2 * (2 * 8 * 4)


def test_gradients_of_tensors_that_are_no_parameters():
    class Loose(nn.Module):
        def __init__(self):
            super().__init__()
            self.loose = torch.randn(16, 16, requires_grad=True)
            self.fc = nn.Linear(16, 16)

        def forward(self, x):
            return self.fc(x) @ self.loose

    figures = cnncost.analyze(Loose(), (4, 16), training=True).memory.figures
    assert figures.gradients == 4 * (16 * 16 + 16 + 16 * 16)


@pytest.mark.parametrize("text", ["adam:betas=(0.9, 0.99)", "adam:betas=[0.9,0.99],lr=1e-3", "sgd:momentum=0.9,lr=0.1"])
def test_arguments_of_an_optimizer_may_be_tuples(text):
    assert cnncost.analyze(nn.Linear(4, 4), (2, 4), training=True, optimizer=text).memory.figures.optimizer_state > 0


def test_an_optimizer_that_puts_numbers_wherever_a_mask_is_set():
    """Rprop's factors: it reads signs, on which no sizes depend."""
    model = nn.Linear(4, 4)
    report = cnncost.analyze(model, (2, 4), training=True, optimizer="rprop")
    optimizer = torch.optim.Rprop(model.parameters())
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    state = [value for held in optimizer.state.values() for value in held.values() if isinstance(value, torch.Tensor)]
    assert report.memory.figures.optimizer_state == sum(value.nbytes for value in state)
    assert report.unknown == {}


def test_what_was_run_already_can_not_be_trained(tmp_path):
    report = cnncost.analyze(nn.Linear(4, 4), (2, 4))
    report.save(tmp_path / "cost.json")
    for model in (report.graph, str(tmp_path / "cost.json")):
        with pytest.raises(InputError, match=r"a recorded run|the run that"):
            cnncost.analyze(model, training=True)
