"""Autocast on tensors without data, compared with torch's own on real ones, its header, and its allocator."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import cnncost
from cnncost.errors import ForwardError, InputError
from cnncost.frontends.torch import Training, autocast, record
from cnncost.frontends.torch.autocast_setting import parse
from tests.oracles.allocations import training_peak
from tests.oracles.hardware import needs_lstm_in_bfloat16
from tests.versions import facts

BF16, FP16 = torch.bfloat16, torch.float16
VIEWS = set(
    "detach t view _unsafe_view transpose select slice expand unsqueeze squeeze permute alias as_strided split unbind "
    "empty empty_like zeros zeros_like after_write".split()
)


class Do(nn.Module):
    """Modules with a custom forward."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.run = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *args):
        return self.run(self, *args)


class Seen(TorchDispatchMode):
    """What torch runs on real tensors: ops, and the dtypes that go in and come out."""

    def __init__(self):
        super().__init__()
        self.ops = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        if name not in VIEWS:
            self.ops.append((name, _dtypes((args, kwargs or {})), _dtypes(result)))
        return result


def _dtypes(value):
    if isinstance(value, torch.Tensor):
        return [str(value.dtype).removeprefix("torch.")]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [dtype for item in items for dtype in _dtypes(item)]


def _recorded(graph):
    for node in graph.nodes:
        name = node.name.removeprefix("aten.").partition(".")[0]
        if name not in VIEWS:
            yield name, [t.dtype for t in node.spec.inputs], [t.dtype for t in node.spec.outputs]


def _convolutions():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(), nn.ConvTranspose2d(4, 4, 2, groups=2), nn.GroupNorm(2, 4),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5), nn.LayerNorm(5), nn.Softmax(-1),
    )  # fmt: skip


def _encoder():
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)


def _mixed(_, x):
    y = torch.einsum("nchw,kc->nkhw", x, torch.ones(4, 3))
    z = torch.cat([y, x.to(y.dtype)], 1)
    z = F.interpolate(z, scale_factor=2, mode="bilinear")
    return torch.stack([z.cumsum(1), torch.exp(z), z.pow(2)]).sum()


MODELS = [
    pytest.param(_convolutions, (2, 3, 8, 8), id="convolutions"),
    pytest.param(_encoder, (2, 5, 8), id="transformer"),
    pytest.param(lambda: Do(_mixed, w=nn.Linear(1, 1)), (2, 3, 4, 4), id="einsum, cat and others"),
    pytest.param(lambda: Do(lambda m, x: m.cell(x)[0], cell=nn.LSTMCell(5, 7)), (3, 5), id="LSTM cell"),
]


@pytest.mark.parametrize("dtype", [BF16, FP16], ids=str)
@pytest.mark.parametrize(("build", "shape"), MODELS)
def test_the_ops_and_dtypes_are_those_of_a_real_forward(build, shape, dtype):
    model, x = build().train(), torch.rand(shape)
    seen = Seen()
    with torch.autocast("cpu", dtype), seen:
        model(x)

    def as_seen(ops):
        """With any dispatch mode active, such as `Seen`, torch adds out of place what it otherwise adds in place."""
        return [("add" if name == "add_" else name, *dtypes) for name, *dtypes in ops]

    assert as_seen(_recorded(record(model, x, grad=True, autocast=dtype))) == as_seen(seen.ops)


LOSSES = {
    "cross_entropy": lambda y: F.cross_entropy(y, torch.zeros(y.shape[0], dtype=torch.int64)),
    "mse": lambda y: F.mse_loss(y, torch.zeros(y.shape)),
    "sum": lambda y: y.sum(),
}
TRAINED = [
    pytest.param(_convolutions, (2, 3, 8, 8), id="convolutions"),
    pytest.param(lambda: nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 3)), (2, 4), id="linear layers"),
    pytest.param(
        lambda: Do(lambda m, x: m.lstm(x)[0].mean(0), lstm=nn.LSTM(5, 7, 2)),
        (4, 3, 5),
        id="LSTM",
        marks=needs_lstm_in_bfloat16(),
    ),
]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("build", "shape"), TRAINED)
def test_a_training_step_casts_forward_and_loss_as_a_real_one(build, shape, loss):
    """The gradients of weights are cast back to float32 in backward, which is outside of autocast."""
    model, x = build(), torch.rand(shape)
    seen = Seen()
    with seen:
        with torch.autocast("cpu", BF16):
            result = LOSSES[loss](model(x))
        result.backward()
    graph = record(model, x, autocast="bf16", training=Training(LOSSES[loss]))
    ours, theirs = list(_recorded(graph)), seen.ops
    assert sorted(map(str, ours)) == sorted(map(str, theirs))
    assert [op for op in ours if "backward" not in op[0]][:9] == [op for op in theirs if "backward" not in op[0]][:9]


# ---- what is cast, by torch's own header


def _macro(name):
    header = (Path(torch.__file__).parent / "include/ATen/autocast_mode.h").read_text()
    body = re.search(rf"#define {name}\(_\)((?:.*\\\n)*.*\n)", header).group(1)
    found = re.findall(r"_\(([a-z_0-9]+)(?:, (\w+))?\)", body)
    return {f"{op}.{overload}" if overload else op for op, overload in found}


POLICIES = {
    "AT_FORALL_LOWER_PRECISION_FP": autocast._LOWER,
    "AT_FORALL_FP32": autocast._FULL,
    "AT_FORALL_FP32_SET_OPT_DTYPE": autocast._request_float32,
    "AT_FORALL_PROMOTE": autocast._cast_to_widest,
}


def test_each_op_of_cudas_lists_has_the_policy_that_atens_header_gives_it():
    ours = {op: by_device["cuda"] for op, by_device in autocast._policies().items() if "cuda" in by_device}
    listed = {op: policy for macro, policy in POLICIES.items() for op in _macro(macro)}
    assert len(listed) > 100
    others = facts.AUTOCAST_OPS_NOT_IN_HEADER
    assert {op: policy for op, policy in ours.items() if op not in others} == listed
    assert others <= set(ours)


def test_cudas_lists_hold_where_cuda_is_named():
    """On a CPU `exp` and layer norm stay in the lower dtype, on CUDA they run in float32."""
    model = Do(lambda m, x: torch.exp(m.norm(m.linear(x))), linear=nn.Linear(4, 4), norm=nn.LayerNorm(4))
    last = {device: record(model, ((2, 4),), autocast=f"{device}:bf16").nodes[-1] for device in ("cpu", "cuda")}
    assert {device: node.spec.outputs[0].dtype for device, node in last.items()} == {
        "cpu": "bfloat16",
        "cuda": "float32",
    }


def test_norms_and_sums_of_cudas_lists_give_float32():
    model = Do(lambda m, x: (m.f(x).norm(), m.f(x).norm(2, 1), m.f(x).sum(), m.f(x).sum(0)), f=nn.Linear(4, 4))
    graph = record(model, ((2, 4),), autocast="cuda")
    assert [graph.values[v].dtype for v in graph.outputs] == ["float32"] * 4
    assert {t.dtype for n in graph.nodes if n.name.startswith("aten.addmm") for t in n.spec.inputs} == {"float16"}


def test_what_cuda_refuses_is_refused():
    model = Do(lambda m, x: F.binary_cross_entropy(m.f(x).sigmoid(), torch.zeros(2, 4)), f=nn.Linear(4, 4))
    with pytest.raises(ForwardError, match="binary_cross_entropy_with_logits"):
        record(model, ((2, 4),), autocast="cuda:fp16")
    record(model, ((2, 4),), autocast="fp16")


# ---- memory


NETS = [
    pytest.param(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(1152, 10)),
        (4, 3, 16, 16),
        id="convolutions",
    ),
    pytest.param(
        lambda: nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True), (2, 20, 32), id="transformer"
    ),
    pytest.param(
        lambda: Do(lambda m, x: m.lstm(x)[0], lstm=nn.LSTM(16, 32, 2)),
        (9, 4, 16),
        id="LSTM",
        marks=needs_lstm_in_bfloat16(),
    ),
    pytest.param(
        lambda: Do(lambda m, x: m.lstm(m.first(x))[0], first=nn.Linear(16, 16), lstm=nn.LSTM(16, 32)),
        (9, 4, 16),
        id="LSTM after a linear layer",
        marks=needs_lstm_in_bfloat16(),
    ),
    pytest.param(lambda: nn.Linear(64, 64), (1, 64), id="one row"),
    pytest.param(lambda: nn.Sequential(nn.Linear(16, 512), nn.ReLU(), nn.Linear(512, 16)), (16,), id="no batch axis"),
    pytest.param(
        lambda: _and_without_gradients(torch.inference_mode, lambda m, x: m.g(x)),
        (8, 64),
        id="inference mode, another layer",
    ),
    pytest.param(
        lambda: _and_without_gradients(torch.inference_mode, lambda m, x: m.f(x)), (8, 64), id="inference mode first"
    ),
    pytest.param(lambda: _and_without_gradients(torch.no_grad, lambda m, x: m.g(x)), (8, 64), id="no_grad"),
    pytest.param(lambda: _first_without_gradients(lambda x: x), (8, 64), id="no_grad first"),
    pytest.param(lambda: _first_without_gradients(lambda x: x.mT), (4, 64, 64), id="no_grad first, columns"),
]


def _and_without_gradients(mode, used):
    """Uses a layer in a block without gradients, and then one with them."""

    def forward(m, x):
        with mode():
            used(m, x)
        return m.f(x)

    return Do(forward, f=nn.Linear(64, 64), g=nn.Sequential(*[nn.Linear(64, 64) for _ in range(4)]))


def _first_without_gradients(rows):
    """Casts a layer's weight in a block without gradients, and uses it outside, after a layer with gradients."""

    def forward(m, x):
        x = rows(m.g(x))
        with torch.no_grad():
            m.f(x)
        return m.f(x)

    return Do(forward, f=nn.Linear(64, 64), g=nn.Linear(64, 64))


@pytest.mark.parametrize(("build", "shape"), NETS)
def test_the_peak_of_a_training_step_is_the_allocators(build, shape, request):
    model, x = build(), torch.rand(shape)
    if request.node.callspec.id == "inference mode first" and not facts.INFERENCE_CASTS_EACH_TIME:
        _refused_as_by_torch(model, x)
        return
    predicted = cnncost.analyze(model, x, training=True, autocast="bf16").memory.training_peak
    assert predicted == training_peak(model, x, lambda: torch.autocast("cpu", BF16))


def _refused_as_by_torch(model, x):
    """The cached cast is an inference tensor, so nothing differentiates it later, either."""
    with torch.autocast("cpu", BF16), pytest.raises(RuntimeError, match="does not require grad"):
        model(x).sum().backward()
    with pytest.raises(InputError, match="no output of forward requires a gradient"):
        cnncost.analyze(model, x, training=True, autocast="bf16")


def test_a_cast_made_under_no_grad_has_gradients_since_211():
    """Otherwise the layer's weight gets none, and backward has a product less."""
    model, x, products = _first_without_gradients(lambda x: x), torch.rand(8, 64), 5 + facts.CASTS_ALWAYS_HAVE_GRADIENTS
    with torch.autocast("cpu", BF16), Seen() as seen:
        model(x).sum().backward()
    assert sum(name in {"mm", "addmm"} for name, *_ in seen.ops) == products
    graph = record(model, (x,), autocast="bf16", training=Training())
    assert sum(node.name in {"aten.mm", "aten.addmm"} for node in graph.nodes) == products


@pytest.mark.parametrize(
    ("training", "copies"),
    [(True, 1), (False, 3 if facts.INFERENCE_CASTS_EACH_TIME else 1)],
    ids=["training", "inference"],
)
def test_a_weight_is_cast_once_in_training_and_at_each_use_in_inference(training, copies):
    """Torch caches casts of weights until autocast is left, except in newer versions under `inference_mode`."""
    linear = nn.Linear(4, 4, bias=False)
    model = Do(lambda m, x: m.f(m.f(m.f(x))), f=linear)
    graph = record(model, ((2, 4),), autocast="bf16", training=Training() if training else None)
    casts = [n for n in graph.nodes if n.name == "aten._to_copy" and n.spec.inputs[0].shape == (4, 4)]
    assert sum(n.phase == "forward" for n in casts) == copies
    seen = Seen()
    with torch.inference_mode(not training), torch.autocast("cpu", BF16), seen:
        model(torch.rand(2, 4))
    real = [op for op in seen.ops if op[0] in {"_to_copy", "to"}]
    assert len(real) == copies + 1  # and that of the input


PADS = {
    "reflect, of a signal": ((2, 3, 8), (1, 2), "reflect"),
    "reflect, of an image": ((2, 3, 8, 8), (1, 1, 1, 1), "reflect"),
    "reflect, of a volume": ((2, 3, 4, 8, 8), (1, 1, 1, 1, 1, 1), "reflect"),
    "replicate, of a signal": ((2, 3, 8), (1, 2), "replicate"),
    "replicate, of an image": ((2, 3, 8, 8), (2, 0, 1, 1), "replicate"),
    "circular": ((2, 3, 8, 8), (1, 1, 1, 1), "circular"),
    "constant": ((2, 3, 8, 8), (1, 1, 1, 1), "constant"),
}


@pytest.mark.parametrize("training", [True, False], ids=["with autograd", "inference"])
@pytest.mark.parametrize("pad", PADS)
def test_pads_by_a_kernel_of_their_own_run_in_float32_as_torchs_do(pad, training):
    """Torch's list for the CPU has `reflection_pad1d`, `reflection_pad2d` and `replication_pad*d`, and no other pad."""
    shape, sizes, mode = PADS[pad]
    model = Do(lambda m, x: F.pad(m.f(x), sizes, mode=mode), f=nn.Linear(shape[-1], shape[-1]))
    x = torch.rand(shape)
    with torch.inference_mode(not training), torch.autocast("cpu", BF16):
        real = model(x)
    graph = record(model, x, grad=training, autocast="bf16")
    out = graph.values[graph.outputs[0]]
    assert (out.shape, out.dtype) == (tuple(real.shape), str(real.dtype).removeprefix("torch."))
    assert graph.storages[out.storage].nbytes == real.untyped_storage().nbytes()


# ---- regions inside of forward


def _region(device=None, dtype=BF16, **how):
    def forward(m, x):
        with torch.autocast(device or x.device.type, dtype, **how):
            return m.f(x)

    return Do(forward, f=nn.Linear(4, 4))


@pytest.mark.parametrize("device", ["cpu", "cuda", None], ids=["cpu", "cuda", "that of the input"])
@pytest.mark.parametrize("training", [None, Training()], ids=["inference", "training"])
def test_a_region_inside_of_forward_is_seen(device, training):
    graph = record(_region(device), ((2, 4),), training=training)
    assert graph.values[graph.outputs[0]].dtype == "bfloat16"


def _set_without_a_region(turn_on, clears="after"):
    def forward(m, x):
        if clears == "before":
            torch.clear_autocast_cache()
        turn_on(x)
        torch.set_autocast_dtype("cpu", BF16)
        try:
            return m.f(x)
        finally:
            torch.set_autocast_enabled("cpu", False)
            if clears == "after":
                torch.clear_autocast_cache()

    return Do(forward, f=nn.Linear(64, 64))


@pytest.mark.filterwarnings("ignore:.*set_autocast.*:DeprecationWarning")
@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(
    "turn_on",
    [
        lambda x: torch.set_autocast_enabled("cpu", True),
        lambda x: torch.set_autocast_enabled(x.device.type, True),
        lambda x: torch.set_autocast_enabled(device_type="cpu", enabled=True),
        lambda x: torch.set_autocast_cpu_enabled(True),
    ],
    ids=["cpu", "that of the input", "by keyword", "deprecated"],
)
def test_autocast_that_is_turned_on_without_a_region_is_seen(turn_on, training, trace):
    model, x = _set_without_a_region(turn_on), torch.rand(8, 64)
    report = cnncost.analyze(model, x, training=training, trace=trace)
    assert set(report.mac_dtypes) == {"bfloat16"}
    if training:
        assert report.memory.training_peak == pytest.approx(training_peak(model, x), abs=128)


@pytest.mark.parametrize("trace", ["static", "real"])
def test_casts_without_a_region_stay_until_the_cache_is_cleared(trace):
    model, x = _set_without_a_region(lambda x: torch.set_autocast_enabled("cpu", True), "before"), torch.rand(8, 64)
    try:
        expected = training_peak(model, x)
    finally:
        torch.clear_autocast_cache()
    report = cnncost.analyze(model, x, training=True, trace=trace)

    assert report.memory.training_peak == pytest.approx(expected, abs=128)


def test_a_region_that_is_off_casts_nothing():
    graph = record(_region(enabled=False), ((2, 4),))
    assert {value.dtype for value in graph.values} == {"float32"}
    off_inside = record(Do(lambda m, x: m.f(m.g(x).float()), g=nn.Linear(4, 4), f=_region(enabled=False)), ((2, 4),),
                        autocast="bf16")  # fmt: skip
    assert off_inside.values[off_inside.outputs[0]].dtype == "float32"


def test_a_decorated_forward_and_a_checkpoint_are_cast():
    class Decorated(nn.Linear):
        @torch.autocast("cpu", BF16)
        def forward(self, x):
            return super().forward(x)

    graph = record(Decorated(4, 4), ((2, 4),))
    assert graph.values[graph.outputs[0]].dtype == "bfloat16"
    model = Do(lambda m, x: checkpoint(m.net, x, use_reentrant=False), net=nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    again = record(model, ((2, 4),), autocast="bf16", training=Training())
    products = [n for n in again.nodes if n.spec.kind in {"linear", "matmul"}]
    assert len(products) == 3  # forward, forward once more, the weight's gradient
    assert {t.dtype for n in products for t in n.spec.inputs} == {"bfloat16"}


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("how", ["bf16", "cuda:bf16", "cuda:fp16", "region"])
def test_a_checkpoint_is_recomputed_under_the_same_autocast(how, reentrant):
    def checkpointed(m, x):
        return checkpoint(m.net, m.first(x), use_reentrant=reentrant)

    def regional(m, x):
        with torch.autocast("cuda", BF16):
            return checkpointed(m, x)

    net = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.LayerNorm(4))
    model = Do(regional if how == "region" else checkpointed, first=nn.Linear(4, 4), net=net)
    graph = record(model, ((2, 4),), autocast=None if how == "region" else how, training=Training())
    products = [n for n in graph.nodes if n.spec.kind in {"linear", "matmul"}]
    assert len(products) == 3 + 3  # forward, of which one once more; a weight's gradient each, and one of an input
    assert {t.dtype for n in products for t in n.spec.inputs} == {"float16" if "fp16" in how else "bfloat16"}


class Product(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a @ b.t()

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        return grad @ b, grad.t() @ a


@pytest.mark.parametrize("training", [None, Training()], ids=["inference", "training"])
def test_functions_that_cast_their_inputs_do(training):
    model = Do(lambda m, x: Product.apply(m.f(x), m.g.weight), f=nn.Linear(4, 4), g=nn.Linear(4, 4))
    graph = record(model, ((2, 4),), autocast="cuda:fp16", training=training)
    assert graph.values[graph.outputs[0]].dtype == "float32"


def test_what_is_asked_about_the_inputs_device_is_answered():
    def forward(m, x):
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        return x * 2

    for how, dtype in ((None, "float32"), ("bf16", "bfloat16"), ("cuda:fp16", "float16")):
        graph = record(Do(forward, f=nn.Linear(1, 1)), ((2, 4),), autocast=how)
        assert graph.values[graph.outputs[0]].dtype == dtype


def test_what_is_asked_by_keyword_is_answered():
    def forward(m, x):
        assert not torch.is_autocast_enabled(device_type="cpu")
        return x.to(torch.get_autocast_dtype(device_type=x.device.type))

    graph = record(Do(forward, f=nn.Linear(1, 1)), ((2, 4),))
    assert graph.values[graph.outputs[0]].dtype == "bfloat16"


@pytest.mark.parametrize("how", ["bf16", "cuda:bf16"])
def test_a_region_that_is_off_turns_off_its_own_device_alone(how):
    """Also one that was created before the recording."""
    before = torch.autocast("cuda", enabled=False)

    def forward(m, x):
        with torch.autocast("cuda", enabled=False):
            y = m.f(x)
        with before:
            return y, m.f(x)

    graph = record(Do(forward, f=nn.Linear(4, 4)), ((2, 4),), autocast=how)
    expected = "bfloat16" if how == "bf16" else "float32"
    assert [graph.values[v].dtype for v in graph.outputs] == [expected] * 2


def test_a_region_of_train_mode_alone_leaves_eval_mode_as_it_was():
    def forward(m, x):
        with torch.autocast("cpu", BF16, enabled=m.training):
            return m.gru(m.f(x))[0]

    model = Do(forward, f=nn.Linear(4, 4), gru=nn.GRU(4, 4))
    before = record(model.eval(), ((3, 2, 4),))
    record(model.train(), ((3, 2, 4),))
    assert record(model.eval(), ((3, 2, 4),)) == before


def test_an_analysis_inside_of_a_forward_adds_nothing_to_it():
    inner = _region("cpu")

    def forward(m, x):
        assert cnncost.analyze(inner, (2, 4)).totals.macs == 32
        return m.f(x)

    model = Do(forward, f=nn.Linear(4, 4))
    assert [cnncost.analyze(model, (2, 4)).totals.macs for _ in range(3)] == [32] * 3


def test_an_interrupt_goes_on():
    def forward(m, x):
        try:
            with torch.autocast("cpu", BF16):
                return m.f(x)
        except:  # noqa: E722  # as some do
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        record(Do(forward, f=nn.Linear(3, 3)), ((1, 3),))


def test_a_region_is_seen_though_forward_catches_everything():
    def forward(m, x):
        try:
            with torch.autocast("cpu", BF16):
                return m.f(x)
        except:  # noqa: E722  # as some do
            return m.f(m.f(x))

    graph = record(Do(forward, f=nn.Linear(3, 3)), ((1, 3),))
    assert cnncost.analyze(graph).totals.macs == 9
    assert graph.values[graph.outputs[0]].dtype == "bfloat16"


def test_a_model_with_a_region_is_run_once_from_the_second_time_on(capsys):
    def forward(m, x):
        print("called")  # noqa: T201  # what forward keeps in a closure is a copy's
        with torch.autocast("cpu", BF16, enabled=m.on):
            return m.f(x)

    model = Do(forward, f=nn.Linear(3, 3))
    model.on = True
    for expected in (2, 1, 1):
        record(model, ((1, 3),))
        assert capsys.readouterr().out == "called\n" * expected
    model.on = False
    assert {v.dtype for v in record(model, ((1, 3),)).values} == {"float32"}


def test_receptive_fields_are_those_without_it():
    conv = Do(lambda m, x: m.conv(x), conv=nn.Conv2d(3, 4, 5, padding=2, padding_mode="circular"))
    gru = Do(lambda m, x: m.gru(x)[0], gru=nn.GRU(4, 4))
    for model, shape, path, hows in (
        (conv, (1, 3, 16, 16), "conv", (None, "bf16", "cuda")),
        (gru, (9, 2, 4), "gru", (None, "cuda")),
    ):
        sizes = [cnncost.analyze(model, (shape,), autocast=how).receptive_field(path).size for how in hows]
        assert len(set(sizes)) == 1


def test_a_receptive_field_of_steps_that_write_into_a_part_is_said_to_be_unknown():
    gru = Do(lambda m, x: m.gru(x)[0], gru=nn.GRU(4, 4))  # under a CPU's autocast it runs step by step
    field = cnncost.analyze(gru, ((9, 2, 4),), autocast="bf16").receptive_field("gru")
    assert field.size[0] is cnncost.UNKNOWN
    assert "can't be followed" in field.notes[0]


def test_an_error_under_autocast_is_not_laid_on_the_input():
    def forward(m, x):
        with torch.autocast("cpu", FP16, enabled=False):
            return m.f(x.to(BF16))

    with pytest.raises(ForwardError, match="same dtype, but got bfloat16 and float32"):
        record(Do(forward, f=nn.Linear(3, 3)), ((1, 3),), autocast="bf16")


def test_the_title_says_so_also_where_it_is_on_around():
    with torch.autocast("cpu", BF16):
        assert cnncost.analyze(nn.Linear(4, 4), (2, 4)).model == "Linear under autocast cpu:bfloat16"


def test_autocast_around_the_analysis_holds_for_forward_alone():
    with torch.autocast("cpu", BF16):
        graph = record(nn.Linear(4, 4), ((2, 4),), training=Training())
        assert torch.is_autocast_enabled("cpu")
    assert graph == record(nn.Linear(4, 4), ((2, 4),), autocast=BF16, training=Training())
    assert graph.values[graph.outputs[0]].dtype == "bfloat16"


# ---- what is left alone


def _state():
    kind = torch.autocast
    devices = ("cpu", "cuda")
    key = torch._C.DispatchKey.AutocastIPU
    return (
        kind.__init__, kind.__enter__, kind.__exit__, torch.is_autocast_enabled, torch.get_autocast_dtype,
        torch.amp.autocast_mode._cast, F.scaled_dot_product_attention, torch._VF.lstm, torch._VF.gru,
        [torch.is_autocast_enabled(d) for d in devices], [torch.get_autocast_dtype(d) for d in devices],
        torch.is_autocast_cache_enabled(), torch._C._dispatch_tls_is_dispatch_key_excluded(key),
        torch._C._dispatch_tls_is_dispatch_key_included(key), autocast.depth(), list(autocast._running),
    )  # fmt: skip


def _fails(m, x):
    with torch.autocast("cpu", BF16):
        raise KeyError("mine")


@pytest.mark.parametrize("around", [False, True], ids=["", "with autocast around"])
@pytest.mark.parametrize("how", ["bf16", "cuda:fp16", None])
def test_torch_is_left_as_it_was_also_when_forward_raises(how, around):
    with torch.autocast("cpu", BF16, enabled=around):
        before = _state()
        record(_region(), ((2, 4),), autocast=how)
        with pytest.raises(ForwardError, match="mine"):
            record(Do(_fails), ((2, 4),), autocast=how)
        assert _state() == before


def _sets(m, x):
    torch.set_autocast_dtype("cpu", FP16)
    torch.set_autocast_cache_enabled(False)
    torch.autocast("cpu", BF16).__enter__()
    return m.f(x)


@pytest.mark.parametrize("how", [None, "bf16"])
def test_what_forward_sets_and_never_puts_back_is_put_back(how):
    before = _state()
    record(Do(_sets, f=nn.Linear(4, 4)), ((2, 4),), autocast=how)
    assert _state() == before


def test_ops_elsewhere_know_nothing_of_it():
    record(nn.Linear(4, 4), ((2, 4),), autocast="bf16")
    bare = torch.empty(2, 4, device="meta")
    with torch.autocast("cpu", BF16):
        assert F.linear(bare, torch.empty(3, 4, device="meta")).dtype is torch.float32
        assert F.linear(torch.rand(2, 4), torch.rand(3, 4)).dtype is BF16


def test_counts_are_those_without_it():
    for build, shape in [(_convolutions, (2, 3, 8, 8)), (_encoder, (2, 5, 8))]:
        plain, cast = cnncost.analyze(build(), (shape,)), cnncost.analyze(build(), (shape,), autocast="bf16")
        assert (cast.totals.params, cast.totals.macs) == (plain.totals.params, plain.totals.macs)
        assert not cast.unknown


def test_a_run_on_values_is_cast_by_torch_itself():
    report = cnncost.analyze(nn.Linear(4, 4), torch.rand(2, 4), trace="real", autocast="bf16")
    assert report.totals.macs == 32
    with pytest.raises(InputError, match="the model's device, cpu"):
        cnncost.analyze(nn.Linear(4, 4), torch.rand(2, 4), trace="real", autocast="cuda")


@pytest.mark.parametrize("said", ["fp8", "tpu:bf16", "cuda:float32", 16, "", torch.float32, ":bf16", "cpu:"])
def test_what_it_can_not_be_is_said(said):
    with pytest.raises(InputError, match=r"autocast: .* expected bf16 or fp16"):
        cnncost.analyze(nn.Linear(4, 4), (2, 4), autocast=said)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("bf16", ("cpu", BF16)), ("half", ("cpu", FP16)), (FP16, ("cpu", FP16)), ("cuda", ("cuda", FP16)),
     ("CUDA:BF16", ("cuda", BF16)), ("cuda:bfloat16", ("cuda", BF16)), ("cpu", ("cpu", BF16))],
)  # fmt: skip
def test_what_it_may_be(said, meant):
    assert parse(said) == meant


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("place", ["method", "function", "instance"])
def test_regions_that_are_kept_are_as_they_were(device, trace, place):
    """A decorator's region stays attached to its function for all later calls, also on a machine with a GPU."""
    region = torch.autocast(device, dtype=BF16, enabled=device == "cpu")

    @region
    def free(x, weight):
        return x @ weight

    decorated = region(lambda lin, x: lin(x))
    ways = {
        "method": lambda self, x: decorated(self.lin, x),
        "function": lambda self, x: free(x, self.lin.weight),
        "instance": lambda self, x: _within(self.region, self.lin, x),
    }
    model = Do(ways[place], lin=nn.Linear(8, 8, bias=False), region=region)
    before = region.device, region.fast_dtype, region._enabled
    for _ in range(2):
        assert cnncost.analyze(model, (2, 8), trace=trace).totals.macs == 2 * 8 * 8
        assert (region.device, region.fast_dtype, region._enabled) == before
        assert not {"absent", "outer"} & set(vars(region))


def _within(region, function, *args):
    with region:
        return function(*args)


CELLS = {
    "GRU": (nn.GRU, {}),
    "GRU of two layers": (nn.GRU, {"num_layers": 2, "bidirectional": True}),
    "GRU, batch first": (nn.GRU, {"batch_first": True}),
    "RNN": (nn.RNN, {}),
    "RNN with ReLU": (nn.RNN, {"nonlinearity": "relu", "bias": False}),
    "LSTM with a projection": (nn.LSTM, {"proj_size": 3}),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", [torch.float32, BF16])
@pytest.mark.parametrize("lower", [BF16, FP16])
@pytest.mark.parametrize("name", CELLS)
def test_a_recurrent_layer_on_a_cpu_gives_the_dtypes_of_a_real_one(name, lower, dtype):
    kind, settings = CELLS[name]
    cell, x = kind(4, 6, **settings).to(dtype), torch.zeros(5, 2, 4, dtype=dtype)

    def forward(m, x):
        out, states = m.cell(x)
        return (out, *states) if isinstance(states, tuple) else (out, states)

    with torch.no_grad(), torch.autocast("cpu", lower):
        real = [str(t.dtype).removeprefix("torch.") for t in forward(Do(forward, cell=cell), x)]
    plain = record(Do(forward, cell=cell), (x,))
    for grad in (False, True):
        graph = record(Do(forward, cell=cell), (x,), autocast=str(lower), grad=grad)
        assert [graph.values[v].dtype for v in graph.outputs] == real
        assert cnncost.analyze(graph).totals.flops == cnncost.analyze(plain).totals.flops
