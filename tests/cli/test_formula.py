"""`cnncost formula`: formats, files, and one clear line where something is wrong."""

import json
import textwrap

import pytest
import torch

from tests.cli.calls import ran

torch.set_num_threads(1)

NET = """
    from torch import nn


    class Net(nn.Sequential):
        def __init__(self, width=4, act="relu"):
            super().__init__(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 2, 1))


    class Odd(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(1, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, 2, 1))


    class Flat(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))
"""


@pytest.fixture(autouse=True)
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(textwrap.dedent(NET))


def run(capsys, *arguments):
    return ran(capsys, "formula", *arguments)


IN = ("net.py:Net", "--input", "1x3x8x8", "--inference")


def test_text(capsys):
    code, out, err = run(capsys, *IN, "--vary", "batch,height,width")

    assert (code, err) == (0, "")
    assert "MACs                   = 116·B·H·W\n" in out  # 3·3·3·4 + 4·2
    assert "params                 = 122\n" in out  # 3·3·3·4 + 4 and 4·2 + 2
    assert "for B from 1 to 65,536 and H, W from 1 to 1,024, checked at " in " ".join(out.split())


def test_by_layer(capsys):
    code, out, _ = run(capsys, *IN, "--vary", "batch,size", "--by", "layer")

    assert code == 0
    assert "  108·B·N²: 0\n  8·B·N²: 2\n" in out


def test_a_width_of_the_factory(capsys):
    code, out, _ = run(capsys, *IN, "--vary", "width=4,8,16")

    assert code == 0
    assert "MACs                   = 1,856·width\n" in out  # 8·8·(27 + 2)
    assert "params                 = 30·width + 2\n" in out


def test_budgets(capsys):
    code, out, _ = run(capsys, *IN, "--vary", "batch", "--solve", "macs <= 1M")

    assert code == 0
    told = "macs <= 1M: the largest batch is 134, with 994,816; 135 needs 1,002,240; both confirmed by direct analysis"
    assert told in " ".join(out.split())


@pytest.mark.parametrize(
    ("file", "part"),
    [
        pytest.param("laws.md", "| MACs | 7,424·B |", id="markdown"),
        pytest.param("laws.tex", r"\text{MACs} &= 7{,}424\,B", id="LaTeX"),
        pytest.param("laws.txt", "MACs                   = 7,424·B", id="text"),
        pytest.param("laws.json", '"coefficient": "7424"', id="JSON"),
    ],
)
def test_files(capsys, tmp_path, file, part):
    code, out, err = run(capsys, *IN, "--vary", "batch", "-o", file)

    assert (code, out, err) == (0, "", "")
    assert part in (tmp_path / file).read_text()


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_pictures(capsys, tmp_path, ending):
    code, _, err = run(capsys, *IN, "--vary", "batch,size", "--picture", f"laws.{ending}")

    assert (code, err) == (0, "")
    assert (tmp_path / f"laws.{ending}").stat().st_size > 5000


def test_a_lattice_of_odd_sizes(capsys, tmp_path):
    code, out, err = run(
        capsys, "net.py:Odd", "--input", "1x1x33x8", "--inference", "--vary", "height", "--picture", "laws.svg"
    )  # fmt: skip

    assert (code, err) == (0, "")  # the lattice is that of the model's own size
    assert "H = 4·k + 1 from " in out
    assert "</svg>" in (tmp_path / "laws.svg").read_text()


def test_json(capsys):
    _, out, _ = run(capsys, *IN, "--vary", "batch,width=4,8", "--format", "json")
    found = json.loads(out)

    assert found["laws"]["macs"]["pieces"] == [[{"coefficient": "1856", "powers": {"B": 1, "width": 1}}]]
    assert found["laws"]["macs"]["domain"]["batch"]["low"] == 1
    assert found["layers"]["0"]["params"] == [{"coefficient": "28", "powers": {"width": 1}}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param((*IN, "--vary", "bacth"), "vary bacth: the inputs are input 1×3×8×8", id="a name misspelt"),
        pytest.param((*IN, "--vary", "input.4"), "did you mean input.3", id="no such axis"),
        pytest.param((*IN, "--vary", "depth"), "nothing has this name", id="an axis that images lack"),
        pytest.param((*IN, "--vary", "batch=0..8"), "expected sizes from 1", id="below 1"),
        pytest.param((*IN, "--vary", "act"), "the factory's default is 'relu', not a whole number", id="no number"),
        pytest.param((*IN, "--vary", "act=relu,gelu"), "expected whole numbers", id="words"),
        pytest.param((*IN, "--vary", "widht=4,8"), "did you mean width", id="a keyword misspelt"),
        pytest.param((*IN, "--vary", ""), "expected names of variables", id="nothing"),
        pytest.param(
            (*IN, "--vary", "batch", "--solve", "macs <= 5"), "no size is within the budget", id="a budget none keeps"
        ),
        pytest.param((*IN, "--vary", "batch", "--solve", "mcas <= 5"), "did you mean macs", id="a budget of nothing"),
        pytest.param(
            ("net.py:Flat", "--input", "1x3x8x8", "--vary", "height"), "forward runs at 8 alone", id="a fixed size"
        ),
        pytest.param(
            ("net.py:Flat", "--input", "1x3x8x8", "--vary", "height=1..4"), "expected 192 features", id="too small"
        ),
        pytest.param(
            ("net.py:Net", "--input", "1x4x8x8", "--vary", "batch"),
            "expected 3 channels",
            id="an input of another kind",
        ),
        pytest.param(("no_such_net", "--vary", "batch"), "no network of this name", id="no such model"),
        pytest.param((*IN, "--vary", "batch", "-o", "laws.pdf"), "expected a name that ends in", id="an ending"),
        pytest.param((*IN, "--vary", "batch", "--picture", "laws.gif"), "expected a name that ends in", id="a picture"),
        pytest.param((*IN, "--vary", "batch", "-o", "no/laws.md"), "does not exist", id="no folder"),
    ],
)
def test_one_clear_line(capsys, tmp_path, arguments, said):
    before = sorted(tmp_path.iterdir())
    code, out, err = run(capsys, *arguments)

    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1, err
    assert [path for path in sorted(tmp_path.iterdir()) if path.name != "__pycache__"] == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(IN, "Missing option '--vary'", id="nothing to vary"),
        pytest.param(
            (*IN, "--vary", "batch", "--solve", "macs <= 1M", "--format", "json"),
            "--solve answers in words",
            id="words",
        ),
    ],
)
def test_usage(capsys, arguments, said):
    code, out, err = run(capsys, *arguments)

    assert (code, out) == (2, "")
    assert said in err
