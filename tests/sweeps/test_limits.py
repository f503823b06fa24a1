"""A point's limit of time in a sweep: what hangs, in Python or in C, is a row; no process and no other row is lost."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cnncost
from cnncost.errors import InputError
from cnncost.sweeps import api
from cnncost.sweeps.journal import Journal, journal_path
from cnncost.sweeps.read import duration, from_data

SHAPE = "1x3x8x8"


def macs(batch):
    return batch * 4 * 27 * 6 * 6


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


HANGS = """
import ctypes
import signal
import sys
import time
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        return self.conv(x)

class Sleeps(Net):
    def forward(self, x):
        if x.shape[0] == 2:
            time.sleep(10**6)
        return self.conv(x)

class Loops(Net):
    def forward(self, x):
        while x.shape[0] == 2:
            pass
        return self.conv(x)

class KeepsOn(Net):
    def forward(self, x):
        while x.shape[0] == 2:
            try:
                time.sleep(10**6)
            except BaseException:
                pass
        return self.conv(x)

class InC(Net):  # the interpreter's lock is held all the while: no thread of this process can do anything
    def forward(self, x):
        if x.shape[0] == 2:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            ctypes.PyDLL(None).sleep(10**6)
        return self.conv(x)

class Stops(Net):
    def forward(self, x):
        if x.shape[0] == 2:
            import os
            os.kill(os.getpid(), signal.SIGSTOP)
        return self.conv(x)

def builds():
    time.sleep(10**6)

class Prints(Net):
    def forward(self, x):
        print("printed")
        sys.stdout.flush()
        import os
        os.write(1, b"written")
        return self.conv(x)
"""


@pytest.fixture
def hanging(here):
    (here / "hang.py").write_text(HANGS)
    return {"input": SHAPE, "columns": "macs", "batch": [1, 2, 3]}


@pytest.mark.parametrize(("jobs", "names"), [(1, "Sleeps InC"), (2, "Loops KeepsOn InC Stops")])
def test_what_hangs_is_a_row_and_nothing_else_is_lost(hanging, jobs, names):
    models = [f"hang.py:{name}" for name in names.split()]
    rows = cnncost.sweep([*models, "hang.py:Net"], hanging, jobs=jobs, timeout=8).to_dict("records")
    assert [(row["model"], row["batch"]) for row in rows] == [
        (m, b) for m in [*models, "hang.py:Net"] for b in (1, 2, 3)
    ]
    for row in rows:
        if row["batch"] == 2 and row["model"] in models:
            assert row["error"].startswith("not done in 8 s")
        else:
            assert row["macs"] == macs(row["batch"])


def test_a_factory_that_hangs_is_a_row(hanging):
    rows = cnncost.sweep(["hang.py:builds", "hang.py:Net"], {**hanging, "batch": [1]}, jobs=2, timeout=6)
    assert rows["error"].fillna("").str.startswith("not done in 6 s").tolist() == [True, False]


def processes_of_this_one():
    children = (int(pid) for each in Path("/proc/self/task").glob("*/children") for pid in each.read_text().split())
    return [pid for pid in children if b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_no_process_is_left_behind(hanging):
    cnncost.sweep(["hang.py:InC", "hang.py:Loops"], {**hanging, "batch": [2]}, jobs=2, timeout=6)
    assert not processes_of_this_one()
    grid = from_data(["hang.py:InC", "hang.py:Net"], {**hanging, "batch": [2, 3]})

    def interrupt(_point, _model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.run(grid, jobs=2, tell=interrupt)
    assert not processes_of_this_one()


def test_with_more_time_it_is_tried_again_and_with_as_much_it_is_not(hanging, here):
    grid = from_data(["hang.py:Sleeps"], hanging)

    def interrupted(_):
        raise KeyboardInterrupt

    for timeout, lines in ((8, 4), (8, 4), (9, 5)):  # the first line names the grid
        with pytest.raises(KeyboardInterrupt):  # before the output is written: the journal stays
            api.run(grid, jobs=1, output=here / "t.csv", timeout=timeout, put=interrupted)
        with Journal(journal_path(here / "t.csv"), journal_digest(here)) as journal:
            assert journal.found[1]["error"].startswith(f"not done in {timeout} s")
            assert journal.found[2]["macs"] == macs(3)
        assert journal_path(here / "t.csv").read_bytes().count(b"\n") == lines


def journal_digest(here):
    return json.loads(journal_path(here / "t.csv").read_text().splitlines()[0])["grid"]


def test_what_models_print_is_not_in_the_table(hanging, here):
    code = "from cnncost.cli import main; main()"
    arguments = ["sweep", "hang.py:Prints", "--input", SHAPE, "--columns", "macs", "--batch", "1,2", "--format", "csv"]
    for more in (["--jobs", "1"], ["--jobs", "2"], ["--timeout", "1m"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, *more], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        assert [row["macs"] for row in csv.DictReader(done.stdout.splitlines())] == [str(macs(b)) for b in (1, 2)]


def test_processes_end_where_there_is_no_pgrep(hanging, here):
    """As in a slim container: joblib's own way to end a process and its children calls pgrep."""
    code = "from cnncost.cli import main; main()"
    arguments = ["sweep", "hang.py:Net", "--input", SHAPE, "--columns", "macs", "--batch", "1,2", "--format", "csv"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--jobs", "2"], capture_output=True, text=True, check=False,
        env=os.environ | {"PATH": str(here)}, timeout=300,
    )  # fmt: skip
    assert (done.returncode, "Failed to kill" in done.stderr) == (0, False)
    assert [row["macs"] for row in csv.DictReader(done.stdout.splitlines())] == [str(macs(b)) for b in (1, 2)]


@pytest.mark.parametrize("text", ["0", "0s", "-1", "2 days", "nan", "inf", "", "1e3"])
def test_a_timeout_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="timeout: expected a time above 0"):
        duration(text)


@pytest.mark.parametrize(("text", "seconds"), [("120", 120), ("120s", 120), ("2m", 120), ("1.5 h", 5400)])
def test_a_timeout_has_a_unit(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_that_are_none_are_refused(seconds):
    with pytest.raises(InputError, match="timeout: expected seconds above 0"):
        cnncost.sweep("lenet5", timeout=seconds)


@pytest.mark.parametrize(
    ("models", "imported"), [(["a.onnx", "b.onnx"], False), (["a.onnx", "lenet5"], True), (["net.py:Net"], True)]
)
def test_importing_torch_is_no_models_time(models, imported):
    code = f"import sys; from cnncost.sweeps.work import prepared_for; prepared_for({models})()"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(imported)
