"""Elements selected by constant indices are tracked; if data select them, the receptive field is unknown."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import cnncost
from cnncost import graph_json
from cnncost.passes.receptive_field import UNKNOWN, receptive_fields
from tests.oracles.nan_probe import Probe
from tests.passes.receptive_field.test_facts import Of, at
from tests.passes.receptive_field.test_probed import told

torch.set_num_threads(1)
IMAGE = (1, 4, 9, 7)


class Picking(nn.Module):
    """A convolution over elements that a function selects; the indices are a buffer."""

    def __init__(self, function, index):
        super().__init__()
        self.function = function
        self.register_buffer("index", index)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(self.function(x, self.index))


def index(*rows):
    return torch.tensor(rows)


PICKS = {
    "index_select": (lambda x, i: x.index_select(2, i), index(3, 1, 2, 5)),
    "of columns": (lambda x, i: x.index_select(-1, i), index(6, 0)),
    "indexed": (lambda x, i: x[:, :, i], index(3, 1, 2, 5)),
    "from behind": (lambda x, i: x[:, :, i], index(-1, -9, 4)),
    "strided": (lambda x, i: x[:, :, i], index(0, 2, 4, 6, 8)),
    "turned": (lambda x, i: x[..., i], index(6, 5, 4, 3, 2, 1, 0)),
    "twice": (lambda x, i: x[:, :, i, 1:], index(0, 0, 1, 1, 2, 2)),
    "a map of rows": (lambda x, i: x[:, :, i, 2:4].flatten(2, 3), torch.tensor([[1, 3], [5, 2]])),
    "pairs": (lambda x, i: x[:, :, i, i - 2].unsqueeze(2), index(2, 4, 6)),
    "apart": (lambda x, i: x.mT.transpose(1, 2)[:, i, :, i + 2].permute(1, 2, 0).unsqueeze(2), index(1, 3, 2)),
    "a grid": (lambda x, i: x[:, :, i[:, None], i[None] - 1], index(1, 3, 5)),
    "a mask": (lambda x, i: x[:, :, i > 1], index(1, 3, 5, 0, 0, 2, 7, 7, 1)),
    "a mask of pixels": (lambda x, i: x[:, :, (i[:, None] + i[None, :7]) % 3 == 1].unsqueeze(2), torch.arange(9)),
    "gathered alike": (lambda x, i: x.gather(2, i.view(1, 1, 3, 1).expand(1, 4, 3, 7)), index(7, 0, 3)),
    "gathered, fewer": (lambda x, i: x.gather(2, i.view(1, 1, 3, 1).expand(1, 4, 3, 5)), index(7, 0, 3)),
    "gathered apart": (lambda x, i: x.gather(3, i.view(1, 1, 3, 2).expand(1, 4, 3, 2)), index(7, 1, 2, 4, 3, 5) - 1),
    "along a dim": (lambda x, i: torch.take_along_dim(x, i.view(1, 1, 3, 1), 2), index(7, 0, 3)),
    "by a constant of forward": (lambda x, _: x[:, :, torch.tensor([2, 8, 0])], index(0)),
    "by arithmetic": (lambda x, i: x[:, :, (i * 2 + 1) % 9], torch.arange(9)),
    "along a dim, apart": (lambda x, i: torch.take_along_dim(x, i.view(1, 4, 3, 1) % 9, 2), torch.arange(12) * 5),
    "taken from behind": (lambda x, i: x.take(i).view(1, 4, 3, 3), -1 - torch.arange(36) * 7),
    "taken": (lambda x, i: x.take(i).view(1, 4, 3, 3), torch.arange(36) * 7),
}


def boxes_agree(model, shape):
    x = torch.randn(shape)
    fields = receptive_fields(cnncost.analyze(model, x).graph)
    call = next(i for i in range(len(fields.graph.calls)) if fields.graph.call_path(i) == "conv")
    units, probe = fields.units(call), Probe(model, "conv", [x])
    for place, axis in enumerate(fields.images[0].axes):
        assert fields.of(call).seen[place] is not UNKNOWN
        expected, found = probe.hulls(axis, tuple(units)), told(fields, call, units, place)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
    return fields


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", PICKS)
def test_constant_indices_match_poisoning(name, grad):
    with torch.set_grad_enabled(grad):
        fields = boxes_agree(Picking(*PICKS[name]), IMAGE)
    assert [image.axes for image in fields.images] == [(2, 3)]


@given(st.lists(st.integers(-9, 8), min_size=1, max_size=12), st.booleans(), st.booleans())
@settings(max_examples=15, deadline=None)
def test_random_indices_match_poisoning(rows, selects, twice):
    def function(x, i):
        x = x.index_select(2, i % 9) if selects else x[:, :, i]
        return x[:, :, i % len(rows)] if twice else x

    fields = boxes_agree(Picking(function, torch.tensor(rows)), IMAGE)
    assert [image.axes for image in fields.images] == [(2, 3)]


@pytest.mark.parametrize(
    ("rows", "size", "jump", "start"),
    [
        (range(16), 3, 1, -1),
        (range(1, 16, 2), 5, 2, -1),  # 1, 3, 5, so that the unit before would be at -1
        (range(15, -1, -1), 3, -1, 14),
        ([0, 0, 1, 1, 2, 2], 2, Fraction(1, 2), -1),
        ([0, 1, 4, 5, 8, 9, 12, 13], 5, 2, -3),  # sees 1, 4, 5, then 0, 1, 4; the position before 0 would be -3
    ],
)
def test_regular_indices_have_a_jump(rows, size, jump, start):
    model = Picking(lambda x, i: x[:, :, i], torch.tensor(list(rows)))
    field = cnncost.analyze(model, (1, 4, 16, 7)).receptive_field("conv")
    assert (field.size[0], field.jump[0], field.start[0]) == (size, jump, start)


def test_negative_indices_have_a_negative_jump():
    """Positions -1, -2, … of 16: unit 0 of a convolution of 3 sees 14 to 16, the next one position before."""
    function = lambda x, conv: conv(x.take(-1 - torch.arange(16)).view(1, 1, 16))  # noqa: E731  # of one line
    field = cnncost.analyze(Of(function, nn.Conv1d(1, 1, 3, padding=1)), (1, 1, 16)).receptive_field("")
    assert (field.size, field.jump, field.start) == ((3,), (-1,), (14,))


def test_rows_swapped_in_pairs():
    """Rows 1, 0, 3, 2, 5, 4, …: unit 0 sees row 1; both rows of a pair move by 2 per pair."""
    rows = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14]
    model = Of(lambda x, conv: conv(x[:, :, torch.tensor(rows)]), nn.Conv2d(4, 4, 1))
    field = cnncost.analyze(model, (1, 4, 16, 7)).receptive_field("")
    assert (field.size[0], field.jump[0], field.start[0]) == (1, 1, 1)


def test_irregular_indices_have_no_jump():
    model = Picking(lambda x, i: x[:, :, i], index(3, 1, 2, 5))
    field = cnncost.analyze(model, IMAGE).receptive_field("conv")
    assert field.size == (5, 3)  # 1, 2 and 5
    assert field.jump == (UNKNOWN, 1)
    assert field.notes == ("its positions are selected without a regular pattern",)


def test_the_memo_distinguishes_index_values():
    """Calls with the same signature but other index values don't share a memo entry."""
    for rows in ([0, 1, 2], [6, 7, 8], [4, 4, 4]):
        model = Picking(lambda x, i: x[:, :, i], torch.tensor(rows))
        box = cnncost.analyze(model, IMAGE).receptive_field("conv", (1, 1)).box
        assert box[0] == (min(rows), max(rows))


def test_indices_passed_as_inputs_are_data():
    model = Of(lambda x, i, conv: conv(x[:, :, i + 1]), nn.Conv2d(4, 4, 3))
    field = cnncost.analyze(model, (torch.zeros(IMAGE), torch.arange(4))).receptive_field("")
    assert field.size[0] is UNKNOWN
    assert field.notes == ("aten.index.Tensor can't be followed",)


def test_indices_survive_a_json_round_trip():
    graph = cnncost.analyze(Picking(*PICKS["pairs"]), IMAGE).graph
    again = graph_json.from_json(graph_json.to_json(graph))
    assert again == graph
    assert at(receptive_fields(again), "conv", unit=(1,)).box == ((2, 6), (0, 4))
    (spec,) = (spec for spec in graph.specs if spec.get("positions"))
    assert spec["positions"] == (((2, 3, 2),), ((0, 3, 2),))  # runs: first, how many, step


def test_indices_into_parameters_are_not_stored():
    """A table of position biases: its indices are large, and no input dependency goes through them."""

    class Bias(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(9, 7))

        def forward(self, x):
            return x + self.table[torch.arange(8, -1, -1)]

    graph = cnncost.analyze(Bias(), IMAGE).graph
    assert not any(spec.get("positions") for spec in graph.specs)


def test_large_index_tensors_give_unknown():
    model = Of(lambda x, conv: conv(x.expand(1, 4, -1, 3)[:, :, torch.arange(70_000) % 3]), nn.Conv2d(4, 4, 3))
    field = cnncost.analyze(model, (1, 4, 3, 1)).receptive_field("")
    assert field.size[0] is UNKNOWN
