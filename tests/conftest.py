"""What tests share: modules here and beside the peers can be imported from all of them."""

import gc
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

import cnncost

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "peers")]
WARM = Path(__file__).parent / "warm"
gc.set_threshold(20_000, 10, 10)  # tests make many objects that live
os.environ["CNNCOST_NO_CACHE"] = "1"  # processes that tests start analyze anew; tests/cache turns it on


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of whole sweeps, leave out what the suite has run, which a file lists; random examples are others each time."""
    listed = Path(os.environ.get("CNNCOST_WHOLE_SWEEPS", ""))
    if listed.is_file():
        done = set(listed.read_text().splitlines())
        chosen: dict[bool, list[pytest.Item]] = {True: [], False: []}
        for item in items:
            always = any(hasattr(item.function, name) for name in ("whole_only", "hypothesis"))
            chosen[always or item.nodeid not in done].append(item)
        config.hook.pytest_deselected(items=chosen[False])
        items[:] = chosen[True]


def pytest_xdist_auto_num_workers() -> int | None:
    """On two cores, `-n auto` starts three workers: a fifth of the time a test waits, for a process or for a clock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 3 if cores == 2 else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Importing all tests makes a million objects, which collections would walk over some twenty times.

    Later collections leave them out, too: walking over them takes half a second, and each failed analysis collects.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def cheap_collection() -> None:
    """Leave out of each module's collections what was there before: caches, libraries, and reports of tests.

    They are half a million objects in the end, which full collections, and searches for what holds a tensor, would
    walk over a hundred times.
    """
    gc.collect(1)
    gc.freeze()


@pytest.fixture(scope="session")
def python():
    """Words for `[*python, "-m", "cnncost", …]`: a process that has torch and cnncost imported from its start on.

    It takes a twentieth of the time. What is about imports, about signals or about the interpreter's own start and
    end needs `sys.executable`.
    """
    if not hasattr(os, "pidfd_open"):  # Linux's
        yield [sys.executable]
        return
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        place = str(Path(folder) / "socket")
        listening.bind(place)
        listening.listen()
        command = [sys.executable, WARM / "server.py", str(listening.fileno()), Path(cnncost.__file__).parents[1]]
        around = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listening.fileno()], env=around) as server:
            listening.close()  # should the server end, nobody waits for it
            yield [sys.executable, "-IS", str(WARM / "client.py"), place]
            server.stdin.close()


@pytest.fixture
def warm_revisions(python, monkeypatch):
    """Analyses of a git revision start with torch imported; those whose subject is what is imported don't use it."""
    monkeypatch.setattr("cnncost.budget.revisions.INTERPRETER", python)
