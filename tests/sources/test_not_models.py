"""Files that are no model: what each is, and what to name instead; exit code 2, one line, nothing written."""

import json
import struct

import pytest
import torch
from torch import nn

import cnncost
from cnncost.cli import main
from cnncost.errors import SourceError

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's, of TorchScript

ONE = """
from torch import nn
from torch.nn import Linear


def helper():
    return 3


class Net(nn.Module):
    def __init__(self, num_classes=4, depth=2):
        super().__init__()
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(x)
"""
TWO = ONE + "\n\nclass Other(Net):\n    pass\n"
FACTORIES = "from torch.nn import ReLU\n\n\ndef small():\n    return ReLU()\n\n\ndef large():\n    return ReLU()\n"


def net():
    return nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2, bias=False))  # 8·4 + 4 and 4·2: 44 in three tensors


def safetensors(path):
    header = {
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "F32", "shape": [], "data_offsets": [24, 28]},
        "__metadata__": {"format": "pt"},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(28))


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("strangers")
    model = net()
    torch.save(model.state_dict(), place / "weights.pth")
    torch.save(model.state_dict(), place / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": model.state_dict(), "optimizer": {"state": {}}}, place / "run.ckpt")
    torch.save(model, place / "whole.pt")
    torch.jit.save(torch.jit.script(model), place / "script.pt")
    safetensors(place / "model.safetensors")
    for name in ("bad.safetensors", "bad.pth", "data.bin", "notes.md"):
        (place / name).write_bytes(b"nothing of the kind")
    (place / "lesson.ipynb").write_text("{}")
    (place / "model.yaml").write_text("depth: 3\n")
    (place / "net.onnx").write_bytes(b"\x08\x07")
    (place / "one.py").write_text(ONE)
    (place / "two.py").write_text(TWO)
    (place / "factories.py").write_text(FACTORIES)
    (place / "empty.py").write_text("import torch\n")
    (place / "folder").mkdir()
    (place / "folder" / "model.py").write_text(ONE)
    (place / "bare").mkdir()
    (place / "bert").mkdir()
    (place / "bert" / "config.json").write_text("{}")
    return place


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def ran(capfd, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capfd.readouterr()
    return stop.value.code, out, err


STATE = "a state dict of 3 tensors with 44 numbers, without code: a cost needs the model's class"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        pytest.param("weights.pth", STATE, id="state dict"),
        pytest.param("weights.pth:Net", STATE, id="with a class after it"),
        pytest.param("old.pt", STATE, id="in the old format"),
        pytest.param("run.ckpt", STATE, id="in a checkpoint"),
        pytest.param("whole.pt", "a pickled model", id="pickled module"),
        pytest.param("script.pt", "a TorchScript program", id="TorchScript"),
        pytest.param("model.safetensors", "a state dict of 2 tensors with 7 numbers", id="safetensors"),
        pytest.param("bad.safetensors", "can't be read", id="no safetensors"),
        pytest.param("bad.pth", "not a file that torch.load reads", id="not torch's"),
        pytest.param("data.bin", "not a file that torch.load reads", id="bin that is not torch's"),
        pytest.param("notes.md", "not a file with a model", id="text"),
        pytest.param("lesson.ipynb", "jupyter nbconvert --to script lesson.ipynb", id="notebook"),
        pytest.param("model.yaml", "a configuration, not code", id="yaml"),
        pytest.param("net.onnx", "not an ONNX model: it has no graph", id="onnx"),
        pytest.param("folder", "is a folder; give a class in one of its files (model.py)", id="folder"),
        pytest.param("bare", "is a folder; give the file in it", id="folder without code"),
        pytest.param("bert", "give hf:bert", id="folder of Transformers"),
        pytest.param("nope/net.py", "no such file: there is no folder nope", id="no such folder"),
        pytest.param("nope/net.py:Net", "there is no folder nope", id="no such folder, with a class"),
        pytest.param("on.py", "no such file; did you mean one.py", id="a name misspelt"),
        pytest.param("weihgts.pth", "no such file; did you mean weights.pth?", id="weights misspelt"),
        pytest.param("two.py", "expected one class or factory, but it has Net, Other; name one", id="two classes"),
        pytest.param("factories.py", "it has small, large; name one", id="factories alone"),
        pytest.param("empty.py", "no class or function in it creates a model", id="nothing in it"),
    ],
)
@pytest.mark.parametrize("command", ["summarize", "roofline"])
def test_what_a_file_is_is_said(capfd, folder, model, words, command):
    before = sorted(folder.rglob("*"))
    more = ("--device", "h100") if command == "roofline" else ("-o", "out.md")
    code, out, err = ran(capfd, command, model, "--input", "1x8", *more)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("cnncost: ")
    assert words in err
    assert [each for each in sorted(folder.rglob("*")) if "__pycache__" not in str(each)] == [
        each for each in before if "__pycache__" not in str(each)
    ]


def test_a_file_with_one_class_is_that_class(capfd):
    code, out, _ = ran(capfd, "summarize", "one.py", "--input", "1x8", "--format", "json")
    found = json.loads(out)
    # 8·4 weights and 4 biases
    assert (code, found["model"], found["totals"]["params"]) == (0, "one.py:Net", 36)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param("classes=3", "it takes num_classes=4, depth=2: give them with --model-args", id="what it takes"),
        pytest.param("classes=3", "did you mean num_classes?", id="a part of a name"),
        pytest.param("num_clases=3", "did you mean num_classes?", id="a name misspelt"),
        pytest.param("dept=3", "did you mean depth?", id="a letter missing"),
    ],
)
def test_what_a_factory_takes(capfd, given, words):
    code, out, err = ran(capfd, "summarize", "one.py:Net", "--input", "1x8", "--model-args", given)
    assert (code, out) == (2, "")
    assert words in err
    assert "site-packages" not in err


@pytest.mark.parametrize("header", [b'{"a": {"shape": ["x"]}}', b'{"a": ' + b"[" * 100_000, b"[]", b'{"a": 3}'])
def test_a_header_that_is_none_is_told(tmp_path, header):
    (tmp_path / "odd.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(SourceError, match="can't be read"):
        cnncost.analyze(str(tmp_path / "odd.safetensors"), "1x4")
