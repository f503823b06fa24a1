"""Costs of backward ops, derived by hand. frontends/test_training.py compares products with torch's counter."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnncost.frontends.torch import Training, record
from cnncost.graph import OpSpec, TensorType
from cnncost.ops import cost_of


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def backward(module, *shapes, op):
    """(MACs, FLOPs) of the one op of this name in backward."""
    inputs = tuple(torch.randn(shape, requires_grad=True) for shape in shapes)
    graph = record(module, inputs, training=Training())
    (found,) = [node for node in graph.nodes if node.phase == "backward" and node.name == f"aten.{op}"]
    assert found.spec.kind != f"aten::{op}", "the op has a lowering"
    cost = cost_of(found.spec)
    return cost.macs, cost.flops


def test_the_gradient_of_a_bias_is_a_sum():
    macs = 2 * 6 * 36 * 4 * 9
    assert backward(nn.Conv2d(4, 6, 3), (2, 4, 8, 8), op="convolution_backward") == (2 * macs, 4 * macs + 2 * 6 * 36)


def test_factor_names_of_convolution_backward():
    graph = record(nn.Conv2d(4, 6, 3), (torch.randn(2, 4, 8, 8, requires_grad=True),), training=Training())
    (found,) = [node for node in graph.nodes if node.name == "aten.convolution_backward"]
    products = [term.factors for term in cost_of(found.spec).terms if term.mac]
    assert products == [(("N", 2), ("P", 6 * 6), ("K·C/g", 6 * 4), ("R", 3 * 3))] * 2


NORMS = {
    # x̂ 2, the two sums 3, the gradient of the input 4
    "batch": (nn.BatchNorm2d(3).train(), (2, 3, 4, 4), "native_batch_norm_backward", 9 * 96),
    # ∂y·γr 1; ∂γ: x̂ 2, product and sum 2; ∂β 1
    "batch, fixed": (nn.BatchNorm2d(3).eval(), (2, 3, 4, 4), "native_batch_norm_backward", 6 * 96),
    # x̂ 2; ∂γ 2; ∂β 1; γ·∂y 1; sums 3; the gradient of the input 4
    "layer": (nn.LayerNorm(8), (3, 8), "native_layer_norm_backward", 13 * 24),
    "layer without scale": (nn.LayerNorm(8, elementwise_affine=False), (3, 8), "native_layer_norm_backward", 9 * 24),
    "group": (nn.GroupNorm(2, 4), (3, 4, 5), "native_group_norm_backward", 13 * 60),
}


@pytest.mark.parametrize(("layer", "shape", "op", "expected"), NORMS.values(), ids=NORMS)
def test_norms(layer, shape, op, expected):
    assert backward(layer, shape, op=op) == (0, expected)


POOLS = {
    "max": (nn.MaxPool2d(2), (2, 3, 8, 8), "max_pool2d_with_indices_backward", 2 * 3 * 16),
    # one division, and one addition per each of 3·2 inputs
    "average": (nn.AvgPool2d((3, 2)), (2, 3, 9, 8), "avg_pool2d_backward", 2 * 3 * 12 * 7),
    # 5 positions over 7: windows of 2, 2, 2, 2, 2 (0-2, 1-3, 2-5: of 3, 4-6, 5-7)
    "adaptive": (nn.AdaptiveAvgPool2d((1, 5)), (2, 3, 4, 7), "_adaptive_avg_pool2d_backward", 2 * 3 * (4 * 11 + 5)),
}


@pytest.mark.parametrize(("layer", "shape", "op", "expected"), POOLS.values(), ids=POOLS)
def test_pools(layer, shape, op, expected):
    assert backward(layer, shape, op=op) == (0, expected)


def test_interpolation():
    """Each of 2·3·8·8 gradients is weighted and added to four inputs; for `nearest` it is added to one."""
    linear = Function(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"))
    nearest = Function(lambda x: F.interpolate(x, scale_factor=2))
    assert backward(linear, (2, 3, 4, 4), op="upsample_bilinear2d_backward") == (0, 2 * 384 * 4)
    assert backward(nearest, (2, 3, 4, 4), op="upsample_nearest2d_backward") == (0, 384)


ELEMENTWISE = {
    "relu": (torch.relu, "threshold_backward", 1),
    "sigmoid": (torch.sigmoid, "sigmoid_backward", 3),
    "tanh": (torch.tanh, "tanh_backward", 3),
    "gelu": (F.gelu, "gelu_backward", 11),
    "silu": (F.silu, "silu_backward", 9),
    "hardswish": (F.hardswish, "hardswish_backward", 5),
    "relu6": (F.relu6, "hardtanh_backward", 2),
    "leaky relu": (F.leaky_relu, "leaky_relu_backward", 2),
    "softmax": (lambda x: F.softmax(x, 1), "_softmax_backward_data", 4),
    "log softmax": (lambda x: F.log_softmax(x, 1), "_log_softmax_backward_data", 4),
}


@pytest.mark.parametrize(("function", "op", "each"), ELEMENTWISE.values(), ids=ELEMENTWISE)
def test_elementwise(function, op, each):
    assert backward(Function(function), (3, 5), op=op) == (0, each * 15)


def test_gated_linear_unit():
    """Eight FLOPs for each of 3·4 pairs."""
    assert backward(Function(lambda x: F.glu(x, 1)), (3, 8), op="glu_backward") == (0, 8 * 12)


def test_embedding_backward_adds_rows():
    graph = record(nn.Embedding(10, 4), torch.zeros(2, 3, dtype=torch.int64), training=Training())
    (found,) = [node for node in graph.nodes if node.name == "aten.embedding_dense_backward"]
    assert cost_of(found.spec).flops == 2 * 3 * 4


LAYERS = [
    nn.Conv1d(2, 4, 3), nn.ConvTranspose2d(2, 4, 3), nn.Conv3d(2, 4, 2), nn.BatchNorm1d(2), nn.PReLU(), nn.ELU(),
    nn.InstanceNorm1d(2, affine=True), nn.SELU(), nn.CELU(), nn.Softplus(), nn.Mish(), nn.LogSigmoid(),
    nn.Hardsigmoid(), nn.Hardshrink(), nn.Softshrink(), nn.Softsign(), nn.RReLU(), nn.Dropout(), nn.ReflectionPad1d(1),
    nn.ReplicationPad1d(1), nn.LPPool1d(2, 2), nn.AdaptiveMaxPool1d(2), nn.LocalResponseNorm(2), nn.RMSNorm(8),
    nn.Upsample(scale_factor=2, mode="linear"), nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 4, 3)),
    nn.Softmin(1), nn.Tanhshrink(),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_every_backward_op_of_a_layer_has_a_rule(layer):
    shape = (2, 2, *[8] * {nn.ConvTranspose2d: 2, nn.Conv3d: 3}.get(type(layer), 1))
    x = torch.randn(shape, requires_grad=True)
    graph = record(layer.train(), x, training=Training(optimizer="adam" if list(layer.parameters()) else None))
    assert [node.name for node in graph.nodes if cost_of(node.spec) is None] == []


def test_attention_term_by_term():
    """3 queries, 5 keys of width 4, values of width 2, 7 heads; queries and keys have 7·(3 + 5)·4 elements."""
    attrs = {"batch": 7, "value_batch": 7, "queries": 3, "keys": 5, "width": 4, "value_width": 2, "scaled": 7 * 8 * 4,
             "mask": False, "causal": False}  # fmt: skip
    given = [TensorType((7, *sizes), "float32") for sizes in ((3, 2), (3, 4), (5, 4), (5, 2))]
    found = cost_of(OpSpec("attention_backward", tuple(given), tuple(given[1:]), tuple(sorted(attrs.items()))))
    macs = 7 * 3 * 5 * (3 * 4 + 2 * 2)  # Q·Kᵀ, ∂Q, ∂K; ∂V, ∂P
    assert found.macs == macs
    assert found.flops == 2 * macs + 4 * 7 * 3 * 5 + 2 * 7 * 3 * 2 + 7 * 8 * 4  # scores, rows of ∂O∘O, scale
