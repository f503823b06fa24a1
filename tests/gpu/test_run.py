"""The script that is run on a GPU, rehearsed on the CPU: it must not fail for anything but what it is to find out."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.gpu import casts, memory, rates, run

WELL = (sys.executable, "-c", "print('first'); print('all well')")
FAILS = (sys.executable, "-c", "print('why'); raise SystemExit(3)")
HANGS = (sys.executable, "-uc", """
import time
try:
    time.sleep(60)
except KeyboardInterrupt:
    print('what there is so far')
""")  # fmt: skip


def test_all_parts_together_take_25_minutes_at_most(tmp_path):
    found = run.parts("cuda", tmp_path)
    assert list(found) == ["tests", "casts", "rates", "memory", "bench"]
    assert sum(part.seconds for part in found.values()) <= 25 * 60


def test_the_benchmark_is_the_one_that_the_documentation_names(tmp_path):
    command = " ".join(run.parts("cuda", tmp_path)["bench"].command)
    assert "cnncost bench --zoo --device cuda --batch 1,64 --dtype float32,bf16" in command
    documented = (run.ROOT / "docs" / "concepts" / "roofline.md").read_text()
    assert "cnncost bench --zoo --device cuda --batch 1,64 --dtype float32,bf16 -o reports/bench_gpu.md" in documented


@pytest.mark.parametrize(
    ("command", "line", "good"),
    [
        pytest.param(WELL, "x: ok, # s; all well", True, id="well"),
        pytest.param(FAILS, "x: exit status 3, # s; why", False, id="fails"),
        pytest.param(HANGS, "x: did not end within 9 s, # s; what there is so far", False, id="hangs"),
    ],
)
def test_a_part_is_a_line_of_the_summary(command, line, good, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "GRACE", 6)
    told, well = run.ran("x", run.Part(9, command), tmp_path, dict(os.environ))
    begin, _, end = line.partition("#")
    assert told.startswith(begin)
    assert told.endswith(end)
    assert well is good
    assert (tmp_path / "x.log").read_text().strip().endswith(end.removeprefix(" s; "))


def test_a_part_that_fails_does_not_keep_others_from_running(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setattr(run, "around", lambda out: dict(os.environ))
    monkeypatch.setattr(run, "parts", lambda device, out: {"a": run.Part(90, FAILS), "b": run.Part(90, WELL)})
    assert run.main([]) == 1
    assert [line.partition(",")[0] for line in (tmp_path / "summary.txt").read_text().splitlines()] == [
        "a: exit status 3", "b: ok",
    ]  # fmt: skip
    assert run.main(["b"]) == 0


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        run.arguments(["speed"])
    assert "no part 'speed'; expected some of tests, casts, rates, memory, bench" in capsys.readouterr().err


def test_wheels_are_of_what_is_listed_alone(monkeypatch):
    ran = []
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: ran.append(command) or subprocess.CompletedProcess([], 0)
    )
    assert run.main(["--fetch"]) == 0
    assert ran[0][1:5] == ["-m", "pip", "wheel", "-q"]
    assert "--no-deps" in ran[0]
    assert ran[0][-len(run.LACKING) :] == list(run.LACKING)


LAYERS = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
SMALL = (lambda: nn.Sequential(*LAYERS), (3, 8, 8))


@pytest.fixture(params=[casts, memory], ids=["casts", "memory"])
def part(request, monkeypatch):
    """The script, with one small network."""
    monkeypatch.setattr(request.param, "NETWORKS", {"small": SMALL})
    return request.param


def test_nothing_is_wrong_on_the_cpu(part, capsys):
    assert part.main("cpu") == 0
    last = {
        casts: "6 calls under autocast on cpu, 0 return what was not predicted",
        memory: "0 rows are off by more than 3%",
    }
    assert capsys.readouterr().out.splitlines()[-1] == last[part]


def test_recurrent_layers_on_the_cpu(capsys):
    assert casts.main("cpu", "nn.LSTM") == 0
    assert "0 return what was not predicted" in capsys.readouterr().out


def test_what_is_wrong_is_told(part, monkeypatch, capsys):
    """As if torch cast to another type than predicted, and as if memory had to be predicted better than exactly."""
    monkeypatch.setitem(casts.DTYPES, "bf16", torch.float16)
    monkeypatch.setattr(memory, "ALLOWED", -1)
    assert part.main("cpu") == 1
    told = {
        casts: "small, bf16: 4, call 0: [('bfloat16', (2, 5))], for real [('float16', (2, 5))]",
        memory: "4 rows are off by more than -100%",
    }
    assert told[part] in capsys.readouterr().out


@pytest.mark.long
def test_the_meter_on_the_cpu(monkeypatch, capsys):
    monkeypatch.setattr(rates, "STEPS", 3)
    monkeypatch.setattr(rates, "OVERHEAD", 1)  # seconds: this machine may be busy
    assert rates.main("cpu") == 0
    assert "WRONG" not in capsys.readouterr().out
