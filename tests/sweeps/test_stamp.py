"""What a journal's rows depend on beside the grid: whatever changes it, the rows before are not resumed."""

import pytest

import cnncost
from cnncost.devices.registry import own_file
from cnncost.errors import SweepError
from cnncost.sweeps import api
from cnncost.sweeps.journal import Journal, journal_path
from cnncost.sweeps.read import from_data
from cnncost.sweeps.stamp import stamp

MODELS = ["net.py:Net", "net.py:Net#encode", "hf:conf", "pkg/other.py:Net", "lenet5", "timm:resnet18", "nope.py:Net"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("net.py", "blocks.py", "conf/config.json", "pkg/other.py", "elsewhere/far.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.mark.parametrize("changed", ["net.py", "blocks.py", "conf/config.json", "pkg/other.py"])
def test_a_changed_file_of_a_model_changes_it(here, changed):
    before = stamp(MODELS)
    assert stamp(MODELS) == before
    (here / changed).write_text("{ }")
    assert stamp(MODELS) != before


def test_own_devices_change_it(here):
    before = stamp(["lenet5"])
    own_file().parent.mkdir(parents=True, exist_ok=True)
    assert here in own_file().parents
    own_file().write_text("[mine]")
    assert stamp(["lenet5"]) != before


def test_files_elsewhere_do_not(here):
    before = stamp(MODELS)
    (here / "elsewhere/far.py").write_text("x = 1")
    assert stamp(MODELS) == before


def test_versions_are_those_of_the_libraries_that_are_named():
    assert [line.split()[0] for line in stamp(["timm:a", "hf:b", "timm:c"]) if ":" not in line] == [
        "cnncost", "torch", "timm", "transformers",
    ]  # fmt: skip
    assert f"cnncost {cnncost.__version__}" in stamp([])


def test_a_sweep_does_not_resume_from_before_a_change(here):
    code = "from torch import nn\n\nNet = nn.ReLU\n"
    (here / "net.py").write_text(code)
    grid = from_data(["net.py:Net"], {"batch": [1, 2], "columns": ["params"], "input": "1x8"})
    with Journal(journal_path(here / "t.csv"), grid.digest(*stamp(grid.models))) as journal:
        assert not journal.found
    (here / "net.py").write_text(f"{code}# another\n")
    with pytest.raises(SweepError, match="from before a model's file, your devices or a version changed"):
        api.run(grid, jobs=1, output=here / "t.csv")
    (here / "net.py").write_text(code)
    api.run(grid, jobs=1, output=here / "t.csv")
    assert not journal.path.exists()


ROW = {"model": "lenet5", "macs": 325_680, "time": 1.25, "note": "≥", "none": None}
DAMAGED = {
    "a digit": lambda line: line.replace("325680", "325681"),
    "another point": lambda line: line.replace('"point": 3', '"point": 4'),
    "a name": lambda line: line.replace("lenet5", "lenet4"),
    "no checksum": lambda line: line[: line.index(', "sum"')] + "}\n",
    "no row": lambda line: line.replace('"row"', '"raw"'),
    "half a line": lambda line: line[:20] + "\n",
}


def test_rows_are_read_as_they_were_written(here):
    with Journal(here / "j", "x") as journal:
        journal.add(3, ROW)
    with Journal(here / "j", "x") as journal:
        assert journal.found == {3: ROW}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_row_that_was_changed_on_disk_is_no_figure(here, damage):
    with Journal(here / "j", "x") as journal:
        journal.add(3, ROW)
        journal.add(5, ROW)
    head, line, *rest = (here / "j").read_text().splitlines(keepends=True)
    assert DAMAGED[damage](line) != line
    (here / "j").write_text("".join((head, DAMAGED[damage](line), *rest)))
    with pytest.raises(SweepError, match=r"j:2: expected an intact row of the sweep; remove the file"):
        Journal(here / "j", "x")
