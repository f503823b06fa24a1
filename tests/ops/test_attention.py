from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.oracles import multiplications, naive
from tests.oracles.counting import tallied

sizes = st.integers(1, 4)


def _sdpa(**settings):
    return lambda q, k, v, *mask: F.scaled_dot_product_attention(q, k, v, *mask, **settings)


def _flops(batch, queries, keys, width, value_width, mask):
    """Two per product; one per element of q and k for scaling; one per score for a mask, five for the softmax."""
    scores = batch * queries * keys
    return 2 * scores * (width + value_width) + batch * (queries + keys) * width + scores * (mask + 5)


@st.composite
def shapes(draw):
    """Shapes of queries, keys and values: 3 to 5 axes, cross attention, values with a different width."""
    lead = draw(st.lists(sizes, min_size=1, max_size=3))
    queries, keys, width, value_width = (draw(sizes) for _ in range(4))
    return (*lead, queries, width), (*lead, keys, width), (*lead, keys, value_width)


@settings(max_examples=60, deadline=None)
@given(qkv=shapes(), mask=st.sampled_from([None, "bool", "float", "causal"]))
def test_cost_of_attention(counted, qkv, mask):
    q, k, v = qkv
    expected = multiplications.attention(q, k, v)
    settings = {"is_causal": True} if mask == "causal" else {}
    masks = {
        "bool": (torch.ones(q[-2], k[-2], dtype=torch.bool, device="meta"),),
        "float": ((*q[:-1], k[-2]),),
    }
    macs, flops = counted(_sdpa(**settings), q, k, v, *masks.get(mask, ()))
    assert macs == expected
    assert flops == _flops(torch.Size(q[:-2]).numel(), q[-2], k[-2], q[-1], v[-1], mask is not None)


@settings(max_examples=30, deadline=None)
@given(batch=sizes, groups=sizes, times=st.integers(1, 3), queries=sizes, keys=sizes, width=sizes)
def test_grouped_queries(counted, batch, groups, times, queries, keys, width):
    """Fewer key and value heads; the number of products follows from the query heads."""
    q, k = (batch, groups * times, queries, width), (batch, groups, keys, width)
    macs, flops = counted(_sdpa(enable_gqa=True), q, k, k)
    assert macs == multiplications.attention(q, k, k)
    assert macs == 2 * batch * groups * times * queries * keys * width
    assert flops == _flops(batch * groups * times, queries, keys, width, width, mask=False)


@pytest.mark.parametrize(
    ("q", "k", "v", "mask", "settings"),
    [
        pytest.param((2, 3, 4), (2, 3, 4), (2, 3, 4), None, {}, id="self"),
        pytest.param((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 3), (3, 5), {}, id="cross, masked"),
        pytest.param((1, 4, 3, 2), (1, 2, 5, 2), (1, 2, 5, 2), None, {"enable_gqa": True}, id="grouped queries"),
    ],
)
def test_flops_of_a_computation_whose_result_is_right(counted, q, k, v, mask, settings):
    tensors = [torch.rand(shape, dtype=torch.float64) for shape in (q, k, v, *([mask] if mask else []))]
    result, tally = tallied(naive.attention, *tensors)
    torch.testing.assert_close(result, _sdpa(**settings)(*tensors))
    macs, flops = counted(_sdpa(**settings), *tensors)
    scaled = tally.multiplications - macs
    assert scaled == torch.Size(q[:-2]).numel() * (q[-2] + k[-2]) * q[-1]
    assert flops == tally.flops


@pytest.mark.parametrize(
    ("q", "k", "expected"),
    [
        pytest.param((4, 8, 128, 64), (4, 8, 128, 64), 134_217_728 // 2, id="4·8 heads, 128 tokens: 2·32·128·128·64"),
        pytest.param((4, 8, 128, 64), (4, 8, 256, 64), 268_435_456 // 2, id="twice the keys, twice the products"),
        pytest.param((1, 12, 64, 64), (1, 12, 64, 64), 12_582_912 // 2, id="12 heads, 64 tokens: 2·12·64·64·64"),
    ],
)
def test_macs_match_torchs_own_counter_tests(counted, q, k, expected):
    """Half the FLOPs stated in the tests of torch's own counter."""
    batch, length, keys, width = q[0] * q[1], q[2], k[2], q[3]
    assert expected == 2 * batch * length * keys * width
    assert counted(_sdpa(), q, k, k)[0] == expected


def test_scale_is_counted_whatever_its_value(counted):
    q = (2, 3, 4, 5)
    assert counted(_sdpa(scale=0.3), q, q, q) == counted(_sdpa(), q, q, q)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_is_free(counted, dropout):
    q = (2, 3, 4, 5)
    assert counted(_sdpa(dropout_p=dropout), q, q, q) == (2 * 6 * 4 * 4 * 5, _flops(6, 4, 4, 5, 5, mask=False))


def test_broadcast_batches_count_in_full(counted):
    """One batch of queries, five of keys: the products of five batches."""
    q, k = (1, 2, 3, 4), (5, 2, 3, 4)
    assert counted(_sdpa(), q, k, k)[0] == 2 * 5 * 2 * 3 * 3 * 4


def test_batch_axes_of_a_mask_do_not_multiply_the_count(counted):
    """A mask's batch axes don't multiply the count."""
    q, mask = (2, 3, 4, 5), (2, 1, 4, 4)
    assert counted(_sdpa(), q, q, q, mask) == (2 * 6 * 4 * 4 * 5, _flops(6, 4, 4, 5, 5, mask=True))


# ---- multi-head attention


def _attend(layer, need_weights=False, **settings):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, q, k, v, *more):
            masks = dict(zip(("attn_mask",), more, strict=False))
            return self.layer(q, k, v, need_weights=need_weights, **masks, **settings)

    return Model()


@settings(max_examples=40, deadline=None)
@given(
    batch=sizes, queries=sizes, keys=sizes, heads=st.integers(1, 3), part=st.integers(1, 3),
    kdim=st.sampled_from([None, 3]), vdim=st.sampled_from([None, 5]), train=st.booleans(), need_weights=st.booleans(),
)  # fmt: skip
def test_macs_of_multi_head_attention(counted, batch, queries, keys, heads, part, kdim, vdim, train, need_weights):
    width = heads * part
    layer = nn.MultiheadAttention(width, heads, kdim=kdim, vdim=vdim, batch_first=True).train(train)
    q, k, v = (batch, queries, width), (batch, keys, kdim or width), (batch, keys, vdim or width)
    expected = multiplications.multi_head_attention(batch, queries, keys, width, heads, k[2], v[2])
    assert counted(_attend(layer, need_weights), q, k, v)[0] == expected


@pytest.mark.parametrize("train", [False, True])
def test_flops_of_multi_head_attention_by_hand(counted, train):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).train(train)
    batch, length, width, heads = 3, 5, 8, 2
    projected = 4 * batch * length * (2 * width * width + width)  # q, k, v and out, each with a bias
    scored = _flops(batch * heads, length, length, width // heads, width // heads, mask=False)
    x = (batch, length, width)
    macs = 4 * batch * length * width * width + 2 * batch * heads * length * length * (width // heads)
    assert counted(_attend(layer), x, x, x) == (macs, projected + scored)


@pytest.mark.parametrize("average", [True, False])
def test_returned_weights_cost_their_mean(counted, average):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = (3, 5, 8)
    macs, flops = counted(_attend(layer, need_weights=True, average_attn_weights=average), x, x, x)
    without, fewer = counted(_attend(layer), x, x, x)
    assert macs == without
    scaled_keys = 3 * 5 * 8  # here only the queries are scaled, by the full factor
    assert flops == fewer - scaled_keys + average * 3 * 2 * 5 * 5  # mean over heads: one FLOP per weight and head


def test_cross_attention_in_torch_counter(analyze):
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    with FlopCounterMode(display=False) as counter:
        layer(torch.ones(3, 5, 8), torch.ones(3, 4, 8), torch.ones(3, 4, 8))
    totals = analyze(layer, (3, 5, 8), (3, 4, 8), (3, 4, 8)).totals
    assert 2 * totals.macs == counter.get_total_flops()


def test_added_keys_lengthen_the_scores(counted):
    layer = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True, add_zero_attn=True)
    x = (3, 5, 8)
    expected = 4 * 3 * 5 * 64 + 2 * 3 * 2 * 5 * (5 + 2) * 4  # four projections; 5 queries times 5 + 2 keys
    assert counted(_attend(layer), x, x, x)[0] == expected


# ---- fused ops, which torch runs instead of an encoder layer's parts


def _native_mha(layer, **settings):
    """The fused op on a layer's own weights."""
    return lambda q, k, v: torch._native_multi_head_attention(
        q, k, v, layer.embed_dim, layer.num_heads, layer.in_proj_weight, layer.in_proj_bias,
        layer.out_proj.weight, layer.out_proj.bias, **settings,
    )  # fmt: skip


def _fused(layer, **settings):
    """The fused op on an encoder layer's own weights."""
    attention = layer.self_attn
    return lambda x, *mask: torch._transformer_encoder_layer_fwd(
        x, attention.embed_dim, attention.num_heads, attention.in_proj_weight, attention.in_proj_bias,
        attention.out_proj.weight, attention.out_proj.bias, layer.activation_relu_or_gelu == 2, layer.norm_first,
        layer.norm1.eps, layer.norm1.weight, layer.norm1.bias, layer.norm2.weight, layer.norm2.bias,
        layer.linear1.weight, layer.linear1.bias, layer.linear2.weight, layer.linear2.bias, *mask, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("keys", [5, 3])
def test_fused_multi_head_attention_costs_what_the_layer_costs(analyze, keys):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    inputs = (2, 5, 8), (2, keys, 8), (2, keys, 8)
    fused = analyze(_native_mha(layer, need_weights=False), *inputs).totals
    plain = analyze(_attend(layer), *inputs).totals
    assert fused.macs == multiplications.multi_head_attention(2, 5, keys, 8, 2, 8, 8)
    assert (fused.macs, fused.flops) == (plain.macs, plain.flops)


@pytest.mark.parametrize("average", [True, False])
def test_fused_multi_head_attention_that_returns_its_weights(analyze, average):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = (2, 5, 8)
    settings = {"need_weights": True, "average_attn_weights": average}
    fused = analyze(_native_mha(layer, **settings), x, x, x).totals
    plain = analyze(_attend(layer, **settings), x, x, x).totals
    assert (fused.macs, fused.flops) == (plain.macs, plain.flops)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_a_fused_encoder_layer_costs_what_the_layer_costs(analyze, activation, norm_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=activation, batch_first=True, norm_first=norm_first)
    x = (3, 5, 8)
    fused = analyze(_fused(layer.eval()), x).totals
    macs = multiplications.multi_head_attention(3, 5, 5, 8, 2, 8, 8) + 2 * multiplications.linear(x, (16, 8))
    tokens = 3 * 5
    flops = (
        2 * macs
        + tokens * (4 * 8 + 16 + 8)  # biases
        + 3 * 2 * ((5 + 5) * 4 + 5 * 5 * 5)  # scaled queries and keys, softmax, in 3·2 heads
        + tokens * 16 * {"relu": 1, "gelu": 5}[activation]
        + 2 * tokens * 8 * 8  # two layer norms of 8 FLOPs per element
        + 2 * tokens * 8  # two residual sums
    )
    assert (fused.macs, fused.flops) == (macs, flops)
    for train in (False, True):
        for grad in (False, True):
            plain = analyze(layer.train(train), x, grad=grad).totals
            assert (plain.macs, plain.flops) == (macs, flops), f"train={train}, grad={grad}"


def test_torch_counter_misses_the_fused_layer(analyze):
    """So cnncost and the counter differ on encoders in eval mode; with autograd on and unfused attention they agree."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.ones(3, 5, 8))
    assert counter.get_total_flops() == 0
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        layer(torch.ones(3, 5, 8))
    assert 2 * analyze(layer, (3, 5, 8)).totals.macs == counter.get_total_flops()
