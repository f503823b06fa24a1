"""An option means the same in every command that has it, and one word stands for one thing."""

import json
import re
import shutil
import subprocess
from importlib import import_module

import click
import pytest

from cnncost.cli import _COMMANDS
from tests.cli.calls import ran
from tests.samples import sample

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)

    def forward(self, x):
        return self.conv(x)


class Reads(Net):
    def forward(self, x):
        x = self.conv(x)
        return x[x.sum(dim=(1, 2, 3)) > -1e9]
"""
GIVEN = ("--input", "2x3x8x8")
MACS = 4 * 27 * 36
"""Of an example: four filters of 3·3·3 at 6·6 positions."""
RUNS = ["summarize", "memory", "rf", "roofline", "compare", "diff", "verify", "bench"]
"""The commands that run a model that is named."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def call(command, model="net.py:Net"):
    """A command's call without options."""
    more = {"roofline": ["--device", "h100"], "diff": [model]}.get(command, [])
    return [command, model, *more]


def options(command):
    found = import_module(f"cnncost.cli.{command}").command
    return {name: each for each in found.params if isinstance(each, click.Option) for name in each.opts}


@pytest.mark.parametrize("option", ["--input", "--model-args", "--batch", "--dtype", "--trace", "--autocast"])
def test_an_option_reads_the_same_in_every_command(option):
    own = {"bench": {"--batch", "--dtype"}, "roofline": {"--dtype"}}  # lists, and number formats that no CPU has
    found = [options(c)[option] for c in (*RUNS, "formula") if option in options(c) and option not in own.get(c, ())]

    assert len(found) >= 6
    assert len({(each.help, each.metavar, str(each.type), repr(each.default)) for each in found}) == 1


@pytest.mark.parametrize("option", ["--format", "-o"])
@pytest.mark.parametrize("command", [*RUNS, "formula", "check", "lecture"])
def test_every_command_writes_files_by_the_same_options(command, option):
    each = options(command)[option]

    assert each.help.startswith(
        {
            "--format": "Output format; by default determined by FILE's ending, else text.",
            "-o": "Write to a file: .md, ",
        }[option]
    )
    assert option != "--format" or each.type.choices[:2] == ("text", "markdown")


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_names_values_and_not_types(command, capfd):
    code, out, _ = ran(capfd, command, "--help")

    assert code == 0
    assert re.findall(r"--[a-z-]+ (?:INTEGER|FLOAT|TEXT|FILENAME|DIRECTORY|BOOLEAN|.*RANGE)", out) == []
    assert not {"--plot", "--plots", "--most"} & set(re.findall(r"--[a-z-]+", out))
    assert max(map(len, out.splitlines())) <= 120


OLD = [
    pytest.param((*call("roofline"), *GIVEN, "--plot", "a.svg"), "--plot is now --picture", "a.svg", id="--plot"),
    pytest.param((*call("roofline"), *GIVEN, "--plot=a.svg"), "--plot is now --picture", "a.svg", id="--plot="),
    pytest.param((*call("diff"), *GIVEN, "--most", "3"), "--most is now --top", "", id="--most"),
    pytest.param((*call("compare"), *GIVEN, "-o", "a.svg"), "use --picture a.svg", "a.svg", id="-o of compare"),
    *[
        pytest.param((*call(command), *GIVEN, "--format", "rich"), "--format rich is now --format text", "", id=command)
        for command in ("summarize", "memory", "rf", "compare", "diff")
    ],
    pytest.param((*call("rf"), *GIVEN, "--format", "table"), "--format table is now --format text", "", id="table"),
]


@pytest.mark.parametrize(("arguments", "told", "made"), OLD)
def test_an_old_spelling_is_taken_with_a_note(arguments, told, made, here, capfd):
    code, out, err = ran(capfd, *arguments)

    assert code == 0
    assert err.startswith("cnncost: ")
    assert told in err
    assert err.count("\n") == 1
    assert bool(out) == (made == "" or not {"roofline", "compare"}.isdisjoint(arguments))
    assert not made or (here / made).stat().st_size


def macs(command, text):
    """The MACs that a command's JSON tells."""
    data = json.loads(text)
    return data["models"][0]["macs"] if command == "compare" else data["totals"]["macs"]


@pytest.mark.parametrize("command", ["summarize", "compare"])
@pytest.mark.parametrize(
    ("given", "examples"),
    [
        (GIVEN, 2),
        ((*GIVEN, "--batch", "5"), 5),
        ((*GIVEN, "--batch", "5", "--dtype", "float64"), 5),
        ((*GIVEN, "--trace", "real"), 2),
        ((*GIVEN, "--trace", "static"), 2),
        ((*GIVEN, "--autocast", "bf16"), 2),
        ((*GIVEN, "--model-args", "width=8"), 4),
    ],
)
def test_what_they_mean(command, given, examples, capfd):
    code, out, err = ran(capfd, *call(command), *given, "--format", "json")

    assert (code, err) == (0, "")
    assert macs(command, out) == examples * MACS


@pytest.mark.parametrize("command", ["summarize", "memory", "rf", "roofline", "compare", "diff", "verify"])
@pytest.mark.parametrize(("trace", "code"), [((), 0), (("--trace", "auto"), 0), (("--trace", "static"), 2)])
def test_a_model_that_reads_values_is_run_on_values_where_needed(command, trace, code, capfd):
    found, out, err = ran(capfd, *call(command, "net.py:Reads"), *GIVEN, *trace)

    assert found == code
    assert bool(out) == (code == 0)
    assert code == 0 or "--trace real" in err or "trace" in err


@pytest.mark.parametrize("command", ["memory", "rf", "roofline", "compare", "diff", "verify"])
def test_batch_and_dtype_are_taken_everywhere(command, capfd):
    more = ("--no-fvcore",) if command == "verify" else ()
    dtype = "fp64" if command == "roofline" else "float64"
    more = ("--device", "a100") if command == "roofline" else more
    code, out, err = ran(capfd, command, *call(command)[1:], *more, *GIVEN, "--batch", "3", "--dtype", dtype)

    assert (code, err) == (0, "")
    assert out
    assert "3×3×8×8" in out or command == "rf"  # which tells the space alone


SAVED = [
    *[
        pytest.param(("summarize", "s.json", *option), f"{option[0]} is for models", id=f"summarize {option[0]}")
        for option in [
            ("--input", "1x3x8x8"), ("--model-args", "width=3"), ("--batch", "3"), ("--dtype", "bfloat16"),
            ("--trace", "real"), ("--trace", "auto"), ("--autocast", "bf16"), ("--strict",), ("--training",),
        ]
    ],
    pytest.param(
        ("summarize", "s.json", "--trace", "real", "--strict"), "--trace and --strict are for models", id="two"
    ),
    pytest.param(("rf", "s.json", "--trace", "real"), "--trace is for models", id="rf"),
    pytest.param(("compare", "s.json", "s.json", "--batch", "3"), "--batch is for models", id="compare"),
    pytest.param(("diff", "s.json", "s.json", "--trace", "static"), "--trace is for models", id="diff"),
    pytest.param(("diff", "s.json", "s.json", "--new-args", "width=3"), "for models", id="diff --new-args"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), SAVED)
def test_a_saved_report_takes_no_options_of_models(arguments, told, here, capfd):
    assert ran(capfd, "summarize", "net.py:Net", *GIVEN, "-o", "s.json")[0] == 0
    before = sorted(path.name for path in here.iterdir() if path.name != "__pycache__")
    code, out, err = ran(capfd, *arguments)

    assert (code, out) == (2, "")
    assert "s.json is a saved report" in err
    assert told in err
    assert sorted(path.name for path in here.iterdir() if path.name != "__pycache__") == before


def test_beside_a_model_they_are_the_models(here, capfd):
    assert ran(capfd, "summarize", "net.py:Net", *GIVEN, "-o", "s.json")[0] == 0
    code, out, err = ran(capfd, "compare", "s.json", "net.py:Net", *GIVEN, "--dtype", "float64", "--format", "json")
    saved, new = json.loads(out)["models"]

    assert (code, err) == (0, "")
    assert saved["macs"] == new["macs"] == 2 * MACS
    assert 2 * saved["weight_bytes"] == new["weight_bytes"]


BUDGET = '[[budget]]\nmodel = "net.py:Reads"\ninput = "2x3x8x8"\nmacs = "<= 1M"\n'


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("", 2, "trace"),
        ('trace = "static"\n', 2, "trace"),
        ('trace = "auto"\n', 0, ""),
        ('trace = "real"\n', 0, ""),
        ('trace = "rael"\n', 2, "cnncost.toml:5: trace: expected 'static', 'auto' or 'real', got 'rael'"),
        ("trace = true\n", 2, "cnncost.toml:5: trace: expected 'static', 'auto' or 'real', got True"),
        ("trace = []\n", 2, "cnncost.toml:5: trace: expected"),
        ('trce = "real"\n', 2, "did you mean trace?"),
    ],
)
def test_a_budget_says_how_its_model_is_run(line, code, told, here, capfd):
    (here / "cnncost.toml").write_text(BUDGET + line)
    found, out, err = ran(capfd, "check")

    assert found == code
    assert told in out + err


@pytest.mark.usefixtures("warm_revisions")
def test_revisions_are_run_by_the_same_options(here, capfd):
    for command in ("init -q", "add net.py", "-c user.name=a -c user.email=a@b commit -qm one"):
        subprocess.run([shutil.which("git"), *command.split()], check=True, cwd=here)
    (here / "net.py").write_text(NET.replace("width=4", "width=8"))
    given = (*GIVEN, "--batch", "3", "--dtype", "float64", "--format", "json")
    code, out, err = ran(capfd, "diff", "--rev", "HEAD", "net.py:Net", *given)

    assert (code, err) == (0, "")
    assert '"3×3×8×8 float64"' in out or "3×3×8×8" in out or "[3, 3, 8, 8]" in out
    assert str(3 * MACS) in out
    assert str(6 * MACS) in out


WORKS = [
    pytest.param(command, option, id=f"{command} {' '.join(option)}")
    for command in [*RUNS, "formula"]
    for option in [
        ("--batch", "3"), ("--dtype", "float64"), ("--trace", "real"), ("--trace", "static"), ("--autocast", "bf16"),
        ("--model-args", "width=8"), ("--input", "3x3x8x8"), ("--inputs-json", '[{"shape": [3, 3, 8, 8]}]'),
    ]
    if command != "bench" and not (command == "formula" and option[0] in {"--batch", "--dtype", "--inputs-json"})
]  # fmt: skip


@pytest.mark.parametrize(("command", "option"), sample(WORKS, 20))
def test_each_command_takes_each_option(command, option, here, capfd):
    given = () if option[0] in {"--input", "--inputs-json"} else GIVEN
    more = {"verify": ("--no-fvcore",), "formula": ("--vary", "batch")}.get(command, ())
    option = (option[0], "fp64") if (command, option[0]) == ("roofline", "--dtype") else option
    asked = [*call(command), *given, *more, *option]
    asked = ["a100" if each == "h100" else each for each in asked]  # whose table has a rate in float64
    for end in ("json", "md"):
        code, out, err = ran(capfd, *asked, "-o", f"out.{end}")
        assert (code, out, err) == (0, "", "")
    assert json.loads((here / "out.json").read_text())
    # to draw takes most of the time, and a picture knows of figures and number formats alone
    drawn = "--picture" in options(command) and option[0] in {"--dtype", "--batch", "--inputs-json"}
    code, out, err = ran(capfd, *asked, *(("--picture", "p.png") if drawn else ()), "--format", "csv")
    assert (code, err) == (0, "")
    assert "," in out
    assert (here / "p.png").exists() == drawn


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ((), 2), (("--batch", "5"), 5), (("--trace", "real"), 2), (("--trace", "static"), 2),
        (("--autocast", "bf16"), 2), (("--autocast", "bf16", "--trace", "real"), 2), (("--autocast", "cuda:bf16"), 2),
        (("--model-args", "width=8"), 4),
    ],
)  # fmt: skip
def test_the_peers_of_verify_count_the_same(option, expected, capfd):
    code, out, err = ran(capfd, *call("verify"), *GIVEN, *option, "--format", "json")
    data = json.loads(out)

    assert (code, err) == (0, "")
    assert data["macs"] == expected * MACS
    assert {peer["peer"]: peer["total"] for peer in data["peers"]} == {
        "fvcore": expected * MACS, "torch": 2 * expected * MACS,
    }  # fmt: skip


def test_an_autocast_of_a_device_that_is_not_there_is_no_run_on_values(capfd):
    code, out, err = ran(capfd, *call("verify"), *GIVEN, "--trace", "real", "--autocast", "cuda")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the model's device, cpu" in err
