"""Spatial input axes: all that reach an op with windows or attention, whatever ops come before it."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.cli.rf import command
from cnncost.passes.receptive_field import GLOBAL, UNKNOWN, receptive_fields
from cnncost.passes.receptive_field.axes import AxisTracker
from tests.oracles.nan_probe import Probe
from tests.passes.receptive_field.test_facts import Of, at

torch.set_num_threads(1)
IMAGE = (1, 4, 16, 16)


def conv(channels=4):
    return nn.Conv2d(channels, 4, 3, padding=1)


def first(function, *modules):
    """A function followed by a convolution."""
    return Of(lambda x, conv, *parts: conv(function(x, *parts)), conv(), *modules)


def torch_stft(x):
    """16 samples per frame, hop 4: the frequency axis does not come from a single input axis."""
    found = torch.stft(x, 16, 4, window=torch.hann_window(16), return_complex=True).abs()
    return found[:, None].expand(-1, 4, -1, -1)


MIXED = {
    # a model, how many rows and columns the convolution's units see, and the number of units
    "softmax over rows": (first(lambda x: x.softmax(2)), (GLOBAL, 3), (16, 16)),
    "softmax over columns": (first(lambda x: x.softmax(3)), (3, GLOBAL), (16, 16)),
    "softmax over both": (first(lambda x: x.softmax(2).softmax(3)), (GLOBAL, GLOBAL), (16, 16)),
    "Fourier over columns": (first(lambda x: torch.fft.fft(x, dim=3).real), (3, GLOBAL), (16, 16)),
    "Fourier over rows, real": (first(lambda x: torch.fft.rfft(x, dim=2).abs()), (GLOBAL, 3), (9, 16)),
    "linear over rows": (first(lambda x, fc: fc(x.mT).mT, nn.Linear(16, 9)), (GLOBAL, 3), (9, 16)),
    "linear over columns": (first(lambda x, fc: fc(x), nn.Linear(16, 16)), (3, GLOBAL), (16, 16)),
    "frequencies to mel": (first(lambda x: torch.matmul(torch.ones(8, 16), x)), (GLOBAL, 3), (8, 16)),
    "einsum over rows": (first(lambda x: torch.einsum("bchw,hk->bckw", x, torch.ones(16, 12))), (GLOBAL, 3), (12, 16)),
    "top-k": (first(lambda x: x.topk(5, 2).values), (GLOBAL, 3), (5, 16)),
    "sort": (first(lambda x: x.sort(3).values), (3, GLOBAL), (16, 16)),
    "cumulative sum": (first(lambda x: x.cumsum(2)), (GLOBAL, 3), (16, 16)),
    "cumulative maximum": (first(lambda x: x.cummax(3).values), (3, GLOBAL), (16, 16)),
    "flip": (first(lambda x: x.flip(2)), (3, 3), (16, 16)),
    "roll": (first(lambda x: x.roll(3, 3)), (3, 3), (16, 16)),
    "mean, put back": (first(lambda x: x.mean(2, keepdim=True).expand_as(x)), (GLOBAL, 3), (16, 16)),
    "less its mean": (first(lambda x: x - x.mean(3, keepdim=True)), (3, GLOBAL), (16, 16)),
    "norm over space": (first(lambda x, norm: norm(x), nn.InstanceNorm2d(4)), (GLOBAL, GLOBAL), (16, 16)),
    "layer norm over columns": (first(lambda x, norm: norm(x), nn.LayerNorm(16)), (3, GLOBAL), (16, 16)),
    "group norm": (first(lambda x, norm: norm(x), nn.GroupNorm(2, 4)), (GLOBAL, GLOBAL), (16, 16)),
    "pool behind softmax": (
        Of(lambda x: F.max_pool2d(x.softmax(2), 2)), (GLOBAL, 2), (8, 8),
    ),
    "resize behind Fourier": (
        Of(lambda x: F.interpolate(torch.fft.fft(x, dim=3).real, scale_factor=2)), (1, GLOBAL), (32, 32),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED)
def test_a_mixed_axis_stays_an_axis(name):
    model, size, units = MIXED[name]
    fields = receptive_fields(cnncost.analyze(model, IMAGE).graph)
    assert fields.images[0].axes == (2, 3)
    field = at(fields, "")
    assert field.size == size
    assert fields.units(0) == {2: units[0], 3: units[1]}
    last = tuple(n - 1 for n in units)
    for span, n in zip(at(fields, "", unit=last).box, size, strict=True):
        assert span == (0, 15) if n is GLOBAL else span[1] - span[0] + 1 <= n


def neighbours(x):
    """Each row plus the next, row by row; the last one plus the first."""
    return torch.stack([x[:, :, i] + x[:, :, (i + 1) % 16] for i in range(16)], 2)


def running(x):
    """A recurrence over rows in Python."""
    rows = [x[:, :, 0]]
    for row in x.unbind(2)[1:]:
        rows.append(rows[-1] * 0.5 + row)
    return torch.stack(rows, 2)


STACKED = {
    # rows taken one by one and stacked again; size, jump and start of a 3×3 convolution behind that, and the rows that
    # its widest unit sees
    "select": (lambda x: torch.stack([x[:, :, i] for i in range(16)], 2), (3, 1, -1, 3)),
    "unbind": (lambda x: torch.stack([row.relu() for row in x.unbind(2)], 2), (3, 1, -1, 3)),
    "narrow": (lambda x: torch.stack([x.narrow(2, i, 1).squeeze(2) for i in range(16)], 2), (3, 1, -1, 3)),
    "split": (lambda x: torch.stack([row[:, :, 0] for row in x.split(1, 2)], 2), (3, 1, -1, 3)),
    "cat": (lambda x: torch.cat([x[:, :, i].unsqueeze(2) for i in range(16)], 2), (3, 1, -1, 3)),
    "backwards": (lambda x: torch.stack([x[:, :, 15 - i] for i in range(16)], 2), (3, -1, 14, 3)),
    "every other": (lambda x: torch.stack([x[:, :, i] for i in range(0, 16, 2)], 2), (5, 2, -2, 5)),
    "behind a pool": (
        lambda x: torch.stack(F.max_pool2d(x, (2, 1)).unbind(2), 2), (6, 2, -2, 6),
    ),
    "rows and columns": (
        lambda x: torch.stack([torch.stack(row.unbind(-1), -1) for row in x.unbind(2)], 2), (3, 1, -1, 3),
    ),
    "neighbours": (neighbours, (16, UNKNOWN, UNKNOWN, 16)),  # the last row also sees the first
    "a recurrence": (running, (16, UNKNOWN, UNKNOWN, 16)),
    "two rows": (lambda x: torch.stack([x[:, :, 2], x[:, :, 7]], 2), (6, 0, 2, 6)),  # both units see both
    "three rows": (lambda x: torch.stack([x[:, :, 2], x[:, :, 7], x[:, :, 8]], 2), (7, UNKNOWN, UNKNOWN, 7)),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKED)
def test_rows_that_are_stacked_again_are_an_axis(name):
    function, rows = STACKED[name]
    model = first(function)
    field = at(receptive_fields(cnncost.analyze(model, IMAGE).graph), "")
    assert (field.size[0], field.jump[0], field.start[0], field.seen[0]) == rows
    assert (field.size[1], field.jump[1], field.start[1]) == (3, 1, -1)
    firsts, lasts = Probe(model, "parts.0", [torch.rand(IMAGE)]).hulls(2, keep=(2, 3))
    assert int((lasts - firsts).max()) + 1 == rows[-1]


def merged(x):
    """Swin's patch merging: each unit is 2 × 2 pixels."""
    return torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)


ONE_LEFT = {
    # functions that leave one row of 2, behind a 3×3 convolution; size, jump and start: a stride stays one, though
    # nothing is left over for a second unit
    "a stride": (lambda x: x[:, :, ::2], (3, 2, -1)),
    "patches": (merged, (4, 2, -1)),
    "a strided convolution": (lambda x: F.conv2d(x, torch.ones(4, 4, 2, 2), stride=2), (4, 2, -1)),
    "a position": (lambda x: x[:, :, :1], (3, 0, -1)),
    "a position behind zeros": (lambda x: F.pad(x[:, :, :1], (0, 0, 1, 0)), (3, 0, -1)),
}


@pytest.mark.parametrize("name", ONE_LEFT)
def test_where_one_position_is_left(name):
    function, rows = ONE_LEFT[name]
    model = Of(lambda x, conv: function(conv(x)), conv())
    field = at(receptive_fields(cnncost.analyze(model, (1, 4, 2, 2)).graph), "")
    assert (field.size[0], field.jump[0], field.start[0]) == rows


def test_frames_that_are_convolved_one_by_one_are_an_axis():
    """A convolution of each of 8 frames, and one over time behind them."""

    def forward(video, over_time, over_space):
        return over_time(torch.stack([over_space(video[:, :, t]) for t in range(8)], 2))

    model = Of(forward, nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0)), conv())
    fields = receptive_fields(cnncost.analyze(model, (1, 4, 8, 16, 16)).graph)
    assert (fields.images[0].axes, at(fields, "").size, at(fields, "").jump) == ((2, 3, 4), (3, 3, 3), (1, 1, 1))


def test_features_of_attention_are_those_of_its_values():
    """Columns are the features of a fused attention over rows, and a convolution slides along both."""
    model = first(lambda x: F.scaled_dot_product_attention(x, x, x))
    assert at(receptive_fields(cnncost.analyze(model, IMAGE).graph), "").size == (GLOBAL, GLOBAL)
    model = first(lambda x: F.scaled_dot_product_attention(torch.ones(IMAGE), torch.ones(IMAGE), x))
    assert at(receptive_fields(cnncost.analyze(model, IMAGE).graph), "").size == (GLOBAL, 3)
    firsts, lasts = Probe(model, "parts.0", [torch.rand(IMAGE)]).hulls(3, keep=(2, 3))
    assert int((lasts - firsts).max()) + 1 == 3


@pytest.mark.parametrize(
    ("function", "shape", "axes", "size"),
    [
        pytest.param(first(lambda x: x[None, None].expand(1, 4, -1, -1)), (16, 16), (0, 1), (3, 3), id="a bare image"),
        pytest.param(
            first(lambda x: x.softmax(-1)[:, None].expand(-1, 4, -1, -1)), (1, 16, 16), (1, 2), (3, GLOBAL),
            id="a gray image",
        ),
        pytest.param(first(lambda x: x.permute(0, 3, 1, 2)), (1, 16, 16, 4), (1, 2), (3, 3), id="channels last"),
        pytest.param(
            first(lambda x: x.softmax(1).permute(0, 3, 1, 2)), (1, 16, 16, 4), (1, 2), (GLOBAL, 3),
            id="channels last, mixed",
        ),
        pytest.param(first(lambda x: x.flatten(0, 1)), (2, 3, 4, 16, 16), (3, 4), (3, 3), id="frames apart"),
        # three frames of 16 each begin 8 apart, with hop 4 between them: 16 + 2·4
        pytest.param(first(torch_stft), (1, 128), (1,), (24,), id="Fourier of frames"),
        pytest.param(
            Of(lambda x, fc, conv: conv(fc(x).transpose(1, 2)), nn.Linear(8, 4), nn.Conv1d(4, 4, 3)),
            (2, 16, 8), (1,), (3,), id="features become channels",
        ),
        pytest.param(
            Of(lambda x, a, b: b(a(x).mean((2, 3))[:, None]), conv(), nn.Conv1d(1, 1, 3)), IMAGE, (2, 3),
            (GLOBAL, GLOBAL), id="channels are not space (ECA, Wang et al. 2020)",
        ),
        pytest.param(
            Of(lambda x, fc, conv: conv(fc(x.flatten(1)).view(-1, 4, 8, 8)), nn.Linear(1024, 256), conv()), IMAGE,
            (2, 3), (GLOBAL, GLOBAL), id="features become a map",
        ),
    ],
)  # fmt: skip
def test_axes_of_inputs(function, shape, axes, size):
    fields = receptive_fields(cnncost.analyze(function, shape).graph)
    assert fields.images[0].axes == axes
    assert at(fields, "").size == size


ATTEND = {
    "by hand": lambda x, m: (x @ x.mT).softmax(-1) @ x,
    "with projections": lambda x, m: (m(x) @ m(x).mT).softmax(-1) @ m(x),
    "fused": lambda x, m: F.scaled_dot_product_attention(x, x, x),
}


@pytest.mark.parametrize("name", ATTEND)
def test_attention_by_hand_is_along_the_same_axis(name):
    fields = receptive_fields(cnncost.analyze(Of(ATTEND[name], nn.Linear(8, 8)), (2, 16, 8)).graph)
    assert fields.images[0].axes == (1,)
    assert fields.units(0) == {1: 16}
    assert at(fields, "").size == (GLOBAL,)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("weights", [False, True])
def test_attention_over_the_first_axis(batch_first, weights):
    attend = nn.MultiheadAttention(8, 2, batch_first=batch_first)
    model = Of(lambda x, a: a(x, x, x, need_weights=weights)[0], attend)
    fields = receptive_fields(cnncost.analyze(model, (16, 2, 8)).graph)
    assert fields.images[0].axes == (int(batch_first),)


def test_steps_of_a_recurrence_are_the_first_axis():
    fields = receptive_fields(cnncost.analyze(nn.LSTM(8, 3), (16, 2, 8)).graph)
    assert fields.images[0].axes == (0,)


def test_features_of_a_perceptron_are_not_spatial():
    model = Of(lambda x, fc: fc(x).softmax(-1), nn.Linear(8, 4))
    assert receptive_fields(cnncost.analyze(model, (2, 8)).graph).images == ()


def test_an_axis_permuted_by_data_is_unknown():
    """Rows are permuted by data; columns are unchanged."""
    model = Of(lambda x, order, conv: conv(x.index_select(2, order)), conv())
    order = torch.empty(16, dtype=torch.int64, device="meta")
    field = cnncost.analyze(model, (torch.zeros(IMAGE), order)).receptive_field("")
    assert field.size == (UNKNOWN, 3)
    assert field.notes == ("aten.index_select can't be followed",)


@pytest.mark.parametrize("extra", [torch.tensor(10), torch.tensor(2.0), torch.zeros(4, 1, 1), torch.zeros(16)])
def test_inputs_without_spatial_axes_are_not_images(extra):
    model = Of(lambda x, t, conv: conv(x) * t, conv())
    assert cnncost.analyze(model, (torch.zeros(IMAGE), extra)).receptive_field("").size == (3, 3)


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda a, b: a @ b, ((5,), (5,))),
        (lambda a, b: a @ b, ((3, 5), (5,))),
        (lambda a, b: a @ b, ((5,), (5, 3))),
        (torch.outer, ((5,), (4,))),
        (torch.mul, ((), ())),
        (lambda a: a.softmax(0), ((),)),
        (lambda a: a.sum(), ((),)),
        (lambda a: a.sort().values, ((),)),
        (lambda a: a.cumsum(0), ((),)),
        (lambda a: a.flip(0), ((4,),)),
        (lambda a: a.reshape(1, 1).mT, ((),)),
    ],
)
def test_scalars_and_vectors_never_raise(function, shapes):
    report = cnncost.analyze(Of(function), tuple(torch.zeros(shape) for shape in shapes))
    assert report.receptive_fields.of(0) is None


NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
    def forward(self, x):
        return self.conv(x.softmax(2))
"""


def test_a_unit_of_a_mixed_axis_on_the_command_line(tmp_path):
    net = tmp_path / "net.py"
    net.write_text(NET)
    told = ("--input", "1x1x32x32", "--layer", "conv", "--unit", "5,5")
    text = CliRunner().invoke(command, [f"{net}:Net", *told], catch_exceptions=False).output
    assert "axis 0: 0 … 31, 32 positions of 32" in text
    assert "axis 1: 4 … 6, 3 positions of 32" in text


REGROUPED = {
    # a reshape that splits axes unevenly, the input shape, and the input axes that a convolution then slides along
    "rows and columns": (lambda x: x.reshape(1, 2, 3, 8, 5), (1, 2, 4, 6, 5), [4]),
    "the parts of one axis": (lambda x: x.view(1, 2, 4, 6, 5).reshape(1, 2, 3, 8, 5), (1, 2, 24, 5), [2, 3]),
    "behind an axis that stays": (lambda x: x.reshape(1, 2, 5, 3, 8), (1, 2, 5, 4, 6), [2]),
}


@pytest.mark.parametrize("name", REGROUPED)
def test_axes_split_unevenly_by_a_reshape(name):
    """4·6 positions reshaped to 3·8: axes mixed from several input axes are features; from one, they keep it."""
    function, shape, axes = REGROUPED[name]
    graph = cnncost.analyze(Of(lambda x, conv: conv(function(x)), nn.Conv3d(2, 2, 1)), shape).graph
    assert AxisTracker(graph).axes_of_input(0)[0] == axes


def of_blocks(x):
    """Blocks of two rows in the batch axis: rows within a block are an inner part of the row axis."""
    return x.view(1, 2, 4, 2, 6).permute(0, 2, 1, 3, 4).reshape(4, 2, 2, 6)


@pytest.mark.parametrize("function", [lambda x, _: of_blocks(x), lambda x, y: of_blocks(x) + of_blocks(y)])
def test_only_columns_are_spatial_within_blocks_of_rows(function):
    graph = cnncost.analyze(Of(lambda x, y, conv: conv(function(x, y)), nn.Conv2d(2, 2, 2)), ((1, 2, 8, 6),) * 2).graph
    assert AxisTracker(graph).axes_of_input(0) == ([3], [])
