"""Unusual code in published models: counted right, or refused with a message. Numbers are derived by hand."""

import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.utils.rnn import pack_sequence
from torch.testing._internal.two_tensor import TwoTensor

import cnncost
from cnncost.errors import DataDependentError
from cnncost.ops import cost_of

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, of parts of it that are to go

TWO = 4 * (16 * 32 + 32 * 8)
"""MACs of the two layers below on 4 rows."""
X = (4, 16)


def two_layers():
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))


class Do(nn.Module):
    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = forward

    def forward(self, *args):
        return self.run(self, *args)


# ---- quantized


def dynamic():
    return torch.ao.quantization.quantize_dynamic(two_layers(), {nn.Linear}, dtype=torch.qint8)


@pytest.mark.parametrize("trace", ["static", "real"])
def test_dynamically_quantized_layers(trace):
    report = cnncost.analyze(dynamic(), X, trace=trace)
    # to 8 bits 7 an input, back 2 an output, and the ReLU in between
    flops = 7 * 4 * 16 + 2 * 4 * 32 + 4 * 32 + 7 * 4 * 32 + 2 * 4 * 8
    assert (report.totals.macs, report.totals.flops, report.unknown) == (TWO, flops, {})
    assert report.mac_dtypes == {"int8": TWO}
    # floats in, and packed weights of a byte and biases of four; the ReLU reads what the first layer wrote
    assert report.totals.bytes_read == 4 * (4 * 16 + 32) + 16 * 32 + 4 * 4 * 32 + 4 * (4 * 32 + 8) + 32 * 8
    assert (report.totals.params, report.param_dtypes) == (16 * 32 + 32 + 32 * 8 + 8, {"int8": 768, "float32": 40})
    assert f"({TWO:,} int8)" in str(report)


class Quantized(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.enter, self.leave = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.body = body

    def forward(self, x):
        return self.leave(self.body(self.enter(x)))


def statically_quantized(body, x):
    model = Quantized(body).eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    torch.ao.quantization.prepare(model, inplace=True)
    model(x)
    return torch.ao.quantization.convert(model)


@pytest.fixture
def _engine(monkeypatch):
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = torch.backends.quantized.supported_engines[-1]
    yield
    torch.backends.quantized.engine = before


@pytest.mark.usefixtures("_engine")
def test_statically_quantized_layers_are_run_on_values():
    model = statically_quantized(nn.Conv2d(3, 8, 3), torch.rand(1, 3, 8, 8))
    report = cnncost.analyze(model, (1, 3, 8, 8), trace="auto")
    macs, outputs = 8 * 36 * 27, 8 * 36
    assert (report.totals.macs, report.mac_dtypes, report.unknown) == (macs, {"int8": macs}, {})
    assert report.totals.flops == 5 * 3 * 64 + 2 * outputs + outputs  # quantized, scaled, and back
    assert report.totals.params == 8 * 27 + 8
    read = [cost_of(node.spec).read for node in report.graph.nodes if node.spec.kind == "quantized_conv"]
    assert read == [3 * 64 + 8 * 27 + 4 * 8]  # with the packed weight and bias


CONV = 8 * 36 * 27
COMPOSITE = {  # ops that call others, between quantized layers: layers, MACs, parameters, bytes at the peak
    "flatten": ([nn.Flatten(), nn.Linear(288, 5)], CONV + 288 * 5, 8 * 27 + 8 + 288 * 5 + 5),
    "max_pool2d": ([nn.MaxPool2d(2)], CONV, 8 * 27 + 8),
    "adaptive_avg_pool2d": ([nn.AdaptiveAvgPool2d(1)], CONV, 8 * 27 + 8),
    "pixel_shuffle": ([nn.PixelShuffle(2)], CONV, 8 * 27 + 8),
    "unflatten": ([nn.Unflatten(1, (2, 4)), nn.Flatten(1, 2)], CONV, 8 * 27 + 8),
    "channel_shuffle": ([nn.ChannelShuffle(2)], CONV, 8 * 27 + 8),
    "dropout": ([nn.Dropout(), nn.ReLU()], CONV, 8 * 27 + 8),
}


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("name", COMPOSITE)
def test_ops_made_of_others_run_on_quantized_tensors(name):
    layers, macs, parameters = COMPOSITE[name]
    x = torch.rand(1, 3, 8, 8)
    model = statically_quantized(nn.Sequential(nn.Conv2d(3, 8, 3), *layers), x)
    report = cnncost.analyze(model, x, trace="real")
    assert (report.totals.macs, report.totals.params, report.unknown) == (macs, parameters, {})
    assert not any("lower bound" in note for note in report.notes)
    outputs = model(x).numel()
    held = 4 * 3 * 64 + 8 * 27 + 8 * 4 + (288 * 5 + 5 * 4 if name == "flatten" else 0) + 12  # and the stub's scale
    # the layer's output of one byte an element, and the same as floats; or its input and output
    assert held + 3 * 64 + 288 <= report.memory.inference_peak <= held + max(3 * 64 + 288, 5 * outputs) + 2 * 288


@pytest.mark.usefixtures("_engine")
def test_an_op_that_quantized_tensors_lack_is_named():
    model = statically_quantized(nn.Linear(8, 8), torch.rand(2, 8))
    model.body = nn.Sequential(model.body, nn.Softmax(-1))
    with pytest.raises(cnncost.CnncostError, match=r"_softmax.* from the 'QuantizedCPU' backend"):
        cnncost.analyze(model, torch.rand(2, 8), trace="real")


class Lookup(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.EmbeddingBag(100, 16, mode="sum")

    def forward(self, x):
        return self.table(x)


def quantized_table():
    model = nn.Sequential(Lookup()).eval()
    model[0].table.qconfig = torch.ao.quantization.float_qparams_weight_only_qconfig
    return torch.ao.quantization.convert(torch.ao.quantization.prepare(model))


def quantized_as_it_runs(dtype, *layers):
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(*layers), {*map(type, layers)}, dtype=dtype)


PACKED = {
    "linear in half precision": (
        lambda: quantized_as_it_runs(torch.float16, nn.Linear(16, 8)), (4, 16), {"float16": 128, "float32": 8},
    ),
    "lstm": (
        lambda: quantized_as_it_runs(torch.qint8, nn.LSTM(16, 32, 2, bidirectional=True)), (5, 2, 16),
        {"int8": 2 * 128 * (16 + 32) + 2 * 128 * (64 + 32), "float32": 8 * 128},
    ),
    "gru": (
        lambda: quantized_as_it_runs(torch.qint8, nn.GRU(16, 32)), (5, 2, 16), {"int8": 96 * 48, "float32": 2 * 96},
    ),
    "lstm in half precision": (
        lambda: quantized_as_it_runs(torch.float16, nn.LSTM(16, 32)), (5, 2, 16),
        {"float16": 128 * 48, "float32": 2 * 128},
    ),
    "cell": (
        lambda: quantized_as_it_runs(torch.qint8, nn.LSTMCell(16, 32)), (2, 16),
        {"int8": 128 * 48, "float32": 2 * 128},
    ),
    "table": (quantized_table, torch.zeros(2, 3, dtype=torch.int64), {"uint8": 1600}),
}  # fmt: skip


@pytest.mark.usefixtures("_engine")
@pytest.mark.parametrize("name", PACKED)
def test_packed_weights_are_parameters(name):
    build, x, by_dtype = PACKED[name]
    report = cnncost.analyze(build(), x, trace="real")
    assert report.param_dtypes == by_dtype
    assert report.totals.params == sum(by_dtype.values())


def test_quantization_aware_training_rounds_in_floats():
    model = nn.Sequential(nn.Conv2d(3, 8, 3)).train()
    model.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    torch.ao.quantization.prepare_qat(model, inplace=True)
    totals = cnncost.analyze(model, (1, 3, 8, 8)).totals
    assert totals.macs == 8 * 36 * 27
    assert totals.flops == 2 * totals.macs + 8 * 36 + 7 * (8 * 27 + 8 * 36)  # bias; weight and output, there and back


# ---- dtypes, layouts, contexts


def _autocast(m, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return m.net(x)


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        return x @ w

    @staticmethod
    def backward(ctx, grad):
        return None, None


def _checkpoint(reentrant):
    from torch.utils.checkpoint import checkpoint

    return lambda m, x: checkpoint(m.net, x, use_reentrant=reentrant)


def _ensemble(m, x):
    from torch.func import functional_call, stack_module_state, vmap

    params, buffers = stack_module_state(list(m.nets))
    return vmap(lambda p, b: functional_call(m.nets[0], (p, b), (x,)))(params, buffers)


def _compiled_inside():
    model = two_layers()
    model[0].compile()
    return model


COUNTED = [
    pytest.param(lambda: Do(_autocast, net=two_layers()), X, TWO, id="autocast inside"),
    pytest.param(
        lambda: nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last),
        torch.rand(1, 3, 8, 8).to(memory_format=torch.channels_last), 8 * 36 * 27, id="channels last",
    ),
    pytest.param(
        lambda: nn.Linear(4, 4, dtype=torch.complex64), torch.rand(3, 4, dtype=torch.complex64), 4 * 48, id="complex"
    ),
    pytest.param(lambda: Do(lambda m, x: Product.apply(x, m.w), w=nn.Parameter(torch.rand(16, 8))), X, 4 * 128,
                 id="a Function"),
    pytest.param(lambda: Do(_checkpoint(False), net=two_layers()), X, TWO, id="a checkpoint"),
    pytest.param(lambda: Do(_checkpoint(True), net=two_layers()), X, TWO, id="a reentrant checkpoint"),
    pytest.param(lambda: torch.compile(two_layers()), X, TWO, id="compiled"),
    pytest.param(_compiled_inside, X, TWO, id="compiled inside"),
    pytest.param(lambda: nn.DataParallel(two_layers()), X, TWO, id="data parallel"),
    pytest.param(lambda: Do(lambda m, x: torch.func.vmap(m.net)(x), net=two_layers()), (5, *X), 5 * TWO, id="vmap"),
    pytest.param(
        lambda: Do(_ensemble, nets=nn.ModuleList([two_layers() for _ in range(3)])), X, 3 * TWO, id="an ensemble"
    ),
    pytest.param(
        lambda: nn.LSTM(8, 16), pack_sequence([torch.rand(5, 8), torch.rand(3, 8)]), 8 * 4 * 16 * (8 + 16),
        id="a packed sequence: 5 and 3 steps",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("build", "inputs", "macs"), COUNTED)
def test_counted(build, inputs, macs):
    report = cnncost.analyze(build(), inputs)
    assert (report.totals.macs, report.unknown) == (macs, {})


@pytest.fixture
def one_process(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("wrapper", ["DDP", "DDP inside", "FSDP2"])
def test_distributed_wrappers(wrapper, one_process):
    from torch.distributed.fsdp import fully_shard

    model = two_layers()
    if wrapper == "FSDP2":
        fully_shard(model)
    else:
        model = nn.parallel.DistributedDataParallel(model)
    report = cnncost.analyze(Do(lambda m, x: m.net(x), net=model) if wrapper == "DDP inside" else model, X)
    assert (report.totals.macs, report.totals.params, report.unknown) == (TWO, 808, {})


# ---- ops that take functions


def cond(m, x):
    return torch.cond(x.sum() > 0, m.few, lambda x: m.many(m.many(x)), (x,))


BRANCHES = {"few": nn.Linear(16, 16), "many": nn.Linear(16, 16)}


@pytest.mark.parametrize(("sign", "macs"), [(1, 4 * 256), (-1, 2 * 4 * 256)])
def test_a_branch_follows_values(sign, macs):
    report = cnncost.analyze(Do(cond, **BRANCHES), sign * torch.ones(4, 16), trace="real")
    assert report.totals.macs == macs
    assert report.reads == 1


def test_a_branch_on_an_activation_has_no_static_count():
    with pytest.raises(DataDependentError, match="reads the values"):
        cnncost.analyze(Do(cond, **BRANCHES), X)


def test_a_branch_on_what_is_known_is_taken():
    model = Do(lambda m, x, n: torch.cond(n > 2, m.few, lambda x: m.many(m.many(x)), (x,)), **BRANCHES)
    for n, macs in ((3, 4 * 256), (1, 2 * 4 * 256)):
        assert cnncost.analyze(model, (torch.rand(4, 16), torch.tensor(n))).totals.macs == macs


@pytest.mark.parametrize("trace", ["static", "real"])
def test_a_loop_of_known_length(trace):
    from torch._higher_order_ops.while_loop import while_loop

    def loop(m, x):
        return while_loop(lambda i, _: i < 3, lambda i, x: (i + 1, m.net(x)), (torch.zeros((), dtype=torch.int64), x))

    report = cnncost.analyze(Do(loop, net=nn.Linear(16, 16)), X, trace=trace)
    assert (report.totals.macs, report.layer("net").calls) == (3 * 4 * 256, 3)


def many(x):
    return torch.tensor(x.shape[0] > 2)


TRAINED = {  # MACs of a step by the ops that torch runs: forward, backward, and what backward computes again
    "of the model alone": (lambda m, x: m.last(torch.cond(many(x), m.inner, m.inner, (x,))), 2 + (3 + 1)),
    "of the input": (lambda m, x: m.last(torch.cond(many(x), m.inner, m.inner, (m.first(x),))), 3 + (5 + 1)),
    "of two layers": (
        lambda m, x: m.last(torch.cond(many(x), lambda y: m.inner(m.inner(y)), m.inner, (m.first(x),))), 4 + (7 + 2),
    ),
    "a branch that is known": (lambda m, x: m.last(torch.cond(len(x) > 2, m.inner, m.inner, (m.first(x),))), 3 + 5),
}  # fmt: skip


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", TRAINED)
def test_gradients_pass_through_a_branch(name, trace):
    forward, products = TRAINED[name]
    model = Do(forward, first=nn.Linear(16, 16), inner=nn.Linear(16, 16), last=nn.Linear(16, 16))
    report = cnncost.analyze(model, torch.rand(4, 16), training=True, trace=trace)
    assert report.totals.training_macs == products * 4 * 256
    assert any("peak of training is approximate" in note for note in report.notes) == ("known" not in name)


def looped(name):
    """A loop whose body has weights, by the function of torch that runs it, between a layer and another or not."""
    from torch._higher_order_ops import map as mapped
    from torch._higher_order_ops.scan import scan
    from torch._higher_order_ops.while_loop import while_loop

    return {
        "map": lambda m, x: mapped(m.inner, x),
        "scan": lambda m, x: scan(lambda c, y: (m.inner(c + y), y.clone()), x[0].clone(), x, dim=0)[0],
        "while_loop": lambda m, x: while_loop(
            lambda i, _: i < 3, lambda i, y: (i + 1, m.inner(y)), (torch.zeros((), dtype=torch.int64), x)
        )[1],
    }[name]


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("before", [False, True], ids=["of the model alone", "of the input"])
@pytest.mark.parametrize("name", ["map", "scan", "while_loop"])
def test_gradients_through_a_loop_of_torchs_are_refused(name, before, trace):
    loop = looped(name)
    model = Do(
        lambda m, x: m.last(loop(m, m.first(x) if before else x)),
        first=nn.Linear(16, 16), inner=nn.Linear(16, 16), last=nn.Linear(16, 16),
    )  # fmt: skip
    with pytest.raises(cnncost.CnncostError, match=rf"a gradient passes through torch's {name}, .* write it as a loop"):
        cnncost.analyze(model, torch.rand(4, 16), training=True, trace=trace)
    detached = Do(lambda m, x: m.last(loop(m, x).detach()), inner=nn.Linear(16, 16), last=nn.Linear(16, 16))
    assert cnncost.analyze(detached, torch.rand(4, 16), training=True, trace=trace).totals.training_macs


def test_a_scan_runs_once_a_step():
    from torch._higher_order_ops.scan import scan

    def run(m, x):
        return scan(lambda carried, now: ((new := m.net(carried + now)), new.clone()), torch.zeros(16), x, dim=0)

    assert cnncost.analyze(Do(run, net=nn.Linear(16, 16)), (5, 16), trace="auto").totals.macs == 5 * 256


@pytest.mark.parametrize("trace", ["static", "real"])
def test_a_map_runs_once_a_place(trace):
    from torch._higher_order_ops.map import map as mapped

    report = cnncost.analyze(
        Do(lambda m, x: mapped(lambda row, y: m.net(row) + y, x, x[0]), net=nn.Linear(16, 16)), (5, 3, 16), trace=trace
    )
    assert (report.totals.macs, report.totals.flops) == (5 * 3 * 256, 5 * 3 * (2 * 256 + 16 + 16))
    assert report.graph.values[report.graph.outputs[0]].shape == (5, 3, 16)


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_a_loop_whose_turns_are_stacked(turns):
    from torch._higher_order_ops import while_loop_stack_output

    def loop(m, x):
        start = (torch.zeros((), dtype=torch.int64), x)
        return while_loop_stack_output(lambda i, _: i < turns, lambda i, x: (i + 1, m.net(x)), start, ())

    model = Do(loop, net=nn.Linear(16, 16))
    report = cnncost.analyze(model, X)
    assert report.totals.macs == turns * 4 * 256
    shapes = [report.graph.values[i].shape for i in report.graph.outputs]
    assert shapes == [tuple(t.shape) for t in model(torch.rand(4, 16))] == [(max(turns, 1),), (max(turns, 1), 4, 16)]


FLEX = ((1, 4, 128, 16),) * 3
SCORES = 4 * 128 * 128


@pytest.mark.parametrize("trace", ["static", "real"])
def test_flexible_attention_counts_as_attention(trace):
    report = cnncost.analyze(Do(lambda _, q, k, v: flex_attention(q, k, v)), FLEX, trace=trace)
    assert (report.totals.macs, report.unknown) == (2 * SCORES * 16, {})
    # queries and keys are scaled, and a softmax is 5 a score
    assert report.totals.flops == 2 * report.totals.macs + 2 * 4 * 128 * 16 + 5 * SCORES


def test_scores_that_are_changed_and_masked():
    def run(_, q, k, v):
        mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 128, 128, device=q.device)
        return flex_attention(q, k, v, score_mod=lambda score, b, h, i, j: score + i - j, block_mask=mask)

    plain = cnncost.analyze(Do(lambda _, q, k, v: flex_attention(q, k, v)), FLEX).totals
    changed = cnncost.analyze(Do(run), FLEX).totals
    assert changed.macs == plain.macs  # dense, as causal attention is
    assert changed.flops - plain.flops == SCORES + 2 * SCORES  # the mask; a sum and a difference


# ---- values that are known


def test_literals_of_tensors_keep_their_values():
    class Longest(nn.Module):
        def forward(self, x):
            lengths = torch.tensor([torch.arange(3, device=x.device).max() + 1, 2], device=x.device)
            return x[: int(lengths.max())] @ x.T

    assert cnncost.analyze(Longest(), X).totals.macs == 3 * 4 * 16


def test_values_written_through_a_view_are_seen_by_the_whole():
    class Moves(nn.Module):
        def forward(self, x):
            places = torch.stack([torch.arange(3, device=x.device), torch.arange(3, device=x.device)])
            places[0] += 1
            return x[: int(places.max())] @ x.T

    assert cnncost.analyze(Moves(), X).totals.macs == 3 * 4 * 16


def test_a_users_tensor_written_through_a_view_is_left_alone():
    class Moves(nn.Module):
        def forward(self, x, ids):
            ids[0] += 1
            return x * 2

    ids = torch.zeros(2, 3, dtype=torch.int64)
    cnncost.analyze(Moves(), (torch.rand(4, 16), ids))
    assert not ids.any()


def test_torch_is_left_as_it_was():
    """Torch treats tensors as non-sequences: patched methods might change that."""
    before = set(vars(torch.Tensor))
    cnncost.analyze(two_layers(), X)
    assert set(vars(torch.Tensor)) == before
    assert torch.tensor([torch.tensor(3), torch.tensor(4)]).tolist() == [3, 4]


# ---- wrappers of tensors as parameters


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("how", [{}, {"training": True, "optimizer": "adamw"}], ids=["inference", "training"])
def test_a_wrapper_of_tensors_is_one_parameter(device, how):
    class Holds(nn.Module):
        def __init__(self):
            super().__init__()
            parts = [torch.zeros(8, 16, device=device) for _ in range(2)]
            self.weight = nn.Parameter(TwoTensor(*parts))

        def forward(self, x):
            return (x @ self.weight.t()).relu()

    report = cnncost.analyze(Holds(), X, **how)
    assert (report.totals.macs, report.totals.params, report.unknown) == (4 * 16 * 8, 8 * 16, {})
