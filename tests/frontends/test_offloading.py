"""What is saved for backward elsewhere: in another dtype, on the CPU, on a disk; and what forward makes on the CPU.

The witness of a GPU's memory is a CPU whose saved tensors go to a disk: the allocator has what is not saved.
"""

from contextlib import nullcontext
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import pytest
import torch
from torch import nn
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import cnncost
from cnncost.errors import DataDependentError
from cnncost.frontends.torch import Training, record
from cnncost.passes.memory import memory
from tests.frontends.test_training import measured
from tests.versions import facts

ROWS = (512, 64)
RANDOM_STATE = 5056
"""Bytes that a checkpoint keeps of the CPU's generator: no tensor of an op."""


class OnDisk:
    def __init__(self, tensor):
        self.path = Path(mkdtemp()) / str(uuid4())
        facts.save(tensor, self.path)


def cast(dtype):
    def to(dtype):
        return lambda t: t.to(dtype) if t.is_floating_point() else t

    return lambda: saved_tensors_hooks(to(dtype), to(torch.float32))


def moved(pack, unpack):
    return lambda: saved_tensors_hooks(lambda t: (t.device, pack(t)), lambda held: unpack(held[1], held[0]))


def disk():
    return saved_tensors_hooks(OnDisk, lambda held: torch.load(held.path))


PACKED = {
    "as they are": lambda: saved_tensors_hooks(lambda t: t, lambda t: t),
    "copies": lambda: saved_tensors_hooks(torch.clone, lambda t: t),
    "half": cast(torch.float16), "bfloat16": cast(torch.bfloat16),
    "save_on_cpu": save_on_cpu, "pinned": lambda: save_on_cpu(pin_memory=True),
    "on a disk": disk,
}  # fmt: skip
TO_THE_CPU = {
    "save_on_cpu": save_on_cpu, "pinned": lambda: save_on_cpu(pin_memory=True),
    "cpu() and to()": moved(lambda t: t.cpu(), lambda t, device: t.to(device)),
    "to() and cuda()": moved(lambda t: t.to("cpu"), lambda t, _: t.cuda()),
    "made there": moved(lambda t: torch.zeros(t.shape).copy_(t), lambda t, device: t.to(device=device)),
    "and half": moved(lambda t: t.cpu().half(), lambda t, device: t.to(device).float()),
}  # fmt: skip


class Saving(nn.Module):
    """The first layers' saved tensors are packed by `packed`."""

    def __init__(self, packed):
        super().__init__()
        self.packed = packed
        self.first = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.ReLU(), nn.LayerNorm(64))
        self.last = nn.Linear(64, 64)

    def forward(self, x):
        with self.packed():
            x = self.first(x)
        return self.last(x.sin())


class Around(nn.Module):
    """Checkpoints whose inputs are saved so."""

    def __init__(self, packed):
        super().__init__()
        self.packed = packed
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64)) for _ in range(4)])

    def forward(self, x):
        with self.packed():
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False)
        return x


class Within(Around):
    """Checkpoints whose parts are saved so."""

    def forward(self, x):
        for block in self.blocks:
            x = checkpoint(self._packed, block, x, use_reentrant=False)
        return x

    def _packed(self, block, x):
        with self.packed():
            return block(x)


NETWORKS = [Saving, Around, Within]


def missing(network):
    return 4 * RANDOM_STATE if network is not Saving else 0


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("network", NETWORKS)
def test_on_a_cpu_it_is_what_the_allocator_sees(network, packed):
    model, x = network(packed), torch.randn(ROWS)
    predicted = cnncost.analyze(model, x, training=True).memory.training_peak
    expected = measured(model, x)
    assert expected - missing(network) <= predicted <= expected


@pytest.mark.parametrize("packed", TO_THE_CPU.values(), ids=TO_THE_CPU)
@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_on_the_cpu_takes_nothing_of_a_gpu(network, packed):
    predicted = _on_gpu(network(packed))
    expected = measured(network(disk), torch.randn(ROWS))
    if packed is TO_THE_CPU["and half"]:  # what comes back is a half at first
        assert predicted <= _on_gpu(network(nullcontext))
        assert predicted >= expected - missing(network)
        return
    assert expected - missing(network) <= predicted <= expected


def _on_gpu(model):
    return memory(record(model, ROWS, training=Training(), device="cuda")).peak.nbytes


@pytest.mark.parametrize("around", [True, False])
def test_hooks_around_the_analysis_hold_as_well(around):
    model, x = Saving(nullcontext), torch.randn(ROWS)
    with PACKED["copies"]() if around else nullcontext():
        predicted = cnncost.analyze(model, x, training=True).memory.training_peak
        assert predicted == measured(model, x)


def test_what_is_packed_into_an_array_is_refused_with_a_remedy_that_works():
    model = Saving(lambda: saved_tensors_hooks(lambda t: t.detach().numpy().copy(), torch.from_numpy))
    with pytest.raises(DataDependentError, match="trace='real'"):
        cnncost.analyze(model, torch.randn(ROWS), training=True)
    assert not cnncost.analyze(model, torch.randn(ROWS), training=True, trace="real").unknown


class Making(nn.Module):
    """Creates a tensor by `make`, which stays alive while the layer runs."""

    def __init__(self, make):
        super().__init__()
        self.make, self.fc = make, nn.Linear(64, 64)

    def forward(self, x):
        kept = self.make(x)
        y = self.fc(x)
        del kept
        return y


THERE, HOST = 4 * 512 * 64, 0


@pytest.mark.parametrize(
    ("make", "nbytes"),
    [
        pytest.param(lambda x: torch.zeros(ROWS, device=x.device), THERE, id="zeros there"),
        pytest.param(lambda x: torch.full(ROWS, 2.0, device="cuda"), THERE, id="full there"),
        pytest.param(lambda x: x.new_ones(ROWS), THERE, id="new_ones"),
        pytest.param(torch.zeros_like, THERE, id="zeros_like"),
        pytest.param(lambda x: torch.zeros(ROWS), HOST, id="zeros on the host"),
        pytest.param(lambda x: torch.rand(ROWS) + 1, HOST, id="and what is computed of them"),
        pytest.param(lambda x: torch.zeros(ROWS, device="cpu"), HOST, id="by name"),
        pytest.param(lambda x: torch.zeros(ROWS).to(x.device), THERE, id="zeros that are moved"),
        pytest.param(lambda x: torch.zeros(ROWS).to(x), THERE, id="moved to another's place"),
        pytest.param(lambda x: (x * 2).cpu(), HOST, id="moved to the host"),
    ],
)
def test_what_forward_makes_is_where_it_is_made(make, nbytes):
    with_it, without = [memory(record(Making(m), ROWS, device="cuda")).timeline[-1] for m in (make, lambda x: None)]
    assert with_it - without == nbytes
