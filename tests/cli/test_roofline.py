"""`cnncost roofline` and `cnncost devices` as a user runs them."""

import csv
import io
import json

import pytest

from cnncost.render.formats import FORMATS
from tests.cli.calls import exit_code as run


@pytest.fixture(autouse=True)
def no_devices_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNCOST_DEVICES", str(tmp_path / "own.toml"))
    monkeypatch.setenv("COLUMNS", "80")


def test_a_prediction_in_80_columns(capsys):
    assert run("roofline", "resnet50", "--device", "h100", "--dtype", "bf16", "--batch", "64") == 0
    out = capsys.readouterr().out
    assert "input 64×3×224×224 float32, batch size 64,\n  computed in bfloat16" in out
    assert "989 TFLOP/s bfloat16, 3.35 TB/s,\nlaunch 5.00 µs (assumed), ridge at 295 FLOP/B" in out
    assert "time of an op = max(launch, FLOPs / peak, bytes / bandwidth)" in out
    # 53 convolutions and norms, 49 ReLUs, 2 pools, a linear layer, 16 additions; 40 are shown
    assert f"… {53 + 53 + 49 + 2 + 1 + 16 - 40} more" in out
    assert "\ntotal " in out
    assert "a lower bound, at the ceilings of: NVIDIA H100" in out
    assert max(map(len, out.splitlines())) <= 80


def test_alexnets_training_on_two_gtx_580(capsys):
    """The slide's 5 to 6 days, beside what the ceilings alone allow: with no loss, more than a quarter of it."""
    arguments = ("--batch", "128", "--epochs", "90", "--examples", "1200000", "--devices", "2", "--format", "json")
    assert run("roofline", "alexnet_two_gpu", "--device", "gtx580", *arguments) == 0
    training = json.loads(capsys.readouterr().out)["training"]
    # at the peak alone: 90·1.2 M·3·2·MACs / 2 devices, of a network of 0.66 GMACs and more
    compute = 90 * 1_200_000 * 3 * 2 * 0.66e9 / (2 * 1.581e12) / 86400
    assert compute < training["seconds"] / 86400 < 3
    assert training["steps"] == 90 * 1_200_000 / 128
    assert training["recorded"] is False
    assert training["joules"] == pytest.approx(2 * 244 * training["seconds"])


def test_the_formula_with_its_numbers(capsys):
    assert run("roofline", "resnet50", "--device", "h100", "--explain", "layer1.0.conv2") == 0
    out = capsys.readouterr().out
    # 2·64·64·9·56² FLOPs at 67 T; 4·(2·64·56² + 64·64·9) bytes at 3.35 T
    assert f"FLOPs {2 * 64 * 64 * 9 * 56**2:,} / 67.0 TFLOP/s = 3.45 µs" in out
    assert f"{4 * (2 * 64 * 56**2 + 64 * 64 * 9):,} take 523 ns) = 5.00 µs" in " ".join(out.split())


def test_csv_has_every_row_and_adds_up(capsys):
    assert run("roofline", "lenet5", "--device", "xeon-8480", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert run("roofline", "lenet5", "--device", "xeon-8480", "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert sum(float(row["seconds"]) for row in rows) == pytest.approx(data["total"]["seconds"])
    assert sum(int(row["flops"]) for row in rows) == data["total"]["flops"] == 694_086
    assert [row["name"] for row in rows][:3] == ["c1", "squash1", "s2"]


@pytest.mark.parametrize("by", ["op", "kind"])
def test_by_op_and_kind_the_slowest_come_first(capsys, by):
    assert run("roofline", "resnet18", "--device", "t4", "--by", by, "--format", "csv") == 0
    seconds = [float(row["seconds"]) for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert len(seconds) > 3
    assert seconds == sorted(seconds, reverse=True)


def test_markdown_into_a_file(tmp_path, capsys):
    path = tmp_path / "roof.md"
    assert run("roofline", "lenet1", "--device", "dsp32c", "-o", str(path)) == 0
    text = path.read_text()
    assert text.startswith("# lenet1 (LeNet1): roofline\n")
    assert "| **total** |" in text
    assert "no memory ceiling (bandwidth unknown)" in text
    assert capsys.readouterr().out == ""


def test_a_device_of_ones_own(tmp_path, capsys):
    path = tmp_path / "d.toml"
    path.write_text('[slow]\ntitle = "Slow"\nclass = "dsp"\nflops = { float32 = 1e3 }\nsource = "a test"\n')
    assert run("roofline", "fc10", "--device", "slow", "--device-file", str(path), "--format", "json") == 0
    # 784·10 MACs and 10 biases
    assert json.loads(capsys.readouterr().out)["total"]["seconds"] == pytest.approx(15_690 / 1e3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("lenet5", "--device", "h10"), "device 'h10': not known; did you mean h100?", id="no such device"),
        pytest.param(("lenet5", "--device", "h100", "--dtype", "fp4"), "dtype 'fp4': expected one of", id="no dtype"),
        pytest.param(("lenet5", "--device", "t4", "--dtype", "bf16"), "device t4: no ceiling for bfloat16",
            id="not on it"),
        pytest.param(("lenet5", "--device", "apple-a16"), "no ceiling for float32; it has float16", id="not float32"),
        pytest.param(("lenet6", "--device", "h100"), "did you mean lenet5", id="no such network"),
        pytest.param(("lenet5",), "Missing option '--device'", id="no device"),
        pytest.param(("lenet5", "--device", "h100", "--epochs", "3"), "needs both --epochs and --examples", id="half"),
        pytest.param(("lenet5", "--device", "h100", "--explain", "c9"), "the model has no module of this path",
            id="no module"),
        pytest.param(("lenet5", "--device", "h100", "--explain", "c1", "--format", "json"), "leave out --format",
            id="an explanation as data"),
        pytest.param(("lenet5", "--device", "h100", "--explain", "c1", "--by", "op"), "leave out", id="by op"),
        pytest.param(("lenet5", "--device", "h100", "--explain", "c1", "--top", "3"), "--top", id="top of one module"),
        pytest.param(("lenet5", "--device", "h100", "--batch", "0"), "0 is not in the range", id="batch 0"),
        pytest.param(("lenet5", "--device", "h100", "--device-file", "no.toml"), "no.toml: can't be read",
            id="no file"),
        pytest.param(("lenet5", "--device", "h100", "-o", "no/such/x.md"), "no/such", id="no folder"),
        pytest.param(("lenet5", "--device", "h100", "-o", "x.png"),
            f"ends in {FORMATS.usual_endings}, got .png",
            id="no such ending"),
        pytest.param(
            ("lenet5", "--device", "h100", "--epochs", "-1", "--examples", "5"), "epochs: expected a number above 0",
            id="negative"
        ),
    ],
)  # fmt: skip
def test_errors_exit_with_2(capsys, arguments, message):
    assert run("roofline", *arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("columns", ["60", "80", "160"])
def test_the_list_of_devices_fits(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert run("devices") == 0
    out = capsys.readouterr().out
    assert "gtx580" in out
    assert max(map(len, out.splitlines()[2:])) <= int(columns)


def test_all_of_a_device(capsys):
    assert run("devices", "gtx580") == 0
    out = capsys.readouterr().out
    assert "float32    1.58 TFLOP/s" in out
    assert "Krizhevsky et al. 2012" in out
    assert run("devices", "gtx580", "--json") == 0
    assert json.loads(capsys.readouterr().out)["devices"][0]["power"] == 244


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("gtx590",), "did you mean gtx580", id="no such device"),
        pytest.param(("h100", "--measure"), "--measure measures this machine", id="a name to measure"),
        pytest.param(("--threads", "2"), "belong to --measure", id="threads alone"),
        pytest.param(("--on", "cuda"), "belong to --measure", id="what to measure alone"),
        pytest.param(("h100", "--on", "cpu"), "belong to --measure", id="what to measure beside a name"),
        pytest.param(("h100", "--json", "--format", "csv"), "--json means --format json", id="two formats"),
        pytest.param(("--json", "-o", "x.csv"), "x.csv", id="a file of another format"),
        pytest.param(("--measure", "--on", "tpu"), "'tpu' is not one of", id="no such backend"),
    ],
)
def test_errors_of_devices_exit_with_2(capsys, arguments, message):
    assert run("devices", *arguments) == 2
    assert message in capsys.readouterr().err


def test_measuring_a_gpu_that_is_not_there(capsys, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    assert run("devices", "--measure", "--on", "cuda") == 2
    assert "torch sees no CUDA device" in capsys.readouterr().err
    assert not (tmp_path / "own.toml").exists()


@pytest.mark.long
def test_measuring_this_machine_adds_it_to_the_list(capsys, monkeypatch, tmp_path):
    from cnncost.bench import ceilings
    from cnncost.bench.timing import Budget

    monkeypatch.setattr(ceilings._best, "__defaults__", (Budget(0.0, 0.02, 2, 4),))
    monkeypatch.setattr(ceilings, "_WORKING_SETS", [1 << 18])
    monkeypatch.setattr(ceilings, "_MAIN", 1 << 20)
    monkeypatch.setitem(ceilings._SIDES, "cpu", (64, 128))
    monkeypatch.setitem(ceilings._IMAGES, "cpu", (2, 3))
    assert run("devices", "--measure", "--save-as", "desk", "--threads", "1") == 0
    assert f"saved as desk in {tmp_path / 'own.toml'}" in capsys.readouterr().err
    assert run("devices") == 0
    assert "\ndesk " in capsys.readouterr().out
    assert run("roofline", "lenet5", "--device", "desk") == 0
    out = capsys.readouterr().out
    assert "a lower bound" not in out
    assert "1 thread on" in out.replace("\n", " ")
