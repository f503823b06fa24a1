import json

import pytest

import cnncost
from cnncost.cli import main
from cnncost.render.formats import FORMATS
from tests.versions import facts


def run(capsysbinary, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["memory", *arguments])
    out, err = capsysbinary.readouterr()
    return left.value.code, out.decode(), err.decode()


def test_a_network_in_words(capsysbinary, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsysbinary, "lenet5", "--batch", "4", "--optimizer", "adam")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    report = cnncost.analyze("lenet5", "4x1x32x32", training=True, optimizer="adam")
    lines = {line.split("  ")[0]: line.split() for line in out.splitlines()}
    parameters = report.totals.param_bytes
    assert lines["parameters"][1:3] == [f"{parameters / 1024:.0f}", "KiB"]
    assert lines["optimizer state"][3:5] == [f"{2 * parameters / 1024:.0f}", "KiB"]
    assert "then a step of adam" in out
    assert "forward" in out.splitlines()[-1]
    assert "optimizer" in out.splitlines()[-1]


def test_only_a_forward(capsysbinary):
    code, out, _ = run(capsysbinary, "lenet5", "--inference")
    assert code == 0
    assert "training" not in out


@pytest.mark.parametrize("ending", [".json", ".md", ".csv", ".txt"])
def test_files(capsysbinary, tmp_path, ending):
    target = tmp_path / f"memory{ending}"
    code, out, _ = run(capsysbinary, "lenet5", "-o", str(target))
    assert (code, out) == (0, "")
    text = target.read_text(encoding="utf-8")
    report = cnncost.analyze("lenet5", training=True)
    if ending == ".json":
        data = json.loads(text)
        training = data["runs"]["training step"]
        assert training["peak"] == report.memory.training_peak == max(training["timeline"])
        assert data["runs"]["inference"]["peak"] == report.memory.inference_peak
    if ending == ".csv":
        rows = [line.split(",") for line in text.splitlines()[1:]]
        assert sum(int(row[3]) for row in rows if row[0] == "training step") == report.memory.training_peak
    if ending == ".md":
        assert "| parameters |" in text


@pytest.mark.long
def test_does_it_fit(capsysbinary):
    code, out, _ = run(capsysbinary, "alexnet", "--batch", "128", "--device-memory", "2GiB", "--max-batch")
    verdicts = out.splitlines()[-9:]
    assert code == 0
    assert any(line.startswith("inference: ") and " fits 2.00 GiB" in line for line in verdicts)
    assert any(line.startswith("training step: ") and "does not fit 2.00 GiB" in line for line in verdicts)
    largest = next(line for line in verdicts if line.startswith("training step: the largest batch"))
    batch = int(largest.split(" is ")[1].split(",")[0])
    for size, fits in ((batch, True), (batch + 1, False)):
        report = cnncost.analyze("alexnet", f"{size}x3x227x227", training=True)
        assert (report.memory.training_peak <= 2 * 2**30) is fits


@pytest.mark.parametrize(
    ("size", "told"),
    [("8GB", "fits 8GB (7.45 GiB), "), ("8000000000B", "fits 8000000000B (7.45 GiB), "), ("7.5gib", "fits 7.50 GiB, ")],
)
def test_the_size_is_told_as_it_was_given(capsysbinary, size, told):
    _, out, _ = run(capsysbinary, "fc10", "--device-memory", size)
    assert out.count(told) == 2


@pytest.mark.parametrize(
    ("model", "under"),
    [
        # (a network, what is below the timeline of its training step)
        pytest.param(
            "fc10",
            ["    backward  optimizer", "forward from op 1, backward from op 5, optimizer from op 15"]
            if facts.DETACH_IS_DISPATCHED_ONCE else
            ["    backward    optimizer", "forward from op 1, backward from op 5, optimizer from op 17"],
            id="no room for forward",
        ),
        pytest.param(
            "lenet1",
            ["forward           backward                              optimizer"]
            if facts.DETACH_IS_DISPATCHED_ONCE else
            ["forward           backward                               optimizer"],
            id="room",
        ),
    ],
)  # fmt: skip
def test_names_of_phases_are_whole_or_in_a_line_of_their_own(capsysbinary, monkeypatch, model, under):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(capsysbinary, model, "--optimizer", "adam")
    lines = out.splitlines()
    assert lines[lines.index("training step, op by op") + 2 :] == under


def test_the_rest_of_the_holders_sets_no_scale(capsysbinary):
    _, out, _ = run(capsysbinary, "resnet18", "--inference")
    rows = [line for line in out.splitlines() if " parameters " in line or " more " in line]
    assert "█" * 11 in rows[1]  # the largest holder, above the table of uses
    assert rows[-1].startswith("56 more")
    assert "█" not in rows[-1]


LENET = "lenet5"


def verdicts(capsysbinary, *args):
    """The sentences on what fits, inference and training step."""
    code, out, err = run(capsysbinary, *args, "--format", "json")
    assert code == 0, err
    return json.loads(out)["verdicts"]


@pytest.mark.parametrize("name", ["inference", "training step"])
@pytest.mark.parametrize(("spare", "fits"), [(1, True), (0, True), (-1, False)])
def test_a_stated_workspace_is_part_of_what_fits(capsysbinary, name, spare, fits):
    """It is held all the time: to the byte, tensors and workspace are to be in what the device has."""
    _, out, _ = run(capsysbinary, LENET, "--format", "json")
    peak, held = json.loads(out)["runs"][name]["peak"], 4096
    said = verdicts(capsysbinary, LENET, "--workspace", f"{held}B", "--device-memory", f"{peak + held + spare}B")
    (line,) = [each for each in said if each.startswith(name)]
    assert (" with the workspace of 4096B (4.00 KiB) fits " in line) is fits
    assert (" does not fit " in line) is not fits
    assert "not counted" not in line


def test_the_largest_batch_leaves_room_for_a_stated_workspace(capsysbinary):
    limit, held = 4 * 2**20, 2**20
    said = verdicts(capsysbinary, LENET, "--workspace", "1MiB", "--device-memory", "4MiB", "--max-batch", "--inference")
    line = next(each for each in said if "largest batch" in each)
    batch = int(line.split(" is ")[1].split(",")[0])
    peaks = [cnncost.analyze(LENET, f"{n}x1x32x32").memory.inference_peak for n in (batch, batch + 1)]
    assert peaks[0] + held <= limit < peaks[1] + held
    assert line.endswith("the workspace of 1.00 MiB included")
    assert f"with {peaks[0] + held:,} of {limit:,} bytes" in line


def test_what_fits_without_workspaces_says_so(capsysbinary, monkeypatch):
    """On this CPU, estimated; where they do not fit any more, that too is said."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    _, out, _ = run(capsysbinary, "resnet18", "--inference", "--format", "json")
    found = json.loads(out)["runs"]["inference"]
    tensors, raw = found["peak"], found["peak_with_workspaces_estimated"]["nbytes"]
    assert tensors < raw
    for limit, ending in (
        (raw, "kernels' workspaces are not counted"),
        (raw - 1, " do not fit"),
        (tensors - 1, "too much"),
    ):
        for line in verdicts(capsysbinary, "resnet18", "--inference", "--device-memory", f"{limit}B"):
            assert line.endswith(ending)
    (line,) = verdicts(capsysbinary, "resnet18", "--inference", "--device-memory", f"{raw - 1}B")
    assert " fits " in line
    assert "kernels' workspaces are not counted: estimated with those of oneDNN for " in line
    said = verdicts(capsysbinary, LENET, "--inference", "--device-memory", "1GiB", "--max-batch")
    assert all(line.endswith("kernels' workspaces are not counted") for line in said)


def test_one_example_is_too_much(capsysbinary):
    _, out, _ = run(capsysbinary, "alexnet", "--device-memory", "1MiB", "--max-batch")
    assert out.count("not even one example fits 1.00 MiB") == 2


def test_another_dtype_halves_it(capsysbinary):
    peaks = []
    for dtype in ("float32", "bf16"):
        _, out, _ = run(capsysbinary, "vgg11", "--dtype", dtype, "--inference", "--format", "json")
        peaks.append(json.loads(out)["runs"]["inference"]["peak"])
    indices = 8 * 128 * 56 * 56  # of the maxima of the second pool, at the peak in either
    assert peaks[0] - indices == 2 * (peaks[1] - indices)


def test_autocast_is_told_and_taken(capsysbinary):
    _, plain, _ = run(capsysbinary, "lenet5", "--format", "json")
    _, mixed, _ = run(capsysbinary, "lenet5", "--autocast", "cuda:bf16", "--format", "json")
    told = [json.loads(text) for text in (plain, mixed)]
    assert [each["model"] for each in told] == ["lenet5", "lenet5 under autocast cuda:bfloat16"]
    peaks = [{name: part["peak"] for name, part in each["runs"].items()} for each in told]
    assert peaks[0] != peaks[1]
    _, out, _ = run(capsysbinary, "lenet5", "--autocast", "fp16", "--device-memory", "1MiB", "--max-batch")
    assert "lenet5 under autocast cpu:float16" in out
    assert out.count("largest batch") == 2


def test_a_picture(capsysbinary, tmp_path):
    target = tmp_path / "net.png"
    code, _, err = run(capsysbinary, "lenet5", "--picture", str(target))
    assert code == 0, err
    assert target.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lenet5", "--inference", "--optimizer", "sgd"], "--inference analyzes no training step"),
        (["lenet5", "--max-batch"], "--max-batch needs --device-memory"),
        (["lenet5", "--device-memory", "much"], "'much' is not a size; expected, for example, 2GiB"),
        (["lenet5", "--optimizer", "lbfgs"], "LBFGS evaluates the model in a closure"),
        (["lenet5", "--dtype", "int8"], "expected a floating-point dtype"),
        (["lenet5", "--autocast", "fp8"], "expected bf16 or fp16 for the CPU; a device and a dtype, such as cuda:bf16"),
        (["lenet5", "-o", "x.gif"], f"expected a name that ends in {FORMATS.usual_endings}"),
        (["lenet5", "-o", "nowhere/x.md"], "nowhere"),
        (["lenet5", "--picture", "x.gif"], "expected a name that ends in .png"),
        (["lenet5", "--picture", "nowhere/x.png"], "nowhere does not exist"),
        (["s.json"], "s.json: a saved report has no graph; give the model itself"),
        (["lenet6"], "lenet5"),
        (["lenet5", "--batch", "0"], "0 is not in the range"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, monkeypatch, capsysbinary, arguments, says):
    monkeypatch.chdir(tmp_path)
    cnncost.analyze("fc10").save("s.json")
    code, out, err = run(capsysbinary, *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert "Traceback" not in err


def test_columns_of_a_summary():
    """c1: 6·28·28 floats, and as many again where they are scaled; a step keeps what its backward needs."""
    report = cnncost.analyze("lenet5", training=True).with_memory()
    assert sum(layer.allocated for layer in report.layers) == report.totals.allocated == report.modules[0].allocated
    assert sum(layer.saved for layer in report.layers) == report.totals.saved
    assert report.layer("c1").allocated == 4 * 6 * 28 * 28
    assert 0 < report.totals.saved <= report.totals.allocated
    assert "allocated" in report.to_csv().splitlines()[0]
    assert "allocated" not in cnncost.analyze("lenet5").to_csv()
    assert [row.allocated for row in cnncost.analyze("lenet5").layers if row.allocated is not None] == []


def test_columns_on_the_command_line(capsysbinary):
    with pytest.raises(SystemExit) as left:
        main(["summarize", "lenet5", "--columns", "+memory,+rf", "--by", "layer", "--format", "csv"])
    assert left.value.code == 0
    heads = capsysbinary.readouterr().out.decode().splitlines()[0].split(",")
    assert {"allocated", "saved", "receptive_field"} <= set(heads)
