from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnncost.ops import cost_of

X = (2, 4, 6)
BYTES = 4 * 2 * 4 * 6
INDEX = "3:int64"


@pytest.mark.parametrize(
    ("function", "copies"),
    [
        pytest.param(lambda x: x.view(8, 6), 0, id="view"),
        pytest.param(lambda x: x.reshape(8, 6), 0, id="reshape that is a view"),
        pytest.param(lambda x: x.transpose(0, 1).reshape(8, 6), 1, id="reshape that must copy"),
        pytest.param(lambda x: x.flatten(1), 0, id="flatten"),
        pytest.param(lambda x: x.unflatten(1, (2, 2)), 0, id="unflatten"),
        pytest.param(lambda x: x.transpose(0, 1), 0, id="transpose"),
        pytest.param(lambda x: x.permute(2, 0, 1), 0, id="permute"),
        pytest.param(lambda x: x.movedim(0, 1), 0, id="movedim"),
        pytest.param(lambda x: x.mT, 0, id="mT"),
        pytest.param(lambda x: x[None].squeeze(0), 0, id="an axis added and removed"),
        pytest.param(lambda x: x.expand(3, 2, 4, 6), 0, id="expand"),
        pytest.param(lambda x: x[0], 0, id="one of an axis"),
        pytest.param(lambda x: x[:, ::2], 0, id="every second"),
        pytest.param(lambda x: x.narrow(1, 0, 2), 0, id="narrow"),
        pytest.param(lambda x: x.split(2, 1), 0, id="split"),
        pytest.param(lambda x: x.chunk(2, 1), 0, id="chunk"),
        pytest.param(lambda x: x.unbind(), 0, id="unbind"),
        pytest.param(lambda x: x.tensor_split(3, 2), 0, id="tensor_split"),
        pytest.param(lambda x: x.unfold(1, 2, 1), 0, id="sliding windows"),
        pytest.param(lambda x: x.diagonal(dim1=1, dim2=2), 0, id="diagonal"),
        pytest.param(lambda x: x.detach(), 0, id="detach"),
        pytest.param(lambda x: x.contiguous(), 0, id="contiguous already"),
        pytest.param(lambda x: x.transpose(0, 1).contiguous(), 1, id="made contiguous"),
        pytest.param(lambda x: x.clone(), 1, id="clone"),
        pytest.param(lambda x: torch.roll(x, 1, 0), 1, id="roll"),
        pytest.param(lambda x: x.flip(0), 1, id="flip"),
        pytest.param(lambda x: x.tril(), 1, id="tril"),
        pytest.param(lambda x: x.rot90(1, (1, 2)), 1, id="rot90"),
    ],
)  # fmt: skip
def test_moving_data_is_free_and_views_move_none(counted, analyze, function, copies):
    assert counted(function, X) == (0, 0)
    report = analyze(function, X)
    assert {op.kind for op in report.ops} <= {"layout"}
    assert (report.totals.bytes_read, report.totals.bytes_written) == (copies * BYTES, copies * BYTES)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: torch.cat([x, x], 1), id="cat"),
        pytest.param(lambda x: torch.stack([x, x]), id="stack"),
        pytest.param(lambda x: torch.hstack([x, x]), id="hstack"),
        pytest.param(lambda x: torch.dstack([x, x]), id="dstack"),
        pytest.param(lambda x: torch.block_diag(x[0], x[0]), id="block_diag"),
        pytest.param(lambda x: x.repeat(2, 1, 1), id="repeat"),
        pytest.param(lambda x: x.tile(2), id="tile"),
        pytest.param(lambda x: x.repeat_interleave(2, 1), id="repeat_interleave"),
        pytest.param(lambda x: F.pad(x, (1, 1)), id="pad with zeros"),
        pytest.param(lambda x: F.pad(x, (1, 1), value=3.0), id="pad with a number"),
        pytest.param(lambda x: F.pad(x, (1, 1), mode="reflect"), id="pad by mirror"),
        pytest.param(lambda x: F.pad(x, (1, 1), mode="replicate"), id="pad with the border"),
        pytest.param(lambda x: F.pad(x, (1, 1), mode="circular"), id="pad by wrapping"),
        pytest.param(lambda x: F.pixel_shuffle(x.view(1, 4, 2, 6), 2), id="pixel_shuffle"),
        pytest.param(lambda x: F.pixel_unshuffle(x.view(1, 4, 2, 6), 2), id="pixel_unshuffle"),
        pytest.param(lambda x: F.channel_shuffle(x.view(1, 4, 2, 6), 2), id="channel_shuffle"),
        pytest.param(lambda x: F.unfold(x.view(1, 2, 4, 6), 2), id="columns of an image"),
        pytest.param(torch.diag_embed, id="diag_embed"),
        pytest.param(lambda x: torch.diag(x[0, 0]), id="a vector as a diagonal"),
        pytest.param(lambda x: torch.diag(x[0]), id="the diagonal of a matrix"),
        pytest.param(lambda x: torch.meshgrid(x[0, 0], x[0, 1], indexing="ij"), id="meshgrid"),
        pytest.param(lambda x: torch.broadcast_tensors(x, x[0]), id="broadcast_tensors"),
        pytest.param(lambda x: x.to(torch.float16), id="to another dtype"),
        pytest.param(lambda x: x.clone().copy_(x), id="copy_"),
        pytest.param(lambda x: torch.select_scatter(x, x[0], 0, 1), id="select_scatter"),
        pytest.param(lambda x: torch.slice_scatter(x, x[:1], 0, 1), id="slice_scatter"),
    ],
)
def test_other_moves_are_free(counted, function):
    assert counted(function, X) == (0, 0)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Flatten(), nn.Unflatten(1, (2, 2)), nn.Identity(), nn.ZeroPad2d(1), nn.ConstantPad2d(1, 2.0),
        nn.ReflectionPad2d(1), nn.ReplicationPad2d(1), nn.CircularPad2d(1), nn.PixelShuffle(2), nn.PixelUnshuffle(2),
        nn.ChannelShuffle(2), nn.Unfold(2),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_modules_that_move_data_are_free(counted, layer):
    assert counted(layer, (2, 4, 6, 6)) == (0, 0)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(torch.zeros_like, id="zeros_like"),
        pytest.param(torch.randn_like, id="randn_like"),
        pytest.param(lambda x: x.new_full((2,), 3.0), id="new_full"),
        pytest.param(lambda x: torch.arange(x.shape[1]), id="arange"),
        pytest.param(lambda x: torch.linspace(0, 1, x.shape[1]), id="linspace"),
        pytest.param(lambda x: torch.eye(x.shape[1]), id="eye"),
        pytest.param(lambda x: torch.full(x.shape, 2.0), id="full"),
        pytest.param(lambda x: torch.randperm(x.shape[1]), id="randperm"),
        pytest.param(lambda x: torch.tensor([1.0, 2.0]), id="numbers from Python"),
        pytest.param(lambda x: x.clone().zero_(), id="zero_"),
        pytest.param(lambda x: x.clone().normal_(), id="normal_"),
    ],
)
def test_making_data_is_free(counted, function):
    assert counted(function, X) == (0, 0)


# ---- gathering


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        pytest.param(nn.Embedding(10, 4), ["2x3:int64"], id="Embedding"),
        pytest.param(nn.Embedding(10, 4, padding_idx=0), ["2x3:int64"], id="Embedding with a padding row"),
        pytest.param(F.embedding, ["2x3:int64", "10x4"], id="F.embedding"),
        pytest.param(lambda x, i: x[i], ["5x4", INDEX], id="rows by index"),
        pytest.param(lambda x, i: x[:, i], ["4x5", INDEX], id="columns by index"),
        pytest.param(lambda x, i: x[i, i], ["5x5", INDEX], id="elements by two indices"),
        pytest.param(lambda x, _: x[torch.tensor([0, 2])], ["5x4", INDEX], id="rows by a constant index"),
        pytest.param(lambda x, i: x.index_select(0, i), ["5x4", INDEX], id="index_select"),
        pytest.param(lambda x, i: x.gather(1, i[None]), ["5x4", INDEX], id="gather"),
        pytest.param(lambda x, i: x.take(i), ["5x4", INDEX], id="take"),
        pytest.param(lambda x, i: torch.take_along_dim(x, i[:, None], 0), ["5x4", INDEX], id="take_along_dim"),
        pytest.param(lambda x, i: F.one_hot(i, 5), ["5x4", INDEX], id="one_hot"),
    ],
)
def test_gathering_is_free(counted, function, inputs):
    assert counted(function, *inputs) == (0, 0)


def test_an_embedding_reads_the_rows_it_returns_and_not_the_table(analyze):
    totals = analyze(nn.Embedding(1000, 4), "2x3:int64").totals
    assert totals.bytes_read == 2 * 3 * 4 * 4 + 2 * 3 * 8  # the rows, and the indices
    assert totals.bytes_written == 2 * 3 * 4 * 4


def test_created_tensors_are_written_and_read_nothing(analyze):
    totals = analyze(torch.zeros_like, X).totals
    assert (totals.bytes_read, totals.bytes_written) == (0, BYTES)


@pytest.mark.parametrize("train", [False, True])
def test_dropout_moves_data_in_train_mode_alone(analyze, train):
    totals = analyze(nn.Dropout().train(train), X).totals
    assert (totals.bytes_read, totals.bytes_written) == (train * BYTES, train * BYTES)


# ---- scattering


@pytest.mark.parametrize(
    ("function", "inputs", "expected"),
    [
        pytest.param(lambda x, i, s: x.scatter(0, i, s), ["5x4", "3x4:int64", "3x4"], 0, id="scatter puts"),
        pytest.param(lambda x, i, s: x.scatter(0, i, 2.0), ["5x4", "3x4:int64", "3x4"], 0, id="scatter puts a number"),
        pytest.param(lambda x, i, s: x.scatter_add(0, i, s), ["5x4", "3x4:int64", "3x4"], 12, id="scatter_add adds"),
        pytest.param(
            lambda x, i, s: x.scatter_add(0, i, s), ["5x4", "3x2:int64", "5x4"], 3 * 2,
            id="scatter_add adds as many as there are indices, however large the source",
        ),
        pytest.param(
            lambda x, i, s: x.scatter_reduce(0, i, s, "amax"), ["5x4", "3x4:int64", "3x4"], 12,
            id="scatter_reduce compares",
        ),
        pytest.param(lambda x, i, s: x.index_add(0, i, s), ["5x4", "3:int64", "3x4"], 12, id="index_add adds rows"),
        pytest.param(lambda x, i, s: x.index_copy(0, i, s), ["5x4", "3:int64", "3x4"], 0, id="index_copy puts rows"),
        pytest.param(lambda x, i, s: x.index_fill(0, i, 1.0), ["5x4", "3:int64", "3x4"], 0, id="index_fill"),
        pytest.param(lambda x, i, s: x.index_put((i,), s), ["5x4", "3:int64", "3x4"], 0, id="index_put puts"),
        pytest.param(
            lambda x, i, s: x.index_put((i,), s, accumulate=True), ["5x4", "3:int64", "3x4"], 12,
            id="index_put that adds",
        ),
        pytest.param(
            lambda x, i, s: x.index_put((i,), s, accumulate=True), ["5x4", "3:int64", "1"], 12,
            id="index_put that adds one number everywhere: 3 rows of 4",
        ),
        pytest.param(
            lambda x, i, s: x.put(i, s, accumulate=True), ["5x4", "3:int64", "3"], 3, id="put that adds"
        ),
        pytest.param(
            lambda x, i, s: x.masked_scatter(x > 0, s), ["5x4", "3:int64", "5x4"], 20, id="masked: the comparison"
        ),
    ],
)  # fmt: skip
def test_scattering_is_free_and_adding_is_not(counted, function, inputs, expected):
    assert counted(function, *inputs) == (0, expected)


def test_setting_rows_in_place_is_free(counted):
    def function(x, y):
        out = torch.zeros(5, 4)
        out[1:3] = y
        out[0] = x[0]
        return out

    assert counted(function, (5, 4), (2, 4)) == (0, 0)


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        pytest.param(nn.Fold((4, 4), 2), (1, 3 * 4, 9), 3 * 4 * 9, id="overlapping blocks: each element is added"),
        pytest.param(nn.Fold((4, 4), 2, stride=2), (12, 4), 12 * 4, id="blocks side by side, without a batch axis"),
    ],
)
def test_folding_adds_blocks_up(counted, layer, x, expected):
    assert counted(layer, x) == (0, expected)


# ---- embedding bags


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        pytest.param(nn.EmbeddingBag(10, 4, mode="sum"), ["2x3:int64"], (6 - 2) * 4, id="sums of three rows"),
        pytest.param(nn.EmbeddingBag(10, 4, mode="mean"), ["2x3:int64"], (6 - 2) * 4 + 2 * 4, id="means: divided"),
        pytest.param(nn.EmbeddingBag(10, 4, mode="max"), ["2x3:int64"], (6 - 2) * 4, id="maxima"),
        pytest.param(
            nn.EmbeddingBag(10, 4, mode="sum"), ["6:int64", torch.tensor([0, 4])], (6 - 2) * 4,
            id="bags of four and two, by offsets",
        ),
        pytest.param(
            nn.EmbeddingBag(10, 4, mode="sum"), ["2:int64", torch.tensor([0, 0, 1, 1])], 0,
            id="more bags than rows: nothing is added up",
        ),
        pytest.param(
            lambda i, w, s: F.embedding_bag(i, w, per_sample_weights=s, mode="sum"), ["2x3:int64", "10x4", "2x3"],
            (6 - 2) * 4 + 6 * 4, id="weighed: a product each besides",
        ),
    ],
)  # fmt: skip
def test_flops_of_bags(counted, layer, inputs, expected):
    assert counted(layer, *inputs) == (0, expected)


COPIES = {
    "narrow": (lambda x: torch.narrow_copy(x, 1, 0, 2), 3 * 2 * 5),
    "as_strided": (lambda x: torch.as_strided_copy(x, (2, 2), (3, 1)), 4),
    "unfold": (lambda x: torch.unfold_copy(x, 1, 2, 1), 3 * 3 * 5 * 2),
    "view_as_real": (lambda x: torch.view_as_real_copy(torch.complex(x, x).detach()), None),
    "_chunk_cat": (lambda x: torch.ops.aten._chunk_cat([x], 0, 3), 60),
}


@pytest.mark.parametrize(("function", "moved"), COPIES.values(), ids=COPIES)
def test_copies_of_views_are_free_and_move_what_they_copy(analyze, function, moved):
    report = analyze(function, (3, 4, 5))
    assert (report.totals.macs, report.totals.flops) == (0, 0)
    (last,) = report.graph.nodes[-1:]
    assert cost_of(last.spec).written == (4 * moved if moved is not None else 2 * 4 * 60)


CREATED = {  # and the FLOPs of using them
    "empty": (lambda x: torch.empty_permuted((4, 4), (1, 0)) * 0 + x, 2 * 16),
    "indices of a lower triangle": (lambda x: x[tuple(torch.tril_indices(4, 4, -1))], 0),
    "indices of an upper triangle": (lambda x: x[tuple(torch.triu_indices(4, 4, device=x.device))], 0),
    "frequencies": (lambda x: torch.fft.fftfreq(4) * x, 16),
    "frequencies of real signals": (lambda x: x[:, :3] + torch.fft.rfftfreq(4, 0.5), 12),
}


@pytest.mark.parametrize(("function", "flops"), CREATED.values(), ids=CREATED)
def test_creating_a_tensor_is_free(analyze, function, flops):
    report = analyze(function, (4, 4))
    assert (report.totals.macs, report.totals.flops, report.unknown) == (0, flops, {})


def test_masked_index_and_put(analyze):
    """Gathering by masks and indices is free; scattering with a sum costs one FLOP per element."""

    def function(x, mask):
        rows = torch.tensor([0, 1, 2])
        picked = torch.ops.aten._unsafe_masked_index(x, mask, [rows], 0)
        return torch.ops.aten._unsafe_masked_index_put_accumulate(x, mask, [rows], picked)

    assert analyze(function, (3, 4), torch.ones(3, 4, dtype=torch.bool)).totals.flops == 12


def test_the_gradient_of_masked_scatter_is_free(analyze):
    def function(g, mask):
        return torch.ops.aten.masked_scatter_backward(g, mask, [5])

    assert analyze(function, (3, 4), torch.ones(3, 4, dtype=torch.bool)).totals.flops == 0


def test_nonzero_static_is_free(analyze):
    assert analyze(lambda x: torch.nonzero_static(x, size=5), (3, 4)).totals.flops == 0
