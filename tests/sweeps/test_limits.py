"""A point's limit of time in a sweep: what hangs, in Python or in C, is a row; no process and no other row is lost."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import cnncost
from cnncost.errors import InputError
from cnncost.sweeps import api
from cnncost.sweeps.journal import Journal, journal_path
from cnncost.sweeps.read import duration, from_data
from cnncost.sweeps.work import prepared_for
from tests.cli.calls import ran
from tests.samples import sample, whole_only

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
            time.sleep(0.01)
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


LIMIT = 5
"""Seconds of a point: ten times as many as the others take, and waited for where one hangs."""


@pytest.fixture
def hanging(here):
    (here / "hang.py").write_text(HANGS)
    return {"input": SHAPE, "columns": "macs", "batch": [1, 2, 3]}


@pytest.mark.long
@pytest.mark.parametrize(("jobs", "names"), sample([(2, "KeepsOn InC"), (1, "InC"), (2, "Loops Stops")], 1))
def test_what_hangs_is_a_row_and_nothing_else_is_lost(hanging, jobs, names):
    models = [f"hang.py:{name}" for name in names.split()]
    rows = cnncost.sweep([*models, "hang.py:Net"], hanging, jobs=jobs, timeout=LIMIT).to_dict("records")
    assert [(row["model"], row["batch"]) for row in rows] == [
        (m, b) for m in [*models, "hang.py:Net"] for b in (1, 2, 3)
    ]
    for row in rows:
        if row["batch"] == 2 and row["model"] in models:
            assert row["error"].startswith(f"not done in {LIMIT} s")
        else:
            assert row["macs"] == macs(row["batch"])


@whole_only
def test_a_factory_that_hangs_is_a_row(hanging):
    rows = cnncost.sweep(["hang.py:builds", "hang.py:Net"], {**hanging, "batch": [1]}, jobs=2, timeout=LIMIT)
    assert rows["error"].fillna("").str.startswith(f"not done in {LIMIT} s").tolist() == [True, False]


def processes_of_this_one():
    children = (int(pid) for each in Path("/proc/self/task").glob("*/children") for pid in each.read_text().split())
    return [pid for pid in children if b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_no_process_is_left_behind(hanging):
    cnncost.sweep(["hang.py:InC", "hang.py:Loops"], {**hanging, "batch": [2]}, jobs=2, timeout=3)
    assert not processes_of_this_one()
    grid = from_data(["hang.py:InC", "hang.py:Net"], {**hanging, "batch": [2, 3]})

    def interrupt(_point, _model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.run(grid, jobs=2, progress=interrupt)
    assert not processes_of_this_one()


@whole_only
def test_with_more_time_it_is_tried_again_and_with_as_much_it_is_not(hanging, here):
    grid = from_data(["hang.py:Sleeps"], hanging)

    def interrupted(_):
        raise KeyboardInterrupt

    for timeout, lines in ((LIMIT, 4), (LIMIT, 4), (LIMIT + 1, 5)):  # the first line names the grid
        with pytest.raises(KeyboardInterrupt):  # before the output is written: the journal stays
            api.run(grid, jobs=1, output=here / "t.csv", timeout=timeout, write_table=interrupted)
        with Journal(journal_path(here / "t.csv"), journal_digest(here)) as journal:
            assert journal.found[1]["error"].startswith(f"not done in {timeout} s")
            assert journal.found[2]["macs"] == macs(3)
        assert journal_path(here / "t.csv").read_bytes().count(b"\n") == lines


def journal_digest(here):
    return json.loads(journal_path(here / "t.csv").read_text().splitlines()[0])["grid"]


@pytest.mark.long
@pytest.mark.parametrize("more", [("--jobs", "1"), ("--jobs", "2"), ("--timeout", "1m")], ids=" ".join)
def test_what_models_print_is_not_in_the_table(more, hanging, here, capfd, monkeypatch):
    """Nor is a process left where there is no pgrep, as in a slim container: joblib's own way to end one calls it."""
    monkeypatch.setenv("PATH", str(here))
    code, out, err = ran(
        capfd, "sweep", "hang.py:Prints", "--input", SHAPE, "--columns", "macs", "--batch", "1,2", "--format", "csv",
        *more,
    )  # fmt: skip
    assert (code, "Failed to kill" in err, "printed" in err, "written" in err) == (0, False, True, True)
    assert [row["macs"] for row in csv.DictReader(out.splitlines())] == [str(macs(b)) for b in (1, 2)]


@pytest.mark.parametrize("text", ["0", "0s", "-1", "2 days", "nan", "inf", "", "1e3"])
def test_a_timeout_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="timeout: expected a time above 0"):
        duration(text)


@pytest.mark.parametrize(("text", "seconds"), [("120", 120), ("120s", 120), ("2m", 120), ("1.5 h", 5400)])
def test_a_timeout_has_a_unit(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_that_are_none_are_refused(seconds):
    with pytest.raises(InputError, match="timeout: expected a number of seconds above 0"):
        cnncost.sweep("lenet5", timeout=seconds)


@pytest.mark.long
def test_importing_torch_is_no_models_time():
    code = "import sys; from cnncost.sweeps.work import prepared_for"
    for models in (["a.onnx", "b.onnx"], ["a.onnx", "lenet5"]):
        code += f"; prepared_for({models})(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
    assert prepared_for(["net.py:Net"]).keywords == prepared_for(["a.onnx", "lenet5"]).keywords


FEW_FILES = [8, 16, 20, 24, 26]
"""Limits at which loky's own errors are an OSError or its handler's."""


@pytest.mark.long
@pytest.mark.parametrize("files", sample(FEW_FILES, 2))
def test_too_few_open_files_for_a_process(here, files):
    program = "from cnncost.cli import main; main('sweep lenet1 lenet5 --batch 1,2 --jobs 2 -o o.csv'.split())"
    shell = f'ulimit -n {files}; exec {sys.executable} -c "{program}"'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)  # noqa: S607  # the shell
    told = "cnncost: sweep: a process can't be started: Too many open files; use fewer with --jobs 1, or raise the "
    assert (done.returncode, done.stderr) == (2, f"{told}limit: ulimit -n for open files, ulimit -u for processes\n")
    assert not (here / "o.csv").exists()


ENDED_AT_ONCE = """
import time
from threading import Event
from joblib.externals.loky.process_executor import _ExecutorManagerThread as Manager
from cnncost.sweeps.processes import _Process

wait = Manager.wait_result_broken_or_wakeup
waits = Event()
def late(thread):  # as on a busy machine: it sees the second call and the end together
    waits.set()
    time.sleep(1)
    return wait(thread)
Manager.wait_result_broken_or_wakeup = late

process = _Process(None, bool)
waits.wait()  # it has taken the first call
process.remaining = iter([(1,), (2,)])
process.start_next(abs)
process.end()
"""


def test_a_process_that_is_ended_while_it_starts_prints_nothing():
    done = subprocess.run([sys.executable, "-c", ENDED_AT_ONCE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        pytest.param("a = P(192); show(); a.end(); show(); a.end(); show()", [193 * 16, 256, 256], id="one"),
        pytest.param("a = P(15); show(); a.end(); show()", [256, 256], id="one that fits below the limit"),
        pytest.param("a = P(192)\nwith P(99): show()\nshow(); a.end(); show()", [193 * 16, 193 * 16, 256], id="two"),
        pytest.param(
            "a = P(99)\nwith P(192): a.end(); show()\nshow()", [193 * 16, 256], id="a larger one that goes on"
        ),
        pytest.param(
            "a = P(192); r.setrlimit(r.RLIMIT_NOFILE, (999, 4096)); a.end(); show()", [999], id="changed by the program"
        ),
        pytest.param("a = P(999); show(); a.end(); show()", [4096, 256], id="the hard limit"),
    ],
)
def test_many_processes_raise_their_own_limit_of_open_files_until_they_end(code, limits):
    """Each takes 7 descriptors: 256, a common soft limit, are enough for 35."""
    program = (
        "import resource as r; from cnncost.sweeps.processes import Processes as P\n"
        f"def show(): print(r.getrlimit(r.RLIMIT_NOFILE)[0])\n{code}"
    )
    shell = f'ulimit -Sn 256; ulimit -Hn 4096; exec {sys.executable} -c "{program}"'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)  # noqa: S607  # the shell
    assert [int(each) for each in done.stdout.split()] == limits


@pytest.mark.long
def test_processes_that_ended_leave_room_below_the_limit_for_open_files(here):
    program = (
        "import os, resource as r; from cnncost.sweeps.processes import Processes as P; "
        "r.setrlimit(r.RLIMIT_NOFILE, (64, 4096)); p = P(12); "
        "assert len([*p.work(abs, [[(i,)] for i in range(24)])]) == 24; "
        "print(len(os.listdir('/dev/fd')) > 64); p.end(); "
        "[open(os.devnull) for _ in range(16)]; print(r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("True\n64\n", 0), done.stderr
