"""Models over several devices that this machine has not.

Witnesses: sizes by hand; torch's FakeTensorMode, which propagates devices by rules of its own; and the allocator in a
real step on the CPU, in which each move is a copy.
"""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import cnncost
from cnncost.errors import CnncostError
from cnncost.frontends.torch.placement import NOTED
from cnncost.graph_json import from_json, to_json
from tests.frontends.test_training import measured
from tests.versions import facts

FIRST, SECOND = "cuda:0", "cuda:1"
N, WIDE, MID, OUT = 16, 64, 128, 32
FLOAT = 4


class Copied(torch.autograd.Function):
    """A move on a machine with one device: a copy forth, a copy of the gradient back."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad.clone()


def to(x, device):
    return x.to(device)


def put(module, device):
    return module.to(device)


def put_by_hand(module, device):
    """`Module.to` can't move fake tensors."""
    for each in module.modules():
        for name, parameter in each.named_parameters(recurse=False):
            setattr(each, name, nn.Parameter(parameter.detach().to(device)))
        for name, buffer in each.named_buffers(recurse=False):
            setattr(each, name, buffer.to(device))
    return module


class Net(nn.Module):
    """Parts on the devices `first` and `second`; `to` moves a tensor, `put` a module."""

    def __init__(self, first=FIRST, second=SECOND, to=to, put=put):
        super().__init__()
        self.first, self.second, self.to_, self.put = first, second, to, put
        self.build()


class Chain(Net):
    def build(self):
        self.a = self.put(nn.Linear(WIDE, MID), self.first)
        self.b = self.put(nn.Linear(MID, OUT), self.second)

    def forward(self, x):
        return self.b(self.to_(torch.relu(self.a(x)), self.second))


class Halves(Net):
    """As AlexNet's towers: each device has half of the units, and the last layer reads both halves."""

    def build(self):
        self.a = self.put(nn.Sequential(nn.Linear(WIDE, MID), nn.ReLU(), nn.Linear(MID, OUT)), self.first)
        self.b = self.put(nn.Sequential(nn.Linear(WIDE, MID), nn.ReLU(), nn.Linear(MID, OUT)), self.second)
        self.last = self.put(nn.Linear(2 * OUT, OUT), self.first)

    def forward(self, x):
        other = self.b(self.to_(x, self.second))
        return self.last(torch.cat([self.a(x), self.to_(other, self.first)], 1))


class Forth(Net):
    """Forth and back, with batch norm, whose statistics are buffers."""

    def build(self):
        self.a = self.put(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), self.first)
        self.b = self.put(nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), self.second)
        self.c = self.put(nn.Conv2d(8, 4, 3), self.first)

    def forward(self, x):
        y = self.to_(self.b(self.to_(self.a(x), self.second)), self.first)
        return self.c(y).mean((2, 3))


INPUTS = {Chain: (N, WIDE), Halves: (N, WIDE), Forth: (N, 3, 20, 20)}


def placed(network, **options):
    with cnncost.placement():
        return network(**options)


def by_name(report):
    return {device.device: device for device in report.devices}


# ---- by hand


def test_a_chain_over_two_devices_by_hand():
    report = cnncost.analyze(placed(Chain), (N, WIDE), training=True, optimizer="sgd:momentum=0.9")
    first, second = by_name(report)[FIRST], by_name(report)[SECOND]
    a, b = WIDE * MID + MID, MID * OUT + OUT
    hidden = FLOAT * N * MID
    assert (first.params, second.params) == (a, b)
    assert (first.parameters, second.parameters) == (FLOAT * a, FLOAT * b) == (first.gradients, second.gradients)
    assert (first.optimizer_state, second.optimizer_state) == (FLOAT * a, FLOAT * b)
    assert (first.macs, second.macs) == (N * WIDE * MID, N * MID * OUT)
    assert (first.training_macs, second.training_macs) == (2 * N * WIDE * MID, 3 * N * MID * OUT)
    assert (first.received, first.sent, second.received, second.sent) == (0, hidden, hidden, 0)
    assert (first.training_received, first.training_sent) == (hidden, hidden)
    # inference: weights, input, and both the layer's output and its ReLU; weights, the copy, and the output
    assert first.inference_peak == FLOAT * (a + N * WIDE + 2 * N * MID)
    assert second.inference_peak == FLOAT * (b + N * MID + N * OUT)
    assert [link[:5] for link in report.links] == [
        ("inference", "forward", FIRST, SECOND, 1),
        ("training", "forward", FIRST, SECOND, 1),
        ("training", "backward", SECOND, FIRST, 1),
    ]
    assert {link.nbytes for link in report.links} == {hidden}
    assert report.unknown == {}


def test_totals_are_those_of_the_same_model_on_one_device():
    for network, shape in INPUTS.items():
        report = cnncost.analyze(placed(network), shape, training=True)
        whole = cnncost.analyze(network("cpu", "cpu"), shape, training=True)
        assert (report.totals.params, report.totals.macs, report.totals.training_macs) == (
            whole.totals.params,
            whole.totals.macs,
            whole.totals.training_macs,
        )
        assert sum(d.params for d in report.devices) == whole.totals.params
        assert sum(d.macs for d in report.devices) == whole.totals.macs
        assert sum(d.training_macs for d in report.devices) == whole.totals.training_macs
        assert sum(d.buffers for d in report.devices) == whole.totals.buffer_bytes


def test_a_model_on_one_device_is_as_it_was():
    with cnncost.placement():
        model = nn.Sequential(nn.Linear(WIDE, MID), nn.ReLU(), nn.Linear(MID, OUT))
        there = nn.Sequential(nn.Linear(WIDE, MID), nn.ReLU(), nn.Linear(MID, OUT)).to("cuda:3")
    plain = nn.Sequential(nn.Linear(WIDE, MID), nn.ReLU(), nn.Linear(MID, OUT))
    told = [cnncost.analyze(m, (N, WIDE), training=True).to_json() for m in (model, there, plain)]
    assert told[0] == told[1] == told[2]
    assert "devices" not in told[0]


@pytest.mark.parametrize(("device", "link"), [("h100", 450e9), ("l4", 32e9)])  # NVLink 4; PCIe Gen4 with 16 lanes
def test_a_copy_takes_its_bytes_over_the_link(device, link):
    report = cnncost.analyze(placed(Chain), (1 << 20, WIDE))
    found = cnncost.roofline(report, device=device)
    (sent,) = [time for node, time in zip(report.graph.nodes, found.roofline.nodes, strict=True)
               if node.spec.kind == "transfer"]  # fmt: skip
    assert sent.seconds == pytest.approx((1 << 20) * MID * 4 / link)
    assert "on 2 devices: all ops one after another" in " ".join(str(found).split())


def test_without_a_link_the_time_is_a_lower_bound(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(
        '[own]\ntitle = "Own"\nclass = "gpu"\nflops = { float32 = 1e12 }\nbandwidth = 1e12\nsource = "made up"\n'
    )
    found = cnncost.roofline(cnncost.analyze(placed(Chain), (N, WIDE)), device="own", device_file=own)
    assert found.roofline.unknown == 1


# ---- beside torch's own propagation of devices


class Watching(TorchDispatchMode):
    """The most bytes alive on each device, and the bytes copied between two."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak, self.links, self.known = {}, {}, {}, {}

    def enter(self, tensor):
        storage = tensor.untyped_storage()
        if storage._cdata in self.known:
            return
        device, nbytes, key = str(tensor.device), storage.nbytes(), storage._cdata
        self.known[key] = weakref.ref(storage, lambda _: self.leave(key, device, nbytes))
        self.alive[device] = self.alive.get(device, 0) + nbytes
        self.peak[device] = max(self.peak.get(device, 0), self.alive[device])

    def leave(self, key, device, nbytes):
        del self.known[key]
        self.alive[device] -= nbytes

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and args[0].device != result.device:
            key = (str(args[0].device), str(result.device))
            self.links[key] = self.links.get(key, 0) + result.numel() * result.element_size()
        for tensor in [t for t in pytree.tree_leaves(result) if isinstance(t, torch.Tensor)]:
            self.enter(tensor)
        return result


STATISTICS = {Forth: 0 if facts.FAKE_BATCH_NORM_IS_CUDNNS else 2 * 8 * FLOAT}
"""Bytes of the mean and deviation that batch norm returns in torch's formula for GPUs, also where it took them."""


@pytest.mark.parametrize("network", INPUTS)
def test_inference_is_as_on_torchs_fake_devices(network):
    report = cnncost.analyze(placed(network).eval(), INPUTS[network])
    with FakeTensorMode():
        model, x = network(put=put_by_hand).eval(), torch.empty(INPUTS[network], device=FIRST)
        watching = Watching()
        for tensor in (*model.parameters(), *model.buffers(), x):
            watching.enter(tensor)
        with torch.no_grad(), watching:
            model(x)
    more = STATISTICS.get(network, 0)
    assert {d.device: d.inference_peak + more for d in report.devices} == watching.peak
    assert {(link.source, link.target): link.nbytes for link in report.links} == watching.links


# ---- beside the allocator


@pytest.mark.parametrize("optimizer", [None, torch.optim.SGD], ids=["backward", "sgd"])
@pytest.mark.parametrize("network", INPUTS)
def test_all_devices_together_are_what_the_allocator_sees_of_copies(network, optimizer):
    made = None if optimizer is None else lambda p: optimizer(p, lr=0.1, foreach=False)
    model = network("cpu", "cpu", to=lambda x, _: Copied.apply(x))
    expected = measured(model, torch.randn(INPUTS[network]), made)
    found = cnncost.analyze(placed(network), INPUTS[network], training=True, optimizer=made)
    assert found.memory.training_peak == expected
    for device in found.devices:
        assert device.training_peak <= expected
    assert sum(d.training_peak for d in found.devices) >= expected  # their peaks are at moments of their own


# ---- how code says it


class Said(nn.Module):
    """One layer on the second device; forward moves tensors to it by `move`."""

    def __init__(self, move):
        super().__init__()
        self.move = move
        self.a, self.b = nn.Linear(WIDE, MID).to(FIRST), nn.Linear(MID, OUT).to(SECOND)

    def forward(self, x):
        return self.b(self.move(self, self.a(x)))


def assigned(net, x):
    with torch.no_grad():
        y = torch.empty(x.shape, device=SECOND)
        y[: N // 2] = x[: N // 2]
        y[N // 2 :].copy_(x[N // 2 :])
    return y


ONE = FLOAT * N * MID
MOVES = {
    "to": (lambda net, x: x.to(SECOND), ONE),
    "to, as a device": (lambda net, x: x.to(torch.device("cuda", 1)), ONE),
    "to, by keyword": (lambda net, x: x.to(device=SECOND, non_blocking=True), ONE),
    "cuda": (lambda net, x: x.cuda(1), ONE),
    "another's device": (lambda net, x: x.to(net.b.weight.device), ONE),
    "another tensor": (lambda net, x: x.to(net.b.weight), ONE),
    "and half": (lambda net, x: x.to(SECOND, torch.float16).float(), ONE // 2),
    "half before": (lambda net, x: x.half().to(SECOND).float(), ONE // 2),
    "double": (lambda net, x: x.to(SECOND, torch.float64).float(), 2 * ONE),
    "twice": (lambda net, x: x.to(SECOND).to(FIRST).to(SECOND), 3 * ONE),
    "where it is": (lambda net, x: x.to(FIRST).cuda(0).to(net.a.weight).to(SECOND), ONE),
    "twice the same": (lambda net, x: x.to(SECOND).to(SECOND), ONE),
    "a view": (lambda net, x: x.t().to(SECOND).t(), ONE),
    "by the host": (lambda net, x: x.cpu().to(SECOND), 2 * ONE),
    "made there": (lambda net, x: torch.zeros(N, MID, device=SECOND) + x.to(SECOND), ONE),
    "made like what is there": (lambda net, x: torch.zeros_like(y := x.to(SECOND)) + y, ONE),
    "positions of the host": (lambda net, x: x.to(SECOND)[torch.arange(N)], ONE),
    "a number of the host": (lambda net, x: x.to(SECOND) * torch.tensor(2.0), ONE),
    "assigned": (assigned, ONE),
}


@pytest.mark.parametrize(("move", "nbytes"), MOVES.values(), ids=MOVES)
def test_bytes_of_a_move(move, nbytes):
    with cnncost.placement():
        model = Said(move)
    report = cnncost.analyze(model, (N, WIDE))
    assert sum(link.nbytes for link in report.links) == nbytes
    assert by_name(report)[SECOND].macs == N * MID * OUT
    assert report.unknown == {}


@pytest.mark.parametrize("name", ["where it is", "twice the same"])
def test_a_move_to_where_a_tensor_is_copies_nothing(name):
    with cnncost.placement():
        models = [Said(MOVES[each][0]) for each in ("to", name)]
    plain, moved = [cnncost.analyze(model, (N, WIDE), training=True) for model in models]
    assert [d[1:] for d in moved.devices] == [d[1:] for d in plain.devices]


@pytest.mark.parametrize("name", [name for name in MOVES if name != "assigned"])
def test_the_gradient_comes_back(name):
    move, nbytes = MOVES[name]
    with cnncost.placement():
        model = Said(move)
    report = cnncost.analyze(model, (N, WIDE), training=True)
    sums = {}
    for link in report.links:
        if link.run == "training":
            sums[link.phase] = sums.get(link.phase, 0) + link.nbytes
    back = ONE if name in {"and half", "double"} else nbytes  # the gradient is cast where it is, and then copied
    assert sums == {"forward": nbytes, "backward": back}
    assert by_name(report)[FIRST].gradients == FLOAT * (WIDE * MID + MID)


BUILT = {
    "to": lambda: nn.Linear(MID, OUT).to(SECOND),
    "cuda": lambda: nn.Linear(MID, OUT).cuda(1),
    "device": lambda: nn.Linear(MID, OUT, device=SECOND),
    "default device": lambda: in_(torch.device(SECOND), lambda: nn.Linear(MID, OUT)),
    "to, and cast": lambda: nn.Linear(MID, OUT, dtype=torch.float64).to(SECOND, torch.float32),
    "a copy": lambda: copy.deepcopy(nn.Linear(MID, OUT).to(SECOND)),
    "moved twice": lambda: nn.Linear(MID, OUT).to(FIRST).to(SECOND),
    "there and back": lambda: nn.Linear(MID, OUT).to(SECOND).cpu().to(SECOND),
}


def in_(context, make):
    with context:
        return make()


@pytest.mark.parametrize("make", BUILT.values(), ids=BUILT)
def test_how_a_module_gets_there(make):
    with cnncost.placement():
        model = Said(MOVES["to"][0])
        model.b = make()
        assert str(model.b.weight.device) == SECOND
        assert model.b.weight.is_cuda
    assert by_name(cnncost.analyze(model, (N, WIDE)))[SECOND].params == MID * OUT + OUT


FILE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(64, 128).to("cuda:0")
        self.b = nn.Linear(128, 32).to("cuda:1")

    def forward(self, x):
        return self.b(self.a(x.to("cuda:0")).to("cuda:1"))
"""


def test_a_file_needs_no_context(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(FILE)
    report = cnncost.analyze(f"{path}:Net", (N, WIDE))
    assert {d.device: d.macs for d in report.devices} == {FIRST: N * WIDE * MID, SECOND: N * MID * OUT}


def test_the_host_can_be_one_of_them():
    with cnncost.placement():
        model = Chain(first="cpu", second=FIRST)
        x = torch.zeros(N, WIDE)
    report = cnncost.analyze(model, x, training=True)
    assert list(by_name(report)) == [FIRST, "cpu"]
    assert by_name(report)["cpu"].inference_peak == FLOAT * (WIDE * MID + MID + N * WIDE + 2 * N * MID)
    assert {(link.source, link.target) for link in report.links} == {("cpu", FIRST), (FIRST, "cpu")}


# ---- what can't be


def test_tensors_of_two_devices_are_refused_as_torch_does():
    with cnncost.placement():
        model = Said(lambda net, x: x)
    with pytest.raises(CnncostError, match=r"same device, but found at least two devices, cuda:0 and cuda:1"):
        cnncost.analyze(model, (N, WIDE))


def test_an_assignment_that_autograd_follows_is_refused():
    def move(net, x):
        y = torch.zeros(x.shape, device=SECOND)
        y.copy_(x)
        return y

    with cnncost.placement():
        model = Said(move)
        model.a = nn.Sequential(model.a, nn.ReLU())
    assert cnncost.analyze(model, (N, WIDE)).links[0].nbytes == ONE
    with pytest.raises(CnncostError, match=r"`\.to\(device\)`, which cnncost also follows in backward"):
        cnncost.analyze(model, (N, WIDE), training=True)


def test_the_users_model_is_only_read_and_nothing_is_kept():
    gc.collect()  # models of other tests
    before = len(NOTED)
    model = placed(Halves)
    state = {name: (id(p), str(p.device)) for name, p in model.named_parameters()}
    cnncost.analyze(model, (N, WIDE), training=True, optimizer="adam")
    assert {name: (id(p), str(p.device)) for name, p in model.named_parameters()} == state
    assert all(p.grad is None for p in model.parameters())
    assert len(NOTED) > before
    del model
    assert len(NOTED) == before


# ---- how it is told


def test_formats_have_the_same_numbers():
    report = cnncost.analyze(placed(Chain), (N, WIDE), training=True)
    again = cnncost.Report.from_json(report.to_json())
    assert (again.devices, again.links) == (report.devices, report.links)
    text = str(report)
    assert "Copies between devices" in text
    assert "8.00 KiB" in text
    assert f"| {FIRST} |" in report.to_markdown()
    assert from_json(to_json(report.graph)) == report.graph


CREATED = {
    "zeros": (lambda x: torch.zeros(16, device=x.device), 64),
    "by name": (lambda x: torch.ones(16, device="cuda:0"), 64),
    "positions": (lambda x: torch.arange(16, device=x.device), 128), "like": (lambda x: x.new_zeros(16), 64),
    "as float": (lambda x: torch.arange(16, device=x.device).float(), 64), "a scalar": (lambda x: 2.0, 0),
}  # fmt: skip


@pytest.mark.parametrize(("create", "nbytes"), CREATED.values(), ids=CREATED)
def test_a_tensor_is_on_the_device_that_it_is_created_on(create, nbytes):
    """At the sum, the first device has weights of 16·16 + 16 floats, and three matrices 4×16 beside what is created."""

    class Creating(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(16, 16).to("cuda:0"), nn.Linear(16, 8).to("cuda:1")

        def forward(self, x):
            x = self.first(x)
            return self.second((x + create(x)).to("cuda:1")) + torch.zeros(8, device="cuda:1")

    with cnncost.placement():
        model = Creating()
    devices = cnncost.analyze(model, (4, 16)).devices
    assert [each.device for each in devices] == ["cuda:0", "cuda:1"]
    assert devices[0].inference_peak == 4 * (16 * 16 + 16) + 3 * 4 * 64 + nbytes
