"""Predicted and measured meet by key; the figures and sentences of a benchmark that is made by hand."""

import csv
import io
import json
import re
import time
from dataclasses import replace

import pytest
from torch import nn

from cnncost.analysis import analyze
from cnncost.bench import run
from cnncost.bench.backend import Cpu
from cnncost.bench.host import Host
from cnncost.bench.result import Case, NetworkTiming
from cnncost.bench.timing import Budget, Timing
from cnncost.devices import Device, find
from cnncost.evaluation import tables, words
from cnncost.evaluation.bench import Bench, Figures
from cnncost.evaluation.document import document
from cnncost.evaluation.join import join, predict
from cnncost.evaluation.memory import predicted_peak
from cnncost.plots.bench import draw_errors
from cnncost.render.formats import rendered
from cnncost.render.text import to_text
from cnncost.sources.resolve import resolve
from cnncost.sources.source import ModelSource

DEVICE = Device(
    "here", "A machine", "cpu", {"float32": 1e12, "bfloat16": 2e12}, 1e10, "a test", launch=1e-6, measured="now"
)
HOST = Host("A CPU", 4, 8 << 30, "", None, "", "", "", "2.13.0", "3.11.7", "Linux 6", 4, 2, 0.1)


def timing(seconds, noise=()):
    return Timing(seconds, 0.99 * seconds, 1.01 * seconds, 0.98 * seconds, 20, noise)


def row(name, seconds, batch=1, noise=(), layers=None, device=DEVICE, **more):
    case = Case(batch, **more)
    prediction, recorded = predict(resolve(name), case, device)
    return join(
        NetworkTiming(name, case, timing=timing(seconds, noise), layers=layers or {}, instrumented=seconds,
                 peak_memory=1 << 20),
        prediction, recorded,
    )  # fmt: skip


def bench(*rows, whole_zoo=True):
    return Bench("cpu", HOST, DEVICE, "2026-11-24 12:00 UTC", list(rows), 3.0, whole_zoo=whole_zoo)


def test_layers_meet_by_call_and_keep_the_analysis_order():
    found = row("fc10", 1e-3, layers={("fc1", 1): 6e-4, ("flatten", 1): 1e-4, ("", 1): 1e-4, ("gone", 1): 2e-4})
    assert [(each.label, each.measured) for each in found.layers] == [
        ("flatten", 1e-4),
        ("fc1", 6e-4),
        ("", 1e-4),
        ("gone", 2e-4),
    ]
    fc = found.layers[1]
    # 784·10 weights, 794 values of 4 bytes and 10 biases: memory-bound
    assert fc.predicted.nbytes == 4 * (784 * 10 + 784 + 10 + 10)
    assert (fc.kind, fc.class_name) == ("linear", "Linear")
    assert found.gap == pytest.approx(0.0)


class Late(nn.Linear):
    """Takes long: 20 ms beside the product."""

    def forward(self, x):
        time.sleep(0.02)
        return super().forward(x)


class Named(nn.Module):
    """A module called twice, and one that is named as its second call is."""

    def __init__(self, order):
        super().__init__()
        self.order = order
        self.a = nn.Linear(8, 8)
        self.add_module("a#2", Late(8, 8, bias=False))

    def forward(self, x):
        for name in self.order:
            x = getattr(self, name)(x)
        return x


class Chosen(nn.Module):
    """How much its child computes depends on the numbers: it picks those above 0, here all."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 8)
        self.pick = Positive()

    def forward(self, x):
        return self.pick(self.a(x))


class Positive(nn.Module):
    def forward(self, x):
        return x[x.exp() > 0] * 2


def benchmarked(factory, trace="static", **arguments):
    """A network in Python, measured on this CPU and joined with its prediction."""
    net = resolve(ModelSource("python", "net", factory, arguments=arguments), "4x8")
    (found,) = run.measure(net, [Case(4)], Cpu(), Budget(0.0, 0.01, 3, 5))
    return join(found, *predict(net, Case(4), DEVICE, trace))


@pytest.mark.parametrize("order", [("a", "a", "a#2"), ("a", "a#2", "a"), ("a#2", "a", "a")])
def test_a_module_named_like_a_second_call_has_its_own_times(order):
    found = benchmarked(Named, order=order)
    calls = {(each.path, each.call): each for each in found.layers if each.predicted}
    assert set(calls) == {("a", 1), ("a", 2), ("a#2", 1)}
    # bytes of the product: 4 rows in and out and the weights, 4 each; a's bias is 8 more
    assert {where: each.predicted.nbytes for where, each in calls.items()} == {
        ("a", 1): 4 * (2 * 4 * 8 + 8 * 8 + 8),
        ("a", 2): 4 * (2 * 4 * 8 + 8 * 8 + 8),
        ("a#2", 1): 4 * (2 * 4 * 8 + 8 * 8),
    }
    assert calls["a#2", 1].measured >= 0.02 > 10 * max(calls["a", 1].measured, calls["a", 2].measured)
    assert sum(each.measured or 0.0 for each in found.layers) == pytest.approx(sum(found.measured.layers.values()))
    data = json.loads(rendered(document(bench(found), 5), "json"))["rows"][0]["layers"]
    assert {(each["path"], each["call"]): each["measured_s"] for each in data} == found.measured.layers


def test_a_call_whose_cost_depends_on_the_data_has_its_prediction_beside_its_time():
    found = benchmarked(Chosen, trace="real")
    assert {each.path for each in found.report.layers if each.status == "data"} == {"pick"}
    (pick,) = [each for each in found.layers if each.path == "pick"]
    assert (pick.class_name, pick.call) == ("Positive", 1)
    assert pick.predicted.flops >= 4 * 8  # the last product alone
    assert pick.measured > 0


def test_numbers_of_a_row():
    found = row("fc10", 1e-3, batch=4)
    # 4·(784·10 + 10 biases) in FLOPs: 2 a MAC
    assert found.flops == 4 * (2 * 7840 + 10)
    assert found.per_second == pytest.approx(4000)
    assert found.error == pytest.approx(found.predicted_seconds / 1e-3 - 1)
    assert tables.of_peak(bench(found), found) == pytest.approx(found.flops / 1e-3 / 1e12)


def test_training_is_forward_and_backward():
    """Of a layer that reads the input: forward, and the gradient of its weights, as many products; then the bias."""
    plain, training = row("fc10", 1e-3, batch=64), row("fc10", 3e-3, batch=64, training=True)
    assert plain.step is None
    assert set(training.step.phases) == {"forward", "backward"}
    assert training.step.total.flops == training.report.totals.training_flops
    products = 2 * 64 * 784 * 10
    assert 2 * products <= training.flops < 2.1 * products
    assert training.predicted_seconds > plain.predicted_seconds


def test_alexnets_training_stands_beside_the_slides_days():
    from cnncost.evaluation.history import alexnet

    text = alexnet()
    assert "90 epochs of 1,200,000 examples on 2 devices" in text
    days = float(re.search(r"≥([0-9.]+) days", text)[1])
    # 0.66 GMACs and more an image, three passes, at 1.581 TFLOP/s each
    assert 1.5 < days < 4
    assert f"{100 * days / 6:.0f} % to {100 * days / 5:.0f} % of their ceilings" in text


def test_predicted_memory_is_that_of_the_report():
    report = analyze("fc10", training=True)
    assert predicted_peak(report, training=False) == report.memory.inference_peak
    assert predicted_peak(report, training=True) == report.memory.training_peak
    assert predicted_peak(replace(report, graph=None, training=None), training=False) is None


def test_figures_by_batch_size():
    rows = [
        row("fc10", 1e-6 * 2),
        row("lenet5", 1e-3),
        row("alexnet", 0.05),
        row("resnet18", 0.04),
        row("fc10", 1e-3, batch=8),
    ]
    large = sorted(abs(r.error) for r in rows[2:4])
    first, second = bench(*rows).figures()
    assert (first.batch, first.networks, first.large) == (1, 4, 2)
    assert first.error == pytest.approx(sum(large) / 2)
    assert second == Figures(8, 1, 0, None, None, abs(rows[4].error), 0, None)


def test_on_a_noisy_machine_the_error_of_what_was_quiet_stands_beside_that_of_all():
    rows = [row("alexnet", 0.05), row("resnet18", 5.0, noise=("spread 40%",))]
    (found,) = bench(*rows).figures()
    assert (found.large, found.quiet, found.quiet_error) == (2, 1, abs(rows[0].error))
    quietly = f"(goal ≤ 30%), {abs(rows[0].error):.0%} for the 1 of these measured on a quiet machine, "
    assert quietly in words.accuracy_text(found, "cpu")
    (quiet,) = bench(rows[0]).figures()
    assert "quietly" not in words.accuracy_text(quiet, "cpu")


def test_other_dtypes_training_and_what_failed_are_no_part_of_the_figures():
    failed = join(NetworkTiming("fc10", Case(1), "out of memory", "a smaller batch may fit"), None)
    found = bench(row("fc10", 1e-3), row("lenet5", 1e-3, dtype="bfloat16"), failed).figures()
    assert [each.networks for each in found] == [1]


def test_the_order_of_networks():
    names = ("fc10", "lenet5", "resnet18", "alexnet")
    ordered = sorted(names, key=lambda name: row(name, 1.0).predicted_seconds)
    for seconds, expected in (((1, 2, 3, 4), 1.0), ((1, 2, 4, 3), 0.8)):
        found = bench(*(row(name, s) for name, s in zip(ordered, seconds, strict=True))).figures()[0]
        assert found.order == pytest.approx(expected)


def test_shares_of_convolutions():
    report, _ = predict(resolve("alexnet"), Case(1), DEVICE)
    layers = {(each.path, each.call): (3.0 if each.kind == "conv" else 0.1) for each in report.report.layers}
    found = row("alexnet", 20.0, layers=layers).share("conv")
    others = sum(1 for each in report.report.layers if each.kind != "conv" and each.status == "called")
    # the slide's 6 % and 95 %: 3,747,200 of 62,378,344 parameters; 1,076,634,144 of 1,135,256,096 MACs
    assert found[0] == pytest.approx(3_747_200 / 62_378_344)
    assert found[1] == pytest.approx(1_076_634_144 / 1_135_256_096)
    assert found[3] == pytest.approx(15.0 / (15.0 + 0.1 * others))


def test_noise_is_said_and_quiet_too():
    quiet, noisy = row("fc10", 1e-3), row("fc10", 1e-3, noise=("others used 50% of a core",))
    assert words.noise(bench(quiet)) == [
        "the machine was quiet: spread, drift and other programs stayed below their limits"
    ]
    low = replace(bench(quiet), device=replace(DEVICE, measured="now, on a noisy machine: others used 50% of a core"))
    assert words.noise(low) == ["noisy while the ceilings were measured: predictions are too slow"]
    (text,) = words.noise(bench(quiet, noisy))
    assert text.startswith("noisy: 1 of 2 rows, marked !; the worst is fc10, 1 (others used 50% of a core)")
    assert tables.spread(noisy)[:3] == (pytest.approx(0.02), "", " !")


@pytest.mark.parametrize("width", [80, 160])
def test_text_fits_and_tells_what_there_is(width):
    failed = join(NetworkTiming("vgg19", Case(64), "out of memory", "a smaller batch may fit"), None)
    found = replace(bench(row("resnet18", 0.02, layers={("conv1", 1): 0.01, ("", 1): 0.001}), failed), interrupted=True)
    text = to_text(document(found, 5), width)
    assert max(map(len, text.splitlines())) <= width
    for expected in ("20.0 ms", "resnet18, 1: layers", "all others", "layers add up to 55 %", "vgg19, 64: out of",
                     "interrupted"):  # fmt: skip
        assert expected in text


def test_the_layers_of_training_are_the_forward_passes():
    found = row("resnet18", 0.08, layers={("conv1", 1): 0.02}, training=True)
    (text,) = words.layer_notes(found)
    assert (
        text
        == "layers are those of the forward pass, 25 % of the step; timing them changed the time of a run by +0.0 %"
    )


def test_nothing_measured_is_not_called_quiet():
    assert words.noise(bench(join(NetworkTiming("fc10", Case(1), "failed", "why"), None))) == []


def test_text_without_a_row():
    assert "interrupted" in to_text(document(replace(bench(), interrupted=True), 5), 80)


def test_csv_and_json_hold_the_same_rows():
    found = bench(row("lenet5", 1e-3, layers={("c1", 1): 1e-4}), row("fc10", 1e-3, batch=8))
    rows = list(csv.DictReader(io.StringIO(rendered(document(found, 5), "csv"))))
    data = json.loads(rendered(document(found, 5), "json"))
    assert [r["network"] for r in rows] == [r["network"] for r in data["rows"]] == ["lenet5", "fc10"]
    for text, exact in zip(rows, data["rows"], strict=True):
        assert float(text["predicted_s"]) == exact["predicted_s"]
        assert int(text["flops"]) == exact["flops"]
    assert data["host"]["cpu"] == "A CPU"
    assert data["device"]["flops"]["float32"] == 1e12
    assert next(each for each in data["rows"][0]["layers"] if each["label"] == "c1")["measured_s"] == 1e-4


def test_the_document():
    layers = {("features.conv1", 1): 0.019, ("classifier.fc6", 1): 0.001}
    found = bench(row("alexnet", 0.02, layers=layers), row("fc10", 1e-3), row("lenet5", 1.0))
    text = rendered(document(found, 5, "cnncost bench --zoo", ("pictures/a.svg",)), "markdown")
    for expected in (
        "# Predicted and measured times: CPU",
        "- made in 3.00 s by `cnncost bench --zoo`",
        "over 3 networks (goal ≥ 0.95)",
        "![a](pictures/a.svg)",
        "| alexnet | 1 | 20.0 ms | 2.0 % |",
        "alexnet, batch 1: convolutions are 6.0 % of the parameters, 95 % of the MACs and 95 % of the measured time",
        "- lenet5, 1: −100 %; below 100 M MACs per example",
        "### alexnet, batch 1",
        "layers add up to 100 % of the time end to end",
        "Predicted peak memory: not available" if not hasattr(found.rows[0].report, "memory") else "peak memory",
    ):
        assert expected in text, expected
    assert text.endswith("\n")


def test_why_a_prediction_is_off():
    noisy = row("fc10", 1.0, noise=("spread 40%",))
    assert words.reason(noisy) == "the machine was not quiet (spread 40%)"
    slow = row("alexnet", 1.0, layers={("features.pool1", 1): 0.9, ("features.conv1", 1): 0.018})
    assert words.reason(slow).startswith("mostly in pool: predicted ")
    assert words.reason(slow).endswith("measured 900 ms")


def test_a_device_without_a_ceiling_is_a_problem_of_the_row_alone():
    from cnncost.errors import DeviceError

    with pytest.raises(DeviceError):
        predict(resolve("lenet5"), Case(1, "bfloat16"), find("gtx580"))


OF_THIS_PROJECT = (
    "few parameters, most of the time",
    "the slide",
    "goal",
    "reports/bench_gpu.md",
    "LeNets",
    "Spearman",
)


@pytest.mark.parametrize("network", ["alexnet", "resnet18"])
def test_a_user_s_own_benchmark_is_without_this_project_s_words(network):
    rows = [row(network, 20.0, layers={}), row(network, 21.0, layers={})]
    layers = {(each.path, each.call): 0.1 for each in rows[0].report.layers}
    rows = [row(network, 20.0, layers=layers), row("lenet5", 21.0, layers={})]
    for text in (
        rendered(document(bench(*rows, whole_zoo=False), 5, "cnncost bench net.py:Net"), "markdown"),
        to_text(document(bench(*rows, whole_zoo=False), 5), 100),
    ):
        assert [each for each in OF_THIS_PROJECT if each in text] == []
    told = rendered(document(bench(*rows, whole_zoo=False), 5, "cnncost bench net.py:Net"), "markdown")
    assert "## Convolutions: their share of parameters, MACs and time" in told
    assert f"### {network}, batch" in told


def test_of_a_training_the_document_and_its_picture_tell():
    from cnncost.plots.bench import _is_on_line

    cases = ((1, False), (8, False), (1, True), (8, True))
    rows = [row("lenet5", 0.1, batch=n, training=True, compiled=c) for n, c in cases]
    assert [_is_on_line(each, rows) for each in rows] == [True, True, False, False]  # a line of what is not compiled
    assert all(_is_on_line(each, rows[2:]) for each in rows[2:])  # or of what is, where nothing else was timed
    text = rendered(document(bench(*rows, whole_zoo=False), 5, "cnncost bench lenet5 --training"), "markdown")
    assert "train mode, forward and backward" in text


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("float64", 8)])
def test_predicted_memory_is_that_of_the_number_format(dtype, size):
    """Two rows of fc10: 784 numbers in and 10 out each, 7,840 weights and 10 biases."""
    device = replace(DEVICE, flops={**DEVICE.flops, dtype: 1e12})
    resolved = resolve("fc10")
    inference = {}
    for each in ("float64", dtype, "bfloat16", dtype):  # cases share the model
        case = Case(2, each)
        device = replace(device, flops={**device.flops, each: 1e12})
        inference[each] = join(NetworkTiming("fc10", case), *predict(resolved, case, device)).predicted_memory
    assert inference[dtype] == size * (7840 + 10 + 2 * 784 + 2 * 10)


@pytest.mark.parametrize(
    ("cases", "said", "not_said"),
    [
        pytest.param([Case(None)], ["as given"], ["batch None", "bf16"], id="the input's own batch"),
        pytest.param([Case(1), Case(1, "bfloat16")], ["fc10 bf16", "batch 1"], ["batch None"], id="two formats"),
    ],
)
def test_a_benchmarks_dots_say_of_which_case_they_are(tmp_path, cases, said, not_said):
    mpl = pytest.importorskip("matplotlib")
    rows = [row("fc10", 10.0 ** -(3 * i + 1), case.batch, dtype=case.dtype) for i, case in enumerate(cases)]
    path = tmp_path / "errors.svg"
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw_errors(bench(*rows), str(path))
    text = path.read_text()
    assert [each for each in said if each not in text] == []
    assert [each for each in not_said if each in text] == []
