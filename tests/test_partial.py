"""What ran before forward failed: the error carries it, as a report that says that it is partial.

Figures are written out as products: of the ops that ran, and of nothing after that.
"""

import json
import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import CnncostError, InputError
from cnncost.graph_json import from_json, to_json
from cnncost.report.model import Report
from tests.cli.calls import ran
from tests.oracles.snapshot import Snapshot, modules_of

torch.set_num_threads(1)

FIRST = 4 * 8 * 16
"""MACs of the linear layer that all of these begin with."""


class Net(nn.Module):
    """A linear layer that runs, one that takes what it gets by `takes`, and one after it."""

    def __init__(self, takes=5, middle=None):
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.middle = middle if middle is not None else nn.Linear(takes, 2)
        self.last = nn.Linear(2, 3)

    def forward(self, x):
        return self.last(self.middle(self.first(x)))

    def encode(self, x):
        return self.middle(self.first(x))


class Block(nn.Module):
    """A container whose own code fails after a child ran."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(16, 2)

    def forward(self, x):
        return self.inner(x) @ torch.zeros(7, 7)


class Twice(nn.Module):
    """The second call of the same module fails."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 16)

    def forward(self, x):
        return self.first(self.first(x))


class Rescued(nn.Module):
    """Handles the error of one module, and fails in another."""

    def __init__(self):
        super().__init__()
        self.first, self.odd, self.last = nn.Linear(8, 16), nn.Linear(5, 5), nn.Linear(6, 6)

    def forward(self, x):
        x = self.first(x)
        try:
            return self.odd(x)
        except RuntimeError:
            return self.last(x)


class Renamed(nn.Module):
    """Raises an error of its own in place of a child's."""

    def __init__(self):
        super().__init__()
        self.first, self.odd = nn.Linear(8, 16), nn.Linear(5, 5)

    def forward(self, x):
        x = self.first(x)
        try:
            return self.odd(x)
        except RuntimeError as error:
            raise KeyError("no such head") from error


class Reads(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 16)

    def forward(self, x):
        x = self.first(x)
        return x * 2 if x.sum() > 0 else x


def failed(model, inputs=(4, 8), **options):
    with pytest.raises(CnncostError) as error:
        cnncost.analyze(model, inputs, **options)
    assert error.value.partial is not None
    return error.value.partial


def statuses(report):
    return {module.path: module.status for module in report.modules}


CASES = [
    # model, MACs, path in which it failed, status of modules, rows that are lower bounds
    pytest.param(
        Net, FIRST, "middle", {"": "called", "first": "called", "middle": "failed", "last": "unreached"},
        {"middle"}, id="a layer",
    ),
    pytest.param(
        lambda: Net(middle=Block()), FIRST + 4 * 16 * 2, "middle",
        {"": "called", "first": "called", "middle": "failed", "middle.inner": "called", "last": "unreached"},
        {"middle"}, id="a module's own code",
    ),
    pytest.param(
        lambda: Net(middle=nn.Sequential(nn.Sequential(nn.Linear(16, 16), nn.Linear(3, 2)), nn.ReLU())),
        FIRST + 4 * 16 * 16, "middle.0.1",
        {
            "": "called", "first": "called", "middle": "called", "middle.0": "called", "middle.0.0": "called",
            "middle.0.1": "failed", "middle.1": "unreached", "last": "unreached",
        },
        {"middle.0.1"}, id="deep inside",
    ),
    pytest.param(Twice, FIRST, "first#2", {"": "called", "first": "failed"}, {"first#2"}, id="a second call"),
    pytest.param(
        Rescued, FIRST, "last", {"": "called", "first": "called", "odd": "called", "last": "failed"}, {"odd", "last"},
        id="after an error that was handled",
    ),
    pytest.param(
        Renamed, FIRST, "the model", {"": "failed", "first": "called", "odd": "called"}, {"", "odd"},
        id="an error in place of another",
    ),
    pytest.param(Reads, FIRST, "the model", {"": "failed", "first": "called"}, {""}, id="values are read"),
]  # fmt: skip


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(("make", "macs", "place", "status", "bounds"), CASES)
def test_the_rows_are_of_what_ran(make, macs, place, status, bounds, grad):
    with torch.set_grad_enabled(grad):
        report = failed(make())
    assert (report.totals.macs, report.totals.lower_bound) == (macs, True)
    assert statuses(report) == status
    assert {row.label for row in report.layers if row.unknown} == bounds
    assert report.partial.startswith(f"forward failed in {place} (")
    assert sum(row.macs for row in report.layers) == macs


@pytest.mark.parametrize("trace", ["static", "real", "auto"])
@pytest.mark.parametrize("training", [False, True])
def test_in_every_way_that_a_model_is_run(trace, training):
    assert failed(Net(), trace=trace, training=training).totals.macs == FIRST


@pytest.mark.parametrize("call", ["method", "function", "autocast", "deepcopy"])
def test_whatever_is_called(call):
    net = Net()
    if call == "autocast":
        report = failed(net, autocast="bf16")
    else:
        report = failed({"method": net.encode, "function": lambda x: net(x) + 1, "deepcopy": deepcopy(net)}[call])
    assert report.totals.macs == FIRST
    assert [status for path, status in statuses(report).items() if path.endswith("middle")] == ["failed"]


def test_a_loss_that_fails():
    def loss(output):
        return output @ torch.zeros(7, 7)

    with pytest.raises(CnncostError) as error:
        cnncost.analyze(Net(16), (4, 8), training=True, loss=loss)
    report = error.value.partial
    assert report.totals.macs == FIRST + 4 * 16 * 2 + 4 * 2 * 3
    assert report.partial.startswith("forward failed in the model (Net)")


@pytest.mark.parametrize(
    ("model", "inputs"),
    [(nn.Linear(3, 4), (2, 5)), (Net(), (4, 9)), (Net(), ((4, 8), (4, 8))), ("no_such_network", None), (Net(), None)],
    ids=["the first layer", "the first layer of several", "arguments", "no model", "no input"],
)
def test_where_nothing_ran_there_is_none(model, inputs):
    with pytest.raises(CnncostError) as error:
        cnncost.analyze(model, inputs)
    assert error.value.partial is None


def test_a_report_of_a_forward_that_came_to_its_end_is_not_partial():
    report = cnncost.analyze(Net(16), (4, 8))
    assert report.partial == ""
    assert "partial" not in json.loads(report.to_json())


@pytest.mark.parametrize("trace", ["static", "real"])
def test_nothing_of_the_users_is_changed(trace):
    net, x = Net(), torch.ones(4, 8)
    roots = {"net": net, "x": x}
    before = Snapshot(roots, modules_of(net))
    failed(net, x, trace=trace)
    assert before.changes(Snapshot(roots, modules_of(net))) == []
    net.middle = nn.Linear(16, 2)
    assert net(x).shape == (4, 3)  # it runs once it is mended
    assert cnncost.analyze(net, x).totals.macs == FIRST + 4 * 16 * 2 + 4 * 2 * 3


# ---- how it is shown


@pytest.mark.parametrize("form", ["__str__", "to_markdown", "to_html", "to_json"])
def test_every_form_says_where_it_failed(form):
    assert "forward failed in middle (Linear)" in " ".join(getattr(failed(Net()), form)().split())


def test_a_file_of_it_is_partial_as_well():
    report = failed(Net())
    read = Report.from_json(report.to_json())
    assert (read.partial, read.totals, read.layers) == (report.partial, report.totals, report.layers)
    assert str(read) == str(report)


@pytest.mark.parametrize("form", ["memory", "with_memory"])
def test_there_are_no_memory_figures(form):
    report = failed(Net())
    with pytest.raises(CnncostError, match=r"they need a complete forward \(forward failed in middle \(Linear\)\)"):
        report.with_memory() if form == "with_memory" else report.memory


def test_receptive_fields_and_explanations_go_as_far():
    report = failed(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, stride=2), nn.Conv2d(9, 9, 3)), (1, 3, 32, 32))
    assert report.receptive_field("1").size == (5, 5)
    assert report.with_receptive_fields().layer("1").receptive_field == (5, 5)
    assert "8" in report.explain("1")
    assert report.explain("2")


def test_the_graph_is_there_for_who_records():
    with pytest.raises(CnncostError) as error:
        cnncost.record(Net(), (4, 8))
    graph = error.value.recorded
    assert graph is not None
    assert error.value.partial is None  # who records gets no report
    assert graph.call_path(graph.failed.call) == "middle"
    assert from_json(to_json(graph)) == graph
    assert cnncost.analyze(graph).totals == failed(Net()).totals


def test_the_error_can_be_pickled():
    with pytest.raises(CnncostError) as error:
        cnncost.analyze(Net(), (4, 8))
    copy = pickle.loads(pickle.dumps(error.value))
    assert str(copy) == str(error.value)
    assert copy.partial.totals.macs == FIRST


def test_no_tensor_is_kept_alive():
    net = Net()
    with pytest.raises(CnncostError) as error:
        cnncost.analyze(net, (4, 8))
    seen, ways = set(), [error.value.recorded, error.value.partial]
    while ways:
        thing = ways.pop()
        assert not isinstance(thing, torch.Tensor | nn.Module)
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, tuple | list | set | frozenset):
            ways.extend(thing)
        elif isinstance(thing, dict):
            ways.extend(thing.values())
        else:
            ways.extend(getattr(thing, "__dict__", {}).values())
            ways.extend(getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ()))


# ---- the command line

FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, takes=5):
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(8, 16), nn.Linear(takes, 2), nn.Linear(2, 3)

    def forward(self, x):
        return self.last(self.middle(self.first(x)))
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(FILE)
    return "net.py:Net"


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json", "html"])
def test_summarize_shows_the_table_and_then_the_error(net, capsys, form):
    code, out, err = ran(capsys, "summarize", net, "--input", "4x8", "--format", form)
    assert (code, out) == (2, "")
    table, _, last = err.rstrip("\n").rpartition("\n")
    assert last.startswith("cnncost: net.py:Net: middle (Linear): expected 5 features on the last axis")
    rows = [line.split()[:2] for line in table.splitlines()]
    assert ["first", "Linear"] in rows
    assert ["middle", "(failed)"] in rows
    assert ["last", "(not"] in rows
    assert "≥512 MACs" in table
    assert "Traceback" not in err


def test_no_file_is_written(net, capsys, tmp_path):
    code, out, err = ran(capsys, "summarize", net, "--input", "4x8", "-o", "net.json")
    assert (code, out) == (2, "")
    assert "middle (failed)" in err
    assert not (tmp_path / "net.json").exists()


def test_where_nothing_ran_the_error_is_alone(net, capsys):
    code, out, err = ran(capsys, "summarize", net, "--input", "4x9")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_an_input_error_has_the_attribute_as_well():
    assert InputError("").partial is None
