"""`cnncost bench` as a user runs it: small networks, ceilings of a datasheet, so that it takes no time."""

import csv
import io
import json

import pytest

import cnncost
from cnncost.bench import ceilings
from cnncost.bench import run as running
from cnncost.render.formats import FORMATS
from tests.cli.calls import exit_code

FAST = ("--ceilings", "xeon-8480", "--seconds", "0.02", "--threads", "1")


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A report in a file, in the working folder."""
    monkeypatch.chdir(tmp_path)
    cnncost.analyze("fc10").save("s.json")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    import torch

    monkeypatch.setenv("CNNCOST_DEVICES", str(tmp_path / "own.toml"))
    monkeypatch.setenv("COLUMNS", "100")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(*arguments):
    return exit_code("bench", *arguments)


def test_two_networks_at_two_batches(capsys):
    assert run("fc10", "lenet1", "--batch", "1,4", *FAST, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(r["network"], r["batch"]) for r in rows] == [
        ("fc10", "1"),
        ("fc10", "4"),
        ("lenet1", "1"),
        ("lenet1", "4"),
    ]
    assert all(float(r["measured_s"]) > 0 and float(r["predicted_s"]) > 0 for r in rows)
    # 91,520 MACs an image
    assert [int(r["macs"]) for r in rows[2:]] == [91_520, 4 * 91_520]


def test_the_layers_of_one(capsys):
    assert run("lenet1", *FAST) == 0
    out = capsys.readouterr().out
    assert "lenet1, as given: layers" in out
    assert "sum of layers" in out
    assert max(map(len, out.splitlines())) <= 100


def test_dtypes_training_and_json(capsys):
    assert run("fc10", "--dtype", "float32,bf16", "--training", *FAST, "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert [(r["dtype"], r["training"], r["status"]) for r in data["rows"]] == [
        ("float32", True, "measured"), ("bfloat16", True, "measured"),
    ]  # fmt: skip
    assert data["host"]["threads"] == 1


@pytest.mark.long
def test_a_file_and_pictures(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path = tmp_path / "bench.md"
    assert run("fc10", "--batch", "1,2", *FAST, "-o", str(path), "--picture", str(tmp_path / "pictures")) == 0
    text = path.read_text()
    for name in ("bench_cpu_errors.svg", "bench_cpu_batches.svg"):
        assert f"](pictures/{name})" in text
        assert (tmp_path / "pictures" / name).read_text().startswith("<?xml")
    assert capsys.readouterr().out == ""


def test_an_interrupted_run_keeps_what_is_finished(tmp_path, monkeypatch):
    real, seen = running._measured, []

    def measured(model, case, *more):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(case)
        return real(model, case, *more)

    monkeypatch.setattr(running, "_measured", measured)
    path = tmp_path / "bench.json"
    assert run("fc10", "--batch", "1,2,3,4", *FAST, "-o", str(path)) == 130
    data = json.loads(path.read_text())
    assert [r["batch"] for r in data["rows"]] == [1, 2]
    assert data["interrupted"] is True


def test_rows_are_written_as_they_are_done(tmp_path, monkeypatch):
    path, sizes = tmp_path / "bench.csv", []
    real = running._measured

    def measured(*arguments):
        sizes.append(len(path.read_text().splitlines()) if path.exists() else 0)
        return real(*arguments)

    monkeypatch.setattr(running, "_measured", measured)
    assert run("fc10", "--batch", "1,2,3", *FAST, "-o", str(path)) == 0
    assert sizes == [0, 2, 3]  # a line of names, and one a row


def test_a_batch_that_no_machine_has_memory_for(capsys):
    assert run("fc10", "--batch", "1,2000000000", *FAST) == 0
    out = " ".join(capsys.readouterr().out.split())
    # 784 floats of 4 bytes an image: 5.7 TiB
    assert "fc10, 2000000000: out of memory: needs about 5.7" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((), "expected one or more MODELs, or --zoo", id="nothing to measure"),
        pytest.param(("fc10", "--zoo"), "expected MODELs or --zoo, not both", id="both"),
        pytest.param(("lenet6",), "did you mean lenet5", id="no such network"),
        pytest.param(("fc10", "--batch", "1,x"), "--batch 1,x: expected whole numbers", id="no number"),
        pytest.param(("fc10", "--batch", "0"), "--batch 0: expected 1 or more", id="batch 0"),
        pytest.param(("fc10", "--dtype", "int4"), "dtype 'int4': expected one of", id="no dtype"),
        pytest.param(("fc10", "--dtype", "int8"), "dtype int8: networks can be run in", id="a dtype that can't be run"),
        pytest.param(("fc10", "--device", "tpu"), "'tpu' is not one of", id="no device"),
        pytest.param(("fc10", "--seconds", "0"), "0.0 is not in the range x>0", id="no time"),
        pytest.param(("fc10", "-o", "no/such/b.md"), "no/such", id="no folder"),
        pytest.param(("fc10", "-o", "b.png"), f"ends in {FORMATS.usual_endings}, got .png", id="ending"),
        pytest.param(("s.json",), "s.json: a saved report has no graph; give the model itself", id="a saved report"),
    ],
)
@pytest.mark.usefixtures("saved")
def test_errors_exit_with_2(capsys, arguments, message):
    assert run(*FAST, *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("lenet6",), "did you mean lenet5", id="no such network"),
        pytest.param(("fc10", "lenet6"), "did you mean lenet5", id="no such second network"),
        pytest.param(("lenet5#forward",), "a measurement runs the model's own forward", id="a method"),
        pytest.param(("torch.nn:ReLU",), "no input given", id="no input known"),
        pytest.param(("s.json",), "s.json: a saved report has no graph", id="a saved report"),
        pytest.param(("fc10", "--dtype", "int8"), "dtype int8: networks can be run in", id="a dtype that can't be run"),
    ],
)
@pytest.mark.usefixtures("saved")
def test_errors_are_told_before_this_machine_is_measured(capsys, monkeypatch, arguments, message):
    """Which takes half a minute."""
    monkeypatch.setattr(ceilings, "measure", lambda *_: pytest.fail("this machine is measured"))
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_no_cuda(capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    assert run("fc10", "--device", "cuda") == 2
    assert "torch sees no CUDA device" in capsys.readouterr().err


def test_ceilings_that_are_not_known(capsys):
    assert run("fc10", "--ceilings", "gtx590") == 2
    assert "did you mean gtx580" in capsys.readouterr().err


def test_a_device_without_the_number_format_is_told_in_the_row(capsys):
    assert run("fc10", "--dtype", "bf16", "--ceilings", "gtx580", "--seconds", "0.02") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "no prediction: device gtx580: no ceiling for bfloat16" in out


NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(8, 8)

    def forward(self, x):
        if torch.is_autocast_enabled("cpu") != {autocast}:
            raise RuntimeError("not run as asked")
        y = self.fc(x)
        return self.fc(y) if {reads} else y
"""
WAYS = [
    pytest.param(True, False, ["--autocast", "bf16"], 64, id="autocast"),
    pytest.param(True, False, ["--autocast", "bf16", "--training"], 64, id="autocast, training"),
    pytest.param(False, False, [], 64, id="none"),
    pytest.param(False, True, ["--trace", "real"], 2 * 64, id="real"),
    pytest.param(False, True, [], 2 * 64, id="auto, where it reads values"),
    pytest.param(False, True, ["--trace", "static"], None, id="static, where it reads values"),
]


@pytest.mark.parametrize(("autocast", "reads", "options", "macs"), WAYS)
def test_it_measures_and_predicts_the_same_run(capsys, tmp_path, autocast, reads, options, macs):
    """A forward that runs otherwise than asked for fails: in the analysis, and in the measurement."""
    (tmp_path / "net.py").write_text(NET.format(autocast=autocast, reads="(y == y).all()" if reads else False))
    name = f"{tmp_path / 'net.py'}:Net"
    status = run(name, "--input", "1x8", *options, *FAST, "--format", "json")
    out, err = capsys.readouterr()
    if macs is None:
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        return
    assert status == 0, err
    (row,) = json.loads(out)["rows"]
    assert row["network"] == (f"{name} under autocast cpu:bfloat16" if autocast else name)
    assert (row["status"], row["macs"]) == ("measured", macs)


def test_casts_of_another_device_than_the_measured_one_are_refused(capsys):
    assert run("fc10", "--autocast", "cuda:bf16", *FAST) == 2
    assert "--autocast bf16, or --device cuda" in capsys.readouterr().err
