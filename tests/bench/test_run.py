"""Measuring networks: the rows for every outcome."""

import pytest
import torch
from torch import nn

from cnncost.bench import run
from cnncost.bench.backend import Cpu, ran_out_of_memory
from cnncost.bench.inputs import call_model, random_input, rotated, tensors
from cnncost.bench.result import Case
from cnncost.bench.timing import Budget
from cnncost.errors import BenchError, InputError, SourceError
from cnncost.shapes import TensorText
from cnncost.sources.resolve import Resolved, resolve
from cnncost.sources.source import ModelSource

QUICK = Budget(0.0, 0.01, 3, 5)


class Net(nn.Module):
    """Fails for batches above a limit, as if out of memory."""

    def __init__(self, limit=10**9, error=None):
        super().__init__()
        self.layer = nn.Linear(8, 4)
        self.limit, self.error = limit, error

    def forward(self, x):
        if len(x) > self.limit:
            raise self.error
        return self.layer(x)


def named(factory, **arguments):
    """A network as if resolved from a name, with its input."""
    return Resolved(ModelSource("python", "net", factory, arguments=arguments), None, "1x8")


def measured(cases, **arguments):
    return list(run.measure(named(Net, **arguments), cases, Cpu(), QUICK))


def test_a_row_has_time_layers_and_memory():
    (row,) = measured([Case(16)])
    assert row.status == "measured"
    assert 0 < row.timing.best <= row.timing.q1 <= row.timing.median <= row.timing.q3
    assert set(row.layers) == {("", 1), ("layer", 1)}
    assert 0 < sum(row.layers.values()) < 2 * row.instrumented
    # weights 4·(8·4 + 4), input 4·16·8, output 4·16·4
    assert row.peak_memory == 144 + 512 + 256


OOM = [
    pytest.param(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), id="CUDA"),
    pytest.param(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …"), id="CPU"),
    pytest.param(MemoryError(), id="Python"),
]


@pytest.mark.parametrize("error", OOM)
def test_out_of_memory_skips_larger_batches_and_not_smaller_ones(error):
    rows = measured([Case(4), Case(64), Case(128), Case(8)], limit=16, error=error)
    assert [row.status for row in rows] == ["measured", "out of memory", "not tried", "measured"]
    assert rows[2].note == "batch 64 ran out of memory"


def test_a_case_with_too_little_memory_is_not_run():
    def shortage(case):
        return "needs about 9 GiB, and 1 GiB are free" if case.batch > 16 else ""

    real_net = named(Net)
    rows = list(run.measure(real_net, [Case(64), Case(65), Case(8)], Cpu(), QUICK, shortage))
    assert [row.status for row in rows] == ["out of memory", "not tried", "measured"]
    assert rows[0].note == "needs about 9 GiB, and 1 GiB are free"


def test_another_dtype_is_tried_after_out_of_memory():
    rows = measured([Case(64), Case(64, "bfloat16")], limit=16, error=MemoryError())
    assert [row.status for row in rows] == ["out of memory", "out of memory"]


def test_a_failing_forward_is_a_row_with_the_error():
    rows = measured([Case(4), Case(64)], limit=16, error=ValueError("no such\nluck"))
    assert [row.status for row in rows] == ["measured", "failed"]
    assert rows[1].note == "ValueError: no such luck"


@pytest.mark.parametrize("error", OOM)
def test_out_of_memory_is_distinguished_from_other_errors(error):
    assert ran_out_of_memory(error.values[0] if hasattr(error, "values") else error)
    assert not ran_out_of_memory(RuntimeError("shapes do not match"))


def test_training_times_backward_and_discards_gradients():
    built = []

    def factory():
        built.append(Net())
        return built[-1]

    (row,) = run.measure(named(factory), [Case(16, training=True)], Cpu(), QUICK)
    assert row.status == "measured"
    assert built[0].training
    assert built[0].layer.weight.grad is not None
    # gradients of the weights, and of the loss, are alive at the peak
    assert row.peak_memory > 144 + 512 + 256 + 144


def test_bfloat16_halves_the_bytes():
    (row,) = measured([Case(16, "bfloat16")])
    assert row.peak_memory == (144 + 512 + 256) // 2


def test_long_runs_are_timed_with_their_layers_at_once(monkeypatch):
    monkeypatch.setattr(run, "LONG", 0.0)
    (row,) = measured([Case(16)])
    assert row.timing.repeats == 3
    assert sum(row.layers.values()) <= row.timing.q3 * 3
    assert row.overhead < 0.2


def test_unsupported_dtypes_are_refused():
    with pytest.raises(
        BenchError, match="dtype int8: networks can be run in float64, float32, float16, bfloat16 on cpu"
    ):
        measured([Case(4, "int8")])
    with pytest.raises(BenchError, match="dtype tf32"):
        measured([Case(4, "tf32")])


def test_a_model_that_cannot_be_compiled_is_a_row_with_the_error(monkeypatch):
    def broken(model):
        def forward(x):
            raise RuntimeError("no compiler here")

        return forward

    monkeypatch.setattr(torch, "compile", broken)
    (row,) = measured([Case(4, compiled=True)])
    assert row.status == "failed"
    assert "torch.compile can't compile it: no compiler here" in row.note


def test_compiled_models_have_no_layer_times(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model: model)
    (row,) = measured([Case(4, compiled=True)])
    assert (row.status, row.layers, row.overhead) == ("measured", {}, None)


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        pytest.param("2x3", [(2, 3)], id="text"),
        pytest.param((2, 3), [(2, 3)], id="a shape"),
        pytest.param(((2, 3), "4x5"), [(2, 3), (4, 5)], id="several"),
        pytest.param({"a": TensorText((2,), "int64"), "b": [(3,)]}, [(2,), (3,)], id="named and nested"),
        pytest.param(torch.ones(2, 2), [(2, 2)], id="a tensor"),
    ],
)
def test_inputs_are_random_and_never_zeros(inputs, shapes):
    found = tensors(random_input(inputs, torch.device("cpu"), torch.float32))
    assert [tuple(t.shape) for t in found] == shapes
    for tensor in found:
        if tensor.is_floating_point():
            assert tensor.count_nonzero() == tensor.numel()


def test_inputs_rotate_and_differ():
    found = rotated("2x3", torch.device("cpu"), torch.float32)
    assert len(found) == 4
    assert not torch.equal(found[0], found[1])


def test_large_inputs_are_fewer(monkeypatch):
    monkeypatch.setattr("cnncost.bench.inputs._MOST_BYTES", 48)
    assert len(rotated("2x3", torch.device("cpu"), torch.float32)) == 2  # of 24 bytes


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, ((3,), {})), ((1, 2), ((1, 2), {})), ({"a": 1}, ((), {"a": 1}))],
    ids=["one", "several", "named"],
)
def test_forward_is_called_with_positional_or_keyword_inputs(value, expected):
    assert call_model(lambda *a, **k: (a, k), value) == expected


@pytest.mark.parametrize("inputs", [7, "1x3:float7"], ids=["no shape", "no dtype"])
def test_invalid_inputs_are_refused(inputs):
    with pytest.raises(InputError):
        random_input(inputs, torch.device("cpu"), torch.float32)


def test_real_models_have_weights_with_data():
    found = resolve("lenet5")
    model = found.with_weights()
    assert found.inputs == "1x1x32x32"
    assert all(not p.is_meta and p.count_nonzero() for p in model.parameters())


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        pytest.param(lambda: 3, "expected a factory of torch.nn.Module, but it returned int", id="no module"),
        pytest.param(lambda: {}["x"], r"building it failed at .*test_run.py:\d+: KeyError: 'x'", id="it raises"),
    ],
)
def test_failing_factories(factory, message):
    with pytest.raises(SourceError, match=message):
        ModelSource("python", "net", factory).build(weights=True)


def test_a_model_without_a_known_input():
    with pytest.raises(InputError, match="no input given"):
        resolve("torch.nn:ReLU")


def test_on_cuda_float32_is_not_computed_in_tf32():
    """With a fake CUDA: checks the flags while the network runs, and afterwards."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before, seen = (matmul.allow_tf32, cudnn.allow_tf32), set()

    class Watching(Net):
        def forward(self, x):
            seen.add((matmul.allow_tf32, cudnn.allow_tf32))
            return super().forward(x)

    backend = Cpu()
    backend.name = "cuda"
    for dtype, expected in (("float32", False), ("tf32", True)):
        (row,) = run.measure(named(Watching), [Case(4, dtype)], backend, QUICK)
        assert row.status == "measured"
        assert seen == {(expected, expected)}
        seen.clear()
    assert (matmul.allow_tf32, cudnn.allow_tf32) == before
