"""Tests of the oracles: naive results equal torch's, and enumerated counts equal the naive tallies."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.oracles import multiplications, naive
from tests.oracles.counting import Number, Tally, tallied


def _random(*shape, low=-1.0, high=1.0):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) * (high - low) + low


def _near(expected):
    """Arrays of the same shape and the same numbers, up to rounding."""
    return pytest.approx(expected.detach().double().numpy(), rel=1e-6, abs=1e-6)


def test_each_operation_on_a_counting_number_is_tallied():
    tally = Tally()
    x = Number(2.0, tally)
    assert float((x * x + 1 - x) / 3) == 1.0
    assert x.max(5).value == 5
    assert x > 1
    assert x.function("sqrt").value == 2**0.5
    assert tally == {"*": 1, "+": 1, "-": 1, "/": 1, "compare": 2, "sqrt": 1}
    assert (tally.multiplications, tally.flops) == (1, 7)


CONVOLUTIONS = [
    pytest.param((2, 3, 7), (4, 3, 3), (1,), (0,), (1,), 1, id="a line"),
    pytest.param((1, 2, 9), (2, 2, 3), (2,), (3,), (2,), 1, id="a line, strided, dilated, padded beyond the kernel"),
    pytest.param((1, 2, 5, 6), (4, 2, 3, 2), (1, 2), (1, 0), (1, 1), 1, id="a plane, another kernel on each axis"),
    pytest.param((2, 4, 4, 4), (6, 2, 3, 3), (1, 1), (1, 1), (1, 1), 2, id="a plane in two groups"),
    pytest.param((1, 4, 5, 5), (4, 1, 3, 3), (2, 2), (1, 1), (1, 1), 4, id="a plane, depthwise"),
    pytest.param((1, 2, 3, 4, 3), (2, 2, 2, 3, 2), (1, 1, 2), (0, 1, 1), (1, 1, 1), 1, id="a volume"),
]


@pytest.mark.parametrize(("x", "weight", "stride", "padding", "dilation", "groups"), CONVOLUTIONS)
def test_convolution(x, weight, stride, padding, dilation, groups):
    tensors = _random(*x), _random(*weight), _random(weight[0])
    both = tuple((p, p) for p in padding)
    settings = {"stride": stride, "dilation": dilation, "groups": groups}
    result, tally = tallied(naive.convolution, *tensors, padding=both, **settings)
    function = (F.conv1d, F.conv2d, F.conv3d)[len(stride) - 1]
    assert result.numpy() == _near(function(*tensors, padding=padding, **settings))
    assert tally.multiplications == multiplications.convolution(x, weight, stride, both, dilation, groups)
    assert tally["+"] == tally.multiplications + result.numel()


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_same_padding(kernel, dilation):
    tensors = _random(1, 2, 8), _random(2, 2, kernel)
    padding = multiplications.same_padding((kernel,), (dilation,))
    result, tally = tallied(naive.convolution, *tensors, stride=(1,), padding=padding, dilation=(dilation,), groups=1)
    expected = nn.Conv1d(2, 2, kernel, padding="same", dilation=dilation, bias=False, dtype=torch.float64)
    expected.weight.data.copy_(tensors[1])
    assert result.numpy() == _near(expected(tensors[0]))
    assert tally.multiplications == multiplications.convolution(
        (1, 2, 8), (2, 2, kernel), (1,), padding, (dilation,), 1
    )


@pytest.mark.parametrize(
    ("x", "weight", "stride", "padding", "output_padding", "dilation", "groups"),
    [
        pytest.param((2, 3, 4), (3, 2, 3), (1,), (0,), (0,), (1,), 1, id="a line"),
        pytest.param((1, 4, 4), (4, 2, 3), (3,), (1,), (2,), (2,), 2, id="a line, strided, in groups, padded after"),
        pytest.param((1, 2, 3, 2), (2, 3, 2, 3), (2, 1), (1, 0), (1, 0), (1, 1), 1, id="a plane"),
        pytest.param((1, 4, 3, 3), (4, 1, 3, 3), (2, 2), (1, 1), (1, 1), (1, 1), 4, id="a plane, depthwise"),
        pytest.param((1, 2, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 1), (0, 1, 0), (0, 0, 0), (1, 1, 2), 1, id="a volume"),
    ],
)  # fmt: skip
def test_transposed_convolution(x, weight, stride, padding, output_padding, dilation, groups):
    tensors = _random(*x), _random(*weight), _random(weight[1] * groups)
    settings = {"stride": stride, "padding": padding, "output_padding": output_padding}
    settings |= {"dilation": dilation, "groups": groups}
    result, tally = tallied(naive.transposed_convolution, *tensors, **settings)
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(stride) - 1]
    assert result.numpy() == _near(function(*tensors, **settings))
    assert tally.multiplications == multiplications.transposed_convolution(x, weight, groups)
    assert tally["+"] == tally.multiplications + result.numel()


@pytest.mark.parametrize("x", [(3,), (2, 3), (2, 4, 3)])
def test_linear(x):
    tensors = _random(*x), _random(5, 3), _random(5)
    result, tally = tallied(naive.linear, *tensors)
    assert result.numpy() == _near(F.linear(*tensors))
    assert tally.multiplications == multiplications.linear(x, (5, 3))


def test_bilinear():
    tensors = _random(2, 3), _random(2, 4), _random(5, 3, 4), _random(5)
    result, tally = tallied(naive.bilinear, *tensors)
    assert result.numpy() == _near(F.bilinear(*tensors))
    assert tally.multiplications == multiplications.bilinear((2, 3), (2, 4), (5, 3, 4))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param((3,), (3,), id="vectors"),
        pytest.param((3,), (3, 2), id="a row and a matrix"),
        pytest.param((2, 3), (3,), id="a matrix and a column"),
        pytest.param((2, 3), (3, 4), id="matrices"),
        pytest.param((5, 2, 3), (3,), id="a batch and a column"),
        pytest.param((3,), (2, 3, 2), id="a row and a batch"),
        pytest.param((2, 1, 2, 3), (4, 3, 2), id="batches that broadcast"),
    ],
)
def test_matmul(a, b):
    tensors = _random(*a), _random(*b)
    result, tally = tallied(naive.matmul, *tensors)
    assert result.numpy() == _near(tensors[0] @ tensors[1])
    assert tally.multiplications == multiplications.matmul(a, b)


def test_einsum():
    equation, a, b = "bhid,bjhd->bhij", (2, 3, 2, 4), (2, 3, 3, 4)
    left, right = _random(*a), _random(*b)
    result, tally = tallied(naive.matmul, left, right.permute(0, 2, 3, 1))
    assert result.numpy() == _near(torch.einsum(equation, left, right))
    assert tally.multiplications == multiplications.einsum(equation, a, b)


@pytest.mark.parametrize(
    ("q", "k", "v", "mask"),
    [
        pytest.param((2, 3, 4), (2, 3, 4), (2, 3, 4), None, id="self"),
        pytest.param((2, 3, 4), (2, 5, 4), (2, 5, 2), None, id="cross, narrower values"),
        pytest.param((2, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4), (3, 3), id="masked"),
        pytest.param((2, 4, 3, 2), (2, 2, 5, 2), (2, 2, 5, 2), None, id="four heads of queries share two of keys"),
    ],
)
def test_attention(q, k, v, mask):
    tensors = [_random(*shape) for shape in (q, k, v)]
    given = () if mask is None else (_random(*mask),)
    result, tally = tallied(naive.attention, *tensors, *given)
    grouped = q[:-2] != k[:-2]
    expected = F.scaled_dot_product_attention(*tensors, *given, enable_gqa=grouped)
    assert result.numpy() == _near(expected)
    batch, length, width, keys = torch.Size(q[:-2]).numel(), q[-2], q[-1], k[-2]
    scaled = batch * (length + keys) * width
    assert tally.multiplications == multiplications.attention(q, k, v) + scaled


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        pytest.param("lstm", {}, id="LSTM"),
        pytest.param("lstm", {"num_layers": 2, "bidirectional": True, "bias": False}, id="LSTM, two layers, both ways"),
        pytest.param("lstm", {"proj_size": 2, "num_layers": 2}, id="LSTM with a projection"),
        pytest.param("gru", {}, id="GRU"),
        pytest.param("gru", {"num_layers": 2, "bidirectional": True}, id="GRU, two layers, both ways"),
        pytest.param("rnn", {"bidirectional": True}, id="Elman network, both ways"),
    ],
)
def test_recurrent(cell, settings):
    torch.manual_seed(0)
    layer = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell](3, 4, dtype=torch.float64, **settings)
    layer.requires_grad_(False)
    x = _random(3, 2, 3)
    result, tally = tallied(
        naive.recurrent, x, *layer.parameters(), cell=cell, layers=layer.num_layers,
        bidirectional=layer.bidirectional, bias=layer.bias, projected=bool(layer.proj_size),
    )  # fmt: skip
    assert result.numpy() == _near(layer(x)[0])
    units = result.shape[0] * result.shape[1] * (1 + layer.bidirectional) * layer.num_layers * layer.hidden_size
    gate_products = {"lstm": 3, "gru": 2, "rnn": 0}[cell] * units
    assert tally.multiplications == gate_products + multiplications.recurrent(
        cell, [3, 3], 3, 4, layer.num_layers, layer.bidirectional, layer.proj_size
    )


@pytest.mark.parametrize("fn", ["max", "avg"])
def test_pool(fn):
    x = _random(1, 2, 5, 6)
    result, _ = tallied(naive.pool, x, kernel=(2, 3), stride=(2, 1), fn=fn)
    assert result.numpy() == _near({"max": F.max_pool2d, "avg": F.avg_pool2d}[fn](x, (2, 3), (2, 1)))


@pytest.mark.parametrize("fn", ["max", "avg"])
def test_adaptive_pool(fn):
    x = _random(1, 2, 7, 5)
    result, _ = tallied(naive.adaptive_pool, x, out=(3, 4), fn=fn)
    assert result.numpy() == _near({"max": F.adaptive_max_pool2d, "avg": F.adaptive_avg_pool2d}[fn](x, (3, 4)))


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(
    ("shape", "out", "mode"),
    [((1, 2, 4), (7,), "linear"), ((1, 1, 4, 3), (3, 5), "bilinear"), ((1, 1, 2, 3, 2), (3, 2, 4), "trilinear"),
     ((1, 1, 4, 5), (6, 3), "bicubic")],
)  # fmt: skip
def test_interpolation(shape, out, mode, align):
    x = _random(*shape)
    result, _ = tallied(naive.interpolation, x, out=out, cubic=mode == "bicubic", align=align)
    assert result.numpy() == _near(F.interpolate(x, out, mode=mode, align_corners=align))


@pytest.mark.parametrize("log", [False, True])
def test_softmax(log):
    x = _random(2, 5)
    result, _ = tallied(naive.softmax, x, log=log)
    assert result.numpy() == _near((F.log_softmax if log else F.softmax)(x, dim=1))


@pytest.mark.parametrize("affine", [False, True])
def test_normalisation(affine):
    tensors = (_random(3, 5), *([_random(5), _random(5)] if affine else []))
    result, _ = tallied(naive.normalisation, *tensors)
    assert result.numpy() == _near(F.layer_norm(tensors[0], (5,), *tensors[1:]))


@pytest.mark.parametrize("affine", [False, True])
def test_root_mean_square(affine):
    tensors = (_random(3, 5), *([_random(5)] if affine else []))
    result, _ = tallied(naive.root_mean_square, *tensors, eps=1e-6)
    assert result.numpy() == _near(F.rms_norm(tensors[0], (5,), *tensors[1:], eps=1e-6))


def test_folded_batch_norm():
    x, mean, variance, weight, bias = _random(2, 3, 4), _random(3), _random(3, low=0.5), _random(3), _random(3)
    result, _ = tallied(naive.folded_batch_norm, x, mean, variance, weight, bias)
    assert result.numpy() == _near(F.batch_norm(x, mean, variance, weight, bias))


def test_local_response_norm():
    x, settings = _random(1, 5, 2, 2), {"size": 3, "alpha": 0.5, "beta": 0.75, "k": 2.0}
    result, _ = tallied(naive.local_response_norm, x, **settings)
    assert result.numpy() == _near(F.local_response_norm(x, **settings))


_TORCH = {"gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "sigmoid": torch.sigmoid, "tanh": torch.tanh,
          "logit": torch.logit, "rsqrt": torch.rsqrt, "frac": torch.frac}  # fmt: skip


@pytest.mark.parametrize("name", naive.ELEMENTWISE)
@pytest.mark.parametrize("side", ["negative", "positive", "both"])
def test_elementwise(name, side):
    low, high = {"negative": (-3, -0.6), "positive": (0.1, 0.9), "both": (-3, 3)}[side]
    if name in {"logit", "rsqrt", "frac"} and side != "positive":
        low, high = 0.1, 0.9
    x = _random(5, low=low, high=high)
    result, _ = tallied(naive.each, x, name=name)
    assert result.numpy() == _near((_TORCH.get(name) or getattr(F, name))(x))
