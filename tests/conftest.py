"""What tests share: modules here and beside the peers can be imported from all of them."""

import gc
import os
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import settings

import cnncost

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "peers")]
WARM = Path(__file__).parent / "warm"
FEWEST = 4
"""Rows of a test that the quick suite takes, if it has so many."""
SHARE = 3
"""The quick suite takes one of so many rows, and of random examples."""
gc.set_threshold(20_000, 10, 10)  # tests make many objects that live
os.environ["CNNCOST_NO_CACHE"] = "1"  # processes that tests start analyze anew; tests/cache turns it on


def is_quick(config: pytest.Config) -> bool:
    """Return whether tests are left out: neither paths nor options say which are to run."""
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist gets the controller's folders as paths
        return config.workerinput["quick"]
    chosen = [getattr(config.option, name, None) for name in ("keyword", "markexpr", "lf")]
    at_will = config.args_source is pytest.Config.ArgsSource.ARGS or any(chosen)
    return not at_will and "CNNCOST_WHOLE_SWEEPS" not in os.environ


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell a worker of pytest-xdist which tests are run."""
    node.workerinput["quick"] = is_quick(node.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Leave out tests, before their order is random."""
    listed = Path(os.environ.get("CNNCOST_WHOLE_SWEEPS", ""))
    chosen = items
    if is_quick(config):
        chosen = quick(items)
    elif listed.is_file():  # of what has passed; but random examples are others each time
        passed = set(listed.read_text().splitlines())
        chosen = [item for item in items if item.nodeid not in passed or hasattr(item.function, "hypothesis")]
    if chosen is not items:
        taken = {item.nodeid for item in chosen}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in taken])
        items[:] = chosen
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """List what has passed, for a run of everything else."""
    listed = os.environ.get("CNNCOST_PASSED")
    if listed and report.when == "call" and report.passed and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(listed).open("a") as file:
            file.write(f"{report.nodeid}\n")


def quick(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests that aren't long, and of one with many rows, or random examples, a share of them.

    Long are those marked so, and those in a browser, whose processes take a second of processor time for each test.
    Rows are those whose names have the lowest checksums: they stay the same as rows are added, and no step
    through a table of two parameters takes the same value of one of them each time.
    """
    rows: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("long") is None and "browser" not in item.fixturenames:
            rows[item.nodeid.split("[")[0]].append(item)
    for test in {item.function for item in items if hasattr(item.function, "hypothesis")}:
        most = test._hypothesis_internal_use_settings
        test._hypothesis_internal_use_settings = settings(most, max_examples=max(FEWEST, most.max_examples // SHARE))
    taken = set()
    for test in rows.values():
        size = max(FEWEST, -(-len(test) // SHARE))
        taken.update(sorted((item.nodeid for item in test), key=lambda name: crc32(name.encode()))[:size])
    return [item for item in items if item.nodeid in taken]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """On two cores, `-n auto` starts three workers for long tests, which wait: for processes, browsers and clocks."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 3 if cores == 2 and not is_quick(config) else None


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
