"""Sweeps: the rows of a grid, what is refused before the work, and what is a row with its reason."""

import csv
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from math import prod

import pytest

import cnncost
from cnncost.errors import CnncostError, InputError, SweepError
from cnncost.sources.names import matching
from cnncost.sweeps import api, work
from cnncost.sweeps.formats import SHOWN
from cnncost.sweeps.grid import Axis, Grid, Point
from cnncost.sweeps.journal import Journal, journal_path
from cnncost.sweeps.read import from_data, from_file
from cnncost.sweeps.work import rows_of_task
from tests.cli.calls import exit_code

NET = """
import os
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, filters=4):
        super().__init__()
        self.conv = nn.Conv2d(3, filters, 3)
    def forward(self, x):
        return self.conv(x)

class Reads(Net):
    def forward(self, x):
        x = self.conv(x)
        return x[x.sum(dim=(1, 2, 3)) > -1e9]

class Dies(Net):
    def forward(self, x):
        os.kill(os.getpid(), 9)

class DiesOnce(Net):
    def forward(self, x):
        if not os.path.exists("died"):
            open("died", "w").close()
            os.kill(os.getpid(), 9)
        return self.conv(x)

class Raises(Net):
    def forward(self, x):
        raise KeyError("lost")

class Unknown(Net):
    def forward(self, x):
        return torch.matrix_exp(self.conv(x))

class Endless(Net):
    def forward(self, x):
        import os, time
        while len(x) > 11 and "ENDLESS" in os.environ:
            time.sleep(0.1)
        return self.conv(x)
"""
SHAPE = "1x3x8x8"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def macs(batch, height, width, out=4):
    return batch * out * 27 * (height - 2) * (width - 2)


def test_a_figure_that_is_neither_bound_is_left_out(monkeypatch):
    """As a contributor's ratio of FLOPs and bytes would be, where an op without a rule lacks both."""
    monkeypatch.setitem(work.LOOSE, "bytes_read", "read")
    models = ["net.py:Net", "net.py:Unknown"]
    frame = cnncost.sweep(models, {"input": SHAPE, "columns": ["macs", "bytes_read"]}, jobs=1)
    assert list(frame["macs"]) == [macs(1, 8, 8)] * 2
    assert list(frame["bytes_read"].notna()) == [True, False]
    assert frame["note"][1] == "no read: ops without a rule are missing"


def test_a_grid_is_all_combinations_in_order():
    frame = cnncost.sweep(
        "net.py:Net",
        {"input": SHAPE, "batch": [1, 8], "input_size": [8, "10x12"], "vary": {"filters": [4, 6]}, "columns": "macs"},
        jobs=1,
    )
    expected = [
        (b, h, w, out, macs(b, h, w, out)) for b in (1, 8) for h, w in ((8, 8), (10, 12)) for out in (4, 6)
    ]  # fmt: skip
    assert list(frame[["batch", "height", "width", "filters", "macs"]].itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize(
    "name", ["accuracy_of", "error", "input", "lower_bound", "macs", "note", "params", "seconds_h100", "trace", "units"]
)
def test_an_argument_may_have_any_columns_name(here, name):
    (here / "named.py").write_text(f"from torch import nn\n\ndef net({name}=4):\n    return nn.Linear(6, {name})\n")
    grid = {"input": "1x6", "vary": {name: [3, 5]}, "columns": "macs", "device": "h100"}
    frame = cnncost.sweep("named.py:net", grid, jobs=1)
    assert len({*frame.columns}) == len(frame.columns)
    column = f"vary_{name}" if f"vary_{name}" in frame.columns else name
    assert list(zip(frame[column], frame["macs"], strict=True)) == [(3, 18), (5, 30)]


def test_figures_are_those_of_analyze():
    columns = ["params", "macs", "flops", "weight_bytes", "inference_peak", "training_peak", "training_macs"]
    frame = cnncost.sweep(["lenet*"], {"batch": [2], "columns": columns, "device": "h100"}, jobs=1)
    for row in frame.to_dict("records"):
        report = cnncost.analyze(row["model"], (2, *cnncost.analyze(row["model"]).inputs[0][0][1:]), training=True)
        assert (row["params"], row["macs"], row["flops"]) == (
            report.totals.params, report.totals.macs, report.totals.flops,
        )  # fmt: skip
        assert row["training_macs"] == report.totals.training_macs
        assert row["inference_peak"] == report.memory.inference_peak
        assert row["training_peak"] == report.memory.training_peak
        assert row["seconds_h100"] == cnncost.roofline(report, device="h100").roofline.phases["forward"].seconds


@pytest.mark.parametrize(
    ("model", "size", "said"),
    [
        ("net.py:Net", "2", "at least 3x3"),
        ("net.py:Raises", "8", "lost"),
        ("net.py:Net#nothing", "8", "no method nothing"),
    ],
)
def test_a_model_that_fails_is_a_row_and_the_others_are_there(model, size, said):
    frame = cnncost.sweep([model, "net.py:Net"], {"input": SHAPE, "input_size": [size, 9], "columns": "macs"}, jobs=1)
    rows = frame.to_dict("records")
    assert len(rows) in {2, 4}
    assert said in rows[0]["error"]
    assert rows[-1]["macs"] == macs(1, 9, 9)


def test_what_ran_on_values_is_marked():
    frame = cnncost.sweep(["net.py:Net", "net.py:Reads"], {"input": SHAPE}, jobs=1)
    assert list(frame["trace"]) == ["static", "real"]


@pytest.mark.parametrize(
    ("models", "grid", "said"),
    [
        (["lennet*"], {}, "matches no network of the zoo"),
        (["*lenet55"], {}, "did you mean lenet5"),
        (["lenet6"], {}, "did you mean lenet5"),
        ([], {}, "expected models"),
        (["lenet5"], {"bach": [1]}, "did you mean batch"),
        (["lenet5"], {"batch": [0]}, "whole numbers of at least 1"),
        (["lenet5"], {"batch": [1, 1]}, "given twice"),
        (["lenet5"], {"batch": [1.5]}, "whole numbers of at least 1"),
        (["lenet5"], {"input_size": ["1x2x3"]}, "height, width"),
        (["lenet5"], {"device": "h1000"}, "did you mean"),
        (["lenet5"], {"dtype": "int8"}, "floating-point dtype"),
        (["lenet5"], {"columns": "mac"}, "did you mean macs"),
        (["lenet5"], {"columns": ["nothing"]}, "nothing"),
        (["lenet5"], {"vary": {"heigth": [32, 64]}}, "heigth"),
        (["lenet5"], {"vary": ["sequence=1,2"]}, "nothing has this name"),
        (["lenet5"], {"vary": {"batch": [1, 2]}, "batch": [1]}, "two axes"),
        (["lenet5"], {"trace": "dynamic"}, "expected auto"),
        (["lenet5"], {"batch": range(1, 1_000_002)}, "1,000,001 points"),
    ],
)
def test_bad_grids_are_refused_before_the_work(models, grid, said):
    with pytest.raises(CnncostError) as caught:
        cnncost.sweep(models, grid, jobs=1)
    assert said in str(caught.value)


def test_a_file_says_its_line(here):
    (here / "grid.toml").write_text('models = ["lenet5"]\nbatch = [1]\ncolumns = ["macks"]\n')
    with pytest.raises(InputError, match=r"grid.toml:3: .*did you mean macs"):
        from_file("grid.toml")
    (here / "grid.toml").write_text('models = ["lenet5"]\nbatch = [1, 8]\n[vary]\nsize = [32, 64]\n')
    assert len(from_file("grid.toml")) == prod((2, 2))


YAML = """models: ["torch*", lenet5]
batch: [1, 010]
input_size: [160, 192x288]
vary:
  ids.1: 64..128:64
  filters: [16, 32]
columns: macs
model_args: {flag: no, count: 3}
"""


def test_a_grid_in_yaml_is_read_as_it_is_written(here):
    pytest.importorskip("yaml", reason="needs PyYAML: pip install '.[yaml]'")
    (here / "grid.yaml").write_text(YAML.replace('"torch*"', "lenet1"))
    assert from_file("grid.yaml") == from_data(
        ["lenet1", "lenet5"],
        {
            "batch": [1, 10], "input_size": [160, "192x288"], "columns": "macs",
            "vary": {"ids.1": "64..128:64", "filters": [16, 32]}, "model_args": {"flag": False, "count": 3},
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: lenet5\nbatch: [1]\nbatch: [2]\n", "grid.yml:3: more than one batch"),
        ("models: lenet5\nvary: {size: 1, size: 2}\n", "grid.yml:2: more than one size"),
        ("models: [lenet5\n", "grid.yml:2: broken YAML"),
        ("- lenet5\n", "grid.yml: expected a mapping"),
        ("", "grid.yml: expected a mapping"),
        ("models: lenet5\n\ncolumns: macks\n", "grid.yml:3: .*did you mean macs"),
        ("models: lenet5\nbatch: [1.5]\n", "grid.yml:2: .*whole numbers"),
        ("models: lenet5\nbach: 1\n", "did you mean batch"),
        ("models: !!python/object:os.system {}\n", "broken YAML"),
    ],
)
def test_bad_yaml_says_its_line(here, text, said):
    pytest.importorskip("yaml", reason="needs PyYAML: pip install '.[yaml]'")
    (here / "grid.yml").write_text(text)
    with pytest.raises(InputError, match=said):
        from_file("grid.yml")


def test_patterns_are_of_the_sources_names():
    assert matching("lenet5*") == ["lenet5", "lenet5_modern"]
    assert matching("lenet5") == ["lenet5"]


def test_a_grid_of_many_points_is_not_made_to_be_counted():
    grid = Grid(
        ("m",), (Axis(("a",), tuple((n,) for n in range(10**4))), Axis(("b",), tuple((n,) for n in range(10**4))))
    )
    assert len(grid) == 10**8
    assert [point.sizes for _, point in zip(range(2), grid.points(), strict=False)] == [(0, 0), (0, 1)]


@pytest.mark.parametrize("sizes", [2, 100_000])
def test_what_a_process_is_sent_does_not_grow_with_the_grid(sizes):
    """Else a task of a large grid takes longer to hand over, and to tell from others, than to analyze."""
    axes = (Axis(("batch",), tuple((n,) for n in range(1, sizes + 1))), Axis(("height", "width"), ((8, 9), (10, 12))))
    grid = Grid(("net.py:Net", "lenet5"), axes, columns=("macs",), inputs=(SHAPE,))
    sent = pickle.loads(data := pickle.dumps(grid.for_workers()))
    assert len(data) < 1_000
    assert sent.key == grid.key == grid.digest()
    (row,) = rows_of_task(sent, (Point(5, "net.py:Net", None, (3, 10, 12)),))
    assert row[1]["macs"] == macs(3, 10, 12)


@pytest.mark.parametrize(("ending", "form"), SHOWN.endings.items())
def test_every_format_has_the_numbers(here, ending, form):
    out = here / f"t{ending}"
    cnncost.sweep("net.py:Net", {"input": SHAPE, "batch": [1, 3], "columns": "macs"}, jobs=1, output=out)
    text = (
        re.sub(r"(?<=\d)(,|\{,\})(?=\d{3})", "", out.read_text())
        if form not in {"csv", "json", "jsonl"}
        else out.read_text()
    )
    assert {str(macs(1, 8, 8)), str(macs(3, 8, 8))} <= set(re.findall(r"\d+", text))
    assert not journal_path(out).exists()


def test_parquet_keeps_types(here):
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install '.[parquet]'")
    import pandas as pd

    made = cnncost.sweep(
        ["net.py:Net", "net.py:Raises"], {"input": SHAPE, "columns": "macs"}, jobs=1, output=here / "t.parquet"
    )
    read = pd.read_parquet(here / "t.parquet")
    assert read.astype("string").equals(made.astype("string"))
    assert str(read["macs"].dtype) == "Int64"


def test_columns_of_the_users_own_are_joined(here):
    (here / "own.csv").write_text("model,top1\nlenet5,99.1\nother,3\n")
    frame = cnncost.sweep(["lenet5", "lenet1"], {"columns": "macs"}, jobs=1, join=here / "own.csv")
    assert frame["top1"].tolist()[0] == 99.1
    assert frame["top1"].isna().tolist() == [False, True]


def test_the_users_own_numbers_are_shown_as_they_stand(here):
    """An accuracy of 69.76 is not 69.8, nor a latency of 153.75 ms 154."""
    (here / "own.csv").write_text("model,top1,ms\nlenet5,69.76,153.75\nlenet1,70,1234.5\n")
    exit_code("sweep", "lenet5", "lenet1", "--columns", "macs", "--join", "own.csv", "--jobs", "1", "-o", "t.md")
    rows = [line.strip("| ").split(" | ") for line in (here / "t.md").read_text().splitlines() if "lenet" in line]
    assert [row[2:] for row in rows] == [["69.76", "153.75"], ["70", "1234.5"]]


@pytest.mark.parametrize("varied", [{"input_size": [32, 64]}, {"vary": {"size": [32, 64]}}])
def test_a_published_accuracy_is_of_one_input_size_however_sizes_vary(monkeypatch, varied):
    monkeypatch.setattr("cnncost.sources.names.published_accuracy", lambda *_: (69.76, "V1", (1, 3, 64, 64)))
    frame = cnncost.sweep("resnet18", {**varied, "columns": ["macs", "accuracy"]}, jobs=1)
    assert frame["accuracy"].isna().tolist() == [True, False]
    assert (frame["accuracy"][1], frame["accuracy_of"][1]) == (69.76, "V1")


# ---- interruption


GRID = {"input": [SHAPE], "batch": list(range(1, 21)), "columns": ["macs"]}
RUN = "import cnncost\ncnncost.sweep('net.py:Endless', {grid}, jobs={jobs}, output='t.csv')\n"


def numbers(path):
    with path.open() as file:
        return [(int(row["batch"]), int(row["macs"])) for row in csv.DictReader(file)]


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_after_a_kill_the_same_command_resumes(here, jobs):
    code = RUN.format(grid=GRID, jobs=jobs)
    journal = journal_path(here / "t.csv")
    # it waits at the twelfth point until it is killed, however late that is
    running = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env=os.environ | {"ENDLESS": "1"})
    end = time.monotonic() + 120
    while time.monotonic() < end and not (journal.exists() and journal.read_bytes().count(b"\n") >= 12):
        assert running.poll() is None, f"the sweep ended on its own, with {running.returncode}"
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = journal.read_bytes()
    assert before.count(b"\n") == 12, "a line for the grid, and one for each point that was done"
    assert not (here / "t.csv").exists()
    journal.write_bytes(before + b'{"point": 7, "ro')  # half of a line
    kept = [json.loads(line)["point"] for line in before.splitlines()[1:]]
    told = []
    grid = from_data(["net.py:Endless"], GRID)
    api.run(grid, jobs=jobs, output=here / "t.csv", progress=lambda point, _: told.append(point))
    assert told[: len(kept)] == kept
    assert sorted(told) == list(range(20))
    assert numbers(here / "t.csv") == [(batch, macs(batch, 8, 8)) for batch in range(1, 21)]
    assert not journal.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('{"cnncost": "sweep", "grid": "0"}\n', "of another grid", id="another grid"),
        pytest.param("model,macs\n", "not a journal", id="a table"),
        pytest.param("half a line", "not a journal", id="no line at all"),
    ],
)
def test_what_is_of_another_sweep_is_not_touched(here, text, said):
    journal_path(here / "t.csv").write_text(text)
    with pytest.raises(SweepError, match=said):
        cnncost.sweep("lenet5", {}, jobs=1, output=here / "t.csv")
    assert journal_path(here / "t.csv").read_text() == text


def test_a_first_line_that_is_half_written_begins_anew(here):
    path = here / "j"
    path.write_text('{"cnncost": "swe')
    with Journal(path, "x") as journal:
        journal.add(3, {"macs": 1})
    with Journal(path, "x") as journal:
        assert journal.found == {3: {"macs": 1}}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "md"])
def test_a_half_written_output_is_written_anew(here, ending):
    out = here / f"t.{ending}"
    cnncost.sweep("lenet5", {"columns": "macs"}, jobs=1, output=out)
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    cnncost.sweep("lenet5", {"columns": "macs"}, jobs=1, output=out)
    assert out.read_bytes() == whole
    assert not journal_path(out).exists()


def test_two_sweeps_do_not_write_to_one_output(here):
    with Journal(here / "j", "x"), pytest.raises(SweepError, match="another sweep is writing"):
        Journal(here / "j", "x")


@pytest.mark.long
def test_a_worker_that_dies_loses_no_row_and_a_model_that_kills_twice_is_an_error():
    models = ["net.py:Net", "net.py:Dies", "net.py:DiesOnce", "lenet5"]
    frame = cnncost.sweep(models, {"input": SHAPE, "columns": "macs", "batch": [1, 2]}, jobs=2)
    found = [(row["model"], row["batch"]) for row in frame.to_dict("records")]
    assert found == [(model, batch) for model in models for batch in (1, 2)]
    assert frame["error"].str.contains("died twice").fillna(False).tolist() == [False] * 2 + [True] * 2 + [False] * 4
    assert frame["macs"].tolist()[4:6] == [macs(1, 8, 8), macs(2, 8, 8)]
