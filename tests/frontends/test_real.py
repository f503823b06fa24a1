"""Runs on real values: the same counts as without, data-dependent rows marked, the model left unchanged."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost import graph_json
from cnncost.errors import DataDependentError, InputError
from cnncost.frontends.torch import real
from cnncost.frontends.torch.compiler import CompilerNeededError
from cnncost.frontends.torch.real import DRAWN, GIVEN, record_real
from cnncost.report.model import Report

torch.set_num_threads(1)


class Kept(nn.Module):
    """Rows whose first number is above a half go through a second layer, like a detector's boxes."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 8)

    def forward(self, x):
        kept = x[x[:, 0] > 0.5]
        return self.first(x), self.second(kept)


class Refilled(Kept):
    """A tensor as long as the number of selected rows, as in region pooling."""

    def forward(self, x):
        kept = x[x[:, 0] > 0.5]
        filled = torch.zeros(len(kept), 4)
        return self.second(filled)


class Loops(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        steps = 0
        while x.sum() < 100 and steps < 7:
            x = self.layer(x).abs() + 10
            steps += 1
        return x


def rows(*firsts):
    return torch.tensor([[first, 0.0, 0.0, 0.0] for first in firsts])


# ---- what is counted


@pytest.mark.parametrize(("firsts", "kept"), [((0.9, 0.1, 0.8), 2), ((0.9, 0.9, 0.8), 3), ((0.1,), 0)])
def test_the_values_given_decide(firsts, kept):
    report = cnncost.analyze(Kept(), rows(*firsts), trace="real")
    assert report.layer("first").macs == len(firsts) * 16
    assert report.layer("second").macs == kept * 32
    assert report.run_on == GIVEN


def test_what_follows_from_values_is_marked_and_nothing_else():
    report = cnncost.analyze(Kept(), rows(0.9, 0.1), trace="real")
    assert {layer.path: layer.status for layer in report.layers} == {"": "data", "first": "called", "second": "data"}


def test_what_is_as_long_as_what_was_kept_is_marked():
    report = cnncost.analyze(Refilled(), rows(0.9, 0.1, 0.7), trace="real")
    assert (report.layer("second").status, report.layer("second").macs) == ("data", 2 * 32)


def test_a_loop_that_reads_values_is_run_as_often_as_they_say():
    model = Loops()
    nn.init.zeros_(model.layer.weight)
    nn.init.zeros_(model.layer.bias)
    # 2×4 elements: 0 at first, then 10 each, a sum of 80, below 100; it is looked at once more than there are turns
    report = cnncost.analyze(model, torch.zeros(2, 4), trace="real")
    assert report.layer("layer").calls == 7
    assert report.totals.macs == 7 * 2 * 16
    assert report.reads == 8
    assert "forward read 8 values" in str(report)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()), id="cnn"),
        pytest.param(lambda: nn.Sequential(nn.Flatten(2), nn.LSTM(64, 8, batch_first=True)), id="a recurrent layer"),
        pytest.param(
            lambda: nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(64, 4, batch_first=True)), id="attention"
        ),
    ],
)
def test_the_counts_are_those_of_a_run_without_values(model):
    made = model().eval()
    real, static = (cnncost.analyze(made, (2, 3, 8, 8), trace=how) for how in ("real", "static"))
    counts = [(report.totals.params, report.totals.macs, report.totals.flops) for report in (real, static)]
    assert counts[0] == counts[1]
    assert {layer.path for layer in real.layers if layer.macs} <= {layer.path for layer in static.layers}
    assert not real.graph.real.nodes


# ---- which way is taken


def test_auto_runs_on_values_only_where_it_must():
    assert cnncost.analyze(nn.Linear(4, 2), (1, 4), trace="auto").run_on == ""
    assert cnncost.analyze(Kept(), (3, 4), trace="auto").run_on == DRAWN


def test_static_is_the_rule_and_names_the_other():
    with pytest.raises(DataDependentError, match="trace='real'"):
        cnncost.analyze(Kept(), (3, 4))


def test_drawn_values_are_the_same_each_time():
    first, second = (cnncost.analyze(Kept(), (64, 4), trace="real").totals.macs for _ in range(2))
    assert first == second
    assert 64 * 16 < first < 64 * 16 + 64 * 32


def test_a_model_without_weights_is_refused():
    with torch.device("meta"):
        model = Kept()
    with pytest.raises(InputError, match="needs weights"):
        cnncost.analyze(model, (3, 4), trace="real")


def test_a_named_model_gets_its_initial_weights(tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.fc = nn.Linear(4, 2)\n\n    def forward(self, x):\n"
        "        return self.fc(x[x[:, 0] > -1])\n"
    )
    assert cnncost.analyze(f"{tmp_path}/net.py:Net", (3, 4), trace="auto").totals.macs == 3 * 8


def test_weights_larger_than_the_machine_are_refused(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\nclass Net(nn.Linear):\n"
        "    def __init__(self):\n        super().__init__(2**21, 2**21)\n"
    )
    with pytest.raises(InputError, match=r"needs the weights, 16.0 TiB, and this machine has"):
        cnncost.analyze(f"{tmp_path}/net.py:Net", (1, 2**21), trace="real")


# ---- the model, and what is kept


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    before = {name: (value.clone(), value._version) for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    record_real(model, (2, 3, 8, 8))
    assert all(torch.equal(value, before[name][0]) for name, value in model.state_dict().items())
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_inputs_are_left_as_they_were():
    class InPlace(nn.Module):
        def forward(self, x):
            return x.add_(1)

    x = torch.zeros(2, 3)
    cnncost.analyze(InPlace(), x, trace="real")
    assert not x.any()


def test_a_graph_and_a_report_keep_what_was_run():
    report = cnncost.analyze(Kept(), rows(0.9, 0.1), trace="real")
    assert graph_json.from_json(graph_json.to_json(report.graph)) == report.graph
    assert Report.from_json(report.to_json()) == report


def test_renderers_tell_of_it():
    report = cnncost.analyze(Kept(), rows(0.9, 0.1), trace="real")
    text = str(report)
    assert "run on the values given" in text
    assert "second (by data)" in text
    assert "(by data): its numbers depend on the values that the model was run on" in " ".join(text.split())
    assert "run on the values given" in report.to_markdown()
    assert "run on the values given" in report.to_html()


def test_a_list_of_images_is_as_many_examples():
    class Listed(nn.Module):
        def forward(self, images):
            return [image * 2 for image in images]

    for trace in ("static", "real"):
        report = cnncost.analyze(Listed(), ([(3, 8, 8), (3, 9, 8)],), trace=trace)
        assert report.batch == 2


def test_a_run_in_which_the_compiler_is_imported_is_made_anew(monkeypatch):
    """The same as if it had not been imported before."""
    runs, recorded = [], real._recorded

    def once_in_vain(*args):
        runs.append(args)
        if len(runs) == 1:
            raise CompilerNeededError("sympy")
        return recorded(*args)

    monkeypatch.setattr(real, "_recorded", once_in_vain)
    for autocast in (None, "bf16"):
        runs.clear()
        graph = record_real(nn.Linear(3, 4), torch.rand(2, 3), autocast=autocast)
        assert len(runs) == 2
        assert graph.values[graph.outputs[0]].dtype == ("float32" if autocast is None else "bfloat16")


@pytest.mark.parametrize("given", [True, False])
def test_an_input_that_wants_a_gradient_has_one_in_a_step_on_values(given):
    x = torch.rand(2, 8, requires_grad=True) if given else torch.rand(2, 8)
    report = cnncost.analyze(nn.Linear(8, 4), x, training=True, trace="real")
    assert [row.macs for row in report.phases][:2] == [2 * 8 * 4, 2 * 8 * 4 * (1 + given)]


def test_a_step_on_values_without_parameters():
    report = cnncost.analyze(nn.Softmax(1), torch.rand(2, 8, requires_grad=True), training=True, trace="real")
    assert [row.flops for row in report.phases][:2] == [5 * 16 + 15, 4 * 16]  # the loss is a sum
