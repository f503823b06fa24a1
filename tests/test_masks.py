"""What is left of attention if masked pairs or tiles are skipped: beside pairs counted in loops, and by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from types import FunctionType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right, causal_upper_left
from torch.nn.attention.flex_attention import BlockMask, and_masks, create_block_mask, flex_attention

import cnncost
from cnncost.errors import CnncostError, GraphError
from cnncost.graph import verify
from cnncost.graph_json import from_json, to_json
from cnncost.masks import mask_from_bits
from tests.oracles import pairs
from tests.samples import sample

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, of flexible attention

WIDTH, HEADS = 8, 2
tiles = st.tuples(st.integers(1, 7), st.integers(1, 7))
INFINITY = float("inf")


def shapes(queries, keys, batch=1):
    """As text: beside tensors with values, tuples of numbers are no shapes."""
    return f"{batch}x{HEADS}x{queries}x{WIDTH}", *[f"{batch}x{HEADS}x{keys}x{WIDTH}"] * 2


def attend(q, k, v, mask=None, **settings):
    return F.scaled_dot_product_attention(q, k, v, mask, **settings)


class Do(nn.Module):
    def __init__(self, run=attend, **held):
        super().__init__()
        self.run = run
        for name, tensor in held.items():
            self.register_buffer(name, tensor)

    def forward(self, *inputs):
        return self.run(*inputs, *self.buffers())


class Learns(Do):
    """The same behind a linear layer, so that there is something to train."""

    def __init__(self, run=attend, **held):
        super().__init__(run, **held)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, q, *inputs):
        q, k, v = (self.linear(t) for t in (q, *inputs[:2]))
        return self.run(q, k, v, *inputs[2:], *self.buffers())


def left(model, inputs, tile=None, **how):
    """MACs that are left, and whether that is an upper bound."""
    totals = cnncost.analyze(model, inputs, **how).with_masks(tile).totals
    return totals.macs_unmasked, totals.mask_unknown


def macs(pairs_of_one, batch=1):
    """Scores and weighted values, of each head."""
    return 2 * batch * HEADS * WIDTH * pairs_of_one


# ---- is_causal


@settings(max_examples=30, deadline=None)
@given(queries=st.integers(1, 20), keys=st.integers(1, 20), tile=tiles)
def test_causal_is_aligned_to_the_upper_left(queries, keys, tile):
    """As torch documents: `torch.ones(L, S).tril(diagonal=0)`, whatever L and S are."""
    causal = Do(lambda q, k, v: attend(q, k, v, is_causal=True))
    inputs = shapes(queries, keys)
    seen = torch.ones(queries, keys).tril().bool().tolist()
    expected = pairs.visible(queries, keys, lambda i, j: seen[i][j])
    assert left(causal, inputs) == (macs(expected), False)
    expected = pairs.in_tiles(queries, keys, lambda i, j: seen[i][j], *tile)
    assert left(causal, inputs, tile) == (macs(expected), False)


def test_causal_by_hand():
    """256 tokens: 256·257/2 pairs; of four tiles of 128² three."""
    causal, inputs = Do(lambda q, k, v: attend(q, k, v, is_causal=True)), shapes(256, 256)
    assert left(causal, inputs) == (2 * HEADS * WIDTH * 256 * 257 // 2, False)
    assert left(causal, inputs, 128) == (2 * HEADS * WIDTH * 3 * 128 * 128, False)
    assert left(causal, inputs, (256, 64)) == (2 * HEADS * WIDTH * 256 * 256, False)
    report = cnncost.analyze(causal, inputs)
    assert report.totals.macs == 2 * HEADS * WIDTH * 256 * 256  # the dense count stays
    assert report.totals.macs_unmasked is None


@pytest.mark.parametrize(("queries", "keys"), [(6, 9), (9, 6), (5, 5)])
def test_a_bias_aligned_to_the_lower_right(queries, keys):
    model = Do(lambda q, k, v: attend(q, k, v, torch.ones(queries, keys).tril(keys - queries).bool().to(q.device)))
    expected = pairs.visible(queries, keys, lambda i, j: j - i <= keys - queries)
    assert left(model, shapes(queries, keys)) == (macs(expected), False)
    assert left(model, shapes(queries, keys), trace="real") == (macs(expected), False)


@pytest.mark.parametrize(("queries", "keys"), [(4, 6), (6, 4), (5, 5)])
@pytest.mark.parametrize("tile", [None, (2, 3)])
def test_the_flash_kernel_aligns_to_the_lower_right(queries, keys, tile):
    """As flash attention does since 2.1, and so torch calls it for `causal_lower_right` alone."""
    flash = torch.ops.aten._scaled_dot_product_flash_attention.default
    model = Learns(lambda q, k, v: flash(q, k, v, 0.0, True)[0])
    sees = lambda i, j: j - i <= keys - queries  # noqa: E731
    count = pairs.in_tiles(queries, keys, sees, *tile) if tile else pairs.visible(queries, keys, sees)
    totals = cnncost.analyze(model, shapes(queries, keys), training=True).with_masks(tile).totals
    assert totals.macs - totals.macs_unmasked == macs(queries * keys - count)
    assert 2 * (totals.training_macs - totals.training_macs_unmasked) == 7 * macs(queries * keys - count)


class Biased(nn.Module):
    """Attention with torch's own object for a causal mask, that the model holds, makes, or is given."""

    def __init__(self, bias=None):
        super().__init__()
        self.bias = bias

    def forward(self, q, k, v, bias=None):
        held = self.bias() if isinstance(self.bias, FunctionType) else self.bias
        return attend(q, k, v, held if bias is None else bias)


@pytest.mark.parametrize(("queries", "keys"), [(4, 6), (3, 9), (5, 5)])
@pytest.mark.parametrize(("make", "shift"), [(causal_lower_right, 1), (causal_upper_left, 0)])
@pytest.mark.parametrize("trace", ["static", "real"])
def test_causal_biases(queries, keys, make, shift, trace):
    bias = make(queries, keys)
    expected = pairs.visible(queries, keys, lambda i, j: j - i <= shift * (keys - queries))
    inputs = [torch.rand(1, HEADS, n, WIDTH) for n in (queries, keys, keys)]
    for _ in range(2):
        assert left(Biased(bias), (*inputs,), trace=trace) == (macs(expected), False)
        assert left(Biased(), (*inputs, bias), trace=trace) == (macs(expected), False)
        assert left(Biased(lambda: make(queries, keys)), (*inputs,), trace=trace) == (macs(expected), False)
    assert vars(bias) == {"variant": bias.variant, "seq_len_q": queries, "seq_len_kv": keys}


# ---- masks whose values are known


@st.composite
def masks(draw):
    """A mask of any leading axes that broadcast, with its queries, keys and batch."""
    queries, keys, batch = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
    lead = draw(st.sampled_from([(), (1, 1), (batch, 1), (1, HEADS), (batch, HEADS)]))
    size = (draw(st.sampled_from([1, queries])), draw(st.sampled_from([1, keys])))
    seed = draw(st.integers(0, 99))
    seen = torch.rand(*lead, *size, generator=torch.Generator().manual_seed(seed)) < 0.4
    return seen, queries, keys, batch


def additive(seen):
    return torch.zeros(seen.shape).masked_fill(~seen, -INFINITY)


@settings(max_examples=60, deadline=None)
@given(mask=masks(), tile=st.one_of(st.none(), tiles), form=st.sampled_from(["bool", "float"]), held=st.booleans())
def test_masks_that_broadcast(mask, tile, form, held):
    seen, queries, keys, batch = mask
    whole, expected = seen.expand(batch, HEADS, queries, keys).tolist(), 0
    for matrices in whole:
        for matrix in matrices:
            sees = lambda i, j, matrix=matrix: matrix[i][j]  # noqa: E731
            count = pairs.in_tiles(queries, keys, sees, *tile) if tile else pairs.visible(queries, keys, sees)
            expected += 2 * WIDTH * count
    values = seen if form == "bool" else additive(seen)
    inputs = shapes(queries, keys, batch)
    if held:
        assert left(Do(mask=values), inputs, tile) == (expected, False)
    else:
        assert left(Do(), (*inputs, values), tile) == (expected, False)


@pytest.mark.parametrize("length", [12, 600])
@pytest.mark.parametrize("how", ["buffer", "input", "part of a buffer", "made in forward"])
def test_where_masks_come_from(length, how):
    """Those of more than 2^18 elements are known, too, but for what forward makes: a real trace knows that."""
    window = torch.ones(length, length, dtype=torch.bool).tril().triu(-4)
    expected = macs(5 * length - 10)  # five keys each, but 4 + 3 + 2 + 1 less at the start
    inputs = shapes(length, length)
    if how == "buffer":
        models = [(Do(mask=window), inputs)] * 3  # the second and third time with what was kept
    elif how == "part of a buffer":
        larger = torch.ones(length + 3, length + 3, dtype=torch.bool).tril().triu(-4)
        models = [(Do(lambda q, k, v, mask: attend(q, k, v, mask[:length, :length]), mask=larger), inputs)]
    elif how == "input":
        models = [(Do(), (*inputs, window)), (Do(), (*inputs, additive(window)))]
    else:

        def made(q, k, v):
            seen = torch.ones(length, length, dtype=torch.bool, device=q.device)
            return attend(q, k, v, seen.tril().triu(-4))

        models = [(Do(made), inputs)]
    for model, given_inputs in models:
        known = how != "made in forward" or length == 12
        assert left(model, given_inputs) == ((expected, False) if known else (macs(length * length), True))
        assert left(model, given_inputs, trace="real") == (expected, False)


def test_a_mask_that_forward_writes_to_is_not_taken_for_what_it_was():
    def writes(q, k, v, mask):
        mask[:, 0] = q[0, 0, 0, 0] > 0
        return attend(q, k, v, mask)

    for length in (5, 600):
        model = Do(writes, mask=torch.ones(length, length, dtype=torch.bool))
        assert left(model, shapes(length, length)) == (macs(length * length), True)


def test_a_mask_of_unknown_values_is_an_upper_bound():
    report = cnncost.analyze(Do(), (*shapes(4, 4), (4, 4))).with_masks()
    assert (report.totals.macs_unmasked, report.totals.mask_unknown) == (macs(16), True)
    assert f"≤{macs(16)}" in str(report)
    assert "the mask is unknown" in report.explain("")
    assert report.layers[0].mask_unknown
    assert "mask_unknown" in report.to_csv().splitlines()[0]


@pytest.mark.parametrize(
    "seen",
    [
        lambda n, device: torch.rand(n, n, device=device) < 0.5,
        lambda n, device: torch.arange(n, device=device) <= torch.randperm(n, device=device)[:, None],
        lambda n, device: torch.zeros(n, n, device=device).bernoulli_(0.5).bool(),
        lambda n, device: torch.zeros(n, n, device=device).masked_fill(torch.rand(n, device=device) < 0.5, -INFINITY),
    ],
)
@pytest.mark.parametrize("trace", ["static", "real"])
def test_a_mask_that_chance_made_is_an_upper_bound(seen, trace):
    model = Do(lambda q, k, v: attend(q, k, v, seen(6, q.device)))
    assert left(model, shapes(6, 6), trace=trace) == (macs(36), True)


@pytest.mark.parametrize("change", [lambda m: m, lambda m: m.logical_not(), lambda m: m.unsqueeze(0) & m.bool()])
def test_of_values_that_are_drawn_for_a_run_nothing_is_known(change):
    model = Do(lambda q, k, v, mask: attend(q, k, v, change(mask)))
    assert left(model, (*shapes(4, 4), "4x4:bool"), trace="real") == (macs(16), True)
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    known = int(change(mask).sum())
    assert left(model, (*shapes(4, 4), mask), trace="real") == (macs(known), False)


def test_masks_are_no_part_of_the_memo():
    """Two models whose ops have equal signatures, in both orders, and one model whose buffer changes."""
    full, none = torch.ones(4, 4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)
    for _ in range(2):
        for mask, expected in ((full, 16), (none, 0), (full.tril(), 10)):
            assert left(Do(mask=mask), shapes(4, 4)) == (macs(expected), False)
    model = Do(mask=full.clone())
    for _ in range(3):
        assert left(model, shapes(4, 4)) == (macs(16), False)
    model.mask[0] = False
    assert left(model, shapes(4, 4)) == (macs(12), False)


def test_the_least_number_stands_for_minus_infinity_where_a_row_has_others():
    """Of a row that is the least number throughout, all scores become equal: none can be skipped."""
    mask = torch.zeros(3, 4)
    mask[0, 1:] = mask[2] = torch.finfo(torch.float32).min
    assert left(Do(mask=mask), shapes(3, 4)) == (macs(1 + 4 + 4), False)
    mask[2] = -INFINITY
    assert left(Do(mask=mask), shapes(3, 4)) == (macs(1 + 4), False)
    assert left(Do(mask=torch.full((3, 4), -1e9)), shapes(3, 4)) == (macs(12), False)  # a bias is no mask


def test_grouped_queries():
    model = Do(lambda q, k, v: attend(q, k, v, is_causal=True, enable_gqa=True))
    inputs = (1, 4, 6, WIDTH), *[(1, 2, 6, WIDTH)] * 2
    assert left(model, inputs) == (2 * 4 * WIDTH * 21, False)


def test_layers_of_transformers_fused_and_not():
    """4 tokens: 10 pairs of 16; the projections stay."""
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True)

    def run(x):
        return layer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(4, device=x.device))

    model = Do(run)
    model.layer = layer
    skipped = 2 * (16 - 10) * WIDTH
    for train in (False, True):
        report = cnncost.analyze(model.train(train), (1, 4, WIDTH)).with_masks()
        assert (report.totals.macs - report.totals.macs_unmasked, report.totals.mask_unknown) == (skipped, False)


@pytest.mark.parametrize("mask_type", [0, 1, 2])
def test_the_fused_layer_says_what_is_left_out(mask_type):
    attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    out = torch.zeros({0: (4, 4), 1: (2, 4), 2: (2, HEADS, 4, 4)}[mask_type], dtype=torch.bool)
    out[..., -1] = True  # each query sees three keys

    def run(x, mask):
        return torch._native_multi_head_attention(
            x, x, x, WIDTH, HEADS, attention.in_proj_weight, attention.in_proj_bias, attention.out_proj.weight,
            attention.out_proj.bias, mask, False, True, mask_type,
        )[0]  # fmt: skip

    model = Do(run, mask=out)
    model.attention = attention
    report = cnncost.analyze(model, (2, 4, WIDTH)).with_masks()
    assert (report.totals.macs - report.totals.macs_unmasked, report.totals.mask_unknown) == (2 * 2 * 4 * WIDTH, False)


# ---- training


@pytest.mark.parametrize("held", ["causal", "bool", "float"])
def test_backward_is_two_and_a_half_times_forward(held):
    """Seven products a pair in a step: two of forward, five of backward (Dao et al. 2022)."""
    seen = torch.ones(6, 6, dtype=torch.bool).tril()
    model = {
        "causal": Learns(lambda q, k, v: attend(q, k, v, is_causal=True)),
        "bool": Learns(mask=seen),
        "float": Learns(mask=additive(seen)),
    }[held]
    totals = cnncost.analyze(model, shapes(6, 6), training=True).with_masks().totals
    assert totals.training_macs - totals.training_macs_unmasked == 7 * HEADS * WIDTH * (36 - 21)
    assert not totals.training_mask_unknown


# ---- attention by hand


def by_hand(change):
    def run(q, k, v):
        scores = change(q @ k.transpose(-1, -2) / 8)
        return scores.softmax(-1) @ v

    return run


@pytest.mark.parametrize(
    ("change", "marked"),
    [
        (lambda s: s, False),
        (lambda s: s * 2 + 1, False),
        (lambda s: s.multiply(2).divide(3).subtract(1), False),
        (lambda s: torch.sub(s, 1, alpha=2), False),
        (lambda s: s.divide(s.detach().square().sum(-1, keepdim=True).sqrt()), False),
        (lambda s: s.subtract(torch.zeros(4, 4, device=s.device)), True),
        (lambda s: torch.add(s, torch.zeros(4, 4, device=s.device), alpha=3), True),
        (lambda s: s.masked_fill(torch.ones(4, 4, device=s.device).triu(1).bool(), -INFINITY), True),
        (lambda s: torch.where(torch.ones(4, 4, device=s.device).tril() > 0, s, -INFINITY), True),
        (lambda s: s + torch.zeros(4, 4, device=s.device), True),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_attention_by_hand_counts_in_full_and_is_marked(change, marked, training):
    totals = cnncost.analyze(Learns(by_hand(change)), shapes(4, 4), training=training).with_masks().totals
    assert (totals.macs_unmasked, totals.mask_unknown) == (totals.macs, marked)
    if training:
        assert (totals.training_macs_unmasked, totals.training_mask_unknown) == (totals.training_macs, marked)


def lower(q):
    return torch.ones(4, 4, device=q.device).tril().bool()


def minus(q):
    return torch.zeros(4, 4, device=q.device).masked_fill(~lower(q), -INFINITY)


def put(scores):
    scores[..., 0, 1:] = -INFINITY
    return scores


def filled(scores):
    scores[..., 0, 1:].fill_(-INFINITY)
    scores[..., 1, 2:].zero_()
    return scores


def exponentials(scores):
    made = scores.exp()
    return made / made.sum(-1, keepdim=True)


BY_HAND = {
    "baddbmm": lambda q, k, v: torch.baddbmm(minus(q).expand(2, 4, 4), q[0], k[0].mT).softmax(-1) @ v[0],
    "addmm": lambda q, k, v: torch.addmm(minus(q), q[0, 0], k[0, 0].mT).softmax(-1) @ v[0, 0],
    "a linear function of keys": lambda q, k, v: F.linear(q[0, 0], k[0, 0], minus(q)[1]).softmax(-1) @ v[0, 0],
    "in place": lambda q, k, v: (q @ k.mT).add_(minus(q)).softmax(-1) @ v,
    "written over": lambda q, k, v: put(q @ k.mT).softmax(-1) @ v,
    "einsum": lambda q, k, v: torch.einsum(
        "bhij,bhjd->bhid", (torch.einsum("bhid,bhjd->bhij", q, k) + minus(q)).softmax(-1), v
    ),
    "weights times zeros": lambda q, k, v: ((q @ k.mT).softmax(-1) * lower(q)) @ v,
    "no softmax": lambda q, k, v: (q @ k.mT).tril() @ v,
    "no softmax, times zeros": lambda q, k, v: ((q @ k.mT) * lower(q)) @ v,
    "exponentials": lambda q, k, v: exponentials((q @ k.mT) + minus(q)) @ v,
    "sigmoid": lambda q, k, v: ((q @ k.mT) + minus(q)).sigmoid() @ v,
    "a large number": lambda q, k, v: ((q @ k.mT) - 1e9 * (~lower(q)).float()).softmax(-1) @ v,
    "a sink": lambda q, k, v: torch.cat([(q @ k.mT) + minus(q), q[..., :1]], -1).softmax(-1)[..., :-1] @ v,
    "keys by queries": lambda q, k, v: v.mT @ ((k @ q.mT) + minus(q).mT).softmax(-2),
    "filled in place": lambda q, k, v: filled(q @ k.mT).softmax(-1) @ v,
    "a diagonal that is filled": lambda q, k, v: (q @ k.mT)[0, 0].fill_diagonal_(-INFINITY).softmax(-1) @ v[0, 0],
    "the lesser": lambda q, k, v: torch.minimum(q @ k.mT, minus(q)).softmax(-1) @ v,
    "the two best": lambda q, k, v: (
        torch.full_like(s := q @ k.mT, -INFINITY).scatter(-1, s.topk(2).indices, s.topk(2).values).softmax(-1) @ v
    ),
}


@pytest.mark.parametrize("way", BY_HAND)
@pytest.mark.parametrize("training", [False, True])
def test_ways_to_write_a_mask(way, training):
    """None of them is told from another op by its name alone: each leaves an upper bound."""
    totals = cnncost.analyze(Learns(BY_HAND[way]), shapes(4, 4), training=training).with_masks().totals
    assert (totals.macs_unmasked, totals.mask_unknown) == (totals.macs, True)
    if training:
        assert (totals.training_macs_unmasked, totals.training_mask_unknown) == (totals.training_macs, True)


def test_an_attention_layer_that_gives_its_weights():
    layer = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    for mask, marked in ((None, False), (torch.zeros(4, 4), True), (lower(torch.zeros(1)), True)):
        model = Do(lambda x, mask=mask: layer(x, x, x, attn_mask=mask, need_weights=True)[0])
        model.layer = layer
        assert cnncost.analyze(model, f"1x4x{WIDTH}").with_masks().totals.mask_unknown == marked


class Parts(nn.Module):
    """Attention with something learned beside its scores, which leaves no pair out; a pruned layer."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.scale, self.table = nn.Parameter(torch.ones(HEADS, 1, 1)), nn.Parameter(torch.ones(7, HEADS))
        self.weight = nn.Parameter(torch.ones(WIDTH, WIDTH))
        self.heads, self.conv = nn.Linear(HEADS, HEADS), nn.Conv2d(HEADS, HEADS, 1)
        self.register_buffer("kept", torch.ones(WIDTH, WIDTH))
        self.register_buffer("places", torch.arange(4)[:, None] - torch.arange(4) + 3)

    def mix(self, scores):
        return self.heads(scores.movedim(1, -1)).movedim(-1, 1)

    def forward(self, q, k, v):
        scores = q @ k.mT
        if self.way == "mixed heads":
            return self.mix(self.mix(scores).softmax(-1)) @ v
        if self.way == "mixed heads, masked":
            return self.mix((self.mix(scores) + minus(q)).softmax(-1)) @ v
        if self.way == "heads mixed by a convolution, masked":
            return self.conv(scores).masked_fill(~lower(q), -INFINITY).softmax(-1) @ v
        if self.way == "a scale of each head":
            scores = scores * self.scale
        elif self.way == "a bias by relative place":
            scores = scores + self.table[self.places].permute(2, 0, 1)
        elif self.way == "the largest taken away":
            scores = scores - scores.amax(-1, keepdim=True)
        elif self.way == "a pruned layer":
            x = F.linear(q, self.weight * self.kept) + q
            return F.linear(x.relu(), self.weight * self.kept)
        return scores.softmax(-1) @ v


@pytest.mark.parametrize(
    ("way", "marked"),
    [
        ("a scale of each head", False),
        ("a bias by relative place", False),
        ("the largest taken away", False),
        ("a pruned layer", False),
        ("mixed heads", False),
        ("mixed heads, masked", True),
        ("heads mixed by a convolution, masked", True),
    ],
)
def test_what_is_a_mask_and_what_is_none(way, marked):
    totals = cnncost.analyze(Parts(way), shapes(4, 4)).with_masks().totals
    assert (totals.macs_unmasked, totals.mask_unknown) == (totals.macs, marked)


def test_a_classifier_with_a_softmax_is_no_attention():
    assert left(nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)), (2, 4)) == (24, False)


# ---- flexible attention


def window(size):
    return lambda b, h, i, j: (i - j).abs() <= size


def causal(b, h, i, j):  # torch's signature
    return i >= j


MODS = {
    "causal": causal,
    "window": window(30),
    "both": and_masks(causal, window(30)),
    "by head": lambda b, h, i, j: (i >= j) | (h == 0),
    "by batch": lambda b, h, i, j: (j < 40 + 30 * b) & (h >= 0) & (i >= 0),
}


class Holds(Learns):
    def __init__(self, mask):
        super().__init__(None)
        self.block_mask = mask

    def forward(self, q, k, v):
        return flex_attention(*(self.linear(t) for t in (q, k, v)), block_mask=self.block_mask)


def flexible(mask):
    return lambda q, k, v: flex_attention(q, k, v, block_mask=mask)


@cache
def pairs_of_mod(name, batch, length):
    """Pairs of all heads that a function of single positions lets see each other, asked one by one."""
    mod = MODS[name]
    seen = [[lambda i, j, b=b, h=h: bool(mod(*map(torch.tensor, (b, h, i, j)))) for h in range(HEADS)]
            for b in range(batch)]  # fmt: skip
    return sum(pairs.visible(length, length, sees) for heads in seen for sees in heads)


@pytest.mark.parametrize(("name", "how"), sample(product(MODS, ["held", "given", "made", "reached"]), 8))
def test_block_masks(name, how):
    mod, batch, length, block = MODS[name], 2, 96, 32
    made = create_block_mask(mod, batch, HEADS, length, length, device="cpu", BLOCK_SIZE=block)
    counted = pairs_of_mod(name, batch, length)
    blocks = int(made.kv_num_blocks.sum())
    if made.full_kv_num_blocks is not None:
        blocks += int(made.full_kv_num_blocks.sum())
    inputs = shapes(length, length, batch)
    if how == "held":
        model = Holds(made)
    elif how == "reached":
        model = Do(flexible(made))
    elif how == "given":
        model, inputs = Do(lambda q, k, v, mask: flex_attention(q, k, v, block_mask=mask)), (*inputs, made)
    else:

        def makes(q, k, v):
            mask = create_block_mask(mod, batch, HEADS, length, length, device=q.device, BLOCK_SIZE=block)
            return flex_attention(q, k, v, block_mask=mask)

        model = Do(makes)
    projections = 3 * batch * HEADS * length * WIDTH * WIDTH if how == "held" else 0
    before = vars(made).copy()
    for _ in range(2):
        assert left(model, inputs) == (2 * WIDTH * counted + projections, False)
    assert left(model, inputs, block) == (2 * WIDTH * blocks * block * block + projections, False)
    assert left(model, inputs, trace="real") == (2 * WIDTH * counted + projections, False)
    assert vars(made) == before


def test_lists_of_blocks_without_a_function():
    lists = torch.tensor([[[1, 2]]], dtype=torch.int32), torch.tensor([[[[1, 0], [0, 1]]]], dtype=torch.int32)
    mask = BlockMask.from_kv_blocks(*lists, BLOCK_SIZE=32)
    model = Do(lambda q, k, v, mask: flex_attention(q, k, v, block_mask=mask))
    assert left(model, (*shapes(64, 64), mask)) == (macs(3 * 32 * 32), False)


def test_documents_by_a_buffer():
    """Tokens see those of their own document: 40² + 24² pairs."""

    def run(q, k, v, documents):
        mask = create_block_mask(lambda b, h, i, j: documents[i] == documents[j], None, None, 64, 64, device=q.device)
        return flex_attention(q, k, v, block_mask=mask)

    assert left(Do(run, documents=(torch.arange(64) >= 40).int()), shapes(64, 64)) == (macs(40 * 40 + 24 * 24), False)


@pytest.mark.parametrize("score_mod", [None, lambda score, b, h, i, j: score + (i - j)])
def test_flexible_attention_in_a_training_step(score_mod):
    def run(q, k, v):
        mask = create_block_mask(causal, None, None, 64, 64, device=q.device)
        return flex_attention(q, k, v, score_mod=score_mod, block_mask=mask)

    report = cnncost.analyze(Learns(run), shapes(64, 64), training=True).with_masks()
    totals, dense = report.totals, HEADS * WIDTH * 64 * 64
    linear = 3 * HEADS * 64 * WIDTH * WIDTH
    assert totals.training_macs == 7 * dense + 2 * linear  # of the linear layer's gradients the weights' alone
    assert totals.training_macs - totals.training_macs_unmasked == 7 * HEADS * WIDTH * (64 * 64 - 64 * 65 // 2)
    assert (totals.training_mask_unknown, report.unknown) == (False, {})


GLOBAL = create_block_mask(window(9), None, None, 64, 64, device="cpu", BLOCK_SIZE=16)


class Kept(Learns):
    """A block mask that the model reaches in one of the ways in which models do."""

    def __init__(self, how, mask):
        super().__init__(None)
        if how == "an attribute":
            self.mask = mask
        elif how == "in a list of a table":
            self.masks = {"local": [mask]}
        elif how == "a closure":
            self.run = flexible(mask)
        self.how = how

    def forward(self, q, k, v, mask=None):
        if self.how == "a closure":
            return super().forward(q, k, v)
        if self.how == "an attribute":
            mask = self.mask
        elif self.how == "in a list of a table":
            mask = self.masks["local"][0]
        elif self.how == "a global":
            mask = GLOBAL
        return flex_attention(*(self.linear(t) for t in (q, k, v)), block_mask=mask)


@pytest.mark.parametrize("how", ["an attribute", "in a list of a table", "a closure", "a global", "an input"])
@pytest.mark.parametrize("optimizer", [None, "adamw"])
def test_training_steps_with_block_masks(how, optimizer):
    """|i − j| ≤ 9 of 64: 19 keys each, less 9 + 8 + … + 1 at both ends; 7 products a pair in a step."""
    seen, dense = 64 * 19 - 9 * 10, 64 * 64
    model = Kept(how, GLOBAL)
    inputs = (*[torch.rand(1, HEADS, 64, WIDTH) for _ in range(3)], *((GLOBAL,) if how == "an input" else ()))
    mask, state = vars(GLOBAL).copy(), {name: t.clone() for name, t in model.state_dict().items()}
    lists = {name: t.clone() for name, t in mask.items() if isinstance(t, torch.Tensor)}
    peaks = set()
    for trace in ("static", "static", "real", "real"):
        report = cnncost.analyze(model, inputs, training=True, optimizer=optimizer, trace=trace).with_masks()
        totals = report.totals
        assert totals.macs - totals.macs_unmasked == 2 * HEADS * WIDTH * (dense - seen)
        assert totals.training_macs - totals.training_macs_unmasked == 7 * HEADS * WIDTH * (dense - seen)
        assert not totals.mask_unknown
        assert not totals.training_mask_unknown
        peaks.add(report.memory.training_peak - sum(v.type.numel * 4 for v in of_masks(report)))
    assert len(peaks) == 1
    assert vars(GLOBAL) == mask
    assert all(torch.equal(vars(GLOBAL)[name], t) for name, t in lists.items())
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def of_masks(report):
    """The inputs of a training step that are a block mask's lists."""
    return [report.training.values[i] for i in report.training.inputs if report.training.values[i].dtype == "int32"]


@pytest.mark.parametrize("score_mod", [None, lambda s, b, h, i, j: s * 2, lambda s, b, h, i, j: s + (i - j) / 8])
def test_gradients_of_a_run_on_values(score_mod, monkeypatch):
    """An optimizer's step is made on the copy: its gradients are those of attention written by hand."""
    stepped = {}

    class Optimizer(torch.optim.SGD):
        def step(self, closure=None):
            parameters = [p for group in self.param_groups for p in group["params"]]
            stepped["grads"] = [p.grad.clone() for p in parameters]
            return super().step(closure)

    model, inputs = Kept("a global", None), [torch.rand(1, HEADS, 64, WIDTH) for _ in range(3)]
    model.forward = lambda q, k, v: flex_attention(
        *(model.linear(t) for t in (q, k, v)), score_mod=score_mod, block_mask=GLOBAL
    )
    cnncost.analyze(model, tuple(inputs), training=True, trace="real", optimizer=lambda ps: Optimizer(ps, lr=1.0))
    q, k, v = (model.linear(t) for t in inputs)
    i, j = torch.arange(64)[:, None], torch.arange(64)
    scores = q @ k.transpose(-1, -2) / WIDTH**0.5
    scores = scores if score_mod is None else score_mod(scores, 0, 0, i, j)
    scores = scores.masked_fill((i - j).abs() > 9, -INFINITY)
    (scores.softmax(-1) @ v).sum().backward()
    for found, parameter in zip(stepped["grads"], model.parameters(), strict=True):
        assert torch.allclose(found, parameter.grad, rtol=1e-3, atol=1e-4)


# ---- the report


def test_the_column_in_all_forms(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = Learns(lambda q, k, v: attend(q, k, v, is_causal=True)), nn.Linear(WIDTH, 2)

        def forward(self, q, k, v):
            return self.b(self.a(q, k, v))

    report = cnncost.analyze(Net(), shapes(6, 6), training=True).with_masks((2, 3))
    counted = macs(pairs.in_tiles(6, 6, lambda i, j: j <= i, 2, 3))
    others = 3 * HEADS * 6 * WIDTH * WIDTH, HEADS * 6 * WIDTH * 2
    assert report.totals.macs_unmasked == counted + sum(others) == sum(row.macs_unmasked for row in report.layers)
    assert report.module("a").macs_unmasked == counted + others[0]
    assert f"tiles of 2×3 (queries × keys): {report.totals.macs_unmasked:,} MACs" in str(report)
    for text in (report.to_csv(), report.to_json()):
        assert "macs_unmasked" in text
    assert "unmasked" in report.to_markdown()
    assert "unmasked" in report.to_html()
    report.save(tmp_path / "report.json")
    again = cnncost.analyze(str(tmp_path / "report.json"))
    assert (again.totals, again.layers, again.mask_tile) == (report.totals, report.layers, (2, 3))
    assert f"if masked pairs are skipped: {macs(21):,} MACs" in report.explain("a")
    with pytest.raises(CnncostError, match="has no graph"):
        again.with_masks()


@pytest.mark.parametrize("tile", [0, (1, -2), (1, 2, 3), 1.5 + 0j, (True, 2)])
def test_tiles_of_no_size(tile):
    report = cnncost.analyze(nn.Linear(2, 2), (1, 2))
    with pytest.raises((CnncostError, TypeError)):
        report.with_masks(tile)


def test_masks_are_kept_in_a_graph_file():
    graph = cnncost.record(Do(mask=torch.ones(4, 4, dtype=torch.bool).tril()), shapes(4, 4))
    again = from_json(to_json(graph))
    assert again == graph
    assert again.masks[0][1].pairs(4, 4) == 10


def test_damaged_masks():
    graph = cnncost.record(Do(mask=torch.ones(4, 4, dtype=torch.bool)), shapes(4, 4))
    with pytest.raises(GraphError, match="which does not exist"):
        verify(replace(graph, masks=((99, graph.masks[0][1]),)))
    with pytest.raises(ValueError, match="expected 4 rows of 1"):
        mask_from_bits(1, 4, 4, b"\x0f\x0f").rows()
    with pytest.raises(ValueError, match="beyond its 4 keys"):
        mask_from_bits(1, 1, 4, b"\xff").rows()
