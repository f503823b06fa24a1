"""Training steps: loss, backward and optimizer are recorded as torch runs them."""

import copy
import gc
from collections import UserDict, deque
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import cnncost
from cnncost import zoo
from cnncost.errors import CnncostError, InputError
from cnncost.frontends.torch import Training, record
from cnncost.ops import cost_of
from tests.networks import DenseNet121, MobileNetV2
from tests.oracles.allocations import peaks


def macs(graph, phase):
    return sum(cost_of(node.spec).macs for node in graph.nodes if node.phase == phase)


@pytest.mark.parametrize(("input_grad", "flops"), [(False, 10_648_412_160), (True, 10_884_440_064)])
def test_resnet18_forward_and_backward(input_grad, flops):
    """Only convolutions and products. Forward has 1,814,073,344 MACs; backward twice as many, except for the input."""
    x = torch.empty(1, 3, 224, 224, device="meta", requires_grad=input_grad)
    with torch.device("meta"):
        model = zoo.build("resnet18")
    report = cnncost.analyze(model, x, training=True)
    assert 2 * report.totals.training_macs == flops
    assert report.totals.macs == 1_814_073_344
    first = 112 * 112 * 64 * 3 * 49
    assert report.totals.training_macs == 3 * 1_814_073_344 - (0 if input_grad else first)
    assert [row.phase for row in report.phases] == ["forward", "backward"]
    assert not report.unknown


CONVS = {
    "plain": (lambda: nn.Conv2d(4, 6, 3, padding=1), (2, 4, 8, 8)),
    "strided": (lambda: nn.Conv2d(4, 6, 3, stride=2), (2, 4, 9, 9)),
    "dilated": (lambda: nn.Conv2d(4, 6, 3, dilation=2, bias=False), (2, 4, 9, 9)),
    "1d": (lambda: nn.Conv1d(4, 6, 3), (2, 4, 9)),
    "3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    "linear": (lambda: nn.Linear(5, 7), (3, 4, 5)),
    "perceptron": (lambda: nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2)), (3, 5)),
}


@pytest.mark.parametrize("input_grad", [False, True])
@pytest.mark.parametrize(("build", "shape"), CONVS.values(), ids=CONVS)
def test_products_are_those_that_torch_counts(build, shape, input_grad):
    model, x = build(), torch.randn(shape, requires_grad=input_grad)
    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    graph = record(model, x, training=Training())
    assert 2 * (macs(graph, "forward") + macs(graph, "backward")) == counter.get_total_flops()


def test_a_grouped_convolution():
    """y: 2,6,6,6, each element of it of 2 channels by 9 taps. (Torch's counter multiplies the groups in once more.)"""
    graph = record(nn.Conv2d(4, 6, 3, groups=2), torch.randn(2, 4, 8, 8, requires_grad=True), training=Training())
    once = 2 * 6 * 36 * 2 * 9
    assert (macs(graph, "forward"), macs(graph, "backward")) == (once, 2 * once)


def test_a_transposed_convolution():
    """x: 2,4,5,5; w: 4,3,3,3. Each of three products pairs each input element with the K/g·R taps of its channel."""
    model = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2)
    graph = record(model, torch.randn(2, 4, 5, 5, requires_grad=True), training=Training())
    once = 2 * 4 * 25 * 3 * 9
    assert (macs(graph, "forward"), macs(graph, "backward")) == (once, 2 * once)


def test_attention_multiplies_five_times_in_backward():
    """Scores again, and the gradients of scores, values, queries and keys."""
    q = [torch.randn(2, 3, 5, 8, requires_grad=True) for _ in range(3)]

    class Attend(nn.Module):
        def forward(self, q, k, v):
            return F.scaled_dot_product_attention(q, k, v)

    graph = record(Attend(), tuple(q), training=Training())
    product = 2 * 3 * 5 * 5 * 8
    forward = macs(graph, "forward")
    assert forward == 2 * product
    assert macs(graph, "backward") in {4 * product, 5 * product}, "four where the scores were kept"


# ---- whose account


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        return x + self.second(x) * self.first(x)


def test_each_op_is_on_the_account_of_the_call_it_is_due_to():
    graph = record(Block(), torch.randn(3, 4), training=Training(optimizer="adam"))
    placed = {}
    for node in graph.nodes:
        placed.setdefault((node.phase, graph.call_path(node.call)), []).append(node.name)
    assert placed["backward", "second"].count("aten.mm") == 2
    assert placed["backward", "first"].count("aten.mm") == 1, "the model's input needs no gradient"
    assert placed["backward", "first#2"].count("aten.mm") == 2
    assert "aten.tanh_backward" in placed["backward", ""]
    assert {path for phase, path in placed if phase == "optimizer"} == {"first", "second"}
    assert placed["optimizer", "second"].count("aten.addcdiv_") == 2


def test_accounts_add_up():
    graph = record(Block(), torch.randn(3, 4), training=Training())
    product = 3 * 4 * 4
    by_call = {}
    for node in graph.nodes:
        if node.phase == "backward":
            by_call[graph.call_path(node.call)] = by_call.get(graph.call_path(node.call), 0) + cost_of(node.spec).macs
    assert by_call == {"": 0, "first": product, "second": 2 * product, "first#2": 2 * product}


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.reentrant = reentrant
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)) for _ in range(4))

    def forward(self, x):
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=self.reentrant)
        return x


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_computes_again_is_backward(reentrant):
    model, x = Checkpointed(reentrant), torch.randn(8, 16, requires_grad=True)
    graph = record(model, x, training=Training())
    once = 8 * 8 * 16 * 16
    assert macs(graph, "forward") == once
    again = once if reentrant else once // 2  # the newer kind stops at the last input that is needed
    assert macs(graph, "backward") == 2 * once + again
    assert all(scope.calls <= 1 for scope in graph.scopes)
    computed = {graph.call_path(n.call) for n in graph.nodes if n.name == "aten.addmm" and n.phase == "backward"}
    assert computed == {f"layers.{i}.{j}" for i in range(4) for j in ((0, 2) if reentrant else (0,))}


# ---- memory, beside the allocator's own events


def measured(model, x, optimizer=None, set_to_none=True):
    """Bytes at the peak of a step, including those allocated before, without kernels' workspaces."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    made = optimizer(parameters) if optimizer is not None else None

    def step(_=None):
        out = model(x)
        loss = out.sum()
        loss.backward()
        if made is not None:
            made.step()
        return out, loss

    def clear():
        for p in parameters:
            p.grad = None if set_to_none else torch.zeros_like(p)

    clear()
    if made is not None:
        step()
    found = peaks(step, clear).tensors
    clear()
    held = {
        t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in (*model.parameters(), *model.buffers(), x)
    }
    if made is not None:
        for state in made.state.values():
            held |= {
                t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in state.values() if torch.is_tensor(t)
            }
    if not set_to_none:
        held |= {p.grad.untyped_storage()._cdata: p.grad.untyped_storage().nbytes() for p in parameters}
    return found + sum(held.values())


def convnet():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 1)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(3):
            x = x + torch.relu(self.a(x)) + self.b(x)
        return x


NETS = {"convnet": convnet, "residual": Residual}
OPTIMIZERS = {
    "none": None,
    "sgd": lambda p: torch.optim.SGD(p, 0.1, foreach=False),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, foreach=False),
    "nesterov and decay": lambda p: torch.optim.SGD(
        p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1, foreach=False
    ),
    "adam": lambda p: torch.optim.Adam(p, foreach=False),
    "adamw": lambda p: torch.optim.AdamW(p, foreach=False),
    "amsgrad": lambda p: torch.optim.Adam(p, amsgrad=True, foreach=False),
    "rmsprop": lambda p: torch.optim.RMSprop(p, foreach=False),
    "adagrad": lambda p: torch.optim.Adagrad(p, foreach=False),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
def test_the_peak_of_a_step_is_what_the_allocator_sees(build, optimizer):
    model, x = build(), torch.randn(4, 3, 20, 20)
    report = cnncost.analyze(model, x, training=True, optimizer=optimizer)
    expected = measured(model, x, optimizer)
    assert abs(report.memory.training_peak - expected) <= 0.005 * expected


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_that_are_kept_are_there_all_the_time(set_to_none):
    model, x = convnet(), torch.randn(2, 3, 20, 20)
    report = cnncost.analyze(model, x, training=True, set_to_none=set_to_none)
    expected = measured(model, x, set_to_none=set_to_none)
    assert abs(report.memory.training_peak - expected) <= 0.005 * expected
    assert report.memory.figures.gradients == report.totals.param_bytes


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # in inference, where it matters not
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_save_what_they_save(reentrant):
    model, x = Checkpointed(reentrant), torch.randn(4096, 16, requires_grad=True)
    plain = nn.Sequential(*copy.deepcopy(model).layers)
    predicted = [cnncost.analyze(m, x, training=True).memory.training_peak for m in (model, plain)]
    expected = []
    for m in (model, plain):
        expected.append(measured(m, x))
        x.grad = None
    assert predicted[0] < 0.9 * predicted[1]
    for found, real in zip(predicted, expected, strict=True):
        assert abs(found - real) <= 0.02 * real


def test_frozen_layers_keep_nothing():
    model, x = convnet(), torch.randn(2, 3, 20, 20)
    free = cnncost.analyze(model, x, training=True).memory
    model[0].requires_grad_(False)
    model[1].requires_grad_(False)
    frozen = cnncost.analyze(model, x, training=True).memory
    assert frozen.training_peak < free.training_peak
    expected = measured(model, x)
    assert abs(frozen.training_peak - expected) <= 0.005 * expected


def test_a_hundred_uses_of_one_layer():
    """Each leaves its output of 40 MiB for backward: 101 · 40 + 4 MiB of weights, and a bias of 4 KiB."""

    class Hundred(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(1024, 1024, device="meta")

        def forward(self, x):
            for _ in range(100):
                x = self.fc(x)
            return x

    memory = cnncost.analyze(Hundred(), (10240, 1024), training=True).memory.training
    end_of_forward = memory.timeline[memory.phases["backward"] - 1]
    loss = 4
    assert end_of_forward == 4 * (101 * 10240 * 1024 + 1024 * 1024 + 1024) + loss
    assert round(end_of_forward / 2**20, 1) == 4044.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(dtype):
    model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64)).to(dtype)
    x = torch.randn(32, 64, dtype=dtype)
    expected = measured(model, x)
    assert abs(cnncost.analyze(model, x, training=True).memory.training_peak - expected) <= 0.005 * expected


@pytest.mark.parametrize("build", [MobileNetV2, DenseNet121])
def test_published_sizes_of_the_tests_own_networks(build):
    """torchvision documents the same."""
    with torch.device("meta"):
        assert sum(p.numel() for p in build().parameters()) == {MobileNetV2: 3_504_872, DenseNet121: 7_978_856}[build]


# ---- losses


class Outputs(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.fc, self.wrap = nn.Linear(4, 3), wrap

    def forward(self, x):
        return self.wrap(self.fc(x))


@pytest.mark.parametrize(
    ("wrap", "op"),
    [
        pytest.param(lambda y: {"logits": y, "label": y.argmax(1)}, "aten.sum", id="a dict, part of it indices"),
        pytest.param(lambda y: (y, [y * 2]), "aten.add.Tensor", id="several"),
        pytest.param(lambda y: SimpleNamespace(loss=y.exp().mean(), logits=y), "aten.mean", id="its own loss"),
        pytest.param(lambda y: {"loss": y.exp().mean(), "logits": y}, "aten.mean", id="its own loss in a dict"),
        pytest.param(lambda y: UserDict(loss=y.exp().mean(), logits=y), "aten.mean", id="its own loss in a mapping"),
    ],
)
def test_the_default_loss(wrap, op):
    graph = record(Outputs(wrap), (2, 4), training=Training())
    forward = [node.name for node in graph.nodes if node.phase == "forward"]
    assert forward[-1] == op
    assert macs(graph, "backward") == 2 * 4 * 3


class Held:
    """An object that holds outputs, and itself."""

    def __init__(self, **held):
        vars(self).update(held, me=self)


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda y, z: (y, SimpleNamespace(aux=z)), id="a namespace"),
        pytest.param(lambda y, z: UserDict(y=y, z=z), id="a mapping"),
        pytest.param(lambda y, z: [y, Held(aux=[z])], id="an object"),
        pytest.param(lambda y, z: [y, (deque([z]),)], id="a deque"),
        pytest.param(lambda y, z: torch.distributions.Normal(y, z.exp()), id="a distribution"),
    ],
)
def test_the_default_loss_sums_outputs_wherever_they_are(wrap, trace):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return wrap(self.a(x), self.b(x))

    report = cnncost.analyze(Two(), torch.zeros(2, 4), training=True, trace=trace)
    assert [row.macs for row in report.phases] == [2 * 2 * 4 * 3] * 2


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "bce"])
def test_losses_by_name(name):
    graph = record(nn.Linear(4, 3), (2, 4), training=Training(loss=name))
    assert macs(graph, "backward") == 2 * 4 * 3


def test_a_loss_of_the_users_with_real_targets():
    target = torch.tensor([0, 2])
    report = cnncost.analyze(
        nn.Linear(4, 3), (2, 4), training=True, loss=lambda y: F.cross_entropy(y, target, label_smoothing=0.1)
    )
    assert report.totals.training_macs == 2 * (2 * 4 * 3)


# ---- bad input


@pytest.mark.parametrize(
    ("model", "how", "says"),
    [
        pytest.param(Outputs(lambda y: y.argmax(1)), {}, "no output of forward requires a gradient", id="indices"),
        pytest.param(nn.Linear(4, 3).requires_grad_(False), {}, "no output of forward requires", id="frozen"),
        pytest.param(nn.Linear(4, 3), {"loss": lambda y: y}, "one number as a tensor, got a tensor", id="rows"),
        pytest.param(nn.Linear(4, 3), {"loss": lambda _: 3}, "one number as a tensor, got int", id="no tensor"),
        pytest.param(Outputs(lambda y: torch.complex(y, y)), {}, "the loss is complex", id="complex outputs"),
        pytest.param(nn.Linear(4, 3), {"loss": lambda y: (y * 1j).sum()}, "the loss is complex", id="a complex loss"),
        pytest.param(nn.Linear(4, 3), {"loss": lambda y: y.detach().sum()}, "does not depend on any", id="detached"),
        pytest.param(nn.Linear(4, 3), {"loss": "hinge"}, "'hinge' is not known; expected one of", id="no such loss"),
        pytest.param(nn.Linear(4, 3), {"loss": 3}, "expected a function", id="a number"),
        pytest.param(nn.Linear(4, 3), {"optimizer": "adm"}, "torch.optim has no 'adm'", id="no such optimizer"),
        pytest.param(nn.Linear(4, 3), {"optimizer": "sgd:lr"}, "expected NAME=VALUE", id="no value"),
        pytest.param(nn.Linear(4, 3), {"optimizer": "sgd:speed=1"}, "constructor failed: TypeError", id="no argument"),
        pytest.param(nn.Linear(4, 3), {"optimizer": "lbfgs"}, "evaluates the model in a closure", id="closure"),
        pytest.param(nn.Linear(4, 3), {"optimizer": lambda _: 3}, "expected a torch.optim.Opt", id="no optimizer"),
        pytest.param(nn.Linear(4, 3), {"optimizer": 3}, "expected a name such as", id="a number as an optimizer"),
        pytest.param(
            nn.Linear(4, 3),
            {"optimizer": torch.optim.SGD(nn.Linear(4, 3).parameters())},
            "that is not one of the model's",
            id="another model's optimizer",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_trained_is_told(model, how, says):
    with pytest.raises(InputError, match=says):
        cnncost.analyze(model, (2, 4), training=True, **how)


def test_options_of_a_step_need_one():
    with pytest.raises(InputError, match="pass training=True"):
        cnncost.analyze(nn.Linear(4, 3), (2, 4), optimizer="sgd")
    with pytest.raises(CnncostError, match="no training step was analyzed"):
        _ = cnncost.analyze(nn.Linear(4, 3), (2, 4)).memory.training_peak


def test_the_users_model_and_optimizer_are_as_they_were():
    model, x = convnet().train(), torch.randn(2, 3, 20, 20)
    optimizer = torch.optim.AdamW(model.parameters())
    model(x).sum().backward()
    optimizer.step()
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]))
    report = cnncost.analyze(model, x, training=True, optimizer=optimizer)
    after = (model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()])
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    assert report.memory.figures.optimizer_state == sum(8 * p.numel() + 4 for p in model.parameters())
    gc.collect()
    assert model(x).requires_grad


def test_a_step_is_the_same_each_time():
    graphs = [record(convnet(), (2, 3, 20, 20), training=Training(optimizer="adamw")) for _ in range(3)]
    assert graphs[0] == graphs[1] == graphs[2]
    assert graphs[0] == record(convnet(), (2, 3, 20, 20), training=Training(optimizer="adamw"), use_memo=False)


LOSSES = {
    "mse_loss": F.mse_loss,
    "mse_loss, summed": lambda y, t: F.mse_loss(y, t, reduction="sum"),
    "mse_loss, none": lambda y, t: F.mse_loss(y, t, reduction="none").mean(),
    "l1_loss": F.l1_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "huber_loss": F.huber_loss,
    "soft_margin_loss": F.soft_margin_loss,
    "binary_cross_entropy": lambda y, t: F.binary_cross_entropy(y.sigmoid(), t),
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "kl_div": lambda y, t: F.kl_div(y, t, reduction="batchmean"),
    "poisson_nll_loss": F.poisson_nll_loss,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_the_peak_with_a_loss_is_the_allocators(loss):
    """The scalar of some losses keeps the storage of the elementwise losses alive."""
    model, x, target = nn.Linear(4, 300), torch.rand(16, 4), torch.rand(16, 300)

    def step(_):
        out = model(x)
        found = LOSSES[loss](out, target)
        found.backward()
        return out, found

    def clear():
        for parameter in model.parameters():
            parameter.grad = None

    before = sum(tensor.nbytes for tensor in (*model.parameters(), x, target))
    report = cnncost.analyze(model, x, training=True, loss=lambda y: LOSSES[loss](y, target))
    assert report.memory.training_peak == before + peaks(step, clear).tensors


@pytest.mark.parametrize("training", ["mse", Training(loss="mse"), None, 1])
def test_the_step_is_described_by_arguments_of_its_own(training):
    with pytest.raises(InputError, match=r"expected True or False, got \w+; .*training=True, loss='mse'"):
        cnncost.analyze(nn.Linear(4, 3), (2, 4), training=training)


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "bce"])
def test_losses_by_name_in_a_run_on_values(name):
    static, real = (
        cnncost.analyze(nn.Linear(4, 3), torch.rand(2, 4), training=True, loss=name, trace=trace)
        for trace in ("static", "real")
    )
    assert real.totals.training_flops == static.totals.training_flops
    assert real.memory.training_peak == static.memory.training_peak
