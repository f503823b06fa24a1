import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from cnncost.zoo.lenet import C3_TABLE, H3_TABLE
from cnncost.zoo.lenet_layers import ScaledTanh, SparseConv2d, Subsample, inputs_per_map, lecun_uniform_

MAPS_IN = 5
tables = st.lists(
    st.sets(st.integers(0, MAPS_IN - 1), min_size=1).map(lambda inputs: tuple(sorted(inputs))),
    min_size=1,
    max_size=7,
).map(tuple)


def dense_weight(layer: SparseConv2d, maps_in: int) -> torch.Tensor:
    """The same layer as a dense one: a zero kernel where the table has no connection."""
    weight = torch.zeros(len(layer.connections), maps_in, layer.kernel_size, layer.kernel_size)
    kernels = iter(layer.weight)
    for out, inputs in enumerate(layer.connections):
        for i in inputs:
            weight[out, i] = next(kernels)
    return weight


@settings(max_examples=40, deadline=None)
@given(tables, st.sampled_from([1, 3]))
def test_sparse_convolution_is_a_dense_one_with_zeros(connections, kernel):
    layer = SparseConv2d(connections, kernel)
    x = torch.randn(2, MAPS_IN, 6, 4)
    with torch.no_grad():
        dense = F.conv2d(x, dense_weight(layer, MAPS_IN), layer.bias)
        assert torch.allclose(layer(x), dense, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(tables)
def test_sparse_convolution_runs_no_mac_that_is_not_connected(connections):
    pairs = sum(len(inputs) for inputs in connections)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        layer = SparseConv2d(connections, 3)
        layer(torch.empty(1, MAPS_IN, 6, 4))
    assert layer.weight.numel() == pairs * 3 * 3
    assert counter.get_total_flops() == 2 * pairs * 3 * 3 * 4 * 2


def test_sparse_convolution_has_the_gradients_of_the_dense_one():
    layer = SparseConv2d(inputs_per_map(C3_TABLE), 5)
    x = torch.randn(2, 6, 8, 8)
    layer(x).square().sum().backward()
    weight = dense_weight(layer, 6).detach().requires_grad_()
    F.conv2d(x, weight, layer.bias.detach()).square().sum().backward()
    expected = [weight.grad[out, i] for out, inputs in enumerate(layer.connections) for i in inputs]
    assert torch.allclose(layer.weight.grad, torch.stack(expected), rtol=1e-3, atol=1e-4)


def test_sparse_convolution_refuses_a_map_without_inputs():
    with pytest.raises(ValueError, match="expected inputs for each output map"):
        SparseConv2d(((0,), ()), 3)


@pytest.mark.parametrize(
    ("table", "connections"),
    [
        pytest.param(
            H3_TABLE,
            ((0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1), (2,), (2, 3), (2, 3), (3,), (2, 3), (2, 3)),
            id="H3: two halves that never meet, maps of one or two inputs, 20 pairs",
        ),
        pytest.param(
            C3_TABLE,
            (
                *(tuple(sorted((k + j) % 6 for j in range(3))) for k in range(6)),
                *(tuple(sorted((k + j) % 6 for j in range(4))) for k in range(6)),
                *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
                (0, 1, 2, 3, 4, 5),
            ),
            id="C3: contiguous threes, contiguous fours, three discontinuous fours, all six; 60 pairs",
        ),
    ],
)
def test_connection_tables_are_those_that_the_papers_describe(table, connections):
    assert inputs_per_map(table) == connections


@pytest.mark.parametrize(
    "table", [pytest.param("XX\nX", id="rows of two lengths"), pytest.param("XO\nX.", id="another mark")]
)
def test_connection_table_refuses(table):
    with pytest.raises(ValueError, match="expected rows of X and"):
        inputs_per_map(table)


def test_subsampling_sums_scales_and_shifts_each_map():
    layer = Subsample(3)
    x = torch.randn(2, 3, 4, 6)
    sums = x[:, :, 0::2, 0::2] + x[:, :, 0::2, 1::2] + x[:, :, 1::2, 0::2] + x[:, :, 1::2, 1::2]
    with torch.no_grad():
        assert torch.allclose(layer(x), sums * layer.coefficient + layer.bias, atol=1e-6)
    assert sum(p.numel() for p in layer.parameters()) == 2 * 3


def test_squashing_function_keeps_one_and_minus_one():
    a = torch.tensor([-1.0, 0.0, 1.0, 1e6])
    assert torch.allclose(ScaledTanh()(a), torch.tensor([-1.0, 0.0, 1.0, 1.7159]), atol=1e-4)


def test_initial_weights_lie_within_2_4_over_the_fan_in():
    weights = torch.empty(10_000)
    lecun_uniform_(weights, 25)
    assert weights.abs().max() <= 2.4 / 25
    assert weights.abs().max() > 0.99 * 2.4 / 25


def test_initial_weights_of_a_map_follow_its_own_fan_in():
    layer = SparseConv2d(((0,), *((0, 1, 2, 3),) * 50), 5)
    assert layer.weight[1:].abs().max() <= 2.4 / (4 * 25)
    assert layer.weight[0].abs().max() > 2.4 / (4 * 25)
