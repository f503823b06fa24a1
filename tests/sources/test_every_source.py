"""Every kind of MODEL through every command: it runs, or one line says why it can't and what to name instead."""

import json

import pytest
import torch
import zoos
from torch import nn

import cnncost
from cnncost.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries', and torch's while it exports

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, 4)

    def encode(self, x):
        return self.conv(x).mean((2, 3))

    def forward(self, x):
        return self.head(self.encode(x))
"""
BERT = {
    "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 128,
}  # fmt: skip
PROGRAM, SAVED, METHOD = "net.pt2", "saved.json", "net.py:Net#encode"
GIVEN = ("--input", "2x3x16x16")

SOURCES = {
    "zoo": ("lenet5", ()),
    "module": ("net:Net", GIVEN),
    "file": ("net.py:Net", GIVEN),
    "method": (METHOD, GIVEN),
    "program": (PROGRAM, ()),
    "saved": (SAVED, ()),
    "timm": ("timm:resnet18", ()),
    "torchvision": ("torchvision:squeezenet1_1", ()),
    "transformers": ("hf:config.json", ()),
}
"""MODEL, and what has to be said with it."""
COMMANDS = {
    "summarize": ("summarize",),
    "summarize in another batch": ("roofline", "--device", "h100", "--batch", "4"),
    "memory": ("memory",),
    "memory in another batch": ("memory", "--batch", "4"),
    "rf": ("rf",),
    "roofline": ("roofline", "--device", "h100"),
    "verify": ("verify",),
    "compare": ("compare", "lenet5"),
    "diff": ("diff", "lenet5"),
    "check": ("check",),
    "formula": ("formula", "--vary", "batch", "--inference"),
    "bench": ("bench", "--batch", "2", "--seconds", "0.01", "--ceilings", "h100"),  # measuring this machine takes long
}
LACKING = {
    **{
        (SAVED, command): "give the model itself"
        for command in COMMANDS
        if command not in {"summarize", "compare", "diff"}
    },
    (SAVED, "rf"): "analyze the model again",
    (SAVED, "formula"): "a saved report is of one run",
    (METHOD, "verify"): "not a method",
    (METHOD, "bench"): "a measurement",
}
"""What has no graph, or what other tools can't run: part of the line that says so."""
SAVED_TAKES = {"check"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("sources")
    (place / "net.py").write_text(NET)
    (place / "config.json").write_text(json.dumps(BERT))
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval()
    torch.export.save(torch.export.export(net, (torch.rand(2, 3, 16, 16),)), place / PROGRAM)
    cnncost.analyze(net, (2, 3, 16, 16)).save(place / SAVED)
    return place


def ran(capfd, arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capfd.readouterr()
    return stop.value.code, out, err


def arguments_of(command, model, given, folder):
    name, *others = COMMANDS[command]
    if name == "check":
        lines = ["[[budget]]", f'model = "{model}"', *[f'input = "{shape}"' for shape in given[1:]], "macs = '<= 9G'"]
        (folder / "cnncost.toml").write_text("\n".join(lines))
        return ["check"]
    if name in {"compare", "diff"} and given:
        return [name, model, model, *given]
    return [name, model, *given, *others]


LIBRARIES = {name: zoos.needs(name) for name in ("timm", "torchvision", "transformers")}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", [pytest.param(k, marks=LIBRARIES[k]) if k in LIBRARIES else k for k in SOURCES])
def test_every_command_takes_every_source(kind, command, folder, capfd, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    model, given = SOURCES[kind]
    code, out, err = ran(capfd, arguments_of(command, model, given, folder))
    words = None if command in SAVED_TAKES else LACKING.get((model, command))
    if words is None:
        assert (code, err.count("Traceback")) == (0, 0), err
        assert out
    else:
        assert code == 2
        assert err.startswith("cnncost: ")
        assert err.count("\n") == 1
        assert words in err
