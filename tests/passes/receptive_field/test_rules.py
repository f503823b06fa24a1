"""What each output element of an op sees along every input axis, channels included, compared with poisoning.

Elements far from borders must also match the periodic pattern (pattern); each op is tested with many settings.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import cnncost
from cnncost.frontends.torch import record
from cnncost.passes.receptive_field import GLOBAL, UNKNOWN, receptive_fields
from cnncost.passes.receptive_field.axes import AxisTracker
from cnncost.passes.receptive_field.field import Field, PeriodicPattern
from cnncost.passes.receptive_field.walk import Lost, Walk
from tests.passes.receptive_field.test_facts import Of

torch.set_num_threads(1)
MAP = (2, 4, 9, 7)


def poisoned(function, shape, axis):
    """For each output, the first and last position that each element depends on; n and -1 if none."""
    n, found = shape[axis], None
    for i in range(n):
        x = torch.rand(shape) + 0.5
        x.narrow(axis, i, 1).fill_(torch.nan)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the fused kernel drops NaNs
            outputs = function(x)
        hit = [torch.isnan(y) for y in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
        found = found or [(torch.full(y.shape, n), torch.full(y.shape, -1)) for y in hit]
        found = [
            (torch.where(y & (first == n), i, first), torch.where(y, i, last))
            for y, (first, last) in zip(hit, found, strict=True)
        ]
    return found


def ends(cells, n):
    """First and last positions of cells; n and -1 for cells that see nothing."""
    firsts = torch.tensor([n if cell is None else cell[0] for cell in cells])
    return firsts, torch.tensor([-1 if cell is None else cell[1] for cell in cells])


def told(field, shape, n):
    """First and last position that each element sees by a field, as two tensors; checks it far from borders."""
    if field is None:
        return torch.full(shape, n), torch.full(shape, -1)
    periodic, sizes = field.periodic, [factor.size for factor in field.factors]
    flat, periodic_flat = torch.zeros(sizes, dtype=torch.int64), torch.zeros(sizes, dtype=torch.int64)
    for i, factor in enumerate(field.factors):
        along = [-1 if k == i else 1 for k in range(len(sizes))]
        place, drawn = torch.tensor(list(factor.lookup)).view(along), torch.arange(factor.size).view(along)
        flat = flat * field.dims[i] + place
        periodic_flat = periodic_flat * field.periodic_dims[i] + (
            drawn % periodic.period if factor.grows and isinstance(periodic, PeriodicPattern) else place
        )
    firsts, lasts = (each[flat] for each in ends(field.exact, n))
    if isinstance(periodic, PeriodicPattern):
        inside = (firsts > 0) & (lasts < n - 1) & (lasts >= 0)
        by = torch.zeros(())
        if field.growing is not None:
            size, along = sizes[field.growing], [-1 if k == field.growing else 1 for k in range(len(sizes))]
            place = torch.arange(size).view(along)
            by = place // periodic.period * periodic.shift
            # only the middle third: elsewhere, reflected positions lie within the borders too
            inside = inside & (place >= size // 3) & (place <= size - 1 - size // 3)
        for found, each in zip((firsts, lasts), ends(periodic.cells, n), strict=True):
            assert torch.equal(found[inside], (each[periodic_flat] + by)[inside].long())
    return firsts.reshape(shape), lasts.reshape(shape)


def probed(function, shape, *modules):
    """The Graph of a function of one tensor, and the result of poisoning along each axis."""
    for module in modules:
        module.eval()
    graph = cnncost.analyze(Of(lambda x: function(x, *modules)), shape).graph
    return graph, [poisoned(lambda x: function(x, *modules), shape, axis) for axis in range(len(shape))]


def held(graph, shape, expected):
    """Compare the fields with the results of poisoning; returns how many were compared."""
    compared = 0
    walk = Walk(graph, [(0, axis) for axis in range(len(shape))], ())
    walk.run()
    for axis, hulls in enumerate(expected):
        for value, (first, last) in zip(graph.outputs, hulls, strict=True):
            field = walk.seen.get(value, {}).get((0, axis))
            assert field is None or isinstance(field, Field), (axis, field)
            found = told(field, tuple(first.shape), shape[axis])
            assert torch.equal(found[0], first), (axis, found[0], first)
            assert torch.equal(found[1], last), (axis, found[1], last)
            compared += 1
    return compared


def conv(**settings):
    return nn.Conv2d(4, settings.pop("out", 4), **settings)


def up(**settings):
    return nn.ConvTranspose2d(4, settings.pop("out", 4), **settings)


ROWS = {
    "convolution": (lambda x, m: m(x), MAP, conv(kernel_size=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 3))),
    "grouped": (lambda x, m: m(x), MAP, conv(kernel_size=3, groups=2, out=6)),
    "depthwise": (lambda x, m: m(x), MAP, conv(kernel_size=2, groups=4, out=8)),
    "without a batch": (lambda x, m: m(x), MAP[1:], conv(kernel_size=3, padding=(2, 1), groups=2)),
    "same": (lambda x, m: m(x), MAP, conv(kernel_size=(4, 3), padding="same", dilation=(1, 2))),
    "valid": (lambda x, m: m(x), MAP, conv(kernel_size=(4, 3), padding="valid")),
    "conv1d": (lambda x, m: m(x), (2, 4, 9), nn.Conv1d(4, 3, 3, 2, 1)),
    "conv3d": (lambda x, m: m(x), (1, 2, 4, 5, 3), nn.Conv3d(2, 2, (2, 3, 1), (1, 2, 1), (1, 1, 0))),
    "transposed": (lambda x, m: m(x), MAP, up(kernel_size=(3, 2), stride=(2, 3), padding=(1, 0))),
    "transposed, dilated": (lambda x, m: m(x), MAP, up(kernel_size=2, stride=2, dilation=(2, 3), padding=1)),
    "transposed, put out": (lambda x, m: m(x), MAP, up(kernel_size=3, stride=3, output_padding=2, groups=2, out=6)),
    "max pool": (lambda x: F.max_pool2d(x, 3, 2, 1, 2, return_indices=False), MAP),
    "max pool, ceil": (lambda x: F.max_pool2d(x, (2, 3), 2, ceil_mode=True), MAP),
    "avg pool": (lambda x: F.avg_pool2d(x, (3, 2), (1, 3), (1, 0)), MAP),
    "avg pool 1d": (lambda x: F.avg_pool1d(x, 3, 2, 1), (2, 3, 9)),
    "max pool 3d": (lambda x: F.max_pool3d(x, (2, 1, 2)), (1, 2, 4, 3, 5)),
    "uneven pool": (lambda x: F.adaptive_avg_pool2d(x, (4, 5)), MAP),
    "uneven pool, larger": (lambda x: F.adaptive_avg_pool2d(x, (11, 3)), MAP),
    "uneven max pool": (lambda x: F.adaptive_max_pool2d(x, (1, 3)), MAP),
    "one bin": (lambda x: F.adaptive_avg_pool2d(x, (1, 1)), MAP),
    "adaptive 1d": (lambda x: F.adaptive_avg_pool1d(x, 4), (2, 3, 10)),
    "adaptive 3d": (lambda x: F.adaptive_avg_pool3d(x, (2, 3, 1)), (1, 2, 3, 4, 2)),
    "nearest": (lambda x: F.interpolate(x, (5, 12)), MAP),
    "nearest, by factors": (lambda x: F.interpolate(x, scale_factor=(1.5, 2.0)), MAP),
    "bilinear": (lambda x: F.interpolate(x, (5, 12), mode="bilinear"), MAP),
    "bilinear, aligned": (lambda x: F.interpolate(x, (5, 13), mode="bilinear", align_corners=True), MAP),
    "bilinear, aligned, to one": (lambda x: F.interpolate(x, (1, 4), mode="bilinear", align_corners=True), MAP),
    "bicubic, aligned, to one": (lambda x: F.interpolate(x, (3, 1), mode="bicubic", align_corners=True), MAP),
    "trilinear, aligned, to one": (
        lambda x: F.interpolate(x, (1, 2, 1), mode="trilinear", align_corners=True), (1, 2, 4, 3, 2),
    ),
    "bicubic": (lambda x: F.interpolate(x, (12, 5), mode="bicubic"), MAP),
    "antialiased": (lambda x: F.interpolate(x, (3, 4), mode="bilinear", antialias=True), MAP),
    "linear 1d": (lambda x: F.interpolate(x, 12, mode="linear"), (2, 3, 5)),
    "trilinear": (lambda x: F.interpolate(x, (3, 6, 2), mode="trilinear"), (1, 2, 4, 3, 2)),
    "linear": (lambda x, m: m(x), MAP, nn.Linear(7, 5)),
    "linear, by a vector": (lambda x: F.linear(x, torch.ones(7)), MAP),
    "linear, a vector by a vector": (lambda x: F.linear(x, torch.ones(5)), (5,)),
    "linear, of a vector": (lambda x: F.linear(x, torch.ones(3, 5)), (5,)),
    "matrix, left": (lambda x: torch.ones(5, 9) @ x, MAP),
    "matrix, right": (lambda x: x @ torch.ones(7, 3), MAP),
    "vector, left": (lambda x: torch.ones(9) @ x, MAP),
    "vector, right": (lambda x: x @ torch.ones(7), MAP),
    "square": (lambda x: x @ x.mT, MAP),
    "vector by vector": (lambda x: x @ (x * 2), (5,)),
    "vector by matrix": (lambda x: x @ torch.ones(5, 3), (5,)),
    "vector by batch": (lambda x: x @ torch.ones(2, 5, 3), (5,)),
    "batch by vector": (lambda x: torch.ones(2, 3, 5) @ x, (5,)),
    "outer": (lambda x: torch.outer(x, x), (5,)),
    "batched product": (lambda x: torch.bmm(x, x.transpose(1, 2)), (3, 4, 5)),
    "added product": (lambda x: torch.baddbmm(x[:, :, :1], x, x.transpose(1, 2)), (3, 4, 5)),
    "product, broadcast": (lambda x: x[:1] @ x.mT, MAP),
    "einsum": (lambda x: torch.einsum("bchw,bcij->bcij", x, x), (2, 2, 3, 4)),
    "einsum of a diagonal": (lambda x: torch.einsum("bii->bi", x) * 1, (2, 3, 3)),
    "diagonal": (lambda x: x.diagonal(0, 1, 2) * 1, (2, 3, 3)),
    "diagonal, beside": (lambda x: x.diagonal(1, 2, 1) * 1, (2, 3, 4)),
    "diagonal, below": (lambda x: x.diagonal(-1, -1, 0) * 1, (4, 2, 3)),
    "bilinear layer": (lambda x, m: m(x, x), (2, 3, 4), nn.Bilinear(4, 4, 3)),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), (2, 2, 5, 4)),
    "attention, 3-D": (lambda x: F.scaled_dot_product_attention(x, x, x), (2, 5, 4)),
    "shared heads": (
        lambda x: F.scaled_dot_product_attention(x, x[:, ::2], x[:, 1::2], enable_gqa=True), (2, 4, 5, 4),
    ),
    "heads shared by three": (
        lambda x: F.scaled_dot_product_attention(x, x[:, ::3], x[:, 1::3], enable_gqa=True), (4, 6, 3, 2),
    ),
    "heads shared by two, one batch": (
        lambda x: F.scaled_dot_product_attention(x, x[:, ::2], x[:, 1::2], enable_gqa=True), (1, 6, 3, 4),
    ),
    "one key head": (lambda x: F.scaled_dot_product_attention(x, x[:, :1], x[:, 1:2]), (2, 3, 5, 4)),
    "one key head, 5-D": (
        lambda x: F.scaled_dot_product_attention(x, x[:, :, :1], x[:, :, 1:2]), (1, 2, 3, 5, 4),
    ),
    "queries of lower rank": (lambda x: F.scaled_dot_product_attention(x[0], x, x), (2, 3, 5, 4)),
    "other keys": (lambda x: F.scaled_dot_product_attention(x[..., :3, :], x, x[..., :2]), (2, 2, 5, 4)),
    "a mask of one's own": (
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=x[..., :1].expand(2, 2, 5, 5)), (2, 2, 5, 4),
    ),
    "a mask for all keys": (
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=x[..., :1]), (2, 2, 5, 4),
    ),
    "a mask for all heads": (
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=x[:, :1, :, :1]), (2, 2, 5, 4),
    ),
    "lstm": (lambda x, m: m(x)[0], (3, 5, 4), nn.LSTM(4, 3, batch_first=True)),
    "lstm, states": (lambda x, m: (*m(x)[1],), (5, 3, 4), nn.LSTM(4, 3, 2)),
    "lstm, batch first, states": (lambda x, m: (*m(x)[1],), (3, 5, 4), nn.LSTM(4, 2, 2, batch_first=True)),
    "gru, both ways": (lambda x, m: m(x)[0], (5, 3, 4), nn.GRU(4, 3, bidirectional=True)),
    "rnn, deep both ways": (lambda x, m: m(x)[0], (5, 3, 4), nn.RNN(4, 3, 2, bidirectional=True)),
    "multi-head attention": (
        lambda x, m: m(x, x, x, need_weights=False)[0], (2, 5, 4), nn.MultiheadAttention(4, 2, batch_first=True),
    ),
    "an encoder layer": (lambda x, m: m(x), (2, 5, 4), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)),
    "layer norm": (lambda x, m: m(x), MAP, nn.LayerNorm((9, 7))),
    "rms norm": (lambda x, m: m(x), MAP, nn.RMSNorm(7)),
    "group norm": (lambda x, m: m(x), MAP, nn.GroupNorm(2, 4)),
    "instance norm": (lambda x, m: m(x), MAP, nn.InstanceNorm2d(4)),
    "instance norm 1d": (lambda x, m: m(x), (2, 4, 9), nn.InstanceNorm1d(4)),
    "instance norm, running": (lambda x, m: m(x), MAP, nn.InstanceNorm2d(4, track_running_stats=True)),
    "batch norm": (lambda x, m: m(x), MAP, nn.BatchNorm2d(4)),
    "batch norm of the batch": (lambda x, m: m(x), MAP, nn.BatchNorm2d(4, track_running_stats=False)),
    "softmax": (lambda x: x.softmax(-2), MAP),
    "log-softmax": (lambda x: x.log_softmax(1), MAP),
    "top-1": (lambda x: x.topk(1, 2).values, MAP),  # NaN compares as largest
    "largest": (lambda x: x.kthvalue(9, 2).values, MAP),
    "largest, kept": (lambda x: x.kthvalue(7, -1, keepdim=True).values, MAP),
    "cumsum": (lambda x: x.cumsum(-2), MAP),
    "cumprod": (lambda x: x.cumprod(1), MAP),
    "sum": (lambda x: x.sum(), MAP),
    "sum over some": (lambda x: x.sum((1, -1)), MAP),
    "mean, kept": (lambda x: x.mean(-2, keepdim=True), MAP),
    "amax": (lambda x: x.amax(1), MAP),
    "var": (lambda x: x.var((0, 3)), MAP),
    "logsumexp": (lambda x: x.logsumexp(2), MAP),
    "norm": (lambda x: x.norm(dim=2), MAP),
    "trace": (lambda x: x.trace(), (4, 4)),
    "loss": (lambda x: F.mse_loss(x, x * 2), MAP),
    "Fourier": (lambda x: torch.fft.fft(x, dim=2).real, MAP),
    "Fourier, real, two axes": (lambda x: torch.fft.rfft2(x).abs(), (2, 2, 4, 6)),
    "Fourier, back": (lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=1), dim=1), (2, 6, 3)),
    "gate": (lambda x: F.glu(x, 1), MAP),
    "gate of rows": (lambda x: F.glu(x, -2), (1, 2, 6, 3)),
    "cross": (lambda x: torch.linalg.cross(x, x + 1, dim=1), (2, 3, 4)),
    "cross, one of a batch": (lambda x: torch.linalg.cross(x[:1], x + 1, dim=1), (2, 3, 4)),
    "cross, one row of a map": (lambda x: torch.linalg.cross(x, x[:, :, :1], dim=1), (2, 3, 4, 2)),
    "pixels in two orders": (lambda x: x.flatten(2) + x.transpose(2, 3).flatten(2), (1, 2, 3, 4)),
    "pixels in two orders, joined": (
        lambda x: torch.cat([x.flatten(2), x.transpose(2, 3).flatten(2)], 1), (1, 2, 4, 6),
    ),
    "broadcast sum": (lambda x: x + x[:, :1, :1], MAP),
    "products": (lambda x: torch.addcmul(x, x.flip(3), x.flip(2)), MAP),
    "normal around": (lambda x: torch.normal(x, 1.0), MAP),
    "filled": (lambda x: torch.ones(3, 2).fill_(x.sum((0, 1, 2))[1]), MAP),
    "filled over": (lambda x: x.clone().fill_(1.0) + x[:1], MAP),
    "drawn over": (lambda x: x.clone().normal_() + x[..., :1], MAP),
    "of its shape": (lambda x: torch.rand_like(x) + torch.zeros_like(x) + x[:, :, 2:3], MAP),
    "dropout": (lambda x, m: m(x), MAP, nn.Dropout()),
    # ---- layout
    "flatten and back": (lambda x: x.flatten(1).view(2, 36, 7) * 1, MAP),
    "transpose": (lambda x: x.transpose(1, -1) * 1, MAP),
    "swapaxes": (lambda x: x.swapaxes(0, 2) * 1, MAP),
    "t": (lambda x: x.t() * 1, (3, 4)),
    "T": (lambda x: x.T * 1, (3, 4)),
    "mT": (lambda x: x.mT * 1, (2, 3, 4)),
    "permute": (lambda x: x.permute(2, 0, -1, 1) * 1, MAP),
    "movedim": (lambda x: x.movedim((1, -1), (3, 0)) * 1, MAP),
    "slice": (lambda x: x[:, 1:3, -4:, 1:-1:2] * 1, MAP),
    "slice from the front": (lambda x: torch.ops.aten.slice.Tensor(x, 2, None, 5) * 1, MAP),
    "narrow": (lambda x: x.narrow(2, -3, 2) * 1, MAP),
    "select": (lambda x: x.select(1, -1) * 1, MAP),
    "split": (lambda x: [y * 1 for y in x.split(4, 2)], MAP),
    "chunk": (lambda x: [y * 1 for y in x.chunk(3, -1)], MAP),
    "unbind": (lambda x: [y * 1 for y in x.unbind(-1)], MAP),
    "unfold": (lambda x: x.unfold(2, 3, 2) * 1, MAP),
    "unfold, last": (lambda x: x.unfold(-1, 2, 3) * 1, MAP),
    "cat": (lambda x: torch.cat([x[:, :, 1:], x[:, :, :2], torch.ones(2, 4, 3, 7)], 2), MAP),
    "cat of channels": (lambda x: torch.cat([x, x.flip(3)], -3), MAP),
    "cat of what was joined": (
        lambda x: torch.cat([torch.cat([x, F.pad(x, (0, 0, 1, 0))[:, :, :-1]], 1), x.flip(2)], 1), MAP,
    ),
    "cat of what was joined, last": (
        lambda x: torch.cat([x.flip(1), torch.cat([x[:, 1:], x[:, :1]], 1), torch.cat([x, x.flip(1)], 3)], 3),
        (1, 3, 2, 4),
    ),
    "stack": (lambda x: torch.stack([x, x.flip(2)], -2), MAP),
    "hsplit": (lambda x: [y * 1 for y in x.hsplit([1, 3])], MAP),
    "hsplit of one axis": (lambda x: [y * 1 for y in x.hsplit([2])], (5,)),
    "vsplit": (lambda x: [y * 1 for y in x.vsplit(2)], MAP),
    "dsplit": (lambda x: [y * 1 for y in x.dsplit([2])], MAP),
    "hstack": (lambda x: torch.hstack([x, x.flip(2)]), MAP),
    "hstack of one axis": (lambda x: torch.hstack([x, x.flip(0)]), (5,)),
    "vstack": (lambda x: torch.vstack([x, x.flip(2)]), MAP),
    "vstack of one axis": (lambda x: torch.vstack([x, x.flip(0)]), (5,)),
    "dstack": (lambda x: torch.dstack([x, x[:, :, 1:]]), MAP),
    "column_stack": (lambda x: torch.column_stack([x, x[:, 1:]]), MAP),
    "broadcast": (lambda x: [y * 1 for y in torch.broadcast_tensors(x, x[:, :1, :1])], MAP),
    "expand": (lambda x: x[:, :, :1].expand(-1, -1, 5, -1) * 1, MAP),
    "copy": (lambda x: torch.zeros(2, 4, 9, 7).copy_(x[:, :1]), MAP),
    "tril": (lambda x: x.view_as(x).clone(), MAP),
    # ---- padded, repeated, turned
    "constant pad": (lambda x: F.pad(x, (1, 2, -1, 3)), MAP),
    "reflect pad": (lambda x: F.pad(x, (2, 1, 3, 0), mode="reflect"), MAP),
    "reflect pad 1d": (lambda x: F.pad(x, (2, 1), mode="reflect"), (2, 3, 5)),
    "reflect pad, cut": (lambda x: F.pad(x, (-1, 2, 2, -1), mode="reflect"), MAP),
    "replicate pad": (lambda x: F.pad(x, (2, 1, 3, 0), mode="replicate"), MAP),
    "replicate pad 3d": (lambda x: F.pad(x, (1, 0, 0, 2, 1, 1), mode="replicate"), (1, 2, 3, 2, 4)),
    "cyclic pad": (lambda x: F.pad(x, (2, 1, 3, 0), mode="circular"), MAP),
    "cyclic pad, cut": (lambda x: F.pad(x, (-1, 2, 1, -2), mode="circular"), MAP),
    "flip": (lambda x: x.flip((1, -1)), MAP),
    "fliplr": (lambda x: x.fliplr(), (3, 4)),
    "flipud": (lambda x: x.flipud(), (3, 4)),
    "roll": (lambda x: x.roll((2, -1), (-2, 3)), MAP),
    "roll of all": (lambda x: x.roll(5), (2, 3, 4)),
    "roll by half": (lambda x: x.roll(2, 2), (1, 1, 4, 3)),
    "rot90": (lambda x: x.rot90(1, (1, 3)), MAP),
    "rot180": (lambda x: x.rot90(2, (2, 3)), MAP),
    "rot270": (lambda x: x.rot90(-1, (2, 3)), MAP),
    "repeat": (lambda x: x.repeat(1, 2, 1, 3), MAP),
    "repeat, new axes": (lambda x: x.repeat(2, 1, 3, 1), (2, 3, 4)),
    "tile": (lambda x: x.tile(2, 1, 2), (2, 3, 4)),
    "tile, fewer": (lambda x: x.tile(2), (2, 3, 4)),
    "repeat_interleave": (lambda x: x.repeat_interleave(3, -2), MAP),
    "repeat_interleave of all": (lambda x: x.repeat_interleave(2), (2, 3)),
    "pixel shuffle": (lambda x: F.pixel_shuffle(x, 2), (2, 8, 3, 4)),
    "pixel unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (2, 2, 4, 6)),
    "channel shuffle": (lambda x: F.channel_shuffle(x, 3), (2, 6, 3, 4)),
    "im2col": (lambda x: F.unfold(x, (2, 3), (2, 1), (1, 0), (1, 2)), MAP),
    "im2col without a batch": (lambda x: F.unfold(x, 2, stride=3), MAP[1:]),
    "col2im": (lambda x: F.fold(x, (5, 4), (2, 3), 1, (1, 0), (1, 2)), (2, 12, 6)),
    "col2im without a batch": (lambda x: F.fold(x, (4, 6), 2, stride=2), (8, 6)),
    "col2im, dilated": (lambda x: F.fold(x, (5, 7), (2, 3), (2, 1), (1, 0), (1, 2)), (1, 12, 15)),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.filterwarnings("ignore")
def test_every_element_sees_what_poisoning_says(name):
    function, shape, *modules = ROWS[name]
    graph, expected = probed(function, shape, *modules)
    assert held(graph, shape, expected) == len(shape) * len(graph.outputs)


def test_a_cyclic_pad_of_nothing_that_is_left_sees_nothing():
    """Torch does not write these elements: poisoning would see what the memory happens to hold."""
    walk = Walk(
        cnncost.analyze(Of(lambda x: F.pad(x, (0, 0, 1, -2), mode="circular")), (1, 4, 2, 5)).graph, [(0, 2)], ()
    )
    walk.run()
    assert walk.seen[walk.graph.outputs[0]][0, 2].exact == [None]


CAUSAL = {
    # queries, keys, and for each query the last row that it sees; NaN passes through masks, so poisoning can't tell
    "itself": (lambda x: (x, x), [0, 1, 2, 3, 4]),
    "fewer queries": (lambda x: (x[:, :, :3], x), [0, 1, 2]),
    "of row 0, of rows 1 to 3": (lambda x: (x[:, :, :1].expand(-1, -1, 5, -1), x[:, :, 1:4]), [1, 2, 3, 3, 3]),
}


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_query_sees_the_keys_so_far(name):
    function, lasts = CAUSAL[name]

    def attend(x):
        queries, keys = function(x)
        return F.scaled_dot_product_attention(queries, keys, keys, is_causal=True)

    graph = cnncost.analyze(Of(attend), (2, 3, 5, 4)).graph
    shape = (2, 3, len(lasts), 4)

    def along(axis, positions):
        return torch.tensor(list(positions)).view([-1 if k == axis else 1 for k in range(4)]).expand(shape)

    own = [(along(axis, range(shape[axis])),) * 2 for axis in (0, 1)]
    rows, features = (along(2, [0] * len(lasts)), along(2, lasts)), (along(3, [0] * 4), along(3, [3] * 4))
    assert held(graph, (2, 3, 5, 4), [[each] for each in (*own, rows, features)]) == 4


def near(n, width):
    return (torch.arange(n)[:, None] - torch.arange(n)).abs() <= width


FLASH = torch.ops.aten._scaled_dot_product_flash_attention
MASKED = {
    # how 6 rows attend, the first and last row that each query sees, and size and jump far from borders
    "a sliding window": (lambda x: attended(x, near(6, 1)), [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5)], 3, 1),
    "a causal window": (
        lambda x: attended(x, near(6, 2).tril()), [(0, 0), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5)], 3, 1,
    ),
    "a window of infinities": (
        lambda x: attended(x, torch.zeros(6, 6).masked_fill(~near(6, 1), -torch.inf)),
        [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5)], 3, 1,
    ),
    "every other": (
        lambda x: attended(x, near(6, 2) & ~near(6, 1)), [(0, 2), (1, 3), (0, 4), (1, 5), (2, 4), (3, 5)], 5, 1,
    ),
    "blocks": (
        lambda x: attended(x, torch.arange(6)[:, None] // 2 == torch.arange(6) // 2),
        [(0, 1), (0, 1), (2, 3), (2, 3), (4, 5), (4, 5)], 2, 1,
    ),
    "causal": (lambda x: attended(x, torch.ones(6, 6).tril().bool()), [(0, i) for i in range(6)], GLOBAL, GLOBAL),
    "causal, of the last queries": (
        lambda x: attended(x, torch.ones(3, 6).tril(3).bool(), x[:, :, 3:]), [(0, 3), (0, 4), (0, 5)], GLOBAL, GLOBAL,
    ),
    "causal, aligned by the kernel": (
        lambda x: FLASH(x[:, :, 3:], x, x, is_causal=True)[0], [(0, 3), (0, 4), (0, 5)], GLOBAL, GLOBAL,
    ),
    "one for each head": (
        lambda x: attended(x, torch.stack([near(6, 1), near(6, 2)])),
        [(0, 2), (0, 3), (0, 4), (1, 5), (2, 5), (3, 5)], 5, 1,
    ),
    "all": (lambda x: attended(x, near(6, 9)), [(0, 5)] * 6, GLOBAL, GLOBAL),
    "a row for all": (lambda x: attended(x, torch.arange(6)[None] < 4), [(0, 3)] * 4 + [(0, 4), (0, 5)], None, None),
    "irregular": (
        lambda x: attended(x, near(6, 0) | (torch.arange(6) == 3)),
        [(0, 3), (1, 3), (2, 3), (3, 3), (3, 4), (3, 5)], 4, UNKNOWN,
    ),
}  # fmt: skip


def attended(x, mask, queries=None):
    return F.scaled_dot_product_attention(x if queries is None else queries, x, x, attn_mask=mask)


@pytest.mark.parametrize("name", MASKED)
def test_a_query_sees_the_keys_that_its_mask_shows(name):
    """And itself. NaN passes through masks, so poisoning can't tell."""
    attend, rows, size, jump = MASKED[name]
    fields = receptive_fields(cnncost.analyze(Of(attend), (1, 2, 6, 4)).graph)
    assert [fields.of(0, unit=(i,)).box for i in range(len(rows))] == [(each,) for each in rows]
    if size is not None:
        assert (fields.of(0).size, fields.of(0).jump) == ((size,), (jump,))


def test_a_mask_that_is_an_input_may_show_anything():
    class Given(nn.Module):
        def forward(self, x, mask):
            return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)

    fields = receptive_fields(cnncost.analyze(Given(), (torch.zeros(1, 2, 6, 4), near(6, 1))).graph)
    assert fields.of(0).size == (GLOBAL,)
    assert fields.of(0, unit=(0,)).box == ((0, 5),)


SHAPE = (2, 3, 5, 4)
DRAWN = {
    # a random number depends on its own parameter; NaN is not a valid one, so poisoning can't tell
    "bernoulli": torch.bernoulli,
    "bernoulli in place": lambda x: torch.zeros(SHAPE).bernoulli_(x),
    "poisson": torch.poisson,
    "gamma": torch._standard_gamma,
    "binomial": lambda x: torch.binomial(torch.full(SHAPE, 9.0), x),
    "normal by a spread": lambda x: torch.normal(0.0, x),
    "normal around, by a spread": lambda x: torch.normal(x, x),
}


def places(shape, *new):
    """Each element's own position along each axis of `shape`, broadcast over the axes `new` behind them."""
    rank = len(shape) + len(new)
    found = [torch.arange(n).view([-1 if k == axis else 1 for k in range(rank)]) for axis, n in enumerate(shape)]
    return [(place.expand(*shape, *new),) * 2 for place in found]


@pytest.mark.parametrize("name", DRAWN)
def test_a_random_number_depends_on_its_parameter(name):
    graph = cnncost.analyze(Of(DRAWN[name]), torch.rand(SHAPE), trace="real").graph
    assert held(graph, SHAPE, [[place] for place in places(SHAPE)]) == len(SHAPE)


def test_numbers_of_a_dirichlet_distribution_are_drawn_together():
    graph = cnncost.analyze(Of(torch._sample_dirichlet), torch.rand(2, 3), trace="real").graph
    zeros = torch.zeros(2, 3, dtype=torch.int64)
    assert held(graph, (2, 3), [[places((2, 3))[0]], [(zeros, zeros + 2)]]) == 2


LOOKED_UP = {
    "embedding": (lambda i: F.embedding(i, torch.zeros(9, 3)), (2, 5), 3),
    "embedding of pixels": (lambda i: F.embedding(i, torch.zeros(9, 4)), (2, 5, 3), 4),
    "one-hot": (lambda i: F.one_hot(i, 7), (2, 5), 7),
    "one-hot pixels": (lambda i: F.one_hot(i, 4), (1, 5, 3), 4),
}


@pytest.mark.parametrize("name", LOOKED_UP)
def test_all_features_of_a_token_see_its_id(name):
    """Integer ids can't be NaN, so poisoning can't tell."""
    function, shape, features = LOOKED_UP[name]
    graph = cnncost.analyze(Of(function), "x".join(map(str, shape)) + ":int64").graph
    assert held(graph, shape, [[place] for place in places(shape, features)]) == len(shape)


GIVEN = {
    # selected along an axis by indices that are inputs: unknown along that axis, followed along the others
    "gather": (lambda x, i: x.gather(1, i), (2, 6, 5, 4), 1),
    "gather of the last": (lambda x, i: x.gather(-1, i), (2, 3, 5, 2), 3),
    "index_select": (lambda x, i: x.index_select(2, i), (7,), 2),
    "along a dim": (lambda x, i: torch.take_along_dim(x, i, 2), (2, 3, 1, 4), 2),
}


@pytest.mark.parametrize("name", GIVEN)
def test_elements_selected_by_input_indices(name):
    function, index, axis = GIVEN[name]
    graph = record(Of(function), (SHAPE, "x".join(map(str, index)) + ":int64"))
    walk = Walk(graph, [(0, each) for each in range(4)], ())
    walk.run()
    (value,) = graph.outputs
    seen, shape = walk.seen[value], graph.values[value].shape
    assert isinstance(seen[0, axis], Lost)
    expected = places((*SHAPE[:axis], shape[axis], *SHAPE[axis + 1 :]))
    for each in {0, 1, 2, 3} - {axis}:
        found = told(seen[0, each], shape, SHAPE[each])
        assert torch.equal(found[0], expected[each][0])
        assert torch.equal(found[1], expected[each][1])


def test_gather_with_a_smaller_index_is_not_followed():
    graph = record(Of(lambda x, i: x.gather(1, i)), (SHAPE, "2x6x3x4:int64"))
    walk = Walk(graph, [(0, each) for each in range(4)], ())
    walk.run()
    assert all(isinstance(walk.seen[graph.outputs[0]][0, each], Lost) for each in range(4))


SLIDES = {
    # a single op, and the input axes that it makes spatial
    "convolution": (lambda x, m: m(x), MAP, (2, 3), conv(kernel_size=1)),
    "transposed": (lambda x, m: m(x), MAP, (2, 3), up(kernel_size=1)),
    "max pool": (lambda x: F.max_pool2d(x, 2), MAP, (2, 3)),
    "uneven pool": (lambda x: F.adaptive_avg_pool2d(x, (4, 5)), MAP, (2, 3)),
    "one bin": (lambda x: F.adaptive_avg_pool2d(x, 1), MAP, (2, 3)),
    "nearest": (lambda x: F.interpolate(x, (5, 12)), MAP, (2, 3)),
    "of the same size": (lambda x: F.interpolate(x, (9, 7)), MAP, (2, 3)),
    "bilinear": (lambda x: F.interpolate(x, (5, 12), mode="bilinear"), MAP, (2, 3)),
    "antialiased": (lambda x: F.interpolate(x, (3, 4), mode="bilinear", antialias=True), MAP, (2, 3)),
    "linear 1d": (lambda x: F.interpolate(x, 12, mode="linear"), (2, 3, 5), (2,)),
    "im2col": (lambda x: F.unfold(x, 2), MAP, (2, 3)),
    "windows": (lambda x: x.unfold(2, 3, 2), MAP, (2,)),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), (2, 2, 5, 4), (2,)),
    "causal attention": (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), (2, 2, 5, 4), (2,)),
    "multi-head attention": (
        lambda x, m: m(x, x, x, need_weights=False)[0], (2, 5, 4), (1,), nn.MultiheadAttention(4, 2, batch_first=True),
    ),
    "an encoder layer": (lambda x, m: m(x), (2, 5, 4), (1,), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)),
    "lstm": (lambda x, m: m(x)[0], (5, 3, 4), (0,), nn.LSTM(4, 3)),
    "lstm, deep both ways": (lambda x, m: m(x)[0], (5, 3, 4), (0,), nn.LSTM(4, 3, 2, bidirectional=True)),
    "gru, the last state": (lambda x, m: m(x)[1], (3, 5, 4), (1,), nn.GRU(4, 3, batch_first=True)),
    "cumsum": (lambda x: x.cumsum(-2), MAP, ()),
    "softmax": (lambda x: x.softmax(-2), MAP, ()),
    "linear": (lambda x, m: m(x), MAP, (), nn.Linear(7, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", SLIDES)
def test_spatial_axes_of_a_single_op(name):
    function, shape, axes, *modules = SLIDES[name]
    for module in modules:
        module.eval()
    graph = cnncost.analyze(Of(lambda x: function(x, *modules)), shape).graph
    assert AxisTracker(graph).axes_of_input(0)[0] == list(axes)
