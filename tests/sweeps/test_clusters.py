"""Sweeps on a real local Dask cluster, with a worker killed in its midst, and on a real local Ray."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest

from cnncost.errors import SweepError
from cnncost.sweeps import api
from cnncost.sweeps.read import from_data

NET = """
import os
import time
from pathlib import Path
from torch import nn

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        time.sleep(0.1)
        return self.conv(x)

class DiesOnce(Slow):
    def forward(self, x):
        died = Path(__file__).with_name("died")
        if x.shape[0] == 40 and not died.exists():
            died.touch()
            os.kill(os.getpid(), 9)
        return self.conv(x)
"""
GRID = {"input": ["1x3x8x8"], "batch": list(range(1, 97)), "columns": ["macs"]}
EXPECTED = [(batch, batch * 4 * 27 * 36) for batch in range(1, 97)]
quiet = pytest.mark.filterwarnings("ignore")  # of Dask and Ray, about what they use themselves


def needs(package, extra):
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs {package}: pip install '.[{extra}]'")


@pytest.fixture
def grid(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return from_data([f"{tmp_path}/net.py:Slow"], GRID)


def pairs(result):
    return [(row["batch"], row["macs"]) for row in result.records()]


@pytest.fixture
def cluster(tmp_path):
    """A scheduler's address and two workers, each a process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
            cwd=tmp_path, stderr=subprocess.DEVNULL,
        )
    ]  # fmt: skip
    started += [
        subprocess.Popen(
            [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"],
            cwd=tmp_path, stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]  # fmt: skip
    yield address, started[1:]
    for process in started:
        process.kill()
        process.wait()


@quiet
@needs("distributed", "dask")
def test_a_dask_worker_that_is_killed_loses_and_doubles_no_row(grid, cluster, tmp_path):
    from distributed import Client

    address, workers = cluster
    with Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    told = []

    def tell(point, _model):
        told.append(point)
        if len(told) == 1:
            os.kill(workers[0].pid, signal.SIGKILL)

    result = api.run(grid, backend="dask", scheduler=address, output=tmp_path / "t.csv", progress=tell)
    assert workers[0].wait(10) == -signal.SIGKILL
    assert pairs(result) == EXPECTED
    assert sorted(told) == list(range(96))


@quiet
@needs("distributed", "dask")
def test_a_scheduler_that_does_not_answer_is_named(grid):
    with pytest.raises(SweepError, match=r"tcp://127.0.0.1:9 can't be reached"):
        api.run(grid, backend="dask", scheduler="tcp://127.0.0.1:9")


@quiet
@needs("ray", "ray")
def test_on_ray_each_point_is_one_row(grid):
    told = []
    result = api.run(grid, backend="ray", jobs=2, progress=lambda point, _: told.append(point))
    assert pairs(result) == EXPECTED
    assert sorted(told) == list(range(96))


@quiet
@needs("ray", "ray")
def test_a_ray_worker_that_is_killed_loses_and_doubles_no_row(grid, tmp_path):
    told = []
    dies = replace(grid, models=(f"{tmp_path}/net.py:DiesOnce",))
    result = api.run(dies, backend="ray", jobs=2, progress=lambda point, _: told.append(point))
    assert (tmp_path / "died").exists()
    assert pairs(result) == EXPECTED
    assert sorted(told) == list(range(96))
