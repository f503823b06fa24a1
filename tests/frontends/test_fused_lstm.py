"""An LSTM in a training step, compared with the ops that torch runs on a CPU, its allocator, and counts by hand."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import cnncost
from cnncost.errors import ForwardError
from cnncost.frontends.torch import Training, record
from cnncost.ops import cost_of
from tests.oracles.allocations import training_peak

STEPS, BATCH, INPUTS, HIDDEN = 9, 4, 5, 7
BOOKKEEPING = {"detach", "select", "slice", "zeros", "zeros_like", "empty_like", "after_write"}


class Outputs(nn.Module):
    """Returns only its output, as most models do."""

    def __init__(self, lstm):
        super().__init__()
        self.lstm = lstm

    def forward(self, x):
        return self.lstm(x)[0]


SETTINGS = [
    pytest.param({}, id="plain"),
    pytest.param({"num_layers": 2}, id="two layers"),
    pytest.param({"num_layers": 2, "bidirectional": True}, id="both directions"),
    pytest.param({"bias": False}, id="no biases"),
    pytest.param({"batch_first": True}, id="batch first"),
    pytest.param({"num_layers": 3, "dropout": 0.5, "batch_first": True}, id="dropout"),
]


def _built(settings):
    shape = (BATCH, STEPS, INPUTS) if settings.get("batch_first") else (STEPS, BATCH, INPUTS)
    return Outputs(nn.LSTM(INPUTS, HIDDEN, **settings)), torch.rand(shape)


class Seen(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.ops = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, (list, tuple)) else [result]
        self.ops.append((func._schema.name.removeprefix("aten::"), [tuple(t.shape) for t in tensors]))
        return result


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_ops_are_those_of_a_cpu(settings):
    model, x = _built(settings)
    with Seen() as seen:
        model(x).sum().backward()
    graph = record(model, x, training=Training())
    ours = [(n.name.removeprefix("aten.").split(".")[0], [o.shape for o in n.spec.outputs]) for n in graph.nodes]
    # gradients are summed in place, but not while somebody looks
    kept = [sorted((name.rstrip("_"), out) for name, out in ops if name not in BOOKKEEPING) for ops in (ours, seen.ops)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_peak_of_a_training_step_is_the_allocators(settings):
    model, x = _built(settings)
    model.lstm.dropout = 0.0  # its mask is of another size in parts
    predicted = cnncost.analyze(model, x, training=True).memory.training_peak
    assert predicted == pytest.approx(training_peak(model, x), abs=256)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_step_counts_three_times_the_products_of_forward(layers, directions):
    model = nn.LSTM(INPUTS, HIDDEN, layers, bidirectional=directions == 2)
    totals = cnncost.analyze(model, ((STEPS, BATCH, INPUTS),), training=True).totals
    widths = [INPUTS] + [directions * HIDDEN] * (layers - 1)
    forward = sum(directions * STEPS * BATCH * 4 * HIDDEN * (width + HIDDEN) for width in widths)
    assert totals.macs == forward
    assert totals.training_macs == 3 * forward


def test_what_it_does_not_fit_runs_as_torch_runs_it():
    """Projections, sequences that are packed, and cells; in another thread nothing is replaced."""
    projected = nn.LSTM(INPUTS, HIDDEN, proj_size=3)
    assert not _fused(record(projected, ((STEPS, BATCH, INPUTS),), training=Training()))
    packed = nn.utils.rnn.pack_padded_sequence(torch.rand(STEPS, 2, INPUTS), torch.tensor([9, 5]))
    assert not _fused(record(nn.LSTM(INPUTS, HIDDEN), (packed,), training=Training(lambda out: out[0].data.sum())))
    assert not _fused(record(nn.LSTMCell(INPUTS, HIDDEN), ((BATCH, INPUTS),), training=Training()))
    assert not _fused(record(nn.LSTM(INPUTS, HIDDEN), ((STEPS, BATCH, INPUTS),)))
    half = torch.rand(STEPS, BATCH, INPUTS).half()
    assert not _fused(record(nn.LSTM(INPUTS, HIDDEN).half(), half, training=Training())), "few CPUs have it"
    assert _fused(record(nn.LSTM(INPUTS, HIDDEN).bfloat16(), half.bfloat16(), training=Training()))
    assert _fused(record(nn.LSTM(INPUTS, HIDDEN), half.float(), autocast="cuda:fp16", training=Training()))


@pytest.mark.parametrize("wrong", ["dtype", "width", "batch of the state"])
def test_what_does_not_fit_is_refused(wrong):
    """Torch's kernel rejects only another dtype, and reads past the end with other misfits; `nn.LSTM` checks before."""
    lstm, x = nn.LSTM(INPUTS, HIDDEN), torch.rand(STEPS, BATCH, INPUTS)
    state = torch.zeros(1, BATCH + (wrong == "batch of the state"), HIDDEN)
    weights = [w.detach().requires_grad_() for w in lstm.parameters()]
    x = x.double() if wrong == "dtype" else x[..., :-1].contiguous() if wrong == "width" else x

    class Raw(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.ParameterList(weights)

        def forward(self, x):
            return torch._VF.lstm(x, (state, state), list(self.weights), True, 1, 0.0, True, False, False)[0]

    with pytest.raises(ForwardError):
        record(Raw(), x, training=Training())


def _fused(graph):
    return any(node.name == "aten.mkldnn_rnn_layer" for node in graph.nodes)


def test_a_single_sequence_without_a_batch_is_fused_too():
    graph = record(nn.LSTM(INPUTS, HIDDEN), ((STEPS, INPUTS),), training=Training())
    assert _fused(graph)
    assert graph.values[graph.outputs[0]].shape == (STEPS, HIDDEN)


@pytest.mark.parametrize("bias", [True, False])
def test_the_flops_of_backward_by_hand(bias):
    """A unit: ∂h 1, tanh(c) 1, ∂c 5, the four gates 4 each, ∂c·f 1; a sum of each gate for the biases; two a MAC."""
    graph = record(Outputs(nn.LSTM(INPUTS, HIDDEN, bias=bias)), ((STEPS, BATCH, INPUTS),), training=Training())
    (node,) = [n for n in graph.nodes if n.name == "aten.mkldnn_rnn_layer_backward"]
    units = STEPS * BATCH * HIDDEN
    products = 2 * units * 4 * (INPUTS + HIDDEN)
    assert cost_of(node.spec).macs == products
    assert cost_of(node.spec).flops == 2 * products + units * (1 + 1 + 5 + 4 * 4 + 1) + bias * units * 4
