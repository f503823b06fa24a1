from __future__ import annotations

from itertools import product
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tests.oracles import multiplications, naive
from tests.oracles.counting import tallied

MAX = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVERAGE = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
ADAPTIVE_MAX = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
ADAPTIVE_AVERAGE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)

sizes = st.integers(1, 4)


def _per_axis(draw, axes, low, high):
    return tuple(draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes)))


# ---- windows of one size


@st.composite
def pools(draw):
    axes = draw(st.integers(1, 3))
    kernel, stride = _per_axis(draw, axes, 1, 3), _per_axis(draw, axes, 1, 3)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = _per_axis(draw, axes, 1, 2)
    size = tuple(draw(st.integers(d * (k - 1) + 1, (9, 7, 5)[axes - 1])) for k, d in zip(kernel, dilation, strict=True))
    lead = draw(st.sampled_from([(2,), (1, 3), (2, 2)]))
    return lead, size, kernel, stride, padding, dilation


def _positions(size, kernel, stride, padding, dilation):
    """Number of window positions, enumerated on each axis."""
    axes = zip(size, kernel, stride, ((p, p) for p in padding), dilation, strict=True)
    return prod(len(multiplications.windows(*axis)) for axis in axes)


@settings(max_examples=60, deadline=None)
@given(case=pools(), indices=st.booleans())
def test_a_maximum_compares_all_but_the_first(counted, case, indices):
    lead, size, kernel, stride, padding, dilation = case
    layer = MAX[len(size) - 1](kernel, stride, padding, dilation, return_indices=indices)
    windows = prod(lead) * _positions(size, kernel, stride, padding, dilation)
    assert counted(layer, (*lead, *size)) == (0, windows * (prod(kernel) - 1))


@settings(max_examples=60, deadline=None)
@given(case=pools(), include=st.booleans())
def test_an_average_sums_and_divides(counted, case, include):
    lead, size, kernel, stride, padding, _ = case
    layer = AVERAGE[len(size) - 1](kernel, stride, padding, count_include_pad=include)
    windows = prod(lead) * _positions(size, kernel, stride, padding, (1,) * len(size))
    assert counted(layer, (*lead, *size)) == (0, windows * prod(kernel))


@settings(max_examples=30, deadline=None)
@given(case=pools())
def test_flops_of_a_pool_whose_result_is_right(counted, case):
    lead, size, kernel, stride, _, _ = case
    x = torch.rand(*(1, *lead)[-2:], *size, dtype=torch.float64)
    for fn, kinds in (("max", MAX), ("avg", AVERAGE)):
        layer = kinds[len(size) - 1](kernel, stride)
        result, tally = tallied(naive.pool, x, kernel=kernel, stride=stride, fn=fn)
        torch.testing.assert_close(result, layer(x))
        assert counted(layer, x) == (0, tally.flops)


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        pytest.param(nn.MaxPool2d(2), (1, 3, 6, 6), 3 * 9 * 3, id="2·2 maximum: three comparisons a window"),
        pytest.param(nn.MaxPool2d(3, 2, 1), (1, 1, 7, 7), 16 * 8, id="a window at the border counts whole"),
        pytest.param(nn.MaxPool2d(2, ceil_mode=True), (1, 1, 5, 5), 9 * 3, id="one that reaches beyond too"),
        pytest.param(nn.MaxPool2d(1), (1, 1, 4, 4), 0, id="a window of one compares nothing"),
        pytest.param(nn.AvgPool2d(2), (1, 3, 6, 6), 3 * 9 * 4, id="2·2 average: three sums and a division a window"),
        pytest.param(nn.AvgPool2d(2, divisor_override=3), (1, 3, 6, 6), 3 * 9 * 4, id="by whatever it divides"),
        pytest.param(nn.AvgPool2d(2, stride=1), (3, 6, 6), 3 * 25 * 4, id="overlapping, without a batch axis"),
        pytest.param(nn.MaxPool1d(4), (2, 8), 2 * 2 * 3, id="a line without a batch axis"),
        pytest.param(nn.AvgPool3d(2), (1, 2, 4, 4, 4), 2 * 8 * 8, id="a volume"),
        pytest.param(
            nn.FractionalMaxPool2d(2, output_size=3), (1, 2, 6, 6), 2 * 9 * 3, id="fractional: windows at odd places"
        ),
        pytest.param(
            nn.FractionalMaxPool3d(2, output_size=2), (1, 2, 5, 5, 5), 2 * 8 * 7, id="fractional, a volume"
        ),
        pytest.param(
            nn.LPPool2d(2, 2), (1, 1, 4, 4), 16 + 4 * 4 + 4 * 6,
            id="power average: squares, a mean, then sign, abs, relu, product, ·R, root",
        ),
        pytest.param(nn.LPPool1d(2, 2), (1, 1, 4), 4 + 2 * 2 + 2 * 6, id="power average on a line"),
    ],
)  # fmt: skip
def test_flops_by_hand(counted, layer, x, expected):
    assert counted(layer, x) == (0, expected)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_max_unpooling_is_free(counted, axes):
    pool, undo = (getattr(F, f"max_pool{axes}d"), getattr(F, f"max_unpool{axes}d"))
    outs = 2 * 2**axes
    expected = outs * (2**axes - 1)
    assert counted(lambda x: undo(*pool(x, 2, return_indices=True), 2), (1, 2, *[4] * axes)) == (0, expected)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        pytest.param(
            nn.MaxPool2d((3, 2), 2, (1, 0), (1, 2), ceil_mode=True),
            {"fn": "max", "kernel": (3, 2), "stride": (2, 2), "padding": (1, 0), "dilation": (1, 2), "ceil": True},
            id="a number stands for all axes",
        ),
        pytest.param(
            nn.AvgPool2d((3, 2)),
            {"fn": "avg", "kernel": (3, 2), "stride": (3, 2), "padding": (0, 0), "dilation": (1, 1), "ceil": False},
            id="windows side by side where no stride is given",
        ),
    ],
)
@pytest.mark.parametrize("grad", [False, True])
def test_the_geometry_is_told(analyze, layer, expected, grad):
    graph = analyze(layer, (1, 2, 7, 7), grad=grad).graph
    told = next(node.spec for node in graph.nodes if node.spec.kind == "pool")
    assert {name: told[name] for name in expected} == expected


def test_integers_pool_for_free(analyze):
    x = torch.zeros(1, 1, 4, 4, dtype=torch.int64, device="meta")
    assert analyze(nn.MaxPool2d(2), x).totals.flops == 0


# ---- adaptive windows


@settings(max_examples=60, deadline=None)
@given(data=st.data(), axes=st.integers(1, 3), lead=st.sampled_from([(2,), (1, 3)]))
def test_flops_of_an_adaptive_pool_whose_result_is_right(counted, data, axes, lead):
    out = _per_axis(data.draw, axes, 1, 4)
    size = _per_axis(data.draw, axes, 1, (9, 7, 4)[axes - 1])
    x = torch.rand(*(1, *lead)[-2:], *size, dtype=torch.float64)
    for fn, kinds in (("max", ADAPTIVE_MAX), ("avg", ADAPTIVE_AVERAGE)):
        layer = kinds[axes - 1](out)
        result, tally = tallied(naive.adaptive_pool, x, out=out, fn=fn)
        torch.testing.assert_close(result, layer(x))
        assert counted(layer, x) == (0, tally.flops)


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        pytest.param(nn.AdaptiveAvgPool2d(1), (2, 3, 7, 7), 2 * 3 * 49, id="global: 48 sums, one division"),
        pytest.param(nn.AdaptiveMaxPool2d(1), (2, 3, 7, 7), 2 * 3 * 48, id="global maximum: 48 comparisons"),
        pytest.param(nn.AdaptiveAvgPool2d((7, 7)), (1, 3, 7, 7), 3 * 49, id="to its own size: a division each"),
        pytest.param(nn.AdaptiveAvgPool1d(3), (1, 1, 7), 3 + 3 + 3, id="7 to 3: 0-3, 2-5, 4-7 overlap"),
        pytest.param(nn.AdaptiveAvgPool1d(4), (1, 1, 6), 2 + 2 + 2 + 2, id="6 to 4: 0-2, 1-3, 3-5, 4-6"),
        pytest.param(nn.AdaptiveMaxPool1d(5), (1, 1, 3), 1 + 2 + 1 + 2 + 1 - 5, id="3 to 5: windows of one and two"),
        pytest.param(nn.AdaptiveAvgPool2d((None, 2)), (1, 1, 3, 4), 3 * 2 * 2, id="one axis kept"),
        pytest.param(nn.AdaptiveAvgPool3d(2), (1, 1, 4, 4, 4), 8 * 8, id="a volume"),
    ],
)
def test_adaptive_flops_by_hand(counted, layer, x, expected):
    assert counted(layer, x) == (0, expected)


# ---- interpolation


@settings(max_examples=25, deadline=None)
@given(data=st.data(), axes=st.integers(1, 3), align=st.booleans())
def test_flops_of_an_interpolation_whose_result_is_right(counted, data, axes, align):
    size, out = _per_axis(data.draw, axes, 1, 4), _per_axis(data.draw, axes, 1, 5)
    cubic = axes == 2 and data.draw(st.booleans())
    mode = "bicubic" if cubic else ("linear", "bilinear", "trilinear")[axes - 1]
    x = torch.rand(1, 2, *size, dtype=torch.float64)

    def function(x):
        return F.interpolate(x, out, mode=mode, align_corners=align)

    result, tally = tallied(naive.interpolation, x, out=out, cubic=cubic, align=align)
    torch.testing.assert_close(result, function(x), rtol=1e-6, atol=1e-6)
    assert counted(function, x) == (0, tally.flops)


@pytest.mark.parametrize(
    ("settings", "x", "expected"),
    [
        pytest.param({"scale_factor": 2}, (1, 3, 4, 4), 0, id="nearest: copies"),
        pytest.param({"scale_factor": 2, "mode": "nearest-exact"}, (1, 3, 4, 4), 0, id="nearest, exact: copies"),
        pytest.param({"scale_factor": 2}, (1, 3, 4), 0, id="nearest on a line"),
        pytest.param({"scale_factor": 2}, (1, 3, 4, 4, 4), 0, id="nearest in a volume"),
        pytest.param({"size": 8, "mode": "linear"}, (1, 3, 4), 3 * 8 * 3, id="linear: two products, one sum"),
        pytest.param({"size": 8, "mode": "bilinear"}, (1, 3, 4, 4), 3 * 64 * 7, id="bilinear: four and three"),
        pytest.param({"size": 4, "mode": "trilinear"}, (1, 3, 2, 2, 2), 3 * 64 * 15, id="trilinear: eight and seven"),
        pytest.param({"size": 8, "mode": "bicubic"}, (1, 3, 4, 4), 3 * 64 * 31, id="bicubic: sixteen and fifteen"),
        pytest.param({"size": 2, "mode": "bilinear"}, (1, 3, 8, 8), 3 * 4 * 7, id="shrinking reads four all the same"),
        pytest.param(
            {"size": 2, "mode": "bilinear", "antialias": True}, (1, 1, 8, 8), 4 * (2 * 8 * 8 - 1),
            id="shrinking to a quarter without aliasing: 2·4 taps an axis",
        ),
        pytest.param(
            {"size": 4, "mode": "bicubic", "antialias": True}, (1, 1, 8, 8), 16 * (2 * 8 * 8 - 1),
            id="cubic, to a half: 4·2 taps an axis",
        ),
        pytest.param({"size": 3, "mode": "area"}, (1, 2, 6, 6), 2 * 9 * 4, id="by area: an adaptive average"),
    ],
)  # fmt: skip
def test_interpolation_flops_by_hand(counted, settings, x, expected):
    assert counted(lambda x: F.interpolate(x, **settings), x) == (0, expected)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        pytest.param(nn.Upsample(scale_factor=2), 0, id="Upsample"),
        pytest.param(nn.UpsamplingNearest2d(scale_factor=2), 0, id="UpsamplingNearest2d"),
        pytest.param(nn.UpsamplingBilinear2d(scale_factor=2), 3 * 64 * 7, id="UpsamplingBilinear2d"),
        pytest.param(nn.Upsample(scale_factor=2, mode="bicubic"), 3 * 64 * 31, id="Upsample, bicubic"),
    ],
)
def test_upsampling_modules(counted, layer, expected):
    assert counted(layer, (1, 3, 4, 4)) == (0, expected)


# ---- sampling on a grid


def _sampled(x, grid):
    """Bilinear sampling of a plane, by hand; only the weighted sums."""
    n, c, height, width = x.shape
    out = torch.zeros(n, c, *grid.shape[1:3], dtype=x.dtype)
    for i, p, q in product(range(n), range(grid.shape[1]), range(grid.shape[2])):
        at = [((float(g) + 1) * size - 1) / 2 for g, size in zip(grid[i, p, q].flip(0), (height, width), strict=True)]
        for dy, dx in product((0, 1), repeat=2):
            y, z = int(at[0] // 1) + dy, int(at[1] // 1) + dx
            weight = (1 - abs(at[0] - y)) * (1 - abs(at[1] - z))
            if 0 <= y < height and 0 <= z < width:
                out[i, :, p, q] += weight * x[i, :, y, z]
    return out


def test_bilinear_sampling_by_hand_matches_torch():
    """Four weighted neighbours per channel; per position, four operations per coordinate (of two), and four weights."""
    x, grid = torch.rand(2, 3, 4, 5, dtype=torch.float64), torch.rand(2, 3, 2, 2, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(_sampled(x, grid), F.grid_sample(x, grid, align_corners=False))


@pytest.mark.parametrize(
    ("x", "grid", "mode", "each", "place"),
    [
        pytest.param((2, 3, 4, 5), (2, 3, 2, 2), "bilinear", 7, 4 * 2 + 4, id="bilinear"),
        pytest.param((2, 3, 4, 5), (2, 3, 2, 2), "nearest", 0, 4 * 2, id="nearest: coordinates alone"),
        pytest.param((2, 3, 4, 5), (2, 3, 2, 2), "bicubic", 31, 4 * 2 + 16, id="bicubic"),
        pytest.param((2, 3, 4, 4, 4), (2, 3, 2, 2, 3), "bilinear", 15, 4 * 3 + 8 * 2, id="trilinear"),
    ],
)
def test_sampling_flops_by_hand(counted, x, grid, mode, each, place):
    locations = prod(grid[:-1])
    elements = locations * x[1]
    expected = elements * each + locations * place
    assert counted(lambda x, g: F.grid_sample(x, g, mode=mode, align_corners=False), x, grid) == (0, expected)


@pytest.mark.parametrize(
    ("theta", "size", "macs"),
    [
        pytest.param((2, 2, 3), [2, 1, 4, 5], 2 * 20 * 2 * 3, id="a plane: 2·3 products a place"),
        pytest.param((1, 3, 4), [1, 1, 2, 3, 4], 24 * 3 * 4, id="a volume: 3·4"),
    ],
)
def test_an_affine_grid_is_a_matrix_product(counted, theta, size, macs):
    """Each position, with a one appended, times the transposed matrix of its example."""
    assert counted(lambda t: F.affine_grid(t, size, align_corners=False), theta) == (macs, 2 * macs)
