"""Peaks of inference under autocast, beside the allocator's: what is cast, and until when the casts are kept."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from tests.oracles.allocations import peaks, training_peak
from tests.versions import facts

BF16 = torch.bfloat16


class Do(nn.Module):
    def __init__(self, forward, **modules):
        super().__init__()
        self.do = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.do(self, x)


def layers():
    return nn.Sequential(*[layer for _ in range(5) for layer in (nn.Linear(128, 128), nn.ReLU())])


def one_layer_thrice():
    layer = nn.Linear(128, 128)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), layer)


class Region(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = layers()

    def forward(self, x):
        with torch.autocast("cpu", BF16):
            return self.layers(x)


NETS = {
    "layers": (layers, (8, 128)),
    "one layer thrice": (one_layer_thrice, (8, 128)),
    "frozen layers": (lambda: layers().requires_grad_(False), (8, 128)),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(32, 10),
        ),
        (2, 3, 16, 16),
    ),
    "a decoder layer": (
        lambda: Do(lambda m, x: m.layer(x, x), layer=nn.TransformerDecoderLayer(64, 4, 256, batch_first=True)),
        (2, 16, 64),
    ),
    "GRU": (lambda: Do(lambda m, x: m.gru(x)[0], gru=nn.GRU(64, 64)), (5, 2, 64)),
    "a cell": (lambda: Do(lambda m, x: m.cell(x)[0], cell=nn.LSTMCell(64, 64)), (2, 64)),
    "a transposed convolution": (lambda: nn.ConvTranspose2d(8, 16, 3), (1, 8, 16, 16)),
    "a weight and its transpose": (
        lambda: Do(lambda m, x: (x @ m.layer.weight) @ m.layer.weight.T, layer=nn.Linear(64, 64)),
        (2, 64),
    ),
    "prelu": (lambda: nn.Sequential(nn.Linear(64, 64), nn.PReLU(64)), (2, 64)),
    "rows that are not contiguous": (
        lambda: Do(lambda m, x: m.layer(x.transpose(0, 1)), layer=nn.Linear(64, 64)),
        (8, 4, 64),
    ),
}  # fmt: skip


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.by


CHANNELS = torch.channels_last
OPS = {
    "a pool of a signal": lambda h: F.max_pool1d(h.flatten(2), 2),
    "group norm of channels_last": lambda h: F.group_norm(h.to(memory_format=CHANNELS), 2),
    "one hot": lambda h: h[..., :8, :8] * F.one_hot(torch.arange(8), 8),
    "a cumulative product": lambda h: h.cumprod(1),
    "attention": lambda h: F.scaled_dot_product_attention(h, h, h),
    "a linear layer": lambda h: F.linear(h.mT, h.new_ones(5, 16), h.new_ones(5)),
}


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", OPS)
def test_ops_that_autocast_leaves_alone_run_as_without_it(name, trace):
    model, x = Do(lambda m, x: OPS[name](m.scale(x)), scale=Scale()), torch.rand(2, 8, 16, 16)
    with torch.inference_mode():
        predicted = cnncost.analyze(model, x, autocast="bf16", trace=trace).memory.inference_peak
    assert predicted == pytest.approx(_peak(model, x, torch.inference_mode), abs=100)


@pytest.mark.parametrize("name", OPS)
def test_so_they_do_in_training(name):
    model, x = Do(lambda m, x: OPS[name](m.scale(x)), scale=Scale()), torch.rand(2, 8, 16, 16)
    predicted = cnncost.analyze(model, x, autocast="bf16", training=True).memory.training_peak
    assert predicted == pytest.approx(training_peak(model, x, lambda: torch.autocast("cpu", BF16)), abs=200)


MODES = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}
TRACES = ("static", "real")


def _peak(model, x, mode):
    """Bytes of tensors at the peak of a real call, weights and input included."""

    def run():
        with mode(), torch.autocast("cpu", BF16):
            return model(x)

    return sum(t.nbytes for t in (*model.parameters(), *model.buffers(), x)) + peaks(run).tensors


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETS)
def test_the_peak_is_that_in_the_callers_mode(name, mode, trace):
    build, shape = NETS[name]
    model, x = build().eval(), torch.rand(shape)
    with MODES[mode]():
        report = cnncost.analyze(model, x, autocast="bf16", trace=trace)
    assert report.memory.inference_peak == pytest.approx(_peak(model, x, MODES[mode]), abs=16)
    with MODES[mode](), torch.autocast("cpu", BF16):
        around = cnncost.analyze(model, x, trace=trace)
    assert around.memory.inference_peak == report.memory.inference_peak


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("mode", MODES)
def test_so_is_that_of_a_region_in_forward(mode, trace):
    model, x = Region(), torch.rand(8, 128)
    with MODES[mode]():
        report = cnncost.analyze(model, x, trace=trace)
    assert report.memory.inference_peak == pytest.approx(_peak(model, x, MODES[mode]), abs=16)


EACH = 128 * 129 * 2
"""Bytes of a layer's weight and bias in bfloat16."""


@pytest.mark.skipif(not facts.INFERENCE_CASTS_EACH_TIME, reason="casts are kept in every mode")
@pytest.mark.parametrize("build", [layers, Region], ids=["around it", "a region"])
def test_with_autograd_on_the_report_says_what_no_grad_would_keep(build):
    model, x = build(), torch.rand(8, 128)
    autocast = "bf16" if build is layers else None
    report = cnncost.analyze(model, x, autocast=autocast)
    assert report.memory.inference_peak == _peak(model, x, torch.inference_mode)
    assert 0 < _peak(model, x, torch.no_grad) - report.memory.inference_peak <= 5 * EACH
    note = f"under torch.no_grad it caches the casts, and the peak is up to {5 * EACH / 1024:.0f} KiB higher"
    for text in (str(report), report.to_markdown(), report.to_html()):
        assert note in " ".join(text.split())
    assert any(note in each for each in json.loads(report.to_json())["notes"])
    real = cnncost.analyze(model, x, autocast=autocast, trace="real")
    assert "under torch.no_grad it caches the casts, and the peak is higher" in " ".join(str(real).split())


def test_no_note_where_nothing_would_be_kept():
    for model in (layers().requires_grad_(False), nn.Sequential(nn.ReLU())):
        assert "no_grad" not in str(cnncost.analyze(model, torch.rand(8, 128), autocast="bf16"))
    with torch.no_grad():
        assert "no_grad" not in str(cnncost.analyze(layers(), torch.rand(8, 128), autocast="bf16"))


def test_a_region_that_is_turned_off_keeps_nothing():
    class Off(Region):
        def forward(self, x):
            with torch.autocast("cpu", BF16, enabled=False):
                return self.layers(x)

    with torch.no_grad():
        memory = [cnncost.analyze(Off(), torch.rand(8, 128), trace=trace).memory for trace in TRACES]
    assert len({each.inference_peak for each in memory}) == 1


def of_complex(product):
    weight = nn.Parameter(torch.randn(16, 16, dtype=torch.complex64))
    return lambda m, x: product(torch.complex(x, x), weight).abs()


INEXACT = {
    "a pseudoinverse": (lambda m, x: torch.linalg.pinv(x), "casts within linalg.pinv"),
    "a product with conjugates": (of_complex(lambda x, w: x @ w.conj()), "copies that matrix ops make of conjugated"),
    "a product with an adjoint": (of_complex(lambda x, w: x @ w.mH), "copies that matrix ops make of conjugated"),
    "a complex product": (of_complex(lambda x, w: x @ w), None),
    "an inverse": (lambda m, x: torch.linalg.inv(x), None),
}


@pytest.mark.parametrize("name", INEXACT)
def test_peaks_that_are_not_exact_are_marked(name):
    forward, words = INEXACT[name]
    model, x = Do(forward, layer=nn.Linear(16, 16)), torch.randn(16, 16)
    notes = [note for note in cnncost.analyze(model, x, autocast="bf16").notes if "lacks" in note]
    assert len(notes) == (0 if words is None else 1)
    assert words is None or words in notes[0]


@pytest.mark.parametrize("name", ["a pseudoinverse", "an inverse"])
def test_the_results_of_linear_algebra_have_the_dtype_of_a_real_run(name):
    model, x = Do(INEXACT[name][0]), torch.randn(16, 16)
    with torch.autocast("cpu", BF16):
        real = str(model(x).dtype).removeprefix("torch.")
    graph = cnncost.record(model, (16, 16), autocast="bf16")
    assert graph.values[graph.outputs[0]].type.dtype == real
