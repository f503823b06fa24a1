"""Temporary memory of composite ops, in inference and in training, compared with the allocator's events."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import cnncost
from cnncost.frontends.torch import known_parts, memo, parts
from cnncost.frontends.torch.recorder import Recorder
from cnncost.render.text import to_text
from cnncost.report import memory_tables
from cnncost.report.model import Report
from cnncost.session import SESSION
from tests.oracles.allocations import peaks, training_peak


class Does(nn.Module):
    def __init__(self, does, **parts):
        super().__init__()
        self.does = does
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *tensors):
        return self.does(self, *tensors)


def held(model, tensors):
    """Bytes allocated before the run."""
    there = (*model.parameters(), *model.buffers(), *tensors)
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in there}.values())


def fits(predicted, measured):
    """Equal within a number or two, which Python allocates in between."""
    return abs(predicted - measured) <= 16 + measured // 200


IMAGE = torch.randn(2, 8, 32, 32)
HEADS = torch.randn(4, 64, 8, 32).transpose(1, 2)
TOKENS = torch.randn(2, 64, 50).transpose(1, 2)
ROWS = torch.randn(32, 64)
STEPS = torch.randn(20, 4, 16)
IDS = torch.randint(0, 50, (16, 10))

INFERENCE = {
    "max pool": (nn.MaxPool2d(2), IMAGE),
    "max pool, channels last": (nn.MaxPool2d(3, 2, 1), IMAGE.to(memory_format=torch.channels_last)),
    "max pool in one axis": (nn.MaxPool1d(2), IMAGE[:, :, 0]),
    "max pool in three axes": (nn.MaxPool3d(2), torch.randn(1, 2, 8, 8, 8)),
    "adaptive max pool": (nn.AdaptiveMaxPool2d(4), IMAGE),
    "heads": (Does(lambda _, q: q @ q.transpose(-1, -2)), HEADS),
    "heads in rows": (Does(lambda _, q: q @ q.transpose(-1, -2)), HEADS.contiguous()),
    "heads that broadcast": (Does(lambda _, q: q @ q[:, :1].transpose(-1, -2)), HEADS),
    "linear on transposed tokens": (nn.Linear(64, 48), TOKENS),
    "linear without bias on them": (nn.Linear(64, 48, bias=False), TOKENS),
    "frozen linear on them": (nn.Linear(64, 48).requires_grad_(False), TOKENS),
    "linear on heads": (nn.Linear(32, 48), HEADS),
    "a weight in a product": (Does(lambda m, x: x @ m.w, w=nn.Parameter(torch.randn(64, 48))), TOKENS),
    "softmax in float32": (Does(lambda _, x: F.softmax(x, -1, dtype=torch.float32)), IMAGE.half()),
    "log softmax in float32": (Does(lambda _, x: F.log_softmax(x, -1, dtype=torch.float32)), IMAGE.half()),
    "bilinear": (Does(lambda m, x: m.b(x, x), b=nn.Bilinear(64, 64, 6)), ROWS),
    "even kernel, padded to the same": (nn.Conv2d(8, 8, 4, padding="same"), IMAGE),
    "odd kernel, padded to the same": (nn.Conv2d(8, 8, 3, padding="same"), IMAGE),
    "bags of sums": (nn.EmbeddingBag(50, 32, mode="sum"), IDS),
    "bags of means": (nn.EmbeddingBag(50, 32), IDS),
    "bags of maxima": (nn.EmbeddingBag(50, 32, mode="max"), IDS),
    "one of many": (Does(lambda _, x: F.one_hot(x, 50)), IDS),
    "packed steps": (
        Does(lambda _, x: pad_packed_sequence(pack_padded_sequence(x, torch.tensor([20, 9, 5, 1])))[0]),
        STEPS,
    ),
    "group norm, channels last": (nn.GroupNorm(2, 8), IMAGE.to(memory_format=torch.channels_last)),
    "instance norm": (nn.InstanceNorm2d(8, affine=True), IMAGE),
    "RMS norm": (nn.RMSNorm(32), IMAGE),
    "layer norm": (nn.LayerNorm(4), torch.randn(32, 4)),
    "layer norm on transposed rows": (nn.LayerNorm(4), torch.randn(4, 32).t()),
    "layer norm in float64": (nn.LayerNorm(4, dtype=torch.float64), torch.randn(32, 4, dtype=torch.float64)),
    "batch norm by the batch": (nn.BatchNorm2d(64), torch.randn(2, 64, 2, 2)),
    "batch norm by the batch, in float64": (nn.BatchNorm1d(64).double(), torch.randn(4, 64, dtype=torch.float64)),
    "average of all": (nn.AdaptiveAvgPool2d(1), IMAGE),
    "averages": (nn.AdaptiveAvgPool2d((3, 5)), IMAGE),
    "averages, channels last": (nn.AdaptiveAvgPool2d(2), IMAGE.to(memory_format=torch.channels_last)),
    "averages in one axis": (nn.AdaptiveAvgPool1d(2), IMAGE[:, :, 0]),
    "softmax": (nn.Softmax(1), IMAGE),
    "flattened heads": (nn.Flatten(), HEADS),
    "dropout that is off": (nn.Dropout().eval(), IMAGE),
    "dropout of nothing": (nn.Dropout(0), IMAGE),
    "dropout that goes on": (nn.Dropout(), IMAGE),
    "log sigmoid": (nn.LogSigmoid(), IMAGE),
    "cross entropy": (Does(lambda _, x: F.cross_entropy(x, torch.zeros(32, dtype=torch.long))), ROWS),
    "rows repeated, as often as a tensor says": (Does(lambda _, x: x.repeat_interleave(torch.arange(32), 0)), ROWS),
    "columns repeated, as often as an int32 says": (
        Does(lambda _, x: x.repeat_interleave(torch.arange(64, dtype=torch.int32), -1)),
        ROWS,
    ),
    "rows repeated to a known length": (
        Does(lambda _, x: x.repeat_interleave(torch.arange(32), 0, output_size=496)),
        ROWS,
    ),
    "elements repeated, with gaps": (Does(lambda _, x: x.repeat_interleave(torch.full((6400,), 2))), TOKENS),
    "all rows repeated as often": (Does(lambda _, x: x.repeat_interleave(torch.tensor([5]), 0)), ROWS),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("model", "x"), INFERENCE.values(), ids=INFERENCE)
def test_inference(model, x):
    def run():
        with torch.no_grad():
            return model(x)

    found = cnncost.analyze(model, x).memory.inference_peak - held(model, [x])
    assert fits(found, peaks(run).tensors)


def of_rows(function):
    return Does(lambda _, x: function(x * 1)), ROWS


TRAINING = {
    "product of all": of_rows(torch.prod),
    "product along an axis": of_rows(lambda x: x.prod(1)),
    "products up to each": of_rows(lambda x: x.cumprod(1)),
    "sorted": of_rows(lambda x: x.sort(1)[0]),
    "the largest three": of_rows(lambda x: x.topk(3, 1)[0]),
    "the largest along an axis": of_rows(lambda x: x.max(1)[0]),
    "the third": of_rows(lambda x: x.kthvalue(3, 1)[0]),
    "the middle": of_rows(lambda x: x.median(1)[0]),
    "the largest of all": of_rows(torch.max),
    "the middle of all": of_rows(torch.median),
    "taken by index": of_rows(lambda x: x.take(torch.arange(5))),
    "losses with logits": of_rows(lambda x: F.binary_cross_entropy_with_logits(x, torch.zeros(32, 64))),
    "losses of probabilities": of_rows(lambda x: F.binary_cross_entropy(x.sigmoid(), torch.zeros(32, 64))),
    "linear on transposed tokens": (nn.Linear(64, 48), TOKENS),
    "linear on heads": (nn.Linear(32, 48), HEADS),
    "batch norm": (nn.BatchNorm2d(8), IMAGE),
    "batch norm of vectors": (nn.BatchNorm1d(64), ROWS),
    "batch norm with fixed statistics": (nn.BatchNorm2d(8).eval(), IMAGE),
    "batch norm behind a convolution": (nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)), IMAGE),
    "instance norm": (nn.InstanceNorm2d(8, affine=True), IMAGE),
}
NEEDS_NONE = {name for name in TRAINING if "norm" in name}
"""Whose input needs no gradient."""


def trained(model, x):
    """The peak of a step, minus the bytes allocated before."""

    def clear():
        x.grad = None
        for parameter in model.parameters():
            parameter.grad = None

    def step(_):
        out = model(x)
        outs = [out] if torch.is_tensor(out) else [out[0], *(out[1] if isinstance(out[1], tuple) else [out[1]])]
        loss = sum((o.sum() for o in outs[1:]), outs[0].sum())
        loss.backward()
        return outs, loss

    found = peaks(step, clear).tensors
    clear()
    return found


@pytest.mark.parametrize("name", TRAINING)
def test_training(name):
    model, x = TRAINING[name]
    x = x.clone(memory_format=torch.preserve_format).requires_grad_(name not in NEEDS_NONE)
    measured = trained(model, x)
    found = cnncost.analyze(model, x, training=True).memory.training_peak - held(model, [x])
    assert fits(found, measured)


RECURRENT = {
    "an LSTM": (nn.LSTM, {}),
    "an LSTM, batch first": (nn.LSTM, {"batch_first": True, "num_layers": 2}),
    "an LSTM without biases": (nn.LSTM, {"bias": False}),
    "an LSTM in both directions": (nn.LSTM, {"bidirectional": True, "num_layers": 2}),
    "an LSTM in float64": (nn.LSTM, {"dtype": torch.float64}),
    "an LSTM with projections": (nn.LSTM, {"proj_size": 8, "num_layers": 2, "bidirectional": True}),
    "a GRU": (nn.GRU, {}),
    "a GRU, batch first": (nn.GRU, {"batch_first": True}),
    "a GRU in both directions": (nn.GRU, {"bidirectional": True, "num_layers": 2, "dropout": 0.5}),
    "an RNN": (nn.RNN, {}),
    "an RNN in both directions": (nn.RNN, {"bidirectional": True, "nonlinearity": "relu"}),
    "an RNN in float64": (nn.RNN, {"dtype": torch.float64}),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch's own, once
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("kind", "how"), RECURRENT.values(), ids=RECURRENT)
def test_recurrent_layers(kind, how, training):
    model, x = kind(16, 32, **how), STEPS.to(how.get("dtype", torch.float32))

    def run():
        with torch.no_grad():
            return model(x)

    measured = trained(model, x) if training else peaks(run).tensors
    memory = cnncost.analyze(model, x, training=training).memory
    found = (memory.training_peak if training else memory.inference_peak) - held(model, [x])
    assert fits(found, measured)


@pytest.mark.parametrize(
    ("run", "x"),
    [
        pytest.param(lambda _, x: torch.argwhere(x), torch.rand(64, 64).round(), id="argwhere"),
        pytest.param(lambda _, x: F.one_hot(x), IDS, id="one_hot without a number of classes"),
    ],
)
def test_ops_by_values_on_values(run, x):
    """Their parts can't run apart, and allocate nothing but single numbers."""
    model = Does(run)
    with torch.no_grad():
        measured = held(model, [x]) + peaks(lambda: model(x)).tensors
    memory = cnncost.analyze(model, x, trace="real").memory
    assert fits(memory.inference_peak, measured)


def test_composite_ops_by_values_are_known_or_marked(monkeypatch):
    """A new one, or one on tensors that are not strided, counts nothing only if somebody has looked."""
    model, x = Does(lambda _, x: F.one_hot(x, 50)), IDS
    assert not cnncost.analyze(model, x).memory.figures.unseen
    monkeypatch.setattr(parts, "_BY_VALUES", frozenset())
    memo.clear()
    assert cnncost.analyze(model, x).memory.figures.unseen == ("aten.one_hot",)
    memo.clear()


def test_scratch_does_not_hang_on_what_came_before():
    """A weight that requires a gradient is folded into a product differently than a frozen one."""
    free, frozen = nn.Linear(64, 48), nn.Linear(64, 48).requires_grad_(False)
    first = [cnncost.analyze(m, TOKENS).memory.inference_peak for m in (free, frozen)]
    second = [cnncost.analyze(m, TOKENS).memory.inference_peak for m in (frozen, free)]
    assert first == second[::-1]
    assert first[0] - first[1] == TOKENS.nbytes


def test_counts_are_those_of_the_whole():
    """x: 4·8 heads of 64·32: a product of heads, whatever is copied for it."""
    report = cnncost.analyze(Does(lambda _, q: q @ q.transpose(-1, -2)), HEADS)
    assert report.totals.macs == 4 * 8 * 64 * 64 * 32
    assert [node.name for node in report.graph.nodes if node.spec.kind == "matmul"] == ["aten.matmul"]


NARROW = Does(lambda m, x: torch.narrow(x, 0, m.start, 4).exp(), start=torch.tensor(2))
"""Its parts read a value, which those that are run apart don't have."""


@pytest.mark.parametrize("use_memo", [True, False], ids=["memo", "no memo"])
def test_a_peak_is_marked_where_the_parts_can_not_be_run_apart(use_memo, monkeypatch):
    monkeypatch.setattr(parts, "_PLAIN", frozenset())
    memo.clear()
    for _ in range(2):  # the second time by the memo
        report = cnncost.analyze(cnncost.record(NARROW, torch.arange(128).view(16, 8), use_memo=use_memo))
        assert report.memory.figures.unseen == ("aten.narrow.Tensor",)
    memo.clear()
    assert Report.from_json(report.to_json()).memory.figures.unseen == ("aten.narrow.Tensor",)
    run = memory_tables.Run("inference", report.memory.inference)
    text = to_text(memory_tables.document(memory_tables.MemoryTables(report, (run,))), 160)
    assert "the peaks are lower bounds: what aten.narrow.Tensor allocates while it runs is not known" in text


@pytest.mark.parametrize("shape", [(16, 8), torch.randn(16, 8)], ids=["shape", "values"])
def test_a_peak_of_views_alone_is_no_lower_bound(shape):
    report = cnncost.analyze(NARROW, shape)
    assert (report.memory.figures.unseen, report.totals.flops) == ((), 32)


SMALL = st.integers(1, 5)


def image(draw, axes):
    return torch.randn(*(draw(SMALL) for _ in range(2)), *(draw(st.integers(2, 6)) for _ in range(axes)))


def drawn_call(name, draw):
    """An op with settings at random, and its operand."""
    axes = next((n for n in (1, 2, 3) if f"{n}d" in name), draw(st.integers(1, 3)))
    x = image(draw, axes)
    whole, dtype = tuple(x.shape[2:]), draw(st.sampled_from([None, None, torch.float64, torch.float16]))
    if name.startswith("adaptive"):
        size = [draw(SMALL) for _ in range(axes)]
        return getattr(nn, f"AdaptiveAvgPool{axes}d")(size if axes > 1 else size[0]), x
    if name.startswith("max_pool"):
        pool = {"stride": draw(SMALL), "padding": draw(st.integers(0, 1)), "ceil_mode": draw(st.booleans())}
        return getattr(nn, f"MaxPool{axes}d")(2, **pool), x
    calls = {
        "batch_norm": lambda: getattr(nn, f"BatchNorm{axes}d")(
            x.shape[1], affine=draw(st.booleans()), track_running_stats=draw(st.booleans())
        ).train(draw(st.booleans())),
        "layer_norm": lambda: nn.LayerNorm(whole, elementwise_affine=draw(st.booleans())),
        "linear": lambda: nn.Linear(whole[-1], draw(SMALL), bias=draw(st.booleans())),
        "dropout": lambda: nn.Dropout(draw(st.sampled_from([0, 0.5, 1]))).train(draw(st.booleans())),
        "softmax": lambda: Does(lambda _, x: F.softmax(x, 1, dtype=dtype)),
        "log_softmax": lambda: Does(lambda _, x: F.log_softmax(x, 1, dtype=dtype)),
        "flatten": lambda: nn.Flatten(draw(st.integers(0, 1)), draw(st.integers(1, axes))),
        "unflatten": lambda: nn.Unflatten(1, (1, x.shape[1])),
        "reshape": lambda: Does(lambda _, x: x.reshape(x.shape[1], -1)),
        "contiguous": lambda: Does(lambda _, x: x.contiguous()),
    }
    return calls[name](), x


LAID = {
    "in rows": lambda x: x,
    "transposed": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "with gaps": lambda x: torch.stack([x, x], -1)[..., 0],
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", known_parts.rule_names())
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_what_is_known_of_parts_is_what_they_have_out_when_they_run(name, data):
    model, x = drawn_call(name, data.draw)
    x = data.draw(st.sampled_from(list(LAID.values())))(x)
    dtype = data.draw(st.sampled_from([torch.float32, torch.float32, torch.float64, torch.float16]))
    model, x = model.to(dtype), x.to(dtype)
    try:
        with torch.no_grad():
            model(x)
    except (RuntimeError, ValueError):
        assume(False)  # settings that torch refuses

    def scratch():
        memo.clear()
        graph = cnncost.analyze(model, x).graph
        return [(node.name, node.spec.get("scratch"), node.spec.get("scratch_unknown")) for node in graph.nodes]

    found = scratch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_parts, "known_bytes", lambda *_: None)
        assert found == scratch()


@pytest.mark.parametrize("activation", [nn.SiLU, nn.Mish, nn.GELU, nn.Softplus], ids=lambda kind: kind.__name__)
def test_an_op_that_arrives_in_its_own_decomposition_is_a_kernel(activation, monkeypatch):
    """It was decomposed again and again, down to Python's limit of recursion, which decided what memory it takes."""
    made = []
    new_recorder = Recorder._new_recorder
    monkeypatch.setattr(Recorder, "_new_recorder", lambda recorder: made.append(recorder) or new_recorder(recorder))
    model, x = nn.Sequential(nn.Conv2d(2, 8, 1), activation(), nn.Conv2d(8, 3, 1)), torch.randn(2, 2, 4, 4)
    SESSION.clear()
    assert cnncost.analyze(model, x, training=True).memory.training_peak == training_peak(model, x)
    assert len(made) <= 2
