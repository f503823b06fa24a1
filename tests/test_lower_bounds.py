"""Figures that leave out an op are marked wherever they are shown, as what is left out can only make them larger."""

import itertools
import json
import re
import warnings
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import nn

import cnncost
from cnncost.bench.result import Case, NetworkTiming
from cnncost.decoding.document import document as of_serving
from cnncost.devices import Device
from cnncost.evaluation import words
from cnncost.evaluation.document import document as of_bench
from cnncost.evaluation.join import join, predict
from cnncost.functions import max_batch
from cnncost.meter import Meter
from cnncost.passes import memory
from cnncost.passes.links import Topology
from cnncost.passes.roofline import roofline
from cnncost.pipeline import Pipelined
from cnncost.plots.roofline import draw
from cnncost.render.document import Cell, Table
from cnncost.render.json import to_json
from cnncost.render.text import to_text
from cnncost.report import memory_tables
from cnncost.report.interactive.summary import summary
from cnncost.report.link_text import sentences
from cnncost.report.prediction import Links, Prediction, Training, estimate
from cnncost.report.prediction_text import document as of_prediction
from cnncost.report.prediction_text import explain, footer
from cnncost.sources.resolve import resolve
from tests.cli.calls import ran
from tests.evaluation.test_join import bench, timing

LIBRARY = torch.library.Library("cnncost_test_lower_bounds", "DEF")
LIBRARY.define("mystery(Tensor x) -> Tensor")
LIBRARY.impl("mystery", torch.empty_like, "Meta")
LIBRARY.impl("mystery", torch.clone, "CPU")


class Net(nn.Module):
    """A layer that is known, and an op of a library without a rule."""

    def __init__(self):
        super().__init__()
        self.known = nn.Linear(8, 8)
        self.odd = Odd()

    def forward(self, x):
        return self.odd(self.known(x))


class Odd(nn.Module):
    def forward(self, x):
        return torch.ops.cnncost_test_lower_bounds.mystery(x)


class Branch(Net):
    """The op, which has no backward, beside the layer."""

    def forward(self, x):
        return self.known(x) + self.odd(x)


class Integers(nn.Module):
    """A layer, and a product of integers."""

    def __init__(self):
        super().__init__()
        self.known = nn.Linear(8, 8)
        self.register_buffer("weight", torch.ones(8, 8, dtype=torch.int8))

    def forward(self, x):
        return self.known(x).to(torch.int8) @ self.weight


NET = """
from tests.test_lower_bounds import Net
"""
MEASURED = Device("here", "A machine", "cpu", {"float32": 1e12}, 1e10, "a test", launch=1e-6, measured="now")


@pytest.fixture(params=["an op without a rule", "unknown temporaries"])
def net(request, monkeypatch):
    """A model of whose peak something is missing, and the op's name."""
    if request.param == "an op without a rule":
        return Net(), "cnncost_test_lower_bounds.mystery"
    monkeypatch.setattr(memory, "scratch_is_known", lambda spec: spec.kind != "linear")
    return nn.Sequential(nn.Linear(8, 8)), "aten.linear"


def test_the_largest_batch(net):
    model, name = net
    with pytest.warns(UserWarning, match=f"is an upper bound: what {name} allocates while it runs is not known"):
        assert max_batch(model, "1x8", device_memory=10_000, training=False) > 1
    with warnings.catch_warnings():  # even without what is missing, not one example fits: that is certain
        warnings.simplefilter("error")
        assert max_batch(model, "1x8", device_memory=10, training=False) == 0
        assert max_batch(nn.Conv1d(8, 8, 1), "1x8x1", device_memory=10_000, training=False) > 1


def test_the_largest_batch_on_the_command_line(tmp_path, monkeypatch, capfd):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    command = ["memory", "net.py:Net", "--input", "1x8", "--inference", "--device-memory", "10000B", "--max-batch"]
    _, out, _ = ran(capfd, *command)
    text = " ".join(out.split())
    assert "the largest batch that fits" in text
    assert " is at most " in text
    assert " with at least " in text


def test_the_table_of_memory(net):
    """The heading of the holders, and both sums; what each use takes is known."""
    report = cnncost.analyze(net[0], "1x8")
    run = memory_tables.Run("inference", report.memory.inference)
    lines = to_text(memory_tables.document(memory_tables.MemoryTables(report, (run,))), 80).splitlines()
    assert [line.split("≥")[0].strip() for line in lines if "≥" in line] == [
        "peak", "if freed after last use", "inference:"
    ]  # fmt: skip


class Steps(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def step(self, x, cache):
        y = self.model(x)
        return y, y if cache is None else torch.cat([cache, y], 1)


def test_serving(net, tmp_path):
    model, name = net
    (tmp_path / "devices.toml").write_text(
        '[toy]\ntitle = "Toy"\nclass = "other"\nbandwidth = 1e6\nmemory = 20000\nlaunch = 0\nsource = "made up"\n'
        "[toy.flops]\nfloat32 = 1e9\n"
    )
    found = cnncost.serving(
        Steps(model), "1x1x8", context=4, device="toy", device_file=tmp_path / "devices.toml", fit=True
    )
    text = " ".join(to_text(of_serving(found), 120).split())
    assert f"≥{cnncost.units.data(found.decode.memory.inference_peak)}" in text
    assert "largest batch at this context in 19.5 KiB: at most " in text
    assert "longest context at this batch: at most " in text
    assert f"lower bounds: no rule for {name}" in text or f"what {name} allocates while it runs is not known" in text
    assert json.loads(to_json(of_serving(found)))["unseen"] == [name]


SERVED = {
    "an op without a rule": lambda: (Net(), {"macs", "seconds"}),
    "a product without a peak": lambda: (Integers(), {"seconds"}),
    "all known": lambda: (nn.Linear(8, 8), set()),
}


@pytest.mark.parametrize("case", SERVED)
def test_times_of_serving(case, tmp_path):
    """On a measured device, whose times are predictions, not bounds, if nothing is left out."""
    model, bounds = SERVED[case]()
    (tmp_path / "devices.toml").write_text(
        '[toy]\ntitle = "Toy"\nclass = "other"\nbandwidth = 1e6\nlaunch = 0\nsource = "made up"\nmeasured = "now"\n'
        "[toy.flops]\nfloat32 = 1e9\n"
    )
    found = cnncost.serving(
        Steps(model), "1x1x8", context=4, new_tokens=3, device="toy", device_file=tmp_path / "devices.toml"
    )
    document, units = of_serving(found), cnncost.units
    text = " ".join(to_text(document, 120).split())
    least, most = ("≥", "≤") if "seconds" in bounds else ("", "")
    for row, time in zip(json.loads(to_json(document))["calls"], [*found.times, found.last_time], strict=True):
        assert f" {least}{units.si(time.roofline.total.seconds, 's')} {most}" in text
        assert (f"≥{units.compact(row['macs'])} ≥" in text) == ("macs" in bounds)
    assert f"on Toy, by the roofline model: {'a lower bound' if least else 'a prediction'}" in text
    assert f"time to the first token {least}{units.si(found.first_token_seconds, 's')}:" in text
    assert f"3 new tokens of each sequence in {least}{units.si(found.generation_seconds, 's')}:" in text
    assert ("MACs of a decode step = " in text) == ("macs" not in bounds)  # no law of a bound
    assert json.loads(to_json(document))["without_peak"] == (["int8"] if "product" in case else [])
    assert ("lower bounds: the device has no peak for products in int8" in text) == ("product" in case)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("model", "mark"), [(Branch(), "≥"), (nn.Linear(8, 8), "")], ids=["no rule", "all known"])
def test_rates_of_a_meter(model, mark, training):
    seconds = itertools.count()
    meter = Meter(
        model, "2x8", training=training and not mark, clock=lambda: float(next(seconds)), warmup=0, peak_flops=1e6
    )
    meter.step()
    meter.step()
    rates = meter.rates()
    assert re.search(rf", {mark}\S+ GFLOP/s, MFU {mark}[\d.]+ %$", str(rates))
    assert rates.log_dict("").get("lower_bound") == (1.0 if mark else None)
    assert len(re.findall(r">≥[\d.]", meter._repr_html_())) == 2 * len(mark)
    assert ("≥: a lower bound" in meter._repr_html_()) == bool(mark)


def test_a_pipelines_rank(net):
    report = cnncost.analyze(net[0], "2x8")
    shown = str(Pipelined("GPipe", 0, 2, (0,), 4, 4, Fraction(1, 5), report))
    assert "peak ≥" in shown
    assert ("≥128 MACs" in shown) == bool(report.unknown)


def test_rows_of_a_roofline():
    """The row of the module that ran the op, the total and the estimate of training; not that of the other one."""
    report = cnncost.analyze(Net(), "2x8")
    found = Prediction(report, roofline(report.graph, MEASURED))
    assumed = Training(epochs=1, examples=2, devices=1)
    found = replace(found, training=(assumed, estimate(found, assumed)))
    lines = to_text(of_prediction(found), 120).splitlines()
    rows = {line.split()[0]: line for line in lines if line}
    assert [name for name in ("known", "odd", "total") if "≥" in rows[name]] == ["odd", "total"]
    assert ": ≥" in rows["training:"]
    assert found.roofline.by_call[2].unknown == 1
    assert repr(found.roofline).startswith("<Roofline on here: >=")


class Products(nn.Module):
    def forward(self, x):
        return x @ x


SLOW = replace(MEASURED, bandwidth=None, launch=0.0)
"""A device on which only FLOPs take time."""
MORE = "≤: at most, as the total leaves out times"
LESS = "~: may be different, as what is left out may change it"
NO_PEAK = "without the compute time, as the device has no peak for int8"


@pytest.mark.parametrize(
    ("model", "device", "told"),
    [
        pytest.param(Net(), MEASURED, ["odd Odd ≥0 ≥0 B – ≥0 s –", "left out: 1 op without a rule", MORE, LESS],
                     id="an op without a rule"),
        pytest.param(Odd(), MEASURED, ["(own) Odd ≥0 ≥0 B – ≥0 s –", "total ≥0 ≥0 B – ≥0 s –", "forward: ≥0 s",
                                       "left out: 1 op without a rule"], id="nothing else"),
        pytest.param(Integers(), MEASURED,
                     ["(own) Integers 0 176 B 0.00 ~launch ≥2.02 µs ~66 %",
                      "known Linear 272 416 B 0.65 launch 1.04 µs ≤34 %", "total 272 592 B 0.46 ~launch ≥3.06 µs 100 %",
                      "forward: ≥3.06 µs, ≤653,766 examples/s; of what is known, 100 % launch-bound", MORE, LESS,
                      "left out: the compute time of 1 product in int8, for which the device has no peak"],
                     id="FLOPs and bytes of a product without a peak are known"),
        pytest.param(Integers(), SLOW, ["(own) Integers 0 176 B 0.00 ≥0 s –"],
                     id="a product that takes no time besides"),
        pytest.param(nn.Identity(), MEASURED,
                     ["total 0 0 B – 0 s –", "nothing takes time: no op moves or computes anything"], id="no op"),
    ],
)  # fmt: skip
def test_what_a_roofline_marks(model, device, told):
    report = cnncost.analyze(model, "2x8")
    found = to_text(of_prediction(Prediction(report, roofline(report.graph, device))), 120).splitlines()
    lines = [" ".join(line.rstrip("▏▎▍▌▋▊▉█").split()) for line in found]
    assert [line for line in told if line not in lines] == [], lines


@pytest.mark.parametrize(("model", "mark"), [(Net(), "≥"), (Integers(), "≥"), (nn.Linear(8, 8), "")])
def test_computing_and_sending_of_a_rank(model, mark):
    report = cnncost.analyze(model, "2x8")
    found = Prediction(report, roofline(report.graph, MEASURED), links=Links(Topology(), (), {}))
    first, second, *_ = sentences(found)
    seconds = cnncost.units.duration(found.roofline.total.seconds)
    assert first.startswith(f"not overlapped: {mark}{seconds}: {mark}{seconds} of computing, ")
    assert second.startswith(f"overlapped: {mark}{seconds}, ")


class OnTwo(nn.Module):
    def __init__(self):
        super().__init__()
        with cnncost.placement():
            self.first, self.second = nn.Linear(8, 8).to("cuda:0"), Odd()

    def forward(self, x):
        return self.second(self.first(x.to("cuda:0")).to("cuda:1"))


@pytest.mark.parametrize(
    ("links", "told"),
    [
        pytest.param({}, ["left out: 1 op without a rule",
                          "left out: 1 copy over a link whose bandwidth no source states"], id="no link"),
        pytest.param({"pcie": 1e9}, ["left out: 1 op without a rule"], id="a link"),
    ],
)  # fmt: skip
def test_a_copy_over_an_unknown_link_is_no_op_without_a_rule(links, told):
    report = cnncost.analyze(OnTwo(), "2x8")
    found = Prediction(report, roofline(report.graph, replace(MEASURED, links=links)))
    assert [line for line in footer(found) if line.startswith("left out")] == told


@pytest.mark.parametrize(
    ("model", "path", "device", "lines"),
    [
        pytest.param(Net(), "odd", MEASURED, ["  cnncost_test_lower_bounds.mystery: time unknown"], id="no rule"),
        pytest.param(Integers(), "", MEASURED,
                     ["  aten.to.dtype: 0.00 FLOP/B, launch-bound",
                      "    time = launch 1.00 µs + bytes 80 take 8.00 ns = 1.01 µs",
                      f"  aten.matmul: 0.00 FLOP/B, launch-bound; {NO_PEAK}",
                      "    time ≥ launch 1.00 µs + bytes 96 take 9.60 ns = 1.01 µs"], id="no peak"),
        pytest.param(nn.Flatten(), "", MEASURED,
                     ["  aten.flatten.using_ints: free; it moves and computes nothing"], id="a view"),
        pytest.param(Integers(), "", SLOW,
                     ["  aten.to.dtype: 0.00 FLOP/B, launch-bound", "    time = launch 0 s = 0 s",
                      f"  aten.matmul: 0.00 FLOP/B, launch-bound; {NO_PEAK}",
                      "    time ≥ launch 0 s = 0 s"], id="neither peak nor bandwidth"),
        pytest.param(nn.Identity(), "", MEASURED, ["  runs no op itself"], id="no op"),
    ],
)  # fmt: skip
def test_what_explains_a_time(model, path, device, lines):
    report = cnncost.analyze(model, "2x8")
    assert explain(Prediction(report, roofline(report.graph, device)), path).splitlines()[1:] == lines


@pytest.mark.parametrize(("model", "mark"), [(Net(), "≥"), (Integers(), "≥"), (nn.Linear(8, 8), "")])
def test_a_picture_of_a_roofline(model, mark, tmp_path):
    mpl = pytest.importorskip("matplotlib")
    report = cnncost.analyze(model, "2x8")
    found = Prediction(report, roofline(report.graph, MEASURED))
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(found, str(tmp_path / "roof.svg"))
    total = cnncost.units.duration(found.roofline.total.seconds)
    assert f">A machine, {mark}{total}; " in (tmp_path / "roof.svg").read_text()


@pytest.mark.parametrize(
    ("model", "dtype", "device", "used", "partial"),
    [
        pytest.param(Integers(), "float32", "h100", ["float32", "int8"], False, id="both"),
        pytest.param(Integers(), "float32", "raspberry-pi-5", ["float32"], True, id="no peak for integers"),
        pytest.param(Products(), "int8", "h100", ["int8"], False, id="integers alone"),
        pytest.param(Products(), "int8", "raspberry-pi-5", [], True, id="integers alone, and no peak"),
        pytest.param(Products(), "int64", "h100", [], True, id="wide integers"),
        pytest.param(Products(), "float32", "h100", ["float32"], False, id="no integers"),
        pytest.param(Odd(), "float32", "h100", [], True, id="no rule"),
    ],
)
def test_an_interactive_page(model, dtype, device, used, partial):
    """The number formats that it names have a ceiling, and its total is marked if something is left out."""
    report = cnncost.analyze(model, f"8x8:{dtype}")
    page = summary(report)
    data = next(each for each in page["devices"] if each["name"] == device)
    whole = page["rows"]["profile"][0]
    assert (data["used"], whole in data["partial"]) == (used, partial)
    assert data["seconds"][whole] == pytest.approx(cnncost.roofline(report, device=device).roofline.total.seconds)


@pytest.mark.parametrize(
    ("model", "marked", "told"),
    [
        pytest.param(Net(), {"net": ["predicted", "error", "FLOP/s", "of peak", "B/s", "predicted peak"],
                             "odd": ["predicted", "error", "FLOP/s", "B/s"], "known": [],
                             "sum": ["predicted", "error"]},
                     ["net, 2: ≥: without the time of 1 op, for which there is no rule or no peak",
                      "net, 2: ≥: memory without what an op allocates, which is unknown"], id="an op without a rule"),
        pytest.param(Integers(), {"net": ["predicted", "error"], "(own)": ["predicted", "error"], "known": [],
                                  "sum": ["predicted", "error"]},
                     ["net, 2: ≥: without the time of 1 op, for which there is no rule or no peak"], id="no peak"),
        pytest.param(nn.Sequential(nn.Linear(8, 8)), {"net": [], "0": [], "sum": []}, [], id="all known"),
    ],
)  # fmt: skip
def test_a_benchmarks_prediction(model, marked, told):
    case = Case(2)
    prediction, recorded = predict(resolve(model, "2x8"), case, MEASURED)
    layers = {(path, 1): 1e-4 for path in ("", "known", "odd", "0")}
    row = join(NetworkTiming("net", case, timing=timing(1e-3), layers=layers), prediction, recorded)
    made = replace(bench(row, whole_zoo=False), device=MEASURED)
    tables = [part for part in of_bench(made, 5).parts if isinstance(part, Table)]
    found = {}
    for table in tables[:2]:
        for each in table.rows:
            names = [
                column.heading for column, cell in zip(table.columns, each.cells, strict=True)
                if isinstance(cell, Cell) and cell.mark == "≥"
            ]  # fmt: skip
            found[str(each.cells[0] or "(own)").split()[0]] = names
    assert {name: found[name] for name in marked} == marked
    assert words.left_out(made) == told
    slowest = replace(row, layers=tuple(each for each in row.layers if each.path != "known"))
    assert ("predicted ≥" in words.reason(slowest)) == bool(told)
    data = json.loads(to_json(of_bench(made, 5)))["rows"][0]
    assert (data["unknown_ops"], data["memory_partial"]) == (len(told) and 1, "memory" in " ".join(told))
    if told:
        page = to_text(of_bench(made, 5), 140)
        assert all(line in page for line in told)
