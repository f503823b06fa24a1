"""`analyze` as a whole: source, recording, passes and report, on networks small enough to count by hand."""

from dataclasses import astuple, replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # torch's own name for it

import cnncost
from cnncost.errors import UnknownOpError
from cnncost.graph import Call, Graph, Node, OpSpec, Scope, Storage, TensorType, Value
from cnncost.graph_json import from_json, to_json

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


class Siamese(nn.Module):
    """One tower for both images, and a distance."""

    def __init__(self):
        super().__init__()
        self.tower = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 8))

    def forward(self, one, other):
        return F.pairwise_distance(self.tower(one), self.tower(other))


class ShapeOnly(nn.Module):
    def forward(self, x):
        return x.flatten(1).view(-1, 2, 3).transpose(1, 2)


class Generator(nn.Module):
    """Steps of a recurrent cell, as many as the input is long."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        state = x.new_zeros(x.shape[0], 8)
        steps = []
        for step in x.unbind(1):
            state = self.cell(step, state)
            steps.append(self.head(state))
        return torch.stack(steps, 1)


NETWORKS = [
    # model, inputs, parameters and MACs
    pytest.param(
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(20, 3)),
        (4, 3, 10, 10),
        # kernels of 3·9 and a bias for each of 5; 20·3 weights and 3
        5 * 28 + 63,
        # 4 images: 5·8·8 outputs of 27 products, then 3 of 20
        4 * (5 * 64 * 27 + 60),
        id="a small classifier",
    ),
    pytest.param(
        # fvcore's documentation: convolutions 48,600 and 146,016, linear layers 69,120 and more; here by hand
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.MaxPool2d(2), nn.Conv2d(6, 16, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(576, 120)
        ),
        (1, 3, 32, 32),
        6 * 28 + 16 * 55 + 120 * 577,
        6 * 30 * 30 * 27 + 16 * 13 * 13 * 54 + 576 * 120,
        id="two convolutions: 145,800 and 146,016, and a layer of 69,120",
    ),
    pytest.param(
        lambda: nn.ConvTranspose2d(32, 1, 3),
        (1, 32, 1, 1),
        32 * 9 + 1,
        288,
        id="a transposed convolution: 32 inputs, each spread over 9 outputs",
    ),
    pytest.param(
        # by input positions: 2·4·64, each times 6·16
        lambda: nn.ConvTranspose2d(4, 6, 4, 2, 1),
        (2, 4, 8, 8),
        4 * 6 * 16 + 6,
        2 * 4 * 64 * 6 * 16,
        id="a transposed convolution that doubles the image: 49,152",
    ),
    pytest.param(
        lambda: nn.ConvTranspose2d(4, 4, 3, groups=4),
        (2, 4, 8, 8),
        4 * 9 + 4,
        2 * 4 * 64 * 9,
        id="a depthwise transposed convolution: 4,608",
    ),
    pytest.param(
        lambda: nn.Conv2d(16, 16, 3, padding=1, groups=16),
        (1, 16, 8, 8),
        160,
        16 * 64 * 9,
        id="a depthwise convolution: 9,216",
    ),
    pytest.param(
        # four gates of 32, each of 16 inputs and 32 states, five times; two biases a gate
        lambda: nn.LSTM(16, 32),
        (5, 1, 16),
        4 * 32 * 48 + 2 * 128,
        5 * 4 * 32 * 48,
        id="an LSTM: 30,720",
    ),
    pytest.param(
        lambda: nn.LSTM(32, 64, 2, bidirectional=True),
        (10, 1, 32),
        2 * 4 * 64 * (32 + 64 + 2) + 2 * 4 * 64 * (128 + 64 + 2),
        10 * 2 * 4 * 64 * (32 + 64) + 10 * 2 * 4 * 64 * (128 + 64),
        id="two layers of an LSTM in both directions: 1,474,560",
    ),
    pytest.param(
        Siamese,
        ((2, 1, 8, 8), (2, 1, 8, 8)),
        4 * 10 + 8 * 37,
        2 * 2 * (4 * 9 * 9 + 36 * 8),
        id="a tower used twice",
    ),
    pytest.param(ShapeOnly, (2, 2, 3), 0, 0, id="shapes alone"),
    pytest.param(
        # 5 steps of 3 examples: three gates of 8, each of 4 inputs and 8 states, and a head
        Generator,
        (3, 5, 4),
        3 * 8 * (4 + 8 + 2) + 18,
        5 * 3 * (3 * 8 * 12 + 16),
        id="a cell that is called for each step",
    ),
    pytest.param(
        lambda: nn.Bilinear(3, 4, 5),
        ((2, 3), (2, 4)),
        65,
        None,
        id="a bilinear layer",
    ),
]


@pytest.mark.parametrize(("make", "inputs", "params", "macs"), NETWORKS)
def test_networks_counted_by_hand(make, inputs, params, macs):
    model = make()
    report = cnncost.analyze(model, inputs)
    assert report.totals.params == params == sum(p.numel() for p in model.parameters())
    assert report.unknown == {}
    assert macs is None or report.totals.macs == macs
    assert report.totals.flops >= 2 * report.totals.macs
    assert report.totals.macs == sum(row.macs for row in report.layers) == report.modules[0].macs


ALIKE = [
    pytest.param(lambda model: model.train(), id="in train mode"),
    pytest.param(lambda model: model.eval(), id="in eval mode"),
    pytest.param(lambda model: model.requires_grad_(False), id="frozen"),
    pytest.param(lambda model: model.to("meta"), id="without weights"),
    pytest.param(lambda model: model.half(), id="in half precision"),
    pytest.param(nn.Sequential, id="in a Sequential"),
]


@pytest.mark.parametrize("change", ALIKE)
def test_the_same_network_costs_the_same(change):
    def build():
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(), nn.Flatten(2),
            nn.TransformerEncoderLayer(36, 2, 16, batch_first=True),
        )  # fmt: skip

    expected, got = (cnncost.analyze(model, (2, 3, 8, 8)).totals for model in (build(), change(build())))
    assert (got.params, got.macs, got.flops) == (expected.params, expected.macs, expected.flops)


def test_all_counts_grow_with_the_batch():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    one, five = (cnncost.analyze(model.eval(), (n, 3, 8, 8)).totals for n in (1, 5))
    assert (five.macs, five.flops, five.params) == (5 * one.macs, 5 * one.flops, one.params)


def test_counts_are_ints():
    totals = cnncost.analyze(nn.Linear(3, 4).eval(), (2, 3)).totals
    numbers = [
        value
        for value in (*astuple(replace(totals, output_shapes=())), totals.frozen_params)
        if value not in (None, ()) and type(value) is not bool
    ]
    assert len(numbers) >= 11
    assert {type(number) for number in numbers} == {int}


def test_the_report_keeps_what_it_was_made_of():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    report = cnncost.analyze(model, (2, 3))
    assert report.graph == cnncost.record(model, (2, 3))
    assert (report.model, report.inputs, report.batch) == ("Sequential", (((2, 3), "float32"),), 2)
    assert report.tree == (("", "Sequential", 1), ("0", "Linear", 1), ("1", "ReLU", 1))
    assert (report.biggest.path, report.biggest.macs) == ("0", 24)
    assert [(op.name, op.kind, op.count) for op in report.ops] == [
        ("aten.linear", "linear", 1), ("aten.relu", "pointwise", 1),
    ]  # fmt: skip


def test_a_graph_from_a_file_gives_the_same_report():
    graph = cnncost.record(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), (2, 3))
    assert cnncost.analyze(from_json(to_json(graph))) == cnncost.analyze(graph)


def drawn(kind):
    x = TensorType((2, 3), "float32")
    return Graph(
        (Value(0, x, 0, "input"), Value(1, x, 1, "activation")),
        (Node(OpSpec(kind, (x,), (x,)), (0,), (1,), 0, "lib.op"),),
        (Scope("", "Net", calls=1),),
        (Call(0, None, 0, (0,), (1,)),),
        (Storage(0, 24, None, None), Storage(1, 24, 0, None)),
        (0,),
        (1,),
    )


def test_a_graph_drawn_by_hand_needs_no_model():
    report = cnncost.analyze(drawn("no::rule"), name="sketch")
    assert (report.model, report.unknown, report.totals.lower_bound) == ("sketch", {"lib.op": 1}, True)
    with pytest.raises(UnknownOpError) as error:
        cnncost.analyze(drawn("no::rule"), strict=True)
    assert str(error.value).startswith("graph: 1 op without a rule: lib.op (1×, first in the model)")


def test_an_op_that_contradicts_its_declaration_is_no_reason_for_a_rule():
    """The kind has a rule; another would not be applied, either."""
    with pytest.raises(UnknownOpError, match=r"the op contradicts \(kind 'linear' needs the attribute 'bias'") as error:
        cnncost.analyze(drawn("linear"), strict=True)
    assert "cnncost.rule" not in str(error.value)


def test_the_whole_of_a_large_network():
    report = cnncost.analyze("resnet152")
    # 3 + 8 + 36 + 3 blocks of three convolutions, four projections, the first convolution and the last layer
    products = [op for op in report.graph.nodes if op.spec.kind in ("conv", "linear")]
    assert len(products) == 50 * 3 + 4 + 2
    assert report.totals.params == 60_192_808


def test_log_dict_has_the_totals_by_flat_names():
    report = cnncost.analyze("lenet5")
    found = report.log_dict("x/")

    assert (found["x/params"], found["x/macs"], found["x/flops"]) == (60_000, 325_680, 694_086)
    assert found["x/unknown_ops"] == 0
    assert all(type(value) is int for value in found.values())
    assert "complexity/macs" in report.log_dict()
