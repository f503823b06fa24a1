"""`--parallel` and `cnncost.split`: what they split, and what they refuse: exit code 2, one line, nothing written."""

from __future__ import annotations

import json

import pytest
import torch
import torch.distributed as dist
import zoos
from split_models.by_rule import Language
from split_models.programs import Block, Decoder
from torch import nn

import cnncost
from cnncost.errors import InputError
from cnncost.frontends.torch.splitting import split_module
from cnncost.sources.parallel import parse
from tests.cli.calls import ran

pytestmark = pytest.mark.filterwarnings("ignore:FSDP2-wrapped module.*returned a view:UserWarning")  # torch's advice
NET = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.down(self.up(x).relu())


class Net(nn.Module):
    def __init__(self, width=16, depth=3):
        super().__init__()
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(self.blocks(x))


class Reads(Net):
    def forward(self, x):
        x = self.blocks(x)
        return x if x.sum() > 0 else -x


class Tied(Net):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(16, 64)
        self.last.weight = self.blocks[0].up.weight

    def forward(self, x):
        return self.last(super().forward(x))


class Stages(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(*[Block(16) for _ in range(n)]) for n in (2, 3, 2))

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return x
"""
INPUT = ("--input", "4x16")
PLAN = ("--plan", "blocks.*.up=colwise,blocks.*.down=rowwise")
TP = ("--parallel", "tp=2", *PLAN)
SMALL = (
    "hidden_size=64,intermediate_size=96,num_hidden_layers=2,num_attention_heads=4,num_key_value_heads=2,vocab_size=250"
)
LLAMA = ("hf:llama", "--model-args", SMALL)
NEEDS = zoos.needs("transformers")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def net(*arguments, name="Net"):
    return (f"net.py:{name}", *INPUT, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(net("--parallel", "sp=2"), "no axis 'sp'; did you mean fsdp?; expected dp, fsdp, tp", id="axis"),
        pytest.param(net("--parallel", "fsdp"), "'fsdp': expected sizes of axes such as fsdp=8,tp=2", id="no size"),
        pytest.param(net("--parallel", ""), "expected sizes of axes", id="nothing"),
        pytest.param(net("--parallel", "fsdp=0"), "fsdp: expected 1 or more ranks, got '0'", id="zero"),
        pytest.param(net("--parallel", "fsdp=-2"), "expected 1 or more ranks, got '-2'", id="below zero"),
        pytest.param(net("--parallel", "fsdp=2.0"), "expected 1 or more ranks, got '2.0'", id="no integer"),
        pytest.param(net("--parallel", "fsdp=2,fsdp=4"), "fsdp is given twice", id="twice"),
        pytest.param(net("--parallel", "fsdp=1"), "a world of one rank", id="one rank"),
        pytest.param(net("--parallel", "fsdp=1,tp=1"), "a world of one rank", id="one rank, two axes"),
        pytest.param(net("--parallel", "fsdp=2", "--rank", "2"), "--rank 2: expected one of the 2 ranks, 0 to 1",
                     id="rank outside"),
        pytest.param(net("--parallel", "fsdp=2", "--rank", "-1"), "--rank -1: expected one of the 2", id="rank below"),
        pytest.param(net("--rank", "1"), "--rank is for a split model; also give --parallel", id="rank alone"),
        pytest.param(net("--mixed", "bf16"), "--mixed is for a split model", id="mixed alone"),
        pytest.param(net(*TP, "--mixed", "bf16"), "mixed applies to the axis fsdp", id="mixed without fsdp"),
        pytest.param(net("--parallel", "fsdp=2", "--mixed", "int8"), "mixed: expected one of bf16", id="mixed in what"),
        pytest.param(net("--parallel", "fsdp=2", *PLAN), "plan applies to the axis tp", id="plan without tp"),
        pytest.param(net(*TP, "--blocks", "blocks.*"), "blocks applies to the axis fsdp", id="blocks without fsdp"),
        pytest.param(net("--parallel", "dp=2,tp=2", *PLAN), "expected an axis fsdp between the two", id="dp and tp"),
        pytest.param(net("--parallel", "tp=3", *PLAN),
                     "tp=3: blocks.0.up: out_features 64: expected a number of ranks that divides it", id="hidden"),
        pytest.param(net("--parallel", "tp=2"), "Net has no tp_plan as Transformers models do", id="no plan"),
        pytest.param(net("--parallel", "tp=2", "--plan", "blocks.*.upp=colwise"),
                     "plan: blocks.*.upp: no module of this path", id="no such module"),
        pytest.param(net("--parallel", "tp=2", "--plan", "blocks.*.up=colwize"),
                     "'colwize' is not a supported style; did you mean colwise", id="no such style"),
        pytest.param(net("--parallel", "tp=2", "--plan", "blocks.*.up"), "expected MODULE=STYLE", id="no style"),
        pytest.param(net("--parallel", "tp=2", "--plan", "norm=colwise"),
                     "norm: colwise: expected a Linear or an Embedding, got LayerNorm", id="no weight to split"),
        pytest.param(net("--parallel", "tp=2", "--plan", "blocks.*.up.weight=colwise"),
                     "this is a parameter, but only whole modules can be split", id="a parameter"),
        pytest.param(net(*TP, name="Tied"), "modules that share one weight are split differently", id="tied"),
        pytest.param(("alexnet", "--parallel", "fsdp=2"), "AlexNet has no repeated blocks", id="no blocks"),
        pytest.param(net("--parallel", "fsdp=2", "--blocks", "layers.*"), "blocks: layers.*: no module of this path",
                     id="no such blocks"),
        pytest.param(net("--parallel", "fsdp=2", "--trace", "real"), "leave out --trace real", id="by value"),
        pytest.param(net("--parallel", "fsdp=2", name="Reads"), "a split model is analyzed without data: leave out",
                     id="forward reads values"),
        pytest.param(net("--parallel", "fsdp=2", name="Net#norm"), "leave out #norm", id="a method"),
        pytest.param((*LLAMA, "--parallel", "tp=3"), "has 4 heads (num_attention_heads)", id="heads", marks=NEEDS),
        pytest.param(("hf:mixtral", "--model-args", f"{SMALL},num_local_experts=4".replace("96", "97"), "--parallel",
                      "tp=2"), "layers.0.mlp.experts.down_proj: axis 2 of (4, 64, 97): expected a number of ranks",
                     id="experts", marks=NEEDS),
        pytest.param((*LLAMA, "--parallel", "tp=4"), "more ranks than heads; layers.0.self_attn.k_proj has 2 heads",
                     id="more ranks than heads", marks=NEEDS),
    ],
)  # fmt: skip
def test_what_can_not_be_split_so(arguments, said, here, capfd):
    code, out, err = ran(capfd, "memory", *arguments, "-o", "x.json")
    assert (code, out) == (2, "")
    assert said in err.rstrip().splitlines()[-1]
    assert len(err.strip().splitlines()) == 1 or err.startswith("Usage")
    assert not (here / "x.json").exists()
    assert not dist.is_initialized()


def test_a_saved_report_is_not_split(capfd):
    assert ran(capfd, "summarize", "lenet1", "-o", "lenet1.json")[0] == 0
    code, _, err = ran(capfd, "summarize", "lenet1.json", "--parallel", "fsdp=2")
    assert (code, "is a saved report" in err) == (2, True)


def test_a_process_group_of_the_users_is_left_alone(capfd):
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    try:
        code, _, err = ran(capfd, "memory", *net("--parallel", "fsdp=2"))
        assert (code, "has a process group already" in err) == (2, True)
        assert dist.get_backend() == "gloo"
    finally:
        dist.destroy_process_group()


def test_a_torch_without_distributed(monkeypatch, capfd):
    monkeypatch.setattr(dist, "is_available", lambda: False)
    code, _, err = ran(capfd, "memory", *net("--parallel", "fsdp=2"))
    assert (code, "built without torch.distributed" in err) == (2, True)


@pytest.mark.parametrize("command", ["memory", "summarize"])
def test_a_rank_in_json(command, capfd):
    """Four ranks share each of three blocks of two products, and the norm."""
    more = ("--training",) if command == "summarize" else ()
    code, out, err = ran(
        capfd, command, *net("--parallel", "tp=2,fsdp=2", *PLAN, "--rank", "3"), *more, "--format", "json"
    )
    assert code == 0, err
    told = json.loads(out)
    split, whole = 3 * (16 * 64 + 64 + 64 * 16), 3 * 16 + 2 * 16
    parameters = split // 4 + whole // 2
    memory = (
        told["memory"]["parameters"] if command == "summarize" else told["runs"]["inference"]["bytes"]["parameters"]
    )
    assert memory == 4 * parameters
    assert any("rank 3 of 4: fsdp 2 × tp 2" in note for note in told.get("notes", ["rank 3 of 4: fsdp 2 × tp 2"]))
    sums = {(each["collective"], each["group"]): 0 for each in told["communication"]}
    for each in told["communication"]:
        if each["run"] == "training":
            sums[each["collective"], each["group"]] += each["sent"]
    # 4×16 floats, half of them sent twice, in each block's forward and backward, but for the input's gradient
    assert sums["all_reduce", "tp"] == (3 + 2) * 4 * 16 * 4
    assert sums["reduce_scatter", "fsdp"] == 4 * parameters


def test_a_rank_in_80_columns(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("memory", "summarize"):
        code, out, err = ran(capfd, command, *net("--parallel", "dp=2,fsdp=2,tp=2", *PLAN, "--mixed", "bf16"))
        assert (code, err) == (0, "")
        assert "rank 0 of 8: dp 2 × fsdp 2 × tp 2" in out
        assert "restored" not in out  # nothing that torch only writes down for itself is told
        assert max(map(len, out.splitlines())) <= 80
    code, out, _ = ran(capfd, "memory", *net("--parallel", "fsdp=2", "--device", "h100"))
    assert "fits 74.5 GiB" in out  # 80 GB


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "h100", "--device-memory", "1GB"), "--device and --device-memory: expected only one of them"),
        (("--device", "xeon-8480"), "its memory depends on the machine"),
        (("--device", "h1000"), "not known; did you mean h100"),
    ],
)
def test_a_device_without_a_memory(arguments, said, capfd):
    code, out, err = ran(capfd, "memory", "lenet1", *arguments)
    assert (code, out) == (2, "")
    assert said in err.rstrip().splitlines()[-1]


def test_blocks_are_those_of_the_longest_list():
    with parse("fsdp=2").resolved("net.py:Stages", cnncost_settings()) as built:
        report = cnncost.analyze(built)
    (gathers,) = report.communication
    assert gathers.calls == 2 + 3 + 2  # and nothing is left for the whole
    assert any("stages.0.0 … stages.2.1 (7 Block)" in note for note in report.notes)


def cnncost_settings():
    from cnncost.sources.settings import Settings

    return Settings(inputs=("4x16",))


def test_blocks_of_an_encoder_and_a_decoder():
    model = nn.Module()
    model.encoder = nn.Sequential(*[Block(8, 8) for _ in range(2)])
    model.decoder = nn.Sequential(*[Decoder(8, 2) for _ in range(2)])
    with cnncost.world(size=2, mesh={"fsdp": 2}) as mesh:
        done = split_module(model, mesh)
    assert done.notes == ("fully sharded by encoder.0 … decoder.1 (4 Block/Decoder), then the rest",)


def test_blocks_by_a_pattern():
    with cnncost.world(size=2, mesh={"fsdp": 2}) as mesh:
        model = cnncost.split(Language(), mesh, blocks="blocks.*.mlp")
        report = cnncost.analyze(model, "1x8:int64")
    (gathers,) = report.communication
    assert gathers.calls == 3 + 1


def test_split_of_a_module_and_of_a_name_are_one(here):
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("net", here / "net.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found = []
    for model, inputs in ((module.Net().eval(), (None, "4x16")), ("net.py:Net", ("4x16",))):
        with cnncost.world(size=4, mesh={"fsdp": 2, "tp": 2}) as mesh:
            plan = {"blocks.*.up": "colwise", "blocks.*.down": "rowwise"}
            split = cnncost.split(model, mesh, *inputs[:1], plan=plan, mixed="bf16")
            report = cnncost.analyze(split, *inputs[1:], training=True)
            found.append((report.totals, report.communication, report.memory.training_peak))
    assert found[0] == found[1]


def test_styles_of_torch_in_a_plan():
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel

    found = []
    for up, down in (("colwise", "rowwise"), (ColwiseParallel(), RowwiseParallel())):
        with cnncost.world(size=2, mesh={"tp": 2}) as mesh:
            model = cnncost.split(Language(), mesh, plan={"blocks.*.mlp.up": up, "blocks.*.mlp.down": down})
            report = cnncost.analyze(model, "1x8:int64", training=True)
            found.append((report.totals, report.communication, report.memory.training_peak))
    assert found[0] == found[1]


def test_tied_weights_that_are_split_alike_stay_one():
    plan = {"embed": "embedding_rowwise", "head": "colwise_gather_output"}
    with cnncost.world(size=2, mesh={"tp": 2}) as mesh:
        model = Language(tokens=256)
        model.head.weight = model.embed.weight
        others = sum(p.numel() for p in model.parameters()) - 256 * 64
        model = cnncost.split(model, mesh, plan=plan)
        assert model.head.weight is model.embed.weight
        assert cnncost.analyze(model, "1x8:int64").totals.params == others + 256 * 64 // 2


@pytest.mark.parametrize(
    ("mesh", "how", "said"),
    [
        ({"dp": 2, "pp": 2}, {}, "unknown mesh axis 'pp'"),
        ({"fsdp": 4}, {"model_args": {"width": 3}}, "model_args: only for a specification such as 'net.py:Net'"),
        ({"fsdp": 4}, {"inputs": "1x8:int64"}, "inputs: only for a specification such as 'net.py:Net'"),
        ({"fsdp": 4}, {"blocks": "nowhere.*"}, "no module of this path"),
        ({"fsdp": 4}, {"blocks": "blocks"}, "a ModuleList, which has no forward; expected the modules inside"),
    ],
)
def test_split_refuses(mesh, how, said):
    with cnncost.world(size=4, mesh=mesh) as axes, pytest.raises(InputError) as found:
        cnncost.split(Language(), axes, **how)
    assert said in str(found.value)


def test_split_wants_a_model():
    with cnncost.world(size=2, mesh={"fsdp": 2}) as mesh, pytest.raises(InputError, match=r"expected an nn\.Module"):
        cnncost.split(torch.zeros(2), mesh)


def test_a_mesh_without_names():
    from torch.distributed.device_mesh import init_device_mesh

    with cnncost.world(size=2), pytest.raises(InputError, match="axes have no names"):
        cnncost.split(Language(), init_device_mesh("cpu", (2,)))
