from __future__ import annotations

from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

import cnncost
from tests.oracles import naive
from tests.oracles.counting import tallied

NORMALISED = 4 + 2  # sum, deviation, square, sum of squares; minus mean, times 1/σ
AFFINE = 2

SHAPES = {1: (2, 4, 6), 2: (2, 4, 3, 5), 3: (2, 4, 2, 3, 2)}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize(
    ("name", "settings", "each"),
    [
        pytest.param("BatchNorm", {}, 2, id="batch: kept statistics are folded into scale and shift"),
        pytest.param("BatchNorm", {"affine": False}, 2, id="batch without scale and shift: (x − μ)·1/σ"),
        pytest.param("BatchNorm", {"momentum": None}, 2, id="batch with a cumulative mean"),
        pytest.param("BatchNorm", {"track_running_stats": False}, NORMALISED + AFFINE, id="batch, nothing kept"),
        pytest.param(
            "BatchNorm", {"track_running_stats": False, "affine": False}, NORMALISED, id="batch, nothing kept or learnt"
        ),
        pytest.param("InstanceNorm", {}, NORMALISED, id="instance"),
        pytest.param("InstanceNorm", {"affine": True}, NORMALISED + AFFINE, id="instance with scale and shift"),
    ],
)  # fmt: skip
def test_norms_by_channel(counted, name, settings, each, axes, train):
    layer = getattr(nn, f"{name}{axes}d")(4, **settings).train(train)
    assert counted(layer, SHAPES[axes]) == (0, each * prod(SHAPES[axes]))


@pytest.mark.parametrize("axes", SHAPES)
def test_instance_norm_with_running_statistics(axes):
    """Folded into scale and shift, in both modes, like batch norm."""
    layer = getattr(nn, f"InstanceNorm{axes}d")(4, affine=True, track_running_stats=True)
    elements = prod(SHAPES[axes])
    for train in (True, False):
        assert cnncost.analyze(layer.train(train), SHAPES[axes]).totals.flops == AFFINE * elements


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize(
    ("layer", "each"),
    [
        pytest.param(lambda x: nn.GroupNorm(2, x[1]), 8, id="group"),
        pytest.param(lambda x: nn.GroupNorm(2, x[1], affine=False), 6, id="group without scale and shift"),
        pytest.param(lambda x: nn.GroupNorm(1, x[1]), 8, id="one group"),
        pytest.param(lambda x: nn.LayerNorm(x[-1]), 8, id="layer, over the last axis"),
        pytest.param(lambda x: nn.LayerNorm(x[1:]), 8, id="layer, over all axes but the batch"),
        pytest.param(lambda x: nn.LayerNorm(x[-1], bias=False), 8, id="layer with a scale alone"),
        pytest.param(lambda x: nn.LayerNorm(x[-1], elementwise_affine=False), 6, id="layer without scale and shift"),
        pytest.param(lambda _: nn.LocalResponseNorm(3), 1 + 3 + 4, id="local response: x², mean, α·, k+, power, /"),
        pytest.param(lambda _: nn.LocalResponseNorm(4), 1 + 4 + 4, id="local response over an even number of channels"),
    ],
)  # fmt: skip
def test_norms_by_example(counted, layer, each, axes):
    x = SHAPES[axes]
    assert counted(layer(x), x) == (0, each * prod(x))


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("affine", [False, True])
def test_root_mean_square(counted, affine, last, axes):
    """Per element: square, mean, product and scale; per row three more: + ε, root, reciprocal."""
    x = SHAPES[axes]
    rows = prod(x[:-last])
    assert counted(nn.RMSNorm(x[-last:], elementwise_affine=affine), x) == (0, (3 + affine) * prod(x) + 3 * rows)


def test_renorm_and_embeddings_with_max_norm(counted):
    """Square, sum and product per element, of all slices or of the looked-up rows of a table."""
    assert counted(lambda x: torch.renorm(x, 2, 0, 1.0), (3, 5)) == (0, 3 * 15)
    assert counted(nn.Embedding(1000, 4, max_norm=1.0), "2x3:int64") == (0, 3 * 6 * 4)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_weight_norm(counted, axis):
    """‖v‖ of each row: squares and sums; then g/‖v‖, and its product with v: 3 per element and 1 per norm."""
    norms = {0: 4, 1: 6, None: 1}[axis]
    layer = weight_norm(nn.Linear(6, 4), dim=axis)
    assert counted(layer, (2, 6)) == (2 * 4 * 6, 2 * 2 * 4 * 6 + 2 * 4 + 3 * 24 + norms)


@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm_does_what_is_counted(counted, affine):
    tensors = [torch.rand(3, 5, dtype=torch.float64), *(torch.rand(2, 5, dtype=torch.float64) if affine else ())]

    def function(x, *more):
        return F.layer_norm(x, (5,), *more)

    result, tally = tallied(naive.normalisation, *tensors)
    torch.testing.assert_close(result, function(*tensors))
    assert counted(function, *tensors) == (0, tally.flops)


def test_group_and_instance_norm_do_what_is_counted(counted):
    """A row of the naive form is a group of channels, or one channel, with all positions."""
    x = torch.rand(2, 4, 3, dtype=torch.float64)
    for groups, function in ((2, lambda x: F.group_norm(x, 2)), (4, F.instance_norm)):
        result, tally = tallied(naive.normalisation, x.reshape(2 * groups, -1))
        torch.testing.assert_close(result.view_as(x), function(x))
        assert counted(function, x) == (0, tally.flops)


@pytest.mark.parametrize("affine", [False, True])
def test_rms_norm_does_what_is_counted(counted, affine):
    tensors = [torch.rand(3, 5, dtype=torch.float64), *([torch.rand(5, dtype=torch.float64)] if affine else [])]

    def function(x, *more):
        return F.rms_norm(x, (5,), *more, eps=1e-6)

    result, tally = tallied(naive.root_mean_square, *tensors, eps=1e-6)
    torch.testing.assert_close(result, function(*tensors))
    assert counted(function, *tensors) == (0, tally.flops)


def test_batch_norm_does_what_is_counted(counted):
    x = torch.rand(2, 3, 4, dtype=torch.float64)
    statistics = [torch.rand(3, dtype=torch.float64) + 0.5 for _ in range(4)]
    result, tally = tallied(naive.folded_batch_norm, x, *statistics)
    torch.testing.assert_close(result, F.batch_norm(x, *statistics))
    assert counted(F.batch_norm, x, *statistics) == (0, tally.flops)


def test_local_response_norm_does_what_is_counted(counted):
    x, settings = torch.rand(1, 5, 2, 2, dtype=torch.float64), {"size": 3, "alpha": 0.5, "beta": 0.75, "k": 2.0}
    result, tally = tallied(naive.local_response_norm, x, **settings)
    torch.testing.assert_close(result, F.local_response_norm(x, **settings))
    assert counted(lambda x: F.local_response_norm(x, **settings), x) == (0, tally.flops)


def test_normalize(counted):
    """F.normalize: the norm of a row (square and sum per element), a clamp per row, a division per element."""
    assert counted(F.normalize, (3, 5)) == (0, 2 * 15 + 3 + 15)
