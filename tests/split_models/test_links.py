"""Times of collectives on links: products by hand."""

from __future__ import annotations

import csv
import io
import json
from math import prod

import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from split_models.programs import Block, Decoder, blocks, sharded
from torch import nn

import cnncost
from cnncost.errors import CnncostError, DeviceError, InputError
from cnncost.passes.links import topology
from cnncost.report.prediction import split_times
from tests.cli.calls import ran
from tests.report.viewers import read_trace

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
DEVICES = """
[fast]
title = "A device whose launches take no time"
class = "gpu"
flops = { float32 = 1e15, bfloat16 = 1e15 }
bandwidth = 1e15
launch = 0
links = { nvlink = 400e9, pcie = 32e9, infiniband = 50e9 }
node = 8
link_source = "made up"
source = "made up"

[slots]
title = "A device in a slot"
class = "gpu"
flops = { float32 = 1e15 }
launch = 0
links = { pcie = 32e9 }
link_source = "made up"
source = "made up"

[pairs]
title = "Two cards and a bridge"
class = "gpu"
flops = { float32 = 1e15 }
launch = 0
links = { nvlink = 300e9, pcie = 64e9 }
node = 2
link_source = "made up"
source = "made up"

[alone]
title = "A device without links"
class = "gpu"
flops = { float32 = 1e15 }
launch = 0
source = "made up"
"""
N = 1 << 20
"""Elements of the tensor that is sent, of 4 bytes each."""


@pytest.fixture(autouse=True)
def devices(tmp_path, monkeypatch):
    (tmp_path / "devices.toml").write_text(DEVICES)
    monkeypatch.setenv("CNNCOST_DEVICES", str(tmp_path / "devices.toml"))


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def links_of(function, mesh, axis, device="fast", rank=0, **how):
    """The one sort of collective of a function, which gets the group of an axis."""
    with cnncost.world(size=prod(mesh.values()), mesh=mesh, rank=rank) as found:
        group = found.get_group(axis)
        model = Calls(lambda x: function(x, group))
        (time,) = cnncost.roofline(model, (torch.zeros(N),), device=device, **how).links.times
    return time


def all_reduce(x, group):
    return functional.all_reduce(x, "sum", group)


def all_gather(x, group):
    return functional.all_gather_tensor(x, 0, group)


def reduce_scatter(x, group):
    return functional.reduce_scatter_tensor(x, "sum", 0, group)


def broadcast(x, group):
    return functional.broadcast(x, 0, group)


def all_to_all(x, group):
    return functional.all_to_all_single(x, None, None, group)


def gather(x, group):
    parts = [torch.empty_like(x) for _ in range(8)] if dist.get_rank() == 0 else None
    dist.gather(x, parts, group=group)
    return x


@pytest.mark.parametrize(
    ("function", "algorithm", "nbytes"),
    [
        pytest.param(all_reduce, "ring", 2 * 7 * N // 8 * 4, id="all-reduce: 2·(W−1)/W·N"),
        pytest.param(all_reduce, "tree", 2 * N * 4, id="all-reduce by trees: 2·N"),
        pytest.param(all_gather, "ring", 7 * N * 4, id="all-gather: (W−1) parts"),
        pytest.param(all_gather, "tree", 7 * N * 4, id="all-gather, by the ring all the same"),
        pytest.param(reduce_scatter, "ring", 7 * N // 8 * 4, id="reduce-scatter: (W−1)/W·N"),
        pytest.param(broadcast, "ring", N * 4, id="broadcast: N, passed on"),
        pytest.param(all_to_all, "ring", 7 * N // 8 * 4, id="all-to-all: all but its own"),
        pytest.param(gather, "ring", 7 * N * 4, id="gather: what the root receives"),
    ],
)
def test_seconds_follow_from_bytes(function, algorithm, nbytes):
    time = links_of(function, {"dp": 8}, "dp", algorithm=algorithm)
    assert (time.link, time.bandwidth, time.nbytes) == ("nvlink", 400e9, nbytes)
    assert time.seconds == pytest.approx(nbytes / 400e9, rel=1e-12)


def test_a_rank_that_waits_for_the_root_waits_as_long():
    assert links_of(gather, {"dp": 8}, "dp", rank=5).nbytes == 7 * N * 4


@pytest.mark.parametrize(
    ("mesh", "axis", "how", "link", "bandwidth"),
    [
        pytest.param({"dp": 2, "tp": 8}, "tp", {}, "nvlink", 400e9, id="on one node"),
        pytest.param({"dp": 2, "tp": 8}, "dp", {}, "infiniband", 50e9, id="one rank on each node"),
        pytest.param({"dp": 8, "tp": 2}, "dp", {}, "4 × infiniband", 4 * 50e9, id="four ranks on each of two nodes"),
        pytest.param({"dp": 16}, "dp", {}, "nvlink", 400e9, id="eight adapters are as fast as a node within"),
        pytest.param({"dp": 12}, "dp", {}, "4 × infiniband", 4 * 50e9, id="eight and four: the four adapters bound"),
        pytest.param({"dp": 2, "tp": 4}, "dp", {}, "nvlink", 400e9, id="both on one node"),
        pytest.param({"dp": 2, "tp": 4}, "dp", {"node": 4}, "infiniband", 50e9, id="nodes of four"),
        pytest.param({"dp": 2, "tp": 4}, "dp", {"node": 1}, "infiniband", 50e9, id="nodes of one"),
        pytest.param({"dp": 16}, "dp", {"link": "infiniband"}, "infiniband", 50e9, id="all over the network"),
        pytest.param({"dp": 16}, "dp", {"link": "nvlink"}, "nvlink", 400e9, id="all over NVLink, as in a rack"),
        pytest.param({"dp": 16}, "dp", {"device": "slots"}, "pcie", 32e9, id="no node is stated: all on one"),
        pytest.param({"dp": 2}, "dp", {"device": "pairs"}, "nvlink", 300e9, id="a pair"),
        pytest.param({"dp": 4}, "dp", {"device": "pairs"}, "2 × pcie", 128e9, id="two pairs, by their slots"),
    ],
)
def test_which_link_is_taken(mesh, axis, how, link, bandwidth):
    time = links_of(all_reduce, mesh, axis, **how)
    ranks = mesh[axis]
    assert (time.group in (axis, "world"), time.link, time.bandwidth) == (True, link, bandwidth)
    assert time.seconds == pytest.approx(2 * (ranks - 1) * -(-N // ranks) * 4 / bandwidth, rel=1e-12)


def test_floats_are_sent_in_the_dtype_that_is_taken():
    assert links_of(all_reduce, {"dp": 8}, "dp", dtype="bf16").nbytes == 2 * 7 * N // 8 * 2


def test_a_group_of_one_takes_no_time():
    time = links_of(all_reduce, {"dp": 8, "tp": 1}, "tp")
    assert (time.nbytes, time.seconds) == (0, 0.0)


def test_no_collective_is_faster_than_a_launch(tmp_path):
    text = DEVICES.replace("launch = 0", "launch = 1e-5")
    (tmp_path / "slow.toml").write_text(text)
    with cnncost.world(size=2) as mesh:
        group = mesh.get_group()
        model = Calls(lambda x: all_reduce(all_reduce(x, group), group))
        found = cnncost.roofline(model, (torch.zeros(8),), device="fast", device_file=tmp_path / "slow.toml")
    (time,) = found.links.times
    assert (time.calls, time.seconds) == (2, 2e-5)


def test_a_step_of_fsdp_takes_three_times_its_parameters():
    """3·(W−1)/W·P bytes: two gathers and a scatter."""
    with cnncost.world(size=8) as mesh:
        model = sharded(mesh["dp"], blocks(4, 64, 256))
        found = cnncost.roofline(model, (torch.zeros(2, 64),), device="fast", step=True)
    parameters = 4 * 4 * (2 * 64 + 64 * 256 + 256 + 256 * 64 + 64)
    times = split_times(found)
    assert times.sending == pytest.approx(3 * 7 / 8 * parameters / 400e9, rel=1e-12)
    assert times.in_turn == pytest.approx(times.computing + times.sending, rel=1e-12)
    assert max(times.computing, times.sending) <= times.overlapped <= times.in_turn
    trace = read_trace(found.to_trace())
    sent = [each.args["seconds"] for each in trace.slices if each.args.get("kind") == "collective"]
    assert trace.other["seconds"] == pytest.approx(times.in_turn, rel=1e-12)
    assert sum(sent) == pytest.approx(times.sending, rel=1e-12)


def test_tensor_parallel_has_two_all_reduces_a_block_and_direction():
    """One for attention and one for the perceptron: of rows·width, half of each sent twice by two ranks.

    So it is in backward where one projection has the input; torch reduces for each that has it by itself.
    """
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    class Fused(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = Block(width, 4 * width)

        def forward(self, x):
            q, k, v = self.qkv(self.norm(x)).unflatten(-1, (-1, 3, 16)).unbind(-2)
            q, k, v = (each.transpose(1, 2) for each in (q, k, v))
            x = x + self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
            return self.mlp(x)

    depth, rows, width = 3, 2 * 24, 64
    with cnncost.world(size=2, mesh={"tp": 2}) as mesh:
        model = nn.Sequential(*[Fused(width) for _ in range(depth)])
        plan = {"qkv": ColwiseParallel(), "out": RowwiseParallel(), "mlp.up": ColwiseParallel(),
                "mlp.down": RowwiseParallel()}  # fmt: skip
        for block in model:
            parallelize_module(block, mesh["tp"], plan)
        found = cnncost.roofline(model, (torch.zeros(2, 24, width),), device="fast", step=True)
    by_phase = {each.phase: each for each in found.links.times}
    for phase in ("forward", "backward"):
        assert (by_phase[phase].collective, by_phase[phase].calls) == ("all_reduce", 2 * depth)
        assert by_phase[phase].seconds == pytest.approx(2 * depth * rows * width * 4 / 400e9, rel=1e-12)


def test_separate_projections_reduce_their_inputs_gradients_apart():
    with cnncost.world(size=2, mesh={"tp": 2}) as mesh:
        plan = {"*.attention.q": "colwise", "*.attention.k": "colwise", "*.attention.v": "colwise",
                "*.attention.out": "rowwise", "*.mlp.up": "colwise", "*.mlp.down": "rowwise"}  # fmt: skip
        model = cnncost.split(nn.Sequential(*[Decoder(64, 4) for _ in range(3)]), mesh, plan=plan)
        found = cnncost.roofline(model, (torch.zeros(2, 24, 64),), device="fast", step=True)
    assert {each.phase: each.calls for each in found.links.times} == {"forward": 2 * 3, "backward": (3 + 1) * 3}


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ({"link": "nvlnk"}, DeviceError, "link 'nvlnk'; did you mean nvlink"),
        ({"link": "xgmi"}, DeviceError, "no bandwidth is known for the link xgmi, only for nvlink, pcie, infiniband"),
        (
            {"link": "pcie", "device": "alone"},
            DeviceError,
            "no bandwidth is known for the link pcie, nor for any other",
        ),
        ({"node": 0}, DeviceError, "node: expected 1 or more ranks per node, got 0"),
        ({"node": 4, "link": "pcie"}, DeviceError, "expected only one of them"),
        ({"algorithm": "star"}, DeviceError, "algorithm 'star': expected ring or tree"),
    ],
)
def test_links_that_are_none(how, kind, said):
    with pytest.raises(kind) as found:
        links_of(all_reduce, {"dp": 8}, "dp", **how)
    assert said in str(found.value)


def test_a_model_that_is_not_split_has_no_links():
    assert cnncost.roofline("lenet1", device="fast").links is None
    with pytest.raises(InputError, match="not split and sends nothing"):
        cnncost.roofline("lenet1", device="fast", node=8)
    with pytest.raises(CnncostError, match="no training step was analyzed"):
        cnncost.roofline(cnncost.analyze("lenet1"), device="fast", step=True)


def test_a_device_without_links_leaves_communication_out():
    with cnncost.world(size=2) as mesh:
        group = mesh.get_group()
        found = cnncost.roofline(Calls(lambda x: all_reduce(x, group)), (torch.zeros(8),), device="alone")
    assert found.links.times is None
    assert split_times(found) is None
    assert read_trace(found.to_trace()).other["seconds"] == pytest.approx(found.roofline.total.seconds, rel=1e-12)
    assert "communication is left out: no source states the links of" in " ".join(str(found).split())


def test_topology_of_words():
    assert topology() == topology(None, None, "ring")
    assert topology("pcie").link == "pcie"


NET = ("--parallel", "fsdp=16", "--device", "fast", "--training", "--batch", "2")


@pytest.mark.long
def test_the_command(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = ran(capfd, "roofline", "resnet18", *NET, "--format", "json")
    assert (code, err) == (0, "")
    told = json.loads(out)["communication"]
    sent = {(each["phase"], each["collective"]): each for each in told["collectives"]}
    # 11,689,512 parameters, whose first axis sixteen ranks divide, but for the last layer's 1,000
    whole = 4 * (11_689_512 + 8 * 513)
    assert sent["backward", "reduce_scatter"]["bytes"] == 15 * whole // 16
    assert sent["forward", "all_gather"]["seconds"] == pytest.approx(15 * whole // 16 / 400e9, rel=1e-12)
    assert told["not_overlapped_seconds"] == pytest.approx(told["computing_seconds"] + told["sending_seconds"])
    assert told["topology"] == {"link": None, "node": None, "algorithm": "ring"}
    code, out, err = ran(capfd, "roofline", "resnet18", *NET, "--link", "infiniband")
    assert code == 0
    assert "not overlapped: ≥" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "all over infiniband, as stated; made up" in " ".join(out.split())
    assert csv.DictReader(io.StringIO(ran(capfd, "roofline", "resnet18", *NET, "--format", "csv")[1])).fieldnames


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--link", "nvlink"), "--link is for a split model; also give --parallel"),
        (("--node", "4"), "--node is for a split model"),
        (("--algorithm", "tree"), "--algorithm is for a split model"),
        (("--parallel", "dp=2", "--link", "pcie", "--node", "2"), "--link is the link between all ranks"),
        (("--parallel", "dp=2", "--link", "xgmi"), "no bandwidth is known for the link xgmi, only for nvlink"),
        (("--parallel", "dp=2", "--epochs", "1", "--examples", "9"), "an estimate for training needs a whole model"),
    ],
)
def test_what_the_command_refuses(arguments, said, capfd):
    more = ("--training",) if "xgmi" in arguments else ()
    code, out, err = ran(capfd, "roofline", "lenet1", "--device", "fast", *arguments, *more)
    assert (code, out) == (2, "")
    assert said in err.rstrip().splitlines()[-1]
