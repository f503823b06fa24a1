"""`explain` never raises, and its text holds the very numbers of the row: of every layer of every model and every op.

The models are the zoo's, those of tests/networks.py, and a sample of each class of torch.nn and of each op that torch
has in its own tables.
"""

from functools import cache

import pytest
import torch
from torch import nn

import cnncost
from cnncost import units, zoo
from cnncost.errors import CnncostError
from tests import networks
from tests.conformance import torch_tables_cases as tables

torch.set_num_threads(1)

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, of its samples

NETWORKS = {
    "MobileNetV2": (networks.MobileNetV2, "1x3x64x64"),
    "DenseNet121": (networks.DenseNet121, "1x3x64x64"),
    "LSTM": (networks.LSTM, "1x5x64"),
    "CellLSTM": (networks.CellLSTM, "1x5x64"),
}


def explained(report):
    """Explain every module and every call of one; all texts, where any layer had numbers that had to be found there."""
    found, texts = 0, []
    for path, _, calls in report.tree:
        texts.append(text := report.explain(path))
        own = [row for row in report.layers if row.path == path]
        for number, noun in ((sum(r.macs for r in own), "MACs"), (sum(r.flops for r in own), "FLOPs")):
            if number:
                assert units.exact(number) in text, (path, noun, text)
                found += 1
        for row in own if calls > 1 else ():
            of_call = report.explain(f"{path}#{row.call}")
            assert row.macs == 0 or units.exact(row.macs) in of_call
    said = "\n".join(texts)
    assert all(op.name in said for op in report.ops)
    return said if found else ""


@pytest.mark.parametrize("name", sorted(zoo.names()))
def test_networks_of_the_zoo(name):
    assert explained(cnncost.analyze(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_tests(name):
    build, shape = NETWORKS[name]
    assert explained(cnncost.analyze(build().eval(), shape))


def sampled(table, entry, most=1):
    """Reports of the first samples of an op, without those that an analysis refuses."""
    for index, case in enumerate(entry.cases()):
        if index == most:
            return
        model, args, kwargs = case.make()
        try:
            yield tables._analyzed(model, args, kwargs, case.how)
        except CnncostError:
            continue


@pytest.mark.long
@pytest.mark.parametrize("table", ["modules", "modules in training"])
def test_a_module_of_each_class(table):
    seen = set()
    for entry in tables.entries(table):
        for report in sampled(table, entry):
            explained(report)
            seen.add(entry.name)
    assert len(seen) > 100


@cache
def ops():
    return tables.entries("float32")


@pytest.mark.long
@pytest.mark.parametrize("part", range(2))
def test_a_sample_of_every_third_op(part):
    """tests/conformance/torch_tables.py runs them all."""
    seen, refused = 0, 0
    for entry in ops()[3 * part :: 6]:
        reports = list(sampled("float32", entry))
        for report in reports:
            explained(report)
        seen, refused = seen + len(reports), refused + (not reports)
    assert seen > 20 * refused
    assert seen > 50


RECURRENT = [
    pytest.param(nn.LSTM(8, 16, 2, bidirectional=True, proj_size=4), "5x2x8", id="LSTM"),
    pytest.param(nn.GRU(8, 16, 2), "5x2x8", id="GRU"),
    pytest.param(nn.RNN(8, 16), "5x2x8", id="RNN"),
    pytest.param(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), "2x5x8", id="an encoder layer"),
    pytest.param(nn.MultiheadAttention(8, 2), ((5, 2, 8), (5, 2, 8), (5, 2, 8)), id="attention"),
    pytest.param(nn.Bilinear(4, 5, 6), ((2, 4), (2, 5)), id="Bilinear"),
]


class Functional(nn.Module):
    """Ops whose formulas have factors that are sums, quotients or numbers."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, y):
        return self.function(x, y)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("model", "inputs"), RECURRENT)
def test_layers_whose_formulas_have_many_terms(model, inputs, training):
    assert explained(cnncost.analyze(model, inputs, training=training))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: torch.addcmul(x, x, y, value=0.5), lambda x, y: torch.lerp(x, y, 0.3),
        lambda x, y: torch.addcdiv(x, x, y, value=2), lambda x, y: torch.baddbmm(x, x, y, beta=0.5, alpha=2),
        lambda x, y: torch.einsum("bij,bkj->bik", x, y), torch.cdist,
    ],
    ids=["addcmul", "lerp", "addcdiv", "baddbmm", "einsum", "cdist"],
)  # fmt: skip
def test_ops_whose_formulas_have_numbers_in_them(function):
    assert explained(cnncost.analyze(Functional(function), ((2, 4, 4), (2, 4, 4))))
