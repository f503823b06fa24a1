"""Recurrent layers compared with the allocator: packed sequences, both directions, dropout between layers."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import cnncost
from tests.frontends.test_training import measured
from tests.oracles.allocations import peaks, training_peak
from tests.oracles.hardware import needs_lstm_in_bfloat16
from tests.samples import examples, sample

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
    pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN"),  # from torch.backends.mkldnn.flags
]

LAYERS = {
    "LSTM": lambda: nn.LSTM(16, 32),
    "LSTM in both directions": lambda: nn.LSTM(16, 32, bidirectional=True),
    "two of them": lambda: nn.LSTM(16, 32, 2, bidirectional=True),
    "LSTM with dropout": lambda: nn.LSTM(16, 32, 2, dropout=0.5),
    "LSTM without biases": lambda: nn.LSTM(16, 32, bias=False),
    "LSTM with projections": lambda: nn.LSTM(16, 32, 2, proj_size=8, bidirectional=True),
    "LSTM in float64": lambda: nn.LSTM(16, 32).double(),
    "GRU": lambda: nn.GRU(16, 32),
    "GRU in both directions with dropout": lambda: nn.GRU(16, 32, 2, bidirectional=True, dropout=0.3),
    "RNN": lambda: nn.RNN(16, 32),
    "RNN with relu, without biases": lambda: nn.RNN(16, 32, 2, nonlinearity="relu", bias=False),
}
SOME = sample(LAYERS, 4)
LENGTHS = [[12, 9, 4, 3], [8, 8, 8, 8], [10, 10, 1, 1], [7, 1, 1, 1]]


class Packed(nn.Module):
    def __init__(self, layer, lengths):
        super().__init__()
        self.layer, self.lengths = layer, torch.tensor(lengths)

    def forward(self, x):
        return pad_packed_sequence(self.layer(pack_padded_sequence(x, self.lengths))[0])[0]


class Plain(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def allocated(model, x):
    """Bytes at the peak of inference, including those allocated before."""
    held = [*model.parameters(), *model.buffers(), x]
    with torch.inference_mode():
        return sum(t.nbytes for t in held) + peaks(lambda: model(x)).tensors


def predicted_peaks(model, x):
    """Bytes at the peaks of inference and of a training step, as analyzed."""
    inference, training = (cnncost.analyze(model, x, training=way).memory for way in (False, True))
    return inference.inference_peak, training.training_peak


def measured_peaks(model, x):
    """The same from the allocator's events."""
    return allocated(model, x), measured(model, x)


def of(layer, steps):
    return torch.randn(steps, 4, 16, dtype=next(layer.parameters()).dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_packed_sequences(name):
    """Not predicted: torch's own counts of rows, one of which is a tensor that C++ creates."""
    layer = LAYERS[name]()
    model, x = Packed(layer, LENGTHS[0]), of(layer, 12)
    assert predicted_peaks(model, x) == pytest.approx(measured_peaks(model, x), rel=0.002)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("name", ["LSTM in both directions", "LSTM with dropout", "GRU"])
def test_the_peak_follows_the_lengths_of_the_sequences(name, lengths):
    """Lengths are analyzed one after the other: nothing cached for one is used for another."""
    layer = LAYERS[name]()
    model, x = Packed(layer, lengths), of(layer, max(lengths))
    assert predicted_peaks(model, x) == pytest.approx(measured_peaks(model, x), rel=0.002)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", SOME)
def test_sequences_of_one_length(name, batch_first):
    layer = LAYERS[name]()
    layer.batch_first = batch_first
    model, x = Plain(layer), of(layer, 12)
    assert predicted_peaks(model, x) == pytest.approx(measured_peaks(model, x), rel=0.0005)


@pytest.mark.parametrize("build", [Plain, lambda layer: Packed(layer, LENGTHS[0])], ids=["plain", "packed"])
@pytest.mark.parametrize("name", SOME)
def test_without_onednn(name, build):
    """Between two analyses with it, so that neither takes from memory what the other found."""
    layer = LAYERS[name]()
    model, x = build(layer), of(layer, 12)
    before = predicted_peaks(model, x)
    with torch.backends.mkldnn.flags(enabled=False):
        assert predicted_peaks(model, x) == pytest.approx(measured_peaks(model, x), rel=0.002)
    assert predicted_peaks(model, x) == before


class OnAndOff(nn.Module):
    """Two equal layers, the second one without oneDNN."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LSTM(16, 16), nn.LSTM(16, 16)

    def forward(self, x):
        y = self.first(x)[0]
        with torch.backends.mkldnn.flags(enabled=False):
            return self.second(y)[0]


def test_forward_switches_onednn_off():
    model, x = OnAndOff(), torch.randn(12, 4, 16)
    assert predicted_peaks(model, x) == pytest.approx(measured_peaks(model, x), rel=0.002)
    with torch.backends.mkldnn.flags(enabled=False):
        assert predicted_peaks(model, x) == pytest.approx(measured_peaks(model, x), rel=0.002)
    assert torch.backends.mkldnn.enabled


@pytest.mark.long
@pytest.mark.parametrize("name", sample(["GRU", "RNN", "LSTM with projections", "LSTM in float64"], 2))
def test_many_steps(name):
    layer = LAYERS[name]()
    model, x = Plain(layer), of(layer, 200)
    expected = measured(model, x)
    assert cnncost.analyze(model, x, training=True).memory.training_peak == pytest.approx(expected, rel=0.0005)


@pytest.mark.parametrize("name", LAYERS)
def test_packed_sequences_count_what_their_rows_do(name):
    """Each row of a packed sequence is one step: as many as the sum of all lengths."""
    layer = LAYERS[name]()
    rows = sum(LENGTHS[0])
    counted = cnncost.analyze(Packed(layer, LENGTHS[0]), of(layer, 12), training=True).totals
    one = cnncost.analyze(Plain(layer), of(layer, 1)[:, :1], training=True).totals
    assert counted.macs == rows * one.macs


class Told(nn.Module):
    """A layer with or without initial states, and which of its results are returned."""

    def __init__(self, layer, first, wanted):
        super().__init__()
        self.layer, self.first, self.wanted = layer, first, wanted

    def forward(self, x):
        y, last = self.layer(x, self.first) if self.first is not None else self.layer(x)
        return {"outputs": y, "last states": last[0] if isinstance(last, tuple) else last}[self.wanted]


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_all_settings(data):
    """Whatever is asked for, in inference and in a step of training: 0.5 % at most."""
    cell = data.draw(st.sampled_from([nn.LSTM, nn.GRU, nn.RNN]), "cell")
    ranges = {"width": (4, 40), "hidden": (8, 64), "steps": (1, 40), "batch": (1, 9)}
    width, hidden, steps, batch = (data.draw(st.integers(*each), name) for name, each in ranges.items())
    dtype = data.draw(st.sampled_from([torch.float32, torch.float32, torch.float64]), "dtype")
    how = {
        "num_layers": data.draw(st.integers(1, 3), "layers"), "bidirectional": data.draw(st.booleans(), "both ways"),
        "bias": data.draw(st.booleans(), "biases"), "batch_first": data.draw(st.booleans(), "batch first"),
        "dtype": dtype,
    }  # fmt: skip
    if cell is nn.LSTM and data.draw(st.booleans(), "projections"):
        how["proj_size"] = data.draw(st.integers(1, hidden - 1), "to")
    if how["num_layers"] > 1 and data.draw(st.booleans(), "dropout"):
        how["dropout"] = 0.5
    if cell is nn.RNN and data.draw(st.booleans(), "relu"):
        how["nonlinearity"] = "relu"
    layer = cell(width, hidden, **how)
    rows = how["num_layers"] * (1 + how["bidirectional"])
    plain = data.draw(st.booleans(), "no batch")
    first = None
    if data.draw(st.booleans(), "first states"):
        shapes = [how.get("proj_size", hidden), *([hidden] if cell is nn.LSTM else [])]
        made = [torch.zeros(rows, *([] if plain else [batch]), n, dtype=dtype) for n in shapes]
        first = tuple(made) if cell is nn.LSTM else made[0]
    sizes = (steps,) if plain else (batch, steps) if how["batch_first"] else (steps, batch)
    x = torch.randn(*sizes, width, dtype=dtype)
    model = Told(layer, first, data.draw(st.sampled_from(["outputs", "last states"]), "returned"))
    there = sum(t.nbytes for t in ((first,) if isinstance(first, torch.Tensor) else first or ()))
    inference, training = (cnncost.analyze(model, x, training=way).memory for way in (False, True))
    step = there + training_peak(model, x)
    assert inference.inference_peak == pytest.approx(there + allocated(model, x), rel=0.005)
    assert training.training_peak == pytest.approx(step, rel=0.005)


UNFUSED = [name for name in LAYERS if name.startswith(("GRU", "RNN")) or "projections" in name]


@pytest.mark.parametrize("build", [Plain, lambda layer: Packed(layer, LENGTHS[0])], ids=["plain", "packed"])
@pytest.mark.parametrize("name", UNFUSED)
def test_under_a_cpus_autocast(name, build):
    """No kernel has them: each step's products are cast for themselves, the states are not."""
    layer = LAYERS[name]()
    model, x = build(layer), of(layer, 12)
    held = sum(t.nbytes for t in (*model.parameters(), x))
    with torch.inference_mode():
        inference = held + peaks(lambda: cast(model, x)).tensors
    said = [cnncost.analyze(model, x, training=way, autocast="bf16") for way in (False, True)]
    assert said[0].memory.inference_peak == pytest.approx(inference, rel=0.002)
    around = partial(torch.autocast, "cpu", torch.bfloat16)
    assert said[1].memory.training_peak == pytest.approx(training_peak(model, x, around), rel=0.002)
    assert said[0].totals.macs == said[1].totals.macs == cnncost.analyze(model, x).totals.macs


FUSED = [name for name in LAYERS if name not in UNFUSED and "float64" not in name]
IN_KERNELS = {
    "plain": Plain,
    "packed": lambda layer: Packed(layer, LENGTHS[0]),
    "of one length": lambda layer: Packed(layer, [12] * 4),
}


@needs_lstm_in_bfloat16()
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("build", IN_KERNELS)
@pytest.mark.parametrize("name", FUSED)
def test_a_kernel_of_an_lstm_under_a_cpus_autocast(name, build, mode):
    """Each direction casts its weights, and frees them before the next one unless autocast keeps them."""
    layer = LAYERS[name]()
    model, x = IN_KERNELS[build](layer).eval(), of(layer, 12)
    held = sum(t.nbytes for t in (*model.parameters(), x))
    with mode():
        report = cnncost.analyze(model, x, autocast="bf16")
        assert report.memory.inference_peak == pytest.approx(held + peaks(lambda: cast(model, x)).tensors, rel=0.002)
    assert report.totals.macs == cnncost.analyze(model, x).totals.macs


def cast(model, x):
    with torch.autocast("cpu", torch.bfloat16):
        return model(x)


class Without(nn.Module):
    """A recurrent layer that learns nothing: autograd is off around it."""

    def __init__(self, layer, wide):
        super().__init__()
        self.layer, self.last = layer, nn.Linear(wide, 4)

    def forward(self, x):
        with torch.no_grad():
            h = self.layer(x)[0]
        return self.last(h)


@pytest.mark.parametrize(
    ("layer", "wide"),
    [
        pytest.param(lambda: nn.LSTM(16, 32, proj_size=8), 8, id="LSTM with projections"),
        pytest.param(lambda: nn.GRU(16, 32, 2), 32, id="GRU of two layers"),
        pytest.param(lambda: nn.RNN(16, 32, bidirectional=True), 64, id="RNN in both directions"),
    ],
)
def test_without_autograd_in_a_training_step(layer, wide):
    model, x = Without(layer(), wide), torch.randn(50, 4, 16)
    predicted = cnncost.analyze(model, x, training=True).memory.training_peak
    assert predicted == pytest.approx(training_peak(model, x), rel=0.003)


@pytest.mark.parametrize(("hidden", "projected"), [(32, 8), (64, 32), (64, 60)])
def test_without_autograd_under_a_cpus_autocast(hidden, projected):
    """Casts of weights are cached from the first step on, except that of the projection, a view."""
    model, x = Without(nn.LSTM(16, hidden, proj_size=projected), projected), torch.randn(50, 1, 16)
    predicted = cnncost.analyze(model, x, training=True, autocast="bf16").memory.training_peak
    assert predicted == training_peak(model, x, partial(torch.autocast, "cpu", torch.bfloat16))


@pytest.mark.parametrize("layer", [lambda: nn.GRU(16, 32, bidirectional=True), lambda: nn.RNN(16, 32, 2)])
def test_under_a_cpus_autocast_behind_a_layer_that_was_cast(layer):
    """Its input is bfloat16 then, its states and weights are not."""

    class Behind(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.layer = nn.Linear(8, 16), layer()

        def forward(self, x):
            return self.layer(self.first(x))[0]

    model, x = Behind(), torch.randn(6, 4, 8)
    autocast = partial(torch.autocast, "cpu", torch.bfloat16)
    predicted = cnncost.analyze(model, x, training=True, autocast="bf16").memory.training_peak
    assert predicted == pytest.approx(training_peak(model, x, autocast), rel=0.005)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_model_on_meta_is_one_on_a_cpu(layer, training):
    """A model without data, such as one built from a configuration, runs the kernels of a CPU."""
    built, meta = Plain(LAYERS[layer]()), Plain(LAYERS[layer]()).to("meta")
    here, there = (cnncost.analyze(model, (7, 3, 16), training=training).memory for model in (built, meta))
    assert here.inference_peak == there.inference_peak
    if training:
        assert here.training_peak == there.training_peak
