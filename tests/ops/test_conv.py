from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import cnncost
from cnncost.frontends.torch import memo
from cnncost.frontends.torch.lowering import products
from tests.oracles import multiplications, naive
from tests.oracles.counting import tallied

PLAIN = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Case(NamedTuple):
    """One convolution. `batch` is None for an input without a batch axis; `padding` may be "same"."""

    batch: int | None
    channels: tuple[int, int, int]
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    bias: bool
    output_padding: tuple[int, ...] | None = None

    @property
    def x(self):
        return (*(() if self.batch is None else (self.batch,)), self.channels[0] * self.channels[2], *self.size)

    @property
    def layer(self):
        inner, outer, groups = self.channels
        more = {} if self.output_padding is None else {"output_padding": self.output_padding}
        kinds = PLAIN if self.output_padding is None else TRANSPOSED
        return kinds[len(self.size) - 1](
            inner * groups, outer * groups, self.kernel, self.stride, self.padding,
            dilation=self.dilation, groups=groups, bias=self.bias, **more,
        )  # fmt: skip


def _per_axis(draw, axes, low, high):
    return tuple(draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes)))


@st.composite
def convolutions(draw, transposed):
    axes = draw(st.integers(1, 3))
    most = (9, 6, 4)[axes - 1]
    kernel, dilation, stride = _per_axis(draw, axes, 1, 3), _per_axis(draw, axes, 1, 2), _per_axis(draw, axes, 1, 3)
    channels = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    common = {"batch": draw(st.sampled_from([None, 1, 2])), "channels": channels, "kernel": kernel,
              "dilation": dilation, "bias": draw(st.booleans())}  # fmt: skip
    if transposed:
        size = _per_axis(draw, axes, 1, most - 1)
        extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
        room = [
            ((x - 1) * s + d * (k - 1) + e) // 2
            for x, s, d, k, e in zip(size, stride, dilation, kernel, extra, strict=True)
        ]
        padding = tuple(draw(st.integers(0, min(2, most))) for most in room)
        return Case(size=size, stride=stride, padding=padding, output_padding=extra, **common)
    if draw(st.booleans()) and all(d * (k - 1) % 2 == 0 for d, k in zip(dilation, kernel, strict=True)):
        return Case(size=_per_axis(draw, axes, 1, most), stride=(1,) * axes, padding="same", **common)
    padding = _per_axis(draw, axes, 0, 2)
    size = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), most + 1))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    return Case(size=size, stride=stride, padding=padding, **common)


def _walked(case):
    """MACs of one input, by enumerating them."""
    weight, groups = tuple(case.layer.weight.shape), case.channels[2]
    x = case.x if case.batch is not None else (1, *case.x)
    if case.output_padding is not None:
        return multiplications.transposed_convolution(x, weight, groups)
    padding = (
        multiplications.same_padding(case.kernel, case.dilation)
        if case.padding == "same"
        else tuple((p, p) for p in case.padding)
    )
    return multiplications.convolution(x, weight, case.stride, padding, case.dilation, groups)


def _by_torch(layer, x):
    """Half of torch's own count, which has two FLOPs per multiply-accumulate and no bias."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.zeros(x))
    total = counter.get_total_flops()
    assert total % 2 == 0
    return total // 2


@settings(max_examples=60, deadline=None)
@given(case=convolutions(transposed=False))
def test_macs_of_a_convolution(analyze, case):
    expected = _walked(case)
    totals = analyze(case.layer, case.x).totals
    assert totals.macs == expected
    assert _by_torch(case.layer, case.x) == expected
    assert totals.flops == 2 * expected + case.bias * torch.Size(case.layer(torch.zeros(case.x)).shape).numel()


@settings(max_examples=60, deadline=None)
@given(case=convolutions(transposed=True))
def test_macs_of_a_transposed_convolution(analyze, case):
    expected = _walked(case)
    totals = analyze(case.layer, case.x).totals
    assert totals.macs == expected
    assert _by_torch(case.layer, case.x) == expected
    assert totals.flops == 2 * expected + case.bias * torch.Size(case.layer(torch.zeros(case.x)).shape).numel()


@settings(max_examples=30, deadline=None)
@given(case=convolutions(transposed=False), unbatched=st.booleans())
def test_the_count_is_the_same_for_the_parts_of_a_convolution(counted, case, unbatched):
    case = case._replace(batch=None if unbatched else 2)
    assert counted(case.layer, case.x)[0] == _walked(case)


@settings(max_examples=40, deadline=None)
@given(case=convolutions(transposed=False))
def test_a_convolution_and_its_transpose_cost_the_same(analyze, case):
    """The transpose maps a convolution's output shape back to its input shape, with as many products."""
    case = case._replace(batch=2, bias=False)
    if case.padding == "same":
        case = case._replace(padding=tuple(d * (k - 1) // 2 for d, k in zip(case.dilation, case.kernel, strict=True)))
    inner, outer, groups = case.channels
    back = TRANSPOSED[len(case.size) - 1](
        outer * groups, inner * groups, case.kernel, case.stride, case.padding,
        dilation=case.dilation, groups=groups, bias=False,
    )  # fmt: skip
    y = tuple(case.layer(torch.zeros(case.x)).shape)
    geometry = zip(y[2:], case.kernel, case.stride, case.padding, case.dilation, strict=True)
    assume(all((size - 1) * s - 2 * p + d * (k - 1) >= 0 for size, k, s, p, d in geometry))
    assert analyze(back, y).totals.macs == analyze(case.layer, case.x).totals.macs


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        pytest.param(nn.Conv2d(3, 8, 3, bias=False), (1, 3, 6, 6), 8 * 4 * 4 * 3 * 3 * 3, id="a plain plane: K·P·C·R"),
        pytest.param(nn.Conv2d(3, 8, 3), (5, 3, 6, 6), 5 * 8 * 4 * 4 * 3 * 9, id="a batch of five"),
        pytest.param(nn.Conv2d(3, 8, 3), (3, 6, 6), 8 * 4 * 4 * 3 * 9, id="no batch axis"),
        pytest.param(nn.Conv1d(2, 4, 3), (2, 8), 4 * 6 * 2 * 3, id="a line without a batch axis"),
        pytest.param(nn.Conv2d(8, 16, 1), (1, 8, 5, 5), 16 * 25 * 8, id="pointwise: a matrix per position"),
        pytest.param(nn.Conv2d(8, 8, 3, padding=1, groups=8), (1, 8, 5, 5), 8 * 25 * 1 * 9, id="depthwise"),
        pytest.param(nn.Conv2d(8, 12, 3, groups=4), (1, 8, 5, 5), 12 * 9 * 2 * 9, id="four groups of two channels"),
        pytest.param(nn.Conv2d(1, 1, 3, padding=1), (1, 1, 4, 4), 16 * 9, id="zeros at a border count"),
        pytest.param(nn.Conv2d(1, 1, 1, padding=2), (1, 1, 1, 1), 25, id="a window of zeros"),
        pytest.param(nn.Conv2d(1, 1, 3, stride=2), (1, 1, 7, 7), 3 * 3 * 9, id="stride 2: ⌊(7-3)/2⌋+1 = 3 an axis"),
        pytest.param(nn.Conv2d(1, 1, 3, dilation=2), (1, 1, 7, 7), 3 * 3 * 9, id="dilation 2: 7-5+1 = 3 an axis"),
        pytest.param(nn.Conv2d(1, 1, 3, padding="same", dilation=3), (1, 1, 4, 4), 16 * 9, id="padded to its size"),
        pytest.param(nn.Conv2d(1, 1, 3, padding="valid"), (1, 1, 4, 4), 4 * 9, id="not padded, in words"),
        pytest.param(nn.Conv2d(1, 1, (1, 5), padding=(0, 2)), (1, 1, 4, 4), 16 * 5, id="a kernel of one row"),
        pytest.param(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), (1, 2, 4, 4), 2 * 16 * 18, id="wrapped"),
        pytest.param(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), (1, 2, 4, 4), 2 * 16 * 18, id="mirrored"),
        pytest.param(nn.Conv3d(2, 3, 2), (1, 2, 3, 3, 3), 3 * 8 * 2 * 8, id="a volume"),
        pytest.param(nn.ConvTranspose2d(4, 3, 2, stride=2), (1, 4, 5, 5), 4 * 25 * 3 * 4, id="transposed"),
        pytest.param(
            nn.ConvTranspose2d(4, 3, 3, stride=3, padding=1, output_padding=2, dilation=2),
            (1, 4, 5, 5),
            4 * 25 * 3 * 9,
            id="transposed: where products land, not how many",
        ),
        pytest.param(nn.ConvTranspose2d(4, 6, 3, groups=2), (1, 4, 5, 5), 4 * 25 * 3 * 9, id="two groups, transposed"),
        pytest.param(nn.ConvTranspose1d(3, 5, 4), (3, 7), 3 * 7 * 5 * 4, id="transposed, a line without a batch axis"),
        pytest.param(nn.ConvTranspose3d(2, 3, 2), (2, 2, 3, 3, 3), 2 * 2 * 27 * 3 * 8, id="transposed, a volume"),
    ],
)  # fmt: skip
def test_macs_by_hand(counted, layer, x, expected):
    bias = layer(torch.zeros(x)).numel() if layer.bias is not None else 0
    assert counted(layer, x) == (expected, 2 * expected + bias)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize(("kernel", "dilation"), [(2, 1), (4, 1), (4, 3), (2, 3)])
def test_same_padding_with_an_odd_number_of_zeros(counted, kernel, dilation):
    layer = nn.Conv1d(2, 3, kernel, padding="same", dilation=dilation, bias=False)
    padding = multiplications.same_padding((kernel,), (dilation,))
    expected = multiplications.convolution((1, 2, 9), (3, 2, kernel), (1,), padding, (dilation,), 1)
    assert expected == 3 * 9 * 2 * kernel
    assert counted(layer, (1, 2, 9)) == (expected, 2 * expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_flops_of_a_computation_whose_result_is_right(analyze, transposed, bias):
    """The naive loops return torch's values; each of their additions and multiplications is a FLOP."""
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(4, 6, (2, 3), (2, 1), (1, 0), groups=2, bias=bias).double()
    x = torch.rand(2, 4, 4, 5, dtype=torch.float64)
    tensors = [x, *layer.parameters()]
    common = {"stride": (2, 1), "dilation": (1, 1), "groups": 2}
    if transposed:
        more = {"padding": (1, 0), "output_padding": (0, 0)}
        result, tally = tallied(naive.transposed_convolution, *tensors, **common, **more)
    else:
        result, tally = tallied(naive.convolution, *tensors, padding=((1, 1), (0, 0)), **common)
    torch.testing.assert_close(result, layer(x).detach())
    totals = analyze(layer, x).totals
    # products beyond a transposed convolution's border are computed, then cropped
    assert (totals.macs, totals.flops) == (tally.multiplications, tally.flops)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_count_does_not_depend_on_the_dtype(analyze, dtype):
    assert analyze(nn.Conv2d(2, 3, 3, dtype=dtype), (1, 2, 5, 5)).totals.macs == 3 * 9 * 2 * 9


def test_functional_convolutions_with_weights_as_inputs(counted):
    def function(x, w, v):
        return F.conv_transpose2d(F.conv2d(x, w, stride=2, padding=1, groups=2), v, groups=2)

    there, back = 4 * 9 * 2 * 9, 4 * 9 * 3 * 4  # on 3·3 positions: K·P·(C/g)·R, then C·X·(K/g)·R
    assert counted(function, (1, 4, 5, 5), (4, 2, 3, 3), (4, 3, 2, 2)) == (there + back, 2 * (there + back))


BY_NAME = {
    "_slow_conv2d_forward": ((1, 6, 10, 10), (5, 6, 3, 3), [None, [1, 1], [0, 0]], 5 * 64 * 6 * 9),
    "thnn_conv2d": ((1, 6, 10, 10), (5, 6, 3, 3), [], 5 * 64 * 6 * 9),
    "slow_conv_dilated2d": ((1, 6, 10, 10), (5, 6, 3, 3), [None, [1, 1], [0, 0], [2, 2]], 5 * 36 * 6 * 9),
    "slow_conv_transpose2d": ((1, 6, 10, 10), (6, 5, 3, 3), [], 6 * 100 * 5 * 9),
    "slow_conv3d": ((1, 6, 5, 5, 5), (4, 6, 3, 3, 3), [], 4 * 27 * 6 * 27),
    "slow_conv3d_forward": ((1, 6, 5, 5, 5), (4, 6, 3, 3, 3), [None, [1, 1, 1], [0, 0, 0]], 4 * 27 * 6 * 27),
    "slow_conv_dilated3d": ((1, 6, 5, 5, 5), (4, 6, 3, 3, 3), [], 4 * 27 * 6 * 27),
    "slow_conv_transpose3d": ((1, 6, 5, 5, 5), (6, 4, 3, 3, 3), [], 6 * 125 * 4 * 27),
}
"""Kernels that can be called by name: shapes of x and weight, arguments after the kernel size, MACs."""


@pytest.mark.parametrize("name", BY_NAME)
def test_kernels_that_are_called_by_name(analyze, name):
    *shapes, arguments, macs = BY_NAME[name]

    def run(x, w):
        return getattr(torch.ops.aten, name)(x, w, list(w.shape[2:]), *arguments)

    report = analyze(run, *shapes)
    assert report.totals.macs == macs
    assert report.totals.output_shapes == (tuple(run(*map(torch.zeros, shapes)).shape),)


@pytest.mark.parametrize("weight", [(6, 5, 3, 3), (6, 6, 3, 3), (6, 1, 3, 3)], ids=str)
def test_a_name_with_a_wrong_fact_is_marked(monkeypatch, weight):
    """As if somebody had added the name without looking: no number is better than a wrong one."""
    monkeypatch.setitem(products._TRANSPOSED, "slow_conv_transpose2d", False)

    class Net(nn.Module):
        def forward(self, x, w):
            return torch.ops.aten.slow_conv_transpose2d(x, w, [3, 3])

    memo.clear()
    report = cnncost.analyze(Net(), ((1, 6, 10, 10), weight))
    memo.clear()
    assert report.unknown == {"aten.slow_conv_transpose2d": 1}
    assert report.totals.lower_bound


def test_time_first_and_channels_last(counted):
    """conv_tbc: 5 steps and a kernel of 3 give 3 outputs; x: T,B,C; w: R,C,K."""
    macs = 3 * 2 * 6 * 4 * 3
    assert counted(F.conv_tbc, (5, 2, 4), (3, 4, 6), (6,)) == (macs, 2 * macs + 3 * 2 * 6)


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        pytest.param(
            nn.Conv2d(4, 6, (3, 2), 2, (1, 0), (1, 2), groups=2),
            [(1, 4, 8, 8)],
            {"kernel": (3, 2), "stride": (2, 2), "padding": (1, 0), "dilation": (1, 2), "groups": 2, "bias": True},
            id="a number stands for all axes",
        ),
        pytest.param(
            F.conv1d,
            [(1, 2, 8), (3, 2, 5)],
            {"kernel": (5,), "stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1, "bias": False},
            id="as torch's defaults are",
        ),
        pytest.param(
            lambda x, w: F.conv3d(x, w, stride=[2], padding=[1]),
            [(1, 2, 4, 4, 4), (3, 2, 3, 2, 1)],
            {"kernel": (3, 2, 1), "stride": (2, 2, 2), "padding": (1, 1, 1), "transposed": False},
            id="a list of one too",
        ),
        pytest.param(
            nn.ConvTranspose2d(4, 6, 3, (2, 3), 1, (1, 2), groups=2),
            [(1, 4, 5, 5)],
            {
                "kernel": (3, 3),
                "stride": (2, 3),
                "padding": (1, 1),
                "output_padding": (1, 2),
                "groups": 2,
                "transposed": True,
            },
            id="transposed",
        ),
    ],
)
@pytest.mark.parametrize("grad", [False, True])
def test_the_geometry_is_told(analyze, function, shapes, expected, grad):
    graph = analyze(function, *shapes, grad=grad).graph
    told = next(node.spec for node in graph.nodes if node.spec.kind == "conv")
    assert {name: told[name] for name in expected} == expected


def test_bytes_are_those_of_inputs_and_outputs(analyze):
    totals = analyze(nn.Conv2d(2, 3, 3), (1, 2, 5, 5)).totals
    assert totals.bytes_read == 4 * (2 * 5 * 5 + 3 * 2 * 3 * 3 + 3)
    assert totals.bytes_written == 4 * 3 * 3 * 3
