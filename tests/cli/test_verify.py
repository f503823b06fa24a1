"""`cnncost verify`: formats, files, exit codes."""

import json
import subprocess
import sys

import pytest

import cnncost
from cnncost.render.formats import FORMATS
from tests.cli.calls import exit_code

UNEXPLAINED = """
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        norm = self.norm
        return F.batch_norm(x, norm.running_mean, norm.running_var, training=True)
"""


def run(*arguments):
    return exit_code("verify", *arguments)


def test_all_explained_exits_with_0(capsys):
    assert run("lenet1") == 0
    out = capsys.readouterr().out
    assert out.startswith("lenet1, input 1×1×28×28 float32, eval mode\ncnncost: 91,520 MACs, ")
    assert out.count("\nexplained: the rules give ") == 2
    assert "unexplained" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_something_unexplained_exits_with_1(tmp_path, capsys):
    (tmp_path / "net.py").write_text(UNEXPLAINED)
    assert run(f"{tmp_path / 'net.py'}:Net", "--input", "2x6x5x5", "--model-args", "width=6") == 1
    # 4 an element in training instead of 1, of 300
    assert "unexplained: +900 MACs in its batch_norm" in capsys.readouterr().out


def test_without_fvcore(capsys):
    assert run("fc10", "--no-fvcore") == 0
    out = capsys.readouterr().out
    assert "\nfvcore" not in out
    assert "\ntorch" in out


def test_json(capsys):
    assert run("fc10", "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert [peer["total"] for peer in data["peers"]] == [7840, 15680]


@pytest.mark.parametrize(
    ("name", "options", "begins"),
    [
        pytest.param("a.md", (), "# fc10: verified\n", id="markdown by its ending"),
        pytest.param("a.json", (), "{\n", id="JSON by its ending"),
        pytest.param("a.txt", (), "fc10, input", id="text by its ending"),
        pytest.param("a.txt", ("--format", "markdown"), "# fc10: verified\n", id="what is asked for"),
    ],
)
def test_a_file(tmp_path, capsys, name, options, begins):
    assert run("fc10", "--no-fvcore", "-o", str(tmp_path / name), *options) == 0
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.startswith(begins)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("lenet6",), "lenet6: no network of this name; did you mean lenet5", id="unknown name"),
        pytest.param(("fc10", "--input", "1x0"), "expected sizes of 1 or more", id="bad input"),
        pytest.param(("fc10", "--input", "1x5"), "fc10", id="an input that the model can't take"),
        pytest.param(("fc10", "-o", "no/such/folder/a.md"), "no/such/folder", id="no such folder"),
        pytest.param(
            ("fc10", "-o", "a.png"),
            f"a name that ends in {FORMATS.usual_endings}, got .png",
            id="no such ending",
        ),
        pytest.param(("s.json",), "s.json: a saved report has no graph; give the model itself", id="a saved report"),
        pytest.param((), "Missing argument 'MODEL'", id="no model"),
        pytest.param(("fc10", "--format", "pdf"), "pdf", id="no such format"),
    ],
)
def test_errors_exit_with_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    cnncost.analyze("fc10").save("s.json")
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_terminal_without_the_signs_gets_ascii(python):
    done = subprocess.run(
        [*python, "-m", "cnncost", "verify", "fc10", "--no-fvcore"],
        capture_output=True, check=False, env={"PYTHONIOENCODING": "ascii", "PATH": ""}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert b"input 1x1x28x28 float32" in done.stdout


def test_help_brings_in_neither_torch_nor_fvcore():
    code = (
        "import sys; from cnncost.cli import main\n"
        "try: main(['verify', '--help'])\n"
        "except SystemExit: pass\n"
        "print({'torch', 'fvcore', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.endswith("set()\n")
