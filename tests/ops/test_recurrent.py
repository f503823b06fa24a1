from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence
from torch.utils.flop_counter import FlopCounterMode

from tests.oracles import multiplications, naive
from tests.oracles.counting import tallied

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
UNIT = {
    # sums of the two products, then sigmoid 1/(1+exp(-x)) = 4, tanh 1, products and sums
    "lstm": 4 + 3 * 4 + 1 + 3 + 1 + 1,  # i, f, o; g; c = f·c + i·g; tanh c; h = o·tanh c
    "gru": 2 + 2 * 4 + 2 + 1 + 3,  # r, z; n = tanh(x + r·h); h = (h − n)·z + n
    "rnn": 1 + 1,
}
"""FLOPs per hidden unit and step, without products and biases."""

sizes = st.integers(1, 4)


class Net(NamedTuple):
    cell: str
    width: int
    hidden: int
    layers: int
    both_ways: bool
    bias: bool
    batch_first: bool
    projection: int

    @property
    def module(self):
        more = {"proj_size": self.projection} if self.projection else {}
        return LAYERS[self.cell](
            self.width, self.hidden, self.layers, bias=self.bias, batch_first=self.batch_first,
            bidirectional=self.both_ways, **more,
        )  # fmt: skip

    def cost(self, lengths):
        """Enumerated MACs; FLOPs: two per MAC, two biases per gate, and the gates', by step, layer and direction."""
        macs = multiplications.recurrent(
            self.cell, lengths, self.width, self.hidden, self.layers, self.both_ways, self.projection
        )
        units = sum(lengths) * self.layers * (1 + self.both_ways) * self.hidden
        return macs, 2 * macs + units * (2 * GATES[self.cell] * self.bias + UNIT[self.cell])


@st.composite
def nets(draw):
    cell = draw(st.sampled_from(sorted(LAYERS)))
    hidden = draw(sizes)
    projection = draw(st.integers(0, hidden - 1)) if cell == "lstm" and hidden > 1 else 0
    return Net(cell, draw(sizes), hidden, draw(st.integers(1, 3)), draw(st.booleans()), draw(st.booleans()),
               draw(st.booleans()), projection)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(net=nets(), steps=sizes, batch=st.one_of(st.none(), sizes))
def test_cost_of_sequences(analyze, net, steps, batch):
    if batch is None:
        x = (steps, net.width)
    else:
        x = (batch, steps, net.width) if net.batch_first else (steps, batch, net.width)
    totals = analyze(net.module, x).totals
    assert (totals.macs, totals.flops) == net.cost([steps] * (batch or 1))


@settings(max_examples=40, deadline=None)
@given(net=nets(), steps=sizes, batch=sizes, train=st.booleans())
def test_the_count_is_the_same_for_the_parts_of_a_layer(counted, net, steps, batch, train):
    x = (batch, steps, net.width) if net.batch_first else (steps, batch, net.width)
    assert counted(net.module.train(train), x) == net.cost([steps] * batch)


@settings(max_examples=40, deadline=None)
@given(net=nets(), lengths=st.lists(sizes, min_size=1, max_size=4))
def test_cost_of_packed_sequences(analyze, net, lengths):
    """Each sequence runs for its own length: the padding of shorter ones costs nothing."""
    net = net._replace(batch_first=False)
    lengths = sorted(lengths, reverse=True)
    packed = pack_sequence([torch.zeros(length, net.width) for length in lengths])
    totals = analyze(net.module, packed).totals
    assert (totals.macs, totals.flops) == net.cost(lengths)


def test_sequences_packed_in_forward(analyze):
    """The lengths are an integer input with values, so they are known."""
    net = Net("gru", 3, 4, 1, both_ways=False, bias=True, batch_first=True, projection=0)

    class Packing(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = net.module

        def forward(self, x, lengths):
            return self.rnn(pack_padded_sequence(x, lengths, batch_first=True))

    totals = analyze(Packing(), (3, 5, 3), torch.tensor([5, 4, 1])).totals
    assert (totals.macs, totals.flops) == net.cost([5, 4, 1])


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        pytest.param("lstm", {}, id="LSTM"),
        pytest.param("lstm", {"num_layers": 2, "bidirectional": True, "bias": False}, id="LSTM, two layers, both ways"),
        pytest.param("lstm", {"proj_size": 2, "num_layers": 2}, id="LSTM with a projection"),
        pytest.param("gru", {}, id="GRU"),
        pytest.param("gru", {"num_layers": 2, "bidirectional": True}, id="GRU, two layers, both ways"),
        pytest.param("rnn", {"bidirectional": True, "bias": False}, id="Elman network, both ways, no bias"),
    ],
)
def test_flops_of_a_computation_whose_result_is_right(analyze, cell, settings):
    torch.manual_seed(0)
    layer = LAYERS[cell](3, 4, dtype=torch.float64, **settings).requires_grad_(False)
    x = torch.rand(3, 2, 3, dtype=torch.float64)
    result, tally = tallied(
        naive.recurrent, x, *layer.parameters(), cell=cell, layers=layer.num_layers,
        bidirectional=layer.bidirectional, bias=layer.bias, projected=bool(layer.proj_size),
    )  # fmt: skip
    torch.testing.assert_close(result, layer(x)[0], rtol=1e-6, atol=1e-6)
    assert analyze(layer, x).totals.flops == tally.flops


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_costs_one_step(counted, cell, bias):
    net = Net(cell, 3, 4, 1, both_ways=False, bias=bias, batch_first=False, projection=0)
    macs, _ = net.cost([1, 1])
    assert macs == 2 * GATES[cell] * 4 * (3 + 4)
    assert counted(CELLS[cell](3, 4, bias=bias), (2, 3)) == net.cost([1, 1])


@pytest.mark.parametrize(
    ("layer", "x", "axis"),
    [
        pytest.param(nn.GRU(3, 4), (5, 2, 3), 0, id="first"),
        pytest.param(nn.GRU(3, 4, batch_first=True), (2, 5, 3), 1, id="second"),
        pytest.param(nn.GRU(3, 4), pack_sequence([torch.zeros(2, 3)]), None, id="packed: mixed with the batch"),
    ],
)
def test_the_axis_of_steps_is_an_attribute(analyze, layer, x, axis):
    graph = analyze(layer, x).graph
    assert [node.spec["steps_axis"] for node in graph.nodes if node.spec.kind == "recurrent"] == [axis]


def test_relu_in_place_of_tanh(counted):
    layer = nn.RNN(3, 4, nonlinearity="relu")
    macs = 5 * 2 * 4 * (3 + 4)
    assert counted(layer, (5, 2, 3)) == (macs, 2 * macs + 5 * 2 * 4 * (2 + 1 + 1))  # two biases, their sum, relu


def test_a_given_state_costs_nothing_more(counted):
    net = Net("lstm", 3, 4, 1, both_ways=False, bias=True, batch_first=False, projection=0)
    state = (1, 2, 4)
    assert counted(net.module, (5, 2, 3), (state, state)) == net.cost([5, 5])


def test_dropout_between_layers_is_free(counted):
    net = Net("lstm", 3, 4, 2, both_ways=False, bias=True, batch_first=False, projection=0)
    layer = nn.LSTM(3, 4, 2, dropout=0.5)
    assert counted(layer.train(), (5, 2, 3)) == net.cost([5, 5])
    assert counted(layer.eval(), (5, 2, 3)) == net.cost([5, 5])


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        pytest.param(nn.LSTM(16, 32), (5, 1, 16), 5 * 4 * 32 * (16 + 32), id="5 steps of 4·32·(16 + 32) = 30,720"),
        pytest.param(
            nn.LSTM(32, 64, 2, bidirectional=True), (10, 1, 32),
            10 * 2 * 4 * 64 * ((32 + 64) + (128 + 64)),
            id="two layers both ways, the second fed by both: 1,474,560",
        ),
        pytest.param(nn.GRU(16, 32), (5, 1, 16), 5 * 3 * 32 * (16 + 32), id="a GRU has three quarters of an LSTM"),
        pytest.param(
            nn.LSTM(8, 6, 2, bidirectional=True, proj_size=3), (4, 2, 8),
            4 * 2 * 2 * ((4 * 6 * (8 + 3) + 6 * 3) + (4 * 6 * (2 * 3 + 3) + 6 * 3)),
            id="projected: the state that is fed back is narrower, and so is the next layer's input",
        ),
    ],
)  # fmt: skip
def test_macs_by_hand(analyze, layer, x, expected):
    assert analyze(layer, x).totals.macs == expected


def test_torch_counter_sees_the_products_of_a_layer_in_parts(analyze):
    """For a GRU with autograd on; LSTMs, and all without autograd, are one CPU op that the counter doesn't know."""
    layer = nn.GRU(3, 4, 2, bidirectional=True)
    with FlopCounterMode(display=False) as counter:
        layer(torch.ones(5, 2, 3))
    assert 2 * analyze(layer, (5, 2, 3)).totals.macs == counter.get_total_flops()
