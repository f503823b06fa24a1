"""The counter of real runs, against enumerations of every multiplication and products derived by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tests.oracles import multiplications as walk
from tests.oracles.products import Products

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, about sparse layouts, oneDNN and padding


def counted(function, *args, **kwargs) -> int:
    with Products() as products:
        function(*args, **kwargs)
    return products.total


@settings(max_examples=60, deadline=None)
@given(
    axes=st.integers(1, 3), groups=st.integers(1, 2), stride=st.integers(1, 2), padding=st.integers(0, 1),
    dilation=st.integers(1, 2), transposed=st.booleans(), batch=st.integers(1, 2), grad=st.booleans(),
)  # fmt: skip
def test_products_of_convolutions_match_enumeration(axes, groups, stride, padding, dilation, transposed, batch, grad):
    layer = getattr(nn, f"Conv{'Transpose' * transposed}{axes}d")(
        2, 4, 2, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    x = torch.rand(batch, 2, *[5] * axes, requires_grad=grad)
    if transposed:
        expected = walk.transposed_convolution(x.shape, layer.weight.shape, groups)
    else:
        kernel = [stride] * axes, [(padding, padding)] * axes, [dilation] * axes
        expected = walk.convolution(x.shape, layer.weight.shape, *kernel, groups)
    assert counted(layer, x) == expected


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.sampled_from([((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((2, 2, 3), (3, 4)),
                            ((2, 1, 2, 3), (5, 3, 4)), ((1, 2, 3), (4, 3, 2))]),
    mode=st.sampled_from([torch.enable_grad, torch.no_grad, torch.inference_mode]),
)  # fmt: skip
def test_products_of_matrices_match_enumeration(shapes, mode):
    a, b = map(torch.rand, shapes)
    with mode():
        assert counted(torch.matmul, a, b) == walk.matmul(*shapes)
        assert counted(F.linear, a, torch.rand(5, 3)) == walk.linear(a.shape, (5, 3))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: torch.einsum("bij,bjk->bik", torch.rand(2, 3, 4), torch.rand(2, 4, 5)), 2 * 3 * 4 * 5),
        (lambda: torch.einsum("bi,bij->bj", torch.rand(2, 3), torch.rand(2, 3, 5)), 2 * 3 * 5),
        (lambda: torch.einsum("bi,bj->bij", torch.rand(2, 3), torch.rand(2, 5)), 0),  # nothing is summed
        (lambda: torch.baddbmm(torch.rand(2, 3, 5), torch.rand(2, 3, 4), torch.rand(2, 4, 5)), 2 * 3 * 4 * 5),
        (lambda: torch.addbmm(torch.rand(3, 5), torch.rand(2, 3, 4), torch.rand(2, 4, 5)), 2 * 3 * 4 * 5),
        (lambda: torch.addmv(torch.rand(3), torch.rand(3, 4), torch.rand(4)), 3 * 4),
        (lambda: torch.rand(3, 4, dtype=torch.complex64) @ torch.rand(4, 2, dtype=torch.complex64), 4 * 3 * 4 * 2),
        (lambda: torch.eye(4).to_sparse() @ torch.rand(4, 5), 4 * 5),
        (lambda: torch.eye(4).to_sparse_csr() @ torch.rand(4, 5), 4 * 5),
        (lambda: torch.sparse.mm(torch.eye(4).to_sparse(), torch.eye(4).to_sparse()), 4),
        (lambda: F.scaled_dot_product_attention(*(torch.rand(2, 3, 4, 8) for _ in range(3))), 2 * (2 * 3 * 4 * 4 * 8)),
        (lambda: F.scaled_dot_product_attention(*(torch.rand(2, 3, 4, 8) for _ in range(3)), is_causal=True),
         2 * (2 * 3 * 4 * 4 * 8)),
        (lambda: F.scaled_dot_product_attention(torch.rand(2, 4, 3, 8), *(torch.rand(2, 2, 5, 8) for _ in range(2)),
                                                enable_gqa=True), 2 * (2 * 4 * 3 * 5 * 8)),
        (lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True)(torch.rand(5, 2, 3)),
         walk.recurrent("lstm", [5, 5], 3, 4, 2, bidirectional=True)),
        (lambda: nn.GRU(3, 4)(torch.rand(5, 2, 3)), walk.recurrent("gru", [5, 5], 3, 4, 1, bidirectional=False)),
        (lambda: nn.LSTM(3, 4, proj_size=2)(torch.rand(5, 2, 3)),
         walk.recurrent("lstm", [5, 5], 3, 4, 1, bidirectional=False, projection=2)),
        (lambda: nn.Bilinear(3, 4, 5)(torch.rand(2, 3), torch.rand(2, 4)), walk.bilinear((2, 3), (2, 4), (5, 3, 4))),
        (lambda: nn.MultiheadAttention(8, 2)(*(torch.rand(5, 2, 8) for _ in range(3))),
         walk.multi_head_attention(2, 5, 5, 8, 2, 8, 8)),
        (lambda: torch.cdist(torch.rand(30, 4), torch.rand(30, 4)), 0),
        (lambda: torch.rand(3, 4) * torch.rand(3, 4) + F.softmax(torch.rand(3, 4), -1), 0),
        (lambda: F.conv2d(torch.rand(1, 2, 5, 5), torch.rand(4, 2, 2, 2), padding="same"), 4 * 25 * 2 * 4),
    ],
)  # fmt: skip
def test_products_match_hand_derived_counts(function, expected):
    assert counted(function) == expected


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_fused_encoder_counts_the_products_of_its_parts(mode):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.rand(2, 5, 8)
    parts = walk.multi_head_attention(2, 5, 5, 8, 2, 8, 8) + 2 * walk.linear((2, 5, 8), (16, 8))
    assert counted(layer, x) == parts
    with mode():
        assert counted(layer, x) == parts
        assert counted(layer.self_attn, x, x, x, need_weights=False) == walk.multi_head_attention(2, 5, 5, 8, 2, 8, 8)


def test_products_of_backward_within_a_run_count():
    x = torch.rand(2, 3, requires_grad=True)
    layer = nn.Linear(3, 4)
    once = walk.linear((2, 3), (4, 3))
    assert counted(lambda: torch.autograd.grad(layer(x).sum(), x)) == 2 * once
    assert counted(lambda: layer(x).sum().backward()) == 3 * once
    image, conv = torch.rand(1, 2, 5, 5, requires_grad=True), nn.Conv2d(2, 4, 3)
    once = walk.convolution((1, 2, 5, 5), (4, 2, 3, 3), (1, 1), [(0, 0)] * 2, (1, 1), 1)
    assert counted(lambda: conv(image).sum().backward()) == 3 * once


def test_uncounted_ops_are_listed():
    with Products() as products:
        torch.rand(3).sin().sum().item()
    assert products.total == 0
    assert products.seen["aten::sin"] == 1
    assert products.read == 1
