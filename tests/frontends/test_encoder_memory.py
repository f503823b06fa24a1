"""Inference's peak of encoder layers that torch runs as one kernel, beside the allocator's events of real runs."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune

import cnncost
from cnncost.errors import GraphError
from cnncost.graph import FusedNodes
from cnncost.passes.memory import memory
from tests.oracles.allocations import peaks


class Attends(nn.Module):
    """Self-attention with masks; `returned`: which of its results are returned."""

    def __init__(self, width, heads, masks=(), **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True, **options.pop("layer", {}))
        self.masks, self.options = masks, options

    def forward(self, x):
        return self.attention(x, x, x, **made(self.masks, x), **self.options)


class Encodes(nn.Module):
    def __init__(self, *sizes, masks=(), layers=1, **options):
        super().__init__()
        layer = nn.TransformerEncoderLayer(*sizes, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.masks = masks

    def forward(self, x):
        masks = made(self.masks, x)
        return self.encoder(x, masks.get("attn_mask"), masks.get("key_padding_mask"))


def made(names, x):
    """Masks by name: that of a decoder, and one that hides nothing."""
    batch, length, _ = x.shape
    masks = {
        "attn_mask": lambda: torch.ones(length, length, dtype=torch.bool).triu(1),
        "key_padding_mask": lambda: torch.zeros(batch, length, dtype=torch.bool),
    }
    return {name: masks[name]() for name in names}


def allocated(model, x, inside=True):
    """Bytes at the peak of a real run. `inside`: with what kernels hold while they run."""
    with torch.no_grad():
        found = peaks(lambda: model(x))
    return sum(t.nbytes for t in (*model.parameters(), x)) + (found.everything if inside else found.tensors)


def predicted(model, x):
    return cnncost.analyze(model, x).memory.inference_peak


MASKS = [(), ("attn_mask",), ("key_padding_mask",), ("attn_mask", "key_padding_mask")]
SIZES = [(4, 48, 64, 4), (4, 256, 64, 4), (2, 100, 32, 2), (1, 33, 48, 8)]


@pytest.mark.parametrize("masks", MASKS, ids=str)
@pytest.mark.parametrize(("batch", "length", "width", "heads"), SIZES)
def test_attention(batch, length, width, heads, masks):
    model, x = Attends(width, heads, masks, need_weights=False).eval(), torch.randn(batch, length, width)
    assert predicted(model, x) == allocated(model, x)


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("masks", MASKS, ids=str)
@pytest.mark.parametrize(("batch", "length", "width", "heads"), SIZES)
def test_attention_and_its_weights(batch, length, width, heads, masks, average):
    model = Attends(width, heads, masks, need_weights=True, average_attn_weights=average).eval()
    x = torch.randn(batch, length, width)
    assert predicted(model, x) == allocated(model, x)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_encoders(data):
    heads = data.draw(st.sampled_from([2, 4, 6]), "heads")
    width = heads * data.draw(st.integers(4, 16), "width of a head")
    batch, length = data.draw(st.integers(1, 4), "batch"), data.draw(st.integers(2, 96), "length")
    options = {
        "dim_feedforward": data.draw(st.integers(8, 300), "feed-forward"), "norm_first": data.draw(st.booleans()),
        "activation": data.draw(st.sampled_from(["relu", "gelu"])), "layers": data.draw(st.integers(1, 3), "layers"),
    }  # fmt: skip
    model = Encodes(width, heads, masks=data.draw(st.sampled_from(MASKS)), **options).eval()
    x = torch.randn(batch, length, width)
    assert predicted(model, x) == allocated(model, x)


class Decodes(nn.Module):
    """Self-attention of a decoder runs as one kernel, too, its attention to the memory does not."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 4, 64, batch_first=True), 2)

    def forward(self, x):
        return self.decoder(x, x)


def test_the_law_of_the_peak_has_no_gap():
    """The kernel holds most where it splits queries, keys and values, or with the scores: each is a polynomial."""
    model = Encodes(32, 4, 64).eval()
    law = cnncost.formula(model, "2x64x32", "sequence", training=False)["inference_peak"]
    for length in (1, 2, 23, 24, 40, 300):
        assert law(sequence=length) == allocated(model, torch.randn(2, length, 32)), length


def test_a_decoder():
    model, x = Decodes().eval(), torch.randn(2, 256, 32)
    assert predicted(model, x) == allocated(model, x)
    assert len(cnncost.record(model, x).fused) == 2


def test_another_device_has_other_kernels():
    model, x = Encodes(32, 4, 64).eval(), torch.randn(2, 256, 32)
    assert len(cnncost.record(model, x).fused) == 1
    assert not cnncost.record(model, x, device="cuda").fused


@pytest.mark.parametrize("count", [2, 3])
def test_a_model_analyzed_again(count):
    """From its cached skeleton, in eval and in train mode in turns."""
    model, x = Encodes(32, 4, 64, dropout=0.0), torch.randn(2, 256, 32)
    peaks_found = [[predicted(model.train(mode), x) for mode in (False, True)] for _ in range(count)]
    assert peaks_found == [[allocated(model.eval(), x), predicted(model.train(), x)]] * count
    assert peaks_found[0][0] > peaks_found[0][1]


class Frozen(nn.Module):
    """A frozen encoder below a layer that learns: it runs as one kernel in training steps, too."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = Encodes(32, 4, 64).eval().requires_grad_(False), nn.Linear(32, 4)

    def train(self, mode=True):
        return self

    def forward(self, x):
        return self.head(self.encoder(x))


def test_a_frozen_encoder_in_a_training_step():
    model, x = Frozen(), torch.randn(2, 128, 32)
    held = sum(t.nbytes for t in (*model.parameters(), x))

    def step(_):
        loss = model(x).sum()
        loss.backward()
        return loss

    def clear():
        for parameter in model.parameters():
            parameter.grad = None

    assert cnncost.analyze(model, x, training=True).memory.training_peak == held + peaks(step, clear).everything


def changed(change, **options):
    model = Attends(32, 4, need_weights=False, **options)
    change(model.attention)
    return model


CHANGED = {
    "a parametrized weight": lambda layer: parametrizations.weight_norm(layer, "in_proj_weight"),
    "parametrized biases": lambda layer: parametrizations.weight_norm(layer, "in_proj_bias"),
    "a parametrized projection": lambda layer: parametrizations.spectral_norm(layer.out_proj, "weight"),
    "a pruned weight": lambda layer: prune.l1_unstructured(layer, "in_proj_weight", 0.3),
    "pruned biases": lambda layer: prune.l1_unstructured(layer, "in_proj_bias", 0.3),
    "a hook": lambda layer: layer.register_forward_hook(lambda *_: None),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_hooks_and_parametrized_weights_hold_is_noted(name):
    """To tell whether the layer is one kernel, no weight is computed: the nodes are those without kernels."""
    model, x = changed(CHANGED[name]).eval(), torch.randn(2, 128, 32)
    found = cnncost.analyze(model, x)
    assert any("hooks on them and parametrized weights" in note for note in found.notes)
    assert len(found.graph.fused) == 1
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        assert cnncost.record(model, x).nodes == found.graph.nodes
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


class Unhashable:
    """A forward that can't be a key, and is not a method."""

    def __eq__(self, other):
        return self is other

    __hash__ = None

    def __call__(self, x):
        return x + 1


class WithoutHash(nn.Module):
    forward = Unhashable()


def test_a_forward_without_a_hash():
    assert cnncost.analyze(WithoutHash(), "2x3").totals.flops == 6


def test_a_float_mask_runs_attention_op_by_op():
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, attn_mask=torch.zeros(64, 64), need_weights=False)[0]

    model, x = Adds().eval(), torch.randn(2, 64, 32)
    assert not cnncost.record(model, x).fused
    assert predicted(model, x) == allocated(model, x, inside=False)


UNFUSED = {
    "an odd number of heads": lambda: Attends(30, 3, need_weights=False),
    "no biases": lambda: Attends(32, 4, need_weights=False, layer={"bias": False}),
    "bias_k": lambda: Attends(32, 4, need_weights=False, layer={"add_bias_kv": True}),
    "zero attention": lambda: Attends(32, 4, need_weights=False, layer={"add_zero_attn": True}),
    "heads of its own width": lambda: Encodes(30, 3, 64),
}
PARTLY_FUSED = {
    "another activation": lambda: Encodes(32, 4, 64, activation=nn.functional.silu),
    "a hook": lambda: hooked(Encodes(32, 4, 64)),
    "norms that differ": lambda: different_norms(Encodes(32, 4, 64)),
}


def hooked(model):
    model.encoder.layers[0].linear1.register_forward_hook(lambda *_: None)
    return model


def different_norms(model):
    model.encoder.layers[0].norm2.eps = 1e-3
    return model


@pytest.mark.parametrize("name", UNFUSED)
def test_layers_that_run_op_by_op(name):
    model = UNFUSED[name]().eval()
    x = torch.randn(2, 64, next(model.parameters()).shape[1])
    assert predicted(model, x) == allocated(model, x, inside=False)


@pytest.mark.parametrize("name", PARTLY_FUSED)
def test_layers_of_which_only_attention_is_one_kernel(name):
    model, x = PARTLY_FUSED[name]().eval(), torch.randn(2, 128, 32)
    assert predicted(model, x) == allocated(model, x)


@pytest.mark.parametrize("nested", [True, False])
def test_padding_that_torch_leaves_out_is_noted(nested):
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    encoder, x = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).eval(), torch.randn(2, 16, 32)
    padding = torch.arange(16).expand(2, 16) > 11
    report = cnncost.analyze(encoder, {"src": x, "src_key_padding_mask": padding})
    assert any(note.startswith("padded positions") for note in report.notes) == nested
    assert not cnncost.analyze(encoder, x).notes
    # by hand: projections of 4·32², feed-forward of 2·32·64, scores and weighted values of 16 keys, for 32 positions
    assert report.totals.macs == 2 * 32 * (4 * 32**2 + 2 * 32 * 64 + 2 * 16 * 32)


@pytest.mark.parametrize(
    ("kernel", "sizes", "words"),
    [
        ("decoder", (("converted", 0),), "got decoder"),
        ("layer", (), "converted"),
        ("attention", (("x", 1),), "sizes of"),
    ],
)
def test_a_kernel_that_is_unknown_is_an_error(kernel, sizes, words):
    graph = cnncost.record(Encodes(32, 4, 64).eval(), torch.randn(2, 16, 32))
    wrong = replace(graph, fused=(FusedNodes(0, 3, kernel, sizes),))
    with pytest.raises(GraphError, match=words):
        memory(wrong)


@pytest.mark.parametrize(("autocast", "noted"), [(None, False), ("bf16", True), ("cuda:bf16", False)])
def test_a_kernel_under_autocast_is_noted(autocast, noted):
    """A CPU runs it all the same, in dtypes of its own: the peak is not exact."""
    model, x = Attends(32, 4, need_weights=False).eval(), torch.randn(2, 64, 32)
    report = cnncost.analyze(model, x, autocast=autocast)
    assert any("runs encoder layers as one kernel" in note for note in report.notes) == noted


def test_switched_off():
    model, x = Encodes(32, 4, 64).eval(), torch.randn(2, 128, 32)
    fused = predicted(model, x)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        assert predicted(model, x) == allocated(model, x) < fused
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert predicted(model, x) == allocated(model, x) == fused


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weights", [False, True])
def test_the_kernels_themselves(masked, weights):
    """Called by name: `torch._native_multi_head_attention`."""
    layer = nn.MultiheadAttention(32, 4, batch_first=True).requires_grad_(False)

    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            mask = torch.zeros(x.shape[:2], dtype=torch.bool) if masked else None
            return torch._native_multi_head_attention(
                x, x, x, 32, 4, layer.in_proj_weight, layer.in_proj_bias, layer.out_proj.weight, layer.out_proj.bias,
                mask, weights, True, 1 if masked else None,
            )  # fmt: skip

    model, x = Calls().eval(), torch.randn(2, 64, 32)
    assert predicted(model, x) == allocated(model, x)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("length", [16, 128])
def test_the_kernel_of_a_layer_itself(length, norm_first):
    """Called by name: `torch._transformer_encoder_layer_fwd`, at lengths whose peaks are at other moments."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=norm_first).requires_grad_(False)

    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            attention = layer.self_attn
            return torch._transformer_encoder_layer_fwd(
                x, 32, 4, attention.in_proj_weight, attention.in_proj_bias, attention.out_proj.weight,
                attention.out_proj.bias, False, norm_first, layer.norm1.eps, layer.norm1.weight, layer.norm1.bias,
                layer.norm2.weight, layer.norm2.bias, layer.linear1.weight, layer.linear1.bias, layer.linear2.weight,
                layer.linear2.bias, None, None,
            )  # fmt: skip

    model, x = Calls().eval(), torch.randn(2, length, 32)
    assert predicted(model, x) == allocated(model, x)


def test_a_run_on_values():
    model, x = Encodes(32, 4, 64).eval(), torch.randn(2, 128, 32)
    assert cnncost.analyze(model, x, trace="real").memory.inference_peak == allocated(model, x)
