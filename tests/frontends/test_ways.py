"""Models and inputs that once failed: models quantized again, packed sequences on values, masks, offloading."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

import cnncost
from cnncost.cli import main
from cnncost.errors import DataDependentError, ForwardError, InputError
from cnncost.frontends.torch import Training, record

pytestmark = pytest.mark.filterwarnings("ignore")

X = (2, 8)
ONCE = 2 * 8 * 8


class _Model(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


# ---- quantized models, again and again

QUANTIZED = [
    pytest.param(
        lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)), X, 2 * (8 * 8 + 8 * 4), id="linear"
    ),
    pytest.param(lambda: nn.LSTM(8, 4), (3, 2, 8), 3 * 2 * 4 * (8 * 4 + 4 * 4), id="LSTM"),
    pytest.param(lambda: nn.GRUCell(8, 4), X, 2 * 3 * (8 * 4 + 4 * 4), id="GRU cell"),
    pytest.param(
        lambda: nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))), X, 3 * ONCE,
        id="nested"),
]  # fmt: skip


@pytest.mark.parametrize("use_memo", [True, False], ids=["memo", "no memo"])
@pytest.mark.parametrize(("build", "inputs", "expected"), QUANTIZED)
def test_a_dynamically_quantized_model_is_analyzed_many_times(
    build: Any, inputs: Any, expected: int, use_memo: bool
) -> None:
    kinds = {nn.Linear, nn.LSTM, nn.GRUCell}
    model = torch.ao.quantization.quantize_dynamic(build(), kinds).eval()
    graphs = [record(model, inputs, use_memo=use_memo) for _ in range(3)]
    assert [cnncost.analyze(graph).totals.macs for graph in graphs] == [expected] * 3
    again = torch.ao.quantization.quantize_dynamic(build(), kinds).eval()
    assert cnncost.analyze(again, inputs).totals.macs == expected
    for _ in range(2):
        assert cnncost.analyze(again, torch.rand(inputs), trace="real").totals.macs == expected


# ---- packed sequences

_LENGTHS = torch.tensor([5, 3, 2])
PACKED = [
    pytest.param(lambda: pack_padded_sequence(torch.rand(5, 3, 8), _LENGTHS), 10, id="padded"),
    pytest.param(lambda: pack_padded_sequence(torch.rand(3, 5, 8), _LENGTHS, batch_first=True), 10, id="batch first"),
    pytest.param(lambda: pack_sequence([torch.rand(2, 8), torch.rand(4, 8)], enforce_sorted=False), 6, id="unsorted"),
    pytest.param(lambda: pack_sequence([torch.rand(1, 8)]), 1, id="one step"),
]


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 4)

    def forward(self, packed: Any) -> torch.Tensor:
        return self.lstm(packed)[0].data


@pytest.mark.parametrize("trace", ["static", "real", "auto"])
@pytest.mark.parametrize("given", ["alone", "in a tuple", "by name"])
@pytest.mark.parametrize(("pack", "tokens"), PACKED)
def test_packed_sequences(pack: Any, tokens: int, given: str, trace: Any) -> None:
    packed = pack()
    inputs = {"alone": packed, "in a tuple": (packed,), "by name": {"packed": packed}}[given]
    before = packed.data.clone()
    for _ in range(2):
        report = cnncost.analyze(_Recurrent().eval(), inputs, trace=trace)
        assert report.totals.macs == tokens * 4 * (8 * 4 + 4 * 4)
        assert report.run_on == ("the values given" if trace == "real" else "")
    assert torch.equal(packed.data, before)


# ---- what is put wherever a mask is set


def _put(line: str) -> Any:
    scope: dict[str, Any] = {"torch": torch}
    exec(f"def forward(s, x):\n    y = s.linear(x)\n    {line}\n    return y", scope)  # noqa: S102  # it is ours
    return scope["forward"]


ANY_MASK = [
    "y[y < 0] = 0", "y[y < 0] = -1.5", "y[y < 0] = torch.tensor(3.0)", "y[torch.isnan(y)] = 0", "y[~(y > 0), ...] = 0",
    "y[x.sum(1) > 0] = 0", "y[x.sum(1) > 0] = torch.ones(8)", "y[x.sum(1) > 0, 2:4] = 1", "y[x.sum(1) > 0, 2] = 1",
    "y[:, x[0] > 0] = 0", "y[x > 0] = y.mean()", "y.index_put_((x > 0,), torch.tensor(1.0))",
    "y = y.index_put((x > 0,), torch.tensor(1.0))", "y[x.sum(1) > 0] = torch.ones(1, 1)", "y[(y < 0) & (x > 0)] = 0",
    "y[x.sum(1) > 0] = 0; y = s.linear(y)", "y[y < 0] = 0; y[y > 1] = 1",
    "z = torch.zeros(2, 8); z[x > 0] = 1; y = y * z",
]  # fmt: skip


@pytest.mark.parametrize("use_memo", [True, False], ids=["memo", "no memo"])
@pytest.mark.parametrize("line", ANY_MASK)
def test_the_same_wherever_a_mask_is_set_needs_no_values(line: str, use_memo: bool) -> None:
    model = _Model(_put(line)).eval()
    first = record(model, X, use_memo=use_memo)
    assert record(model, X, use_memo=use_memo) == first
    static, real = cnncost.analyze(first).totals, cnncost.analyze(model, torch.rand(X) - 0.5, trace="real").totals
    assert (static.macs, static.flops) == (real.macs, real.flops)
    assert static.macs == ONCE * line.count("linear") + ONCE


HANGS_ON_THE_MASK = [
    "y[y < 0] *= 2", "y[y < 0] += 1", "y[y < 0] = x[y < 0]", "y[x > 0] = torch.randn(7)", "y = y[y > 0]",
    "y.index_put_((x > 0,), torch.tensor(1.0), accumulate=True)", "y[x.sum(1) > 0] = torch.ones(2, 8)",
    "y[x.sum(1) > 0] = y[x.sum(1) > 0] * 2",
]  # fmt: skip


@pytest.mark.parametrize("line", HANGS_ON_THE_MASK)
def test_what_hangs_on_how_often_a_mask_is_set_is_refused(line: str) -> None:
    with pytest.raises(DataDependentError, match="--trace real"):
        cnncost.analyze(_Model(_put(line)).eval(), X)


@pytest.mark.parametrize("line", ANY_MASK[:6])
def test_masks_in_training(line: str) -> None:
    model = _Model(_put(line))
    graph = record(model, X, training=Training(None, None, True))
    # forward, and the weight's gradient; the input needs none
    assert cnncost.analyze(graph).totals.macs == 2 * ONCE


# ---- nested tensors

NESTED = [
    lambda s, x: s.linear(torch.nested.nested_tensor([x, x[:1]]).to_padded_tensor(0.0)),
    lambda s, x: s.linear(torch.nested.as_nested_tensor([x, x[:1]])),
    lambda s, x: torch.nested.nested_tensor([s.linear(x), x[:1]]) * 2,
]


@pytest.mark.parametrize("trace", ["static", "real", "auto"])
@pytest.mark.parametrize("function", NESTED)
def test_nested_tensors_are_refused_in_words_of_our_own(function: Any, trace: Any) -> None:
    with pytest.raises(ForwardError, match=r"forward uses a nested tensor.* expected a padded tensor") as refused:
        cnncost.analyze(_Model(function).eval(), torch.rand(X), trace=trace)
    assert "INTERNAL" not in str(refused.value)


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_nested_input_is_refused(trace: Any, layout: Any) -> None:
    nested = torch.nested.nested_tensor([torch.rand(2, 8), torch.rand(3, 8)], layout=layout)
    with pytest.raises(InputError, match="a nested tensor's rows differ in shape; give a padded tensor"):
        cnncost.analyze(_Model(lambda s, x: s.linear(x)), nested, trace=trace)


def test_a_jagged_tensor_in_forward_is_counted_by_its_rows() -> None:
    def forward(s: Any, x: torch.Tensor) -> torch.Tensor:
        return s.linear(torch.nested.nested_tensor([x, x[:1]], layout=torch.jagged))

    assert cnncost.analyze(_Model(forward).eval(), X).totals.macs == 3 * 8 * 8


# ---- hooks that move weights


def _offloading(kind: str) -> type:
    """A hook as accelerate has it, by its code: weights come from a table before forward, and go to `meta` after it."""

    class Hook:
        offload = kind == "AlignDevicesHook"

        def init(self, module: nn.Module) -> None:
            self.weights = {n: p.detach().clone() for n, p in module.named_parameters(recurse=False)}
            if self.offload:
                self.post_forward(module)

        def pre_forward(self, module: nn.Module) -> None:
            for name, weight in self.weights.items() if self.offload else ():
                param_cls = type(module._parameters[name])
                module._parameters[name] = param_cls(weight.to("cpu"), requires_grad=True).to("cpu")

        def post_forward(self, module: nn.Module) -> None:
            for name in self.weights if self.offload else ():
                param_cls = type(module._parameters[name])
                module._parameters[name] = param_cls(module._parameters[name].to("meta"), requires_grad=True)

    Hook.__name__, Hook.__module__ = kind, "accelerate.hooks"
    return Hook


def _new_forward(module: Any, *args: Any, **kwargs: Any) -> Any:
    module._hf_hook.pre_forward(module)
    output = module._old_forward(*args, **kwargs)
    module._hf_hook.post_forward(module)
    return output


@pytest.mark.parametrize("kind", ["AlignDevicesHook", "CpuOffload"])
@pytest.mark.parametrize("trace", ["static", "real", "auto", "training"])
def test_a_model_whose_weights_are_elsewhere(kind: str, trace: Any) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    expected = model(torch.ones(X))
    for module in (model[0], model[2]):
        hook = _offloading(kind)()
        hook.init(module)
        module._old_forward, module._hf_hook = module.forward, hook
        module.forward = functools.partial(_new_forward, module)
    for _ in range(2):
        if trace == "training":
            report = cnncost.analyze(model, X, training=True)
        else:
            report = cnncost.analyze(model, torch.ones(X) if trace == "real" else X, trace=trace)
        assert (report.totals.macs, report.totals.params) == (2 * (8 * 8 + 8 * 4), 8 * 8 + 8 + 8 * 4 + 4)
    assert [p.is_meta for p in model.parameters()] == [kind == "AlignDevicesHook"] * 4
    assert torch.equal(model(torch.ones(X)), expected)


class LayerwiseCastingHook:
    """As diffusers has it: weights are stored in few bits, and cast before forward and back after it."""

    def __init__(self, storage: torch.dtype, compute: torch.dtype) -> None:
        self.storage, self.compute = storage, compute

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        module.to(dtype=self.compute)
        return args, kwargs

    def post_forward(self, module: nn.Module, output: Any) -> Any:
        module.to(dtype=self.storage)
        return output


class _Registry:
    def __init__(self, module: nn.Module, hook: LayerwiseCastingHook) -> None:
        self.hooks = {"layerwise_casting": hook}
        forward = module.forward

        def new_forward(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            args, kwargs = hook.pre_forward(module, *args, **kwargs)
            return hook.post_forward(module, forward(*args, **kwargs))

        module.to(dtype=hook.storage)
        module.forward = functools.update_wrapper(functools.partial(new_forward, module), forward)
        module._diffusers_hook = self


@pytest.mark.parametrize("trace", ["static", "real", "auto", "training"])
@pytest.mark.parametrize("storage", [torch.float16, torch.float8_e4m3fn])
def test_weights_that_are_cast_layer_by_layer(storage: torch.dtype, trace: Any) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).to(torch.bfloat16).eval()
    for module in (model[0], model[2]):
        _Registry(module, LayerwiseCastingHook(storage, torch.bfloat16))
    x = torch.ones(X, dtype=torch.bfloat16)
    expected, weight = model(x), model[0].weight.detach().clone()
    for _ in range(2):
        how = {"training": True} if trace == "training" else {"trace": trace}
        report = cnncost.analyze(model, x, **how)
        assert (report.totals.macs, report.totals.params) == (2 * (8 * 8 + 8 * 4), 8 * 8 + 8 + 8 * 4 + 4)
        assert report.totals.param_bytes == report.totals.params * storage.itemsize
        assert report.mac_dtypes == {"bfloat16": report.totals.macs}
    assert model[0].weight.dtype is storage
    assert torch.equal(model[0].weight.float(), weight.float())
    assert torch.equal(model(x), expected)


# ---- other data for a tensor


def _pruned(s: Any, x: torch.Tensor) -> Any:
    weight = s.linear.weight.data
    y = s.linear(x)
    s.linear.weight.data, s.linear.bias.data = torch.ones(4, 8), torch.ones(4)
    z = s.linear(x)
    s.linear.weight.data, s.linear.bias.data = weight, torch.ones(8)
    return y, z, s.linear(x)


def _widened(s: Any, x: torch.Tensor) -> Any:
    s.linear.weight.data = s.linear.weight.data.repeat(1, 2)
    y = s.linear(torch.cat([x, x], 1))
    s.linear.weight.data = s.linear.weight.data[:, :8]
    return y


def _activation(s: Any, x: torch.Tensor) -> Any:
    y = s.linear(x)
    y.data = y.data[:1]
    return s.linear(y)


def _cast(s: Any, x: torch.Tensor) -> Any:
    y = s.linear.to(torch.float64)(x.double())
    s.linear.to(torch.float32)
    return y


OTHER_DATA = [
    pytest.param(_pruned, ONCE + 2 * 8 * 4 + ONCE, id="fewer rows for one call"),
    pytest.param(_widened, 2 * 16 * 8, id="more columns"),
    pytest.param(_activation, ONCE + 1 * 8 * 8, id="of an activation"),
    pytest.param(_cast, ONCE, id="in another dtype"),
]


@pytest.mark.parametrize("use_memo", [True, False], ids=["memo", "no memo"])
@pytest.mark.parametrize(("function", "expected"), OTHER_DATA)
def test_a_tensor_that_is_given_other_data(function: Any, expected: int, use_memo: bool) -> None:
    model = _Model(function).eval()
    weight, data = model.linear.weight, torch.Tensor.data
    for _ in range(3):
        assert cnncost.analyze(record(model, X, use_memo=use_memo)).totals.macs == expected
    assert cnncost.analyze(model, torch.ones(X), trace="real").totals.macs == expected
    assert model.linear.weight is weight
    assert (weight.shape, weight.dtype) == ((8, 8), torch.float32)
    assert torch.Tensor.data is data


# ---- tensors without axes, and without elements

SCALARS = [
    pytest.param(torch.tensor(3), id="a whole number"),
    pytest.param(torch.tensor(3.0), id="a fraction"),
    pytest.param(torch.tensor(True), id="a boolean"),
    pytest.param("scalar:float32", id="in words"),
    pytest.param("scalar:int64", id="in words, whole"),
]


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("scalar", SCALARS)
def test_inputs_without_axes(scalar: Any, trace: Any) -> None:
    model = _Model(lambda s, x, t: s.linear(x) * t).eval()
    for inputs in ((X, scalar), {"x": X, "t": scalar}):
        for _ in range(2):
            report = cnncost.analyze(model, inputs, trace=trace)
            assert report.totals.macs == ONCE
            assert report.inputs[1][0] == ()


@pytest.mark.parametrize("trace", ["static", "real"])
def test_an_empty_batch(trace: Any) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU()).eval()
    for _ in range(2):
        report = cnncost.analyze(model, torch.rand(0, 8), trace=trace)
        assert (report.totals.macs, report.totals.flops, report.totals.params) == (0, 0, 72)
        assert report.memory.inference_peak == 72 * 4
    assert cnncost.analyze(nn.Conv2d(1, 2, 3), torch.rand(0, 1, 8, 8), trace=trace).totals.macs == 0


def test_a_word_stays_a_word() -> None:
    model = _Model(lambda s, x, how: s.linear(x) if how == "scalar" else s.linear(s.linear(x)))
    assert cnncost.analyze(model, (torch.rand(X), "scalar")).totals.macs == ONCE


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x, t):
        assert t.shape == ()
        return self.fc(x) * t
"""


@pytest.mark.parametrize(
    "texts", [("2x8", "scalar"), ("2x8", "scalar:int64"), ("x=2x8", "t=scalar"), ("2x8", " scalar ")]
)
@pytest.mark.parametrize("trace", ["static", "real"])
def test_without_axes_on_the_command_line(tmp_path: Any, capsys: Any, texts: tuple[str, ...], trace: str) -> None:
    (tmp_path / "net.py").write_text(NET)
    options = [option for text in texts for option in ("--input", text)]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["summarize", f"{tmp_path}/net.py:Net", *options, "--trace", trace])
    assert "128 MACs" in capsys.readouterr().out
