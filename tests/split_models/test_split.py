"""Split models, analyzed as one rank of a world without processes, beside the same ranks in real ones."""

from __future__ import annotations

from math import prod

import pytest
import torch
import torch.distributed as dist
from split_models.comparing import check_rank, rows_of
from split_models.programs import PROGRAMS, blocks, sharded

import cnncost
from cnncost.errors import InputError
from tests.samples import WHOLE, sample
from tests.versions.facts import WAITS_WARN_IN_BACKWARD

SMALL = [name for name, program in PROGRAMS.items() if prod(program.mesh.values()) == 2]
CHOSEN = list(PROGRAMS) if WHOLE else sample(SMALL, 5)
"""Programs of four ranks start twelve more processes: only the run of whole sweeps has them."""


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """What each rank did, by program and rank."""
    return rows_of(CHOSEN, tmp_path_factory.mktemp("ranks") / "rows.jsonl")


WAITS = ["ignore:_c10d_functional..wait_tensor. an autograd kernel:UserWarning"] if WAITS_WARN_IN_BACKWARD else []


@pytest.mark.long
@pytest.mark.filterwarnings(*WAITS)
@pytest.mark.parametrize("name", CHOSEN)
def test_each_rank_is_as_in_a_real_process(name, real):
    program = PROGRAMS[name]
    size = prod(program.mesh.values())
    for rank in range(size):
        with cnncost.world(size=size, mesh=program.mesh, rank=rank) as mesh:
            model, inputs = program.build(mesh)
            inference = cnncost.analyze(model.eval(), inputs)
            step = cnncost.analyze(model.train(), inputs, training=True)
        given = sum(t.nbytes for t in (*model.buffers(), *inputs))
        buckets = real[name, rank]["bytes"] if name.startswith("replicated") else 0  # the reducer's, from before
        check_rank(name, rank, real, inference, step, given, buckets)
    assert not dist.is_initialized()


def test_fsdp_sends_three_times_its_parameters():
    with cnncost.world(size=8) as mesh:
        model = sharded(mesh["dp"], blocks(4, 64, 256))
        report = cnncost.analyze(model, (torch.zeros(2, 64),), training=True)
    whole = 4 * 4 * (2 * 64 + 64 * 256 + 256 + 256 * 64 + 64)
    assert report.totals.params * 8 * 4 == whole
    sent = sum(each.sent for each in report.communication if each.run == "training")
    assert sent == 3 * 7 * whole // 8  # gathered twice, and the gradients scattered
    assert cnncost.Report.from_json(report.to_json()).communication == report.communication
    assert "one rank of a split model; training sends" in str(report)


def test_the_ideal_peak_is_no_more_than_the_peak():
    """By hand: what FSDP gathers is used until its block's products are done, and is there no longer in either."""
    width, depth, rows = 256, 4, 4
    with cnncost.world(size=4) as mesh:
        model = sharded(
            mesh["dp"], torch.nn.Sequential(*[torch.nn.Linear(width, width, bias=False) for _ in range(depth)])
        )
        memory = cnncost.analyze(model, (torch.zeros(rows, width),), training=True).memory
    weight = width * width * 4
    held = 2 * depth * weight // 4  # parameters and, at the end, gradients of the rank
    assert memory.figures.inference_ideal_peak <= memory.inference_peak
    assert held + 2 * weight <= memory.figures.training_ideal_peak <= memory.training_peak


@pytest.mark.parametrize(
    ("optimizer", "states"), [("sgd", 0), ("sgd:momentum=0.9", 1), ("adamw:foreach=False", 2), ("adamw", 2)]
)
def test_optimizer_state_is_of_the_local_part(optimizer, states):
    with cnncost.world(size=4) as mesh:
        model = sharded(mesh["dp"], torch.nn.Sequential(*[torch.nn.Linear(64, 64, bias=False) for _ in range(2)]))
        report = cnncost.analyze(model, (torch.zeros(2, 64),), training=True, optimizer=optimizer)
    local = 2 * 64 * 64 * 4 // 4
    held = report.memory.figures
    assert held.parameters == held.gradients == local
    assert held.optimizer_state - states * local in range(64)  # and the numbers of steps
    assert report.unknown == {}


def test_the_model_is_as_it_was():
    with cnncost.world(size=2) as mesh:
        model = sharded(mesh["dp"], blocks(2, 32, 64))
        x = torch.randn(4, 32)
        parameters = {n: (id(p), p.to_local().clone()) for n, p in model.named_parameters()}
        for _ in range(2):
            cnncost.analyze(model, (x,), training=True)
        assert {n: id(p) for n, p in model.named_parameters()} == {n: i for n, (i, _) in parameters.items()}
        assert all(p.grad is None and torch.equal(p.to_local(), parameters[n][1]) for n, p in model.named_parameters())
        model(x).sum().backward()
        assert all(p.grad is not None for p in model.parameters())


def test_weights_on_meta_give_the_same():
    found = []
    for device in ("cpu", "meta"):
        with cnncost.world(size=2, mesh={"tp": 2}) as mesh:
            with torch.device(device):
                model = blocks(2, 32, 64)
            from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

            for block in model:
                parallelize_module(block, mesh["tp"], {"up": ColwiseParallel(), "down": RowwiseParallel()})
            report = cnncost.analyze(model, "4x32", training=True)
            found.append((report.totals, report.communication, report.memory.training_peak))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 8, "mesh": {"dp": 2, "tp": 3}}, "dp 2 × tp 3 = 6"),
        ({"size": 0}, "size: expected an integer from 1 up, got 0"),
        ({"size": 2, "rank": 2}, "rank: expected one of the 2 ranks, 0 to 1, got 2"),
        ({"size": 2, "rank": -1}, "rank: expected an integer from 0 up, got -1"),
        ({"size": 2.0}, "size: expected an integer from 1 up, got 2.0"),
        ({"size": 4, "mesh": {"dp": True, "tp": 4}}, "mesh axis 'dp': expected an integer"),
    ],
)
def test_worlds_that_are_none(arguments, said):
    with pytest.raises(InputError, match="world: ") as found, cnncost.world(**arguments):
        pass
    assert said in str(found.value)
    assert not dist.is_initialized()


def test_a_process_group_that_exists_is_left_alone():
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    try:
        with pytest.raises(InputError, match="has a process group already, of 1 ranks"), cnncost.world(size=2):
            pass
        assert dist.get_backend() == "gloo"
    finally:
        dist.destroy_process_group()


def test_a_world_ends_with_an_error():
    with pytest.raises(ZeroDivisionError), cnncost.world(size=2):
        raise ZeroDivisionError
    assert not dist.is_initialized()


def test_a_communication_hook_is_not_followed():
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook

    with cnncost.world(size=2) as mesh:
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4), process_group=mesh.get_group())
        model.register_comm_hook(None, fp16_compress_hook)
        assert cnncost.analyze(model, "2x4").totals.macs == 2 * 4 * 4
        with pytest.raises(InputError, match=r"communication hook.*`model\.module`"):
            cnncost.analyze(model, "2x4", training=True)
        assert cnncost.analyze(model.module, "2x4", training=True).communication == ()


class Around(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


WRAPPED = {  # whether the all-reduce is counted, or said to be left out
    "alone": (lambda model: model, "static", True),
    "compiled": (lambda model: torch.compile(model, backend="eager"), "static", True),
    "compiled twice, which gives a function": (
        lambda model: torch.compile(torch.compile(model, backend="eager"), backend="eager"), "static", False,
    ),
    "on values": (lambda model: model, "real", False),
    "in a module": (Around, "static", False),
    "in a sequence": (torch.nn.Sequential, "static", False),
    "in a function": (lambda model: lambda x: model(x) * 2, "static", False),
    "in a module on values": (Around, "real", False),
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_all_reduces_are_counted_or_said_to_be_left_out(name):
    wrap, trace, counted = WRAPPED[name]
    with cnncost.world(size=1) as mesh:
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4), process_group=mesh.get_group())
        report = cnncost.analyze(wrap(model), torch.rand(2, 4), training=True, trace=trace)
    told = [
        note for note in report.notes if "all-reduces are not counted, and training's peak is a lower bound" in note
    ]
    assert ("all_reduce" in {each.collective for each in report.communication}, len(told)) == (counted, not counted)


def test_parameters_without_a_gradient_are_refused_as_torch_does():
    from split_models.programs import Partly

    with cnncost.world(size=2) as mesh:
        model = torch.nn.parallel.DistributedDataParallel(Partly(), process_group=mesh.get_group())
        with pytest.raises(InputError, match=r"no gradient.*find_unused_parameters=True"):
            cnncost.analyze(model, "2x300", training=True)


def test_the_first_fsdp_is_refused():
    from torch.distributed.fsdp import FullyShardedDataParallel

    wrapped = FullyShardedDataParallel.__new__(FullyShardedDataParallel)  # its constructor wants a GPU
    torch.nn.Module.__init__(wrapped)
    with pytest.raises(InputError, match=r"FullyShardedDataParallel flattens.*`fully_shard`"):
        cnncost.analyze(torch.nn.Sequential(torch.nn.Linear(4, 4), wrapped), "2x4")


class Attending(torch.nn.Module):
    def __init__(self, mesh):
        super().__init__()
        self.mesh, self.qkv = mesh, torch.nn.Linear(32, 96)

    def forward(self, x):
        from torch.distributed.tensor.experimental import context_parallel

        with context_parallel(self.mesh, buffers=[x], buffer_seq_dims=[1]):
            q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


class Routed(torch.nn.Module):
    """Experts to which as many tokens go as a gate says."""

    def __init__(self, mesh):
        super().__init__()
        self.group, self.gate = mesh.get_group(), torch.nn.Linear(8, 2)

    def forward(self, x):
        chosen = self.gate(x).argmax(-1)
        counts = torch.bincount(chosen, minlength=2)
        there = torch.empty_like(counts)
        dist.all_to_all_single(there, counts, group=self.group)
        out = x.new_empty(int(there.sum()), 8)
        dist.all_to_all_single(out, x[chosen.argsort()], there.tolist(), counts.tolist(), group=self.group)
        return out


@pytest.mark.filterwarnings("ignore:the .* signature of throw:DeprecationWarning")  # torch's own, from Python 3.12 on
@pytest.mark.parametrize(
    ("network", "x", "said"),
    [
        (Attending, torch.zeros(2, 64, 32), "context_parallel needs the attention kernels of GPUs"),
        (Routed, torch.zeros(16, 8), "reads the values of a tensor"),
    ],
)
def test_what_is_refused_with_words(network, x, said):
    attention = torch.nn.functional.scaled_dot_product_attention
    with cnncost.world(size=2) as mesh, pytest.raises(cnncost.CnncostError, match=said):
        cnncost.analyze(network(mesh), (x,))
    assert torch.nn.functional.scaled_dot_product_attention is attention  # which context_parallel replaces
