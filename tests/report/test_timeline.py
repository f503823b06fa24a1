"""Traces and flame graphs for other people's viewers: what these add up is what the report and the prediction say."""

import json
from collections import defaultdict
from math import fsum

import pytest
import torch
from torch import nn

import cnncost
from cnncost import zoo
from cnncost.report.model import Report
from tests.cli.calls import ran
from tests.report.viewers import nanoseconds, read_speedscope, read_trace

DEVICE = """
[round]
title = "A device of round numbers"
class = "cpu"
flops = { float32 = 1e9 }
bandwidth = 1e9
launch = 1e-6
source = "made up"
"""
"""A nanosecond for each FLOP or for each byte, whichever are more, after a microsecond."""


@pytest.fixture(autouse=True)
def own_devices(tmp_path, monkeypatch):
    (tmp_path / "devices.toml").write_text(DEVICE)
    monkeypatch.setenv("CNNCOST_DEVICES", str(tmp_path / "devices.toml"))


def added(pairs):
    """Sums by key, without an error that adds up."""
    groups = defaultdict(list)
    for key, number in pairs:
        groups[key].append(number)
    return {key: fsum(numbers) for key, numbers in groups.items()}


def by_call(prediction):
    """What `roofline` has for each module call that takes time."""
    graph = prediction.graph
    return {
        (graph.scopes[graph.calls[call].scope].path, graph.calls[call].index + 1): each.seconds
        for call, each in prediction.roofline.by_call.items()
        if each.seconds
    }


SMALL = ("lenet5", "alexnet", "resnet18")
RUNS = [(name, "h100", False) for name in zoo.names()] + [(name, "round", step) for name in SMALL for step in (0, 1)]


@pytest.mark.parametrize(("name", "device", "step"), RUNS)
def test_slices_add_up_to_the_prediction(name, device, step):
    prediction = cnncost.roofline(name, device=device, step=bool(step))
    trace = read_trace(prediction.to_trace())
    total = prediction.roofline.total.seconds
    ops = [each for each in trace.slices if each.sort == "op"]
    assert len(ops) == sum(time is not None and time.seconds > 0 for time in prediction.roofline.nodes)
    assert trace.instants == []
    assert trace.other["seconds"] == total == pytest.approx(fsum(each.args["seconds"] for each in ops), rel=1e-12)
    outermost = [each for each in trace.slices if not each.parents]
    assert sum(each.end - each.start for each in outermost) == round(total * 1e9)
    assert all(abs(each.end - each.start - each.args["seconds"] * 1e9) <= 1.01 for each in trace.slices)
    assert added((each.module, each.args["seconds"]) for each in ops) == pytest.approx(by_call(prediction), rel=1e-12)
    flops, nbytes = (sum(each.args[what] for each in ops) for what in ("flops", "bytes"))
    assert (flops, nbytes) == (prediction.roofline.total.flops, prediction.roofline.total.nbytes)


@pytest.mark.parametrize(("name", "device", "step"), RUNS)
def test_a_modules_slices_are_as_long_as_all_in_them(name, device, step):
    prediction = cnncost.roofline(name, device=device, step=bool(step))
    slices = [each for each in read_trace(prediction.to_trace()).slices if each.sort == "module"]
    found = added((each.args["module"], each.args["seconds"]) for each in slices)
    calls = by_call(prediction).items()
    expected = {
        path: fsum(n for (inner, _), n in calls if not path or inner == path or inner.startswith(f"{path}."))
        for path in found
    }
    assert found == pytest.approx(expected, rel=1e-9)
    assert found[""] == pytest.approx(prediction.roofline.total.seconds, rel=1e-12)


@pytest.mark.parametrize(("name", "device", "step"), RUNS)
def test_memory_counts_up_to_the_reports_peak(name, device, step):
    prediction = cnncost.roofline(name, device=device, step=bool(step))
    counters = read_trace(prediction.to_trace()).counters
    memory = prediction.report.memory
    peak = (memory.training if step else memory.inference).peak.nbytes
    assert max(args["bytes"] for _, args in counters["memory, total"]) == peak
    totals, parts = counters["memory, total"], counters["memory, bytes"]
    assert {(at, args["bytes"]) for at, args in totals} <= {(at, sum(args.values())) for at, args in parts}
    assert max(sum(args.values()) for _, args in parts) == peak


@pytest.mark.parametrize(("name", "step"), [(name, False) for name in zoo.names()] + [(name, True) for name in SMALL])
def test_flame_graphs_have_the_reports_numbers(name, step):
    report = cnncost.analyze(name, training=step)
    profiles = {each.name: each for each in read_speedscope(report.to_speedscope())}
    totals = report.totals
    expected = {"MACs": totals.macs, "FLOPs": totals.flops, "parameters": totals.params,
                "bytes read and written": totals.bytes_read + totals.bytes_written}  # fmt: skip
    if step:
        expected |= {"MACs of a training step": totals.training_macs, "FLOPs of a training step": totals.training_flops}
    assert expected.items() <= {each.name: each.total for each in profiles.values()}.items()
    for what, of in (("MACs", "macs"), ("FLOPs", "flops"), ("parameters", "params")):
        rows = {f"{row.path or name} ({row.class_name})": getattr(row, of) for row in report.modules}
        whole = profiles[what].whole
        assert {frame: number for frame, number in whole.items() if frame in rows} == {
            frame: number for frame, number in rows.items() if frame in whole
        }
        assert all(frame in whole for frame, number in rows.items() if number)
    for what, of in (("MACs", "macs"), ("FLOPs", "flops")):
        ops = {row.name: getattr(row, of) for row in report.ops if getattr(row, of)}
        assert {op: profiles[what].own[op] for op in ops} == ops


@pytest.mark.parametrize(("name", "device", "step"), RUNS[-6:])
def test_flame_graphs_of_a_prediction_have_its_numbers(name, device, step):
    prediction = cnncost.roofline(name, device=device, step=bool(step))
    roofline = prediction.roofline
    seconds, flops, nbytes = read_speedscope(prediction.to_speedscope())
    assert (seconds.unit, seconds.total) == ("seconds", roofline.total.seconds)
    assert (flops.unit, flops.total) == ("none", roofline.total.flops)
    assert (nbytes.unit, nbytes.total) == ("bytes", roofline.total.nbytes)
    for op, each in roofline.by_op.items():
        assert seconds.own.get(op, 0) == pytest.approx(each.seconds, rel=1e-9)
        assert (flops.own.get(op, 0), nbytes.own.get(op, 0)) == (each.flops, each.nbytes)
    if step:
        phases = {name: each.seconds for name, each in roofline.phases.items() if each.seconds}
        assert {name: seconds.whole[name] for name in phases} == pytest.approx(phases, rel=1e-9)


class Net(nn.Module):
    """Two products and a ReLU, of which one is called twice."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(100, 100, bias=False)

    def forward(self, x):
        return self.mix(self.mix(x).relu())


def test_by_hand():
    """2·10·100·100 FLOPs, 4·(2·10·100 + 100²) bytes: 200,000 ns; a ReLU of 1,000 elements: 8,000 bytes."""
    trace = read_trace(cnncost.roofline(Net(), (torch.zeros(10, 100),), device="round").to_trace())
    product, relu = 1_000 + 200_000, 1_000 + 8_000
    assert [(each.name, each.start, each.end) for each in trace.slices] == [
        ("Net (Net)", 0, 2 * product + relu),
        ("mix (Linear)", 0, product),
        ("aten.linear", 0, product),
        ("aten.relu", product, product + relu),
        ("mix#2 (Linear)", product + relu, 2 * product + relu),
        ("aten.linear", product + relu, 2 * product + relu),
    ]
    weights, row = 4 * 100 * 100, 4 * 10 * 100
    assert trace.counters["memory, bytes"] == [
        (0, {"parameters": weights, "inputs": row, "activations": 0, "temporaries": row}),
        (product, {"parameters": weights, "inputs": row, "activations": 0, "temporaries": 2 * row}),
        (product + relu, {"parameters": weights, "inputs": row, "activations": row, "temporaries": row}),
    ]


def test_what_has_no_rule_is_told_and_marks_what_it_is_in(report):
    """A time is not known: no slice says 0, and the modules around are lower bounds."""
    prediction = cnncost.roofline(report("odd"), device="h100")
    trace = read_trace(prediction.to_trace())
    assert [each["name"] for each in trace.instants] == ["cnncost_test_report.mystery: no rule, not known"]
    assert trace.slices[0].name == "≥ odd (Odd)"
    assert [each.name for each in trace.slices if each.name.startswith("≥")] == ["≥ odd (Odd)"]
    assert trace.names["thread_name"].startswith("≥ predicted time")
    assert set(trace.counters) == {"memory, total ≥", "memory, bytes ≥"}
    assert trace.other["unknown_ops"] == 1
    for profile in read_speedscope(prediction.to_speedscope()):
        assert profile.own["cnncost_test_report.mystery: no rule, not known"] == 0
        assert profile.whole["≥ odd (Odd)"] == profile.total


class Integers(nn.Module):
    def forward(self, x):
        return x @ x


@pytest.mark.parametrize(("device", "marked"), [("measured", True), ("with_int8", False)])
def test_a_product_without_a_peak_is_marked_with_all_that_it_is_in(tmp_path, device, marked):
    (tmp_path / "devices.toml").write_text(
        DEVICE.replace("[round]", "[measured]") + 'measured = "now"\n'
        + DEVICE.replace("[round]", "[with_int8]").replace("1e9 }", "1e9, int8 = 1e9 }") + 'measured = "now"\n'
    )  # fmt: skip
    prediction = cnncost.roofline(Integers(), (torch.zeros(10, 10, dtype=torch.int8),), device=device)
    trace, mark = read_trace(prediction.to_trace()), "≥ " * marked
    assert [each.name for each in trace.slices] == [f"{mark}Integers (Integers)", f"{mark}aten.matmul"]
    assert trace.names["thread_name"] == f"{mark}predicted time, forward on A device of round numbers"
    assert trace.other["unknown_products"] == ({"int8": 1} if marked else {})
    assert trace.slices[1].args.get("left_out") == ("compute time: no peak for int8" if marked else None)
    times, flops, _ = read_speedscope(prediction.to_speedscope())
    assert (times.name, flops.name) == (trace.names["thread_name"], "FLOPs of the forward")
    assert f"{mark}aten.matmul" in times.own


def test_marks_of_a_report_without_a_graph_are_the_same(report):
    whole = report("odd")
    read = Report.from_json(whole.to_json())
    assert read.graph is None
    found, kept = (read_speedscope(each.to_speedscope()) for each in (whole, read))
    assert [(each.name, each.unit, each.total) for each in found] == [(*each[:2], each.total) for each in kept]
    assert [each.name for each in kept] == ["≥ MACs", "≥ FLOPs", "≥ bytes read and written", "parameters"]
    for old, new in zip(found, kept, strict=True):
        modules = {name for name in old.own if name.endswith(")")}
        assert {name: new.whole[name] for name in modules} == {name: old.whole[name] for name in modules}


@pytest.mark.parametrize("name", SMALL)
def test_a_report_without_a_graph_has_the_same_modules(name, report):
    whole = report(name)
    found, kept = (read_speedscope(each.to_speedscope()) for each in (whole, Report.from_json(whole.to_json())))
    for old, new in zip(found, kept, strict=True):
        assert {name: n for name, n in new.whole.items() if n} == {
            name: n for name, n in old.whole.items() if n and name.endswith(")")
        }


def test_a_prediction_in_another_dtype_says_that_memory_is_as_recorded():
    trace = read_trace(cnncost.roofline("lenet5", device="h100", dtype="bf16").to_trace())
    assert set(trace.counters) == {"memory, as recorded, total", "memory, as recorded, bytes"}
    assert trace.names["thread_name"].endswith("computed in bfloat16")


class Halves(nn.Module):
    """On two devices."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8).to("cuda:0")
        self.second = nn.Linear(8, 8).to("cuda:1")

    def forward(self, x):
        return self.second(self.first(x.to("cuda:0")).to("cuda:1"))


def test_each_device_of_a_placed_model_has_its_own_memory():
    with cnncost.placement():
        report = cnncost.analyze(Halves(), (torch.zeros(4, 8),))
    counters = read_trace(cnncost.roofline(report, device="h100").to_trace()).counters
    for device in report.devices:
        assert (
            max(args["bytes"] for _, args in counters[f"memory of {device.device}, total"]) == device.inference_peak > 0
        )


def test_times_are_rounded_as_perfetto_reads_them():
    """Thousands of slices that are no whole nanoseconds: each lies within its module after rounding."""
    prediction = cnncost.roofline("resnet18", device="t4", step=True)
    trace = read_trace(prediction.to_trace())
    assert any(each.args["seconds"] * 1e9 % 1 > 1e-3 for each in trace.slices)
    assert [each.start for each in trace.slices] == sorted(each.start for each in trace.slices)
    assert nanoseconds(0.001) == 1


def test_files_by_the_command_line(tmp_path, capfdbinary):
    place, arguments = tmp_path / "net.trace.json", ("roofline", "lenet5", "--device", "round", "--format")
    assert ran(capfdbinary, *arguments, "trace", "-o", str(place)) == (0, b"", b"")
    assert place.read_text(encoding="utf-8") == cnncost.roofline("lenet5", device="round").to_trace()
    _, flames, _ = ran(capfdbinary, *arguments, "speedscope")
    assert flames.decode() == cnncost.roofline("lenet5", device="round").to_speedscope()
    assert json.loads(flames)["exporter"] == f"cnncost@{cnncost.__version__}"
    _, counted, _ = ran(capfdbinary, "summarize", "lenet5", "--format", "speedscope")
    assert counted.decode() == cnncost.analyze("lenet5").to_speedscope()


REFUSED = [
    (
        ("summarize", "lenet5", "--format", "trace"),
        "needs a device: cnncost roofline MODEL --device NAME --format trace",
    ),
    (
        ("memory", "lenet5", "--format", "speedscope"),
        "needs a device: cnncost roofline MODEL --device NAME --format sp",
    ),
    (("roofline", "lenet5", "--format", "trace"), "Missing option '--device'"),
    (("roofline", "lenet5", "--device", "h100", "--format", "trace", "--by", "op"), "leave out --explain, --by, --top"),
    (("roofline", "lenet5", "--device", "h100", "--format", "trace", "--top", "3"), "leave out --explain, --by, --top"),
    (("summarize", "lenet5", "--format", "speedscope", "--depth", "2"), "leave out --by, --depth"),
    (("summarize", "lenet5", "--format", "speedscope", "--explain", "c1"), "leave out --by, --depth"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refused(arguments, message, tmp_path, capsys):
    code, out, err = ran(capsys, *arguments, "-o", str(tmp_path / "x.json"))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.glob("x*")) == []
