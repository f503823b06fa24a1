"""`cnncost rf`."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnncost.cli import rf
from cnncost.cli.rf import command
from cnncost.render.layout import text_width

REPORTS = Path(__file__).parents[2] / "reports"


@pytest.fixture
def run(monkeypatch):
    def call(*arguments, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        return CliRunner().invoke(command, arguments, catch_exceptions=True)

    return call


def test_growth_layer_by_layer(run):
    out = run("resnet18").output
    lines = [line.split() for line in out.splitlines()]
    assert ["layer4.1.conv2", "Conv2d", "7×7", "435", "32", "-217", "all", "████████"] in lines
    assert "first to see all of the input: layer4.0.conv2" in out
    assert not any(line and line[0] == "layer4.1.bn2" for line in lines)
    assert any(
        line and line[0] == "layer4.1.bn2" for line in map(str.split, run("resnet18", "--all").output.splitlines())
    )


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 160])
@pytest.mark.parametrize("model", ["lenet5", "resnet50"])
def test_no_line_is_longer_than_the_terminal(run, model, columns):
    assert max(text_width(line) for line in run(model, columns=columns).output.splitlines()) <= columns


def test_one_unit(run):
    out = run("resnet18", "--layer", "layer3.1", "--unit", "7,0").output
    assert out.splitlines() == [
        "layer3.1: size 211, jump 16, start -105",
        "unit 7, 0 sees, in input 0, 224×224:",
        "  axis 0: 7 … 217, 211 positions of 224 (94 %)",
        "  axis 1: 0 … 105, 106 positions of 224 (47 %)",
    ]


def test_formats(run):
    rows = list(csv.DictReader(io.StringIO(run("lenet5", "--format", "csv").output)))
    assert rows[1]["path"] == "s2"
    assert rows[1]["receptive_field"] == "6x6"
    data = json.loads(run("lenet5", "--format", "json").output)
    assert data["layers"][1]["receptive_field"] == [6, 6]
    assert data["layers"][4]["sees_all"] is True
    assert "| `s2` | Subsample | 14×14 | 6 | 2 | 0 | 4 % |" in run("lenet5", "--format", "markdown").output


@pytest.mark.parametrize("ending", ["md", "csv", "json", "txt"])
def test_files_by_their_ending(run, tmp_path, ending):
    path = tmp_path / f"fields.{ending}"
    assert run("lenet5", "-o", str(path)).output == ""
    assert "c3" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_pictures(run, tmp_path, ending, start):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"fields.{ending}"
    result = run("resnet18", "--picture", str(path))
    assert result.exit_code == 0
    assert path.read_bytes().startswith(start)


def test_a_picture_names_what_it_draws(run, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "fields.svg"
    run("resnet18", "--layer", "layer1", "--layer", "layer2.0", "--picture", str(path))
    text = path.read_text(encoding="utf-8")
    assert "layer1: 43" in text
    assert "layer2.0: 67" in text
    assert "layer3" not in text
    again = tmp_path / "again.svg"
    run("resnet18", "--layer", "layer1", "--layer", "layer2.0", "--picture", str(again))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["mlp", "--picture", "a.png"], id="a model that is not there"),
        pytest.param(["lenet5", "--layer", "c9"], id="a layer that is not there"),
        pytest.param(["lenet5", "--layer", "c1", "--unit", "40,0"], id="a unit that is not there"),
        pytest.param(["lenet5", "--layer", "c1", "--unit", "a,b"], id="a unit that is no number"),
        pytest.param(["lenet5", "--unit", "1,1"], id="a unit without a layer"),
        pytest.param(["lenet5", "--of", "3"], id="an input that is not there"),
        pytest.param(["lenet5", "--picture", "a.gif"], id="a picture of another kind"),
        pytest.param(["lenet5", "--picture", "absent/a.png"], id="a folder that is not there"),
        pytest.param(["lenet5", "-o", "a.xls"], id="a file of another kind"),
        pytest.param([], id="no model"),
        pytest.param(["lenet5", "--write-reports", "."], id="a model besides the zoo"),
        pytest.param(["--of", "0", "--write-reports", "."], id="an input besides the zoo"),
    ],
)
def test_wrong_usage(arguments, tmp_path, monkeypatch, capsys):
    from cnncost.cli import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["rf", *arguments])
    err = capsys.readouterr().err
    assert stopped.value.code == 2
    assert err.strip()
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_the_report_is_current():
    for name, text in rf.reports().items():
        assert (REPORTS / name).read_text(encoding="utf-8") == text, (
            f"reports/{name} is not what the code makes; run: cnncost rf --write-reports reports"
        )


def test_columns_of_summarize(monkeypatch):
    from cnncost.cli.summarize import command as summarize

    monkeypatch.setenv("COLUMNS", "80")
    out = CliRunner().invoke(summarize, ["resnet18", "--columns", "+rf"]).output
    assert any(line.split()[-6:-3] == ["435", "32", "-217"] for line in out.splitlines() if "layer4" in line)
    wrong = CliRunner().invoke(summarize, ["resnet18", "--columns", "rf"])
    assert wrong.exit_code == 2
    assert "--columns rf: expected +kernel, +stride, +input, +trainable, +rf, +memory, +masks," in wrong.output
    assert wrong.output.endswith(", got rf\n")


def test_the_table_is_there_beside_a_picture_as_in_other_commands(run, tmp_path):
    pytest.importorskip("matplotlib")
    alone = run("lenet5")
    drawn = run("lenet5", "--picture", str(tmp_path / "x.svg"))
    assert drawn.output == alone.output
