"""Files of the cache: damaged and foreign ones, many writers, the limit; the command; where it is off."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cnncost.cache import store
from cnncost.cache.dependencies import NATIVE, Dependencies, beginning_with
from cnncost.cache.suspects import suspicious
from cnncost.errors import OutputError
from tests.samples import sample

ENTRY = {"dependencies": {}, "recording": {"text": "x" * 1000}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNCOST_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_written_is_read(folder):
    store.write("a", ENTRY)
    assert store.read("a") == ENTRY
    assert store.read("b") is None
    assert store.info().entries == 1
    assert store.clear().entries == 1
    assert store.read("a") is None
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:-1], id="cut"),
        pytest.param(lambda data: data[:40], id="cut in its head"),
        pytest.param(lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], id="a bit"),
        pytest.param(lambda data: data.replace(b"recording 1", b"recording 2"), id="another version"),
        pytest.param(lambda data: b"\x80\x04\x95not ours", id="another program's"),
        pytest.param(lambda data: data * 2, id="twice"),
    ],
)
def test_a_damaged_file_is_none(folder, damage):
    store.write("a", ENTRY)
    path = folder / "a.recording"
    path.write_bytes(damage(path.read_bytes()))
    assert store.read("a") is None
    store.write("a", ENTRY)
    assert store.read("a") == ENTRY


def test_the_least_recently_used_are_removed(folder, monkeypatch):
    for name in "abc":
        store.write(name, ENTRY)
        os.utime(folder / f"{name}.recording", (ord(name), ord(name)))
    store.mark_used("a")
    one = (folder / "a.recording").stat().st_size
    monkeypatch.setattr(store, "LIMIT", 8 * one)
    for name in "defgh":
        store.write(name, ENTRY)
    monkeypatch.setattr(store, "LIMIT", 4 * one)
    monkeypatch.setattr(store, "_PART", 1)
    store.write("i", ENTRY)
    left = {path.stem for path in folder.iterdir()}
    assert len(left) == 4
    assert {"i"} <= left
    assert not {"b", "c"} & left


def test_many_writers_leave_whole_files(folder):
    def write(i):
        store.write("a", {"dependencies": {}, "recording": {"text": str(i) * 100_000}})
        found = store.read("a")
        return found is not None and len(set(found["recording"]["text"])) <= 2

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, range(10, 60)))
    assert [path.name for path in folder.iterdir()] == ["a.recording"]


def test_a_folder_that_takes_no_files_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("CNNCOST_CACHE_DIR", str(tmp_path / "file" / "cache"))
    store.write("a", ENTRY)
    assert store.read("a") is None
    assert (tmp_path / "file").read_text() == "mine"


def test_what_a_killed_process_left_is_removed(folder):
    folder.mkdir()
    left, young, mine = folder / ".cnncost-1-ab.part", folder / ".cnncost-2-cd.part", folder / "notes.part"
    for path in (left, young, mine):
        path.write_text("half")
    os.utime(left, (1, 1))
    store.write("a", ENTRY)
    assert {path.name for path in folder.iterdir()} == {"a.recording", young.name, mine.name}
    assert store.clear().entries == 1
    assert [path.name for path in folder.iterdir()] == [mine.name]


def test_recordings_that_may_not_be_removed_are_not_said_to_be(folder, monkeypatch):
    store.write("a", ENTRY)

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError, match=r"a\.recording: could not be removed: Permission denied"):
        store.clear()
    assert store.info().entries == 1


@pytest.mark.parametrize(
    ("ci", "stated", "on"),
    [("", "", True), ("true", "", False), ("true", "there", True), ("", "there", True)],
)
def test_ci_states_a_folder(monkeypatch, ci, stated, on):
    monkeypatch.delenv("CNNCOST_NO_CACHE")
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("CNNCOST_CACHE_DIR", stated)
    assert store.enabled() is on
    monkeypatch.setenv("CNNCOST_NO_CACHE", "1")
    assert not store.enabled()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os.path, math", ""),
        ("import random", "random"),
        ("from random import Random", "random"),
        ("import urllib.request as r", "urllib.request"),
        ("from numpy.random import default_rng", "numpy.random.default_rng"),
        ("import numpy as np\nnp.random.rand()", "random"),
        ("from os import urandom", "os.urandom"),
        ("__import__('time')", "time"),
        ("from importlib import import_module\nimport_module('time')", "time"),
        ("import polars as pl", "polars"),
        ("from tokenizers import Tokenizer", "tokenizers"),
        ("import torch\ntorch.from_file('w')", "from_file"),
        ("import os\nopener = lambda p, f: os.open(p, f, dir_fd=3)", "dir_fd"),
        ("import os\nos.sysconf('SC_PHYS_PAGES')", "sysconf"),
        ("width = hash('a') % 8", "hash"),
        ("class A:\n    def __hash__(self):\n        return hash(self.a)", ""),
        ("class A:\n    def __hash__(self):\n        return 1\n    def f(self):\n        return hash('a')", "hash"),
        ("from . import random", ""),
        ("from .time import x", ""),
        ("def f(:", ""),
    ],
)
def test_what_a_source_uses(source, found):
    assert suspicious(source) == found


def test_dependencies_go_through_json():
    made = Dependencies(
        sources={"/nowhere": ("", None)}, kinds={"/nowhere": ""}, environment={"NOWHERE_SET": None},
        native=beginning_with(NATIVE),
    )  # fmt: skip
    again = Dependencies.from_data(json.loads(json.dumps(made.to_data())))
    assert again.changed() == ""
    again.sources["/nowhere"] = ("of another content", None)
    assert again.changed() == "/nowhere"


ROOT = Path(__file__).parents[2]
COUNT = """
import sys
from cnncost.cli import main
try:
    main()
finally:
    print('torch' in sys.modules, file=sys.stderr)
"""


def command(folder, *argv, **env):
    around = {name: value for name, value in os.environ.items() if name not in {"CI", "CNNCOST_NO_CACHE"}} | {
        "PYTHONPATH": str(ROOT)
    }
    around |= {"CNNCOST_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"} | env
    found = subprocess.run(
        [sys.executable, "-c", COUNT, *argv], capture_output=True, text=True, env=around, cwd=folder, check=False
    )
    *told, torch = found.stderr.splitlines()
    return found.returncode, found.stdout, told, torch == "True"


@pytest.mark.long
def test_one_recording_answers_many_commands_without_torch(tmp_path):
    code, out, told, torch = command(tmp_path, "summarize", "lenet5", "--verbose")
    assert (code, told, torch) == (0, [], True)
    again = command(tmp_path, "summarize", "lenet5", "--verbose")
    assert again[:2] == (0, out)
    assert "lenet5: from the cache, analyzed at 20" in again[2][0]
    assert not again[3]
    commands = [
        ["summarize", "lenet5", "--depth", "1", "--columns", "+rf"], ["memory", "lenet5", "--inference"],
        ["rf", "lenet5"], ["roofline", "lenet5", "--device", "h100"], ["compare", "lenet5", "lenet5"],
        ["diff", "lenet5", "lenet5"],
    ]  # fmt: skip
    for argv in sample(commands, 2):
        code, out, told, torch = command(tmp_path, *argv)
        assert (code, told, torch) == (0, [], False), argv
        assert out
        asked = argv[:2] if argv[0] == "summarize" else argv  # a Report has all levels and columns
        told = json.loads(command(tmp_path, *asked, "--format", "json")[1])
        assert "from_cache" in (told["made_with"] if argv[0] == "summarize" else told), argv
    data = json.loads(command(tmp_path, "summarize", "lenet5", "--format", "json")[1])
    assert data["made_with"]["from_cache"].startswith("20")
    anew = command(tmp_path, "summarize", "lenet5", "--format", "json", "--no-cache")
    assert anew[3]
    assert "from_cache" not in json.loads(anew[1])["made_with"]
    assert command(tmp_path, "summarize", "lenet5", CI="true", CNNCOST_CACHE_DIR="")[3]
    assert "1 recording" in command(tmp_path, "cache", "info")[1]
    assert "removed 1 recording" in command(tmp_path, "cache", "clear")[1]


@pytest.mark.long
def test_check_answers_from_the_cache(tmp_path):
    (tmp_path / "cnncost.toml").write_text(
        "".join(f'[[budget]]\nname = "{name}"\nmodel = "{name}"\nmacs = "<= 1G"\n' for name in ("lenet5", "lenet1"))
    )
    first = command(tmp_path, "check")
    assert first[0] == 0
    assert first[3]
    again = command(tmp_path, "check")
    assert again == (*first[:3], False)
    (tmp_path / "cnncost.toml").write_text((tmp_path / "cnncost.toml").read_text().replace("lenet1", "lenet4"))
    assert command(tmp_path, "check")[3]


@pytest.mark.long
def test_a_limit_that_a_recording_can_t_answer_breaks_its_own_model_alone(tmp_path):
    """A glob that matches no module, from the cache as without it."""
    budgets = "".join(f'[[budget]]\nmodel = "{name}"\nmacs = "<= 1G"\n' for name in ("lenet5", "lenet1"))
    (tmp_path / "cnncost.toml").write_text(budgets)
    assert command(tmp_path, "check")[::3] == (0, True)
    (tmp_path / "cnncost.toml").write_text(budgets.replace('"<= 1G"', '"<= 1G"\nmodules = { "c9" = { macs = 1 } }', 1))
    cached = command(tmp_path, "check")
    assert cached[3] is False
    assert cached[:3] == command(tmp_path, "check", "--no-cache")[:3]
    assert (cached[0], "no module of the model matches" in " ".join(cached[1].split())) == (2, True)
