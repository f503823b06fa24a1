"""The memo of op results changes only the time: its key has everything that an op's result depends on."""

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # torch's own name for it

import cnncost
from cnncost.frontends.torch import memo, record
from cnncost.graph import OpSpec, TensorType
from cnncost.ops import cost_of

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

GRAD = pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


class Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return F.relu(self.layers(x) + x, inplace=True)


def causal_attention(x):
    length = x.shape[-2]
    mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
    scores = (x @ x.transpose(-2, -1) / x.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ x


def positions(x):
    place = torch.arange(x.shape[-2], device=x.device)[:, None]
    rate = torch.exp(torch.arange(0, x.shape[-1], 2, device=x.device) * -0.5)
    return x + torch.cat([(place * rate).sin(), (place * rate).cos()], -1)


def written_in_place(x):
    y = x.clone()
    y[:, 0] = 0
    y.view(-1)[:3].mul_(2)
    return y.t() + y.sum()


MODELS = [
    pytest.param(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(True), nn.MaxPool2d(2)),
        (2, 3, 9, 9),
        id="convolution, norm, activation, pooling",
    ),
    pytest.param(
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 4, 3, 2, groups=2), nn.GroupNorm(2, 4), nn.SiLU()),
        (2, 4, 5, 5),
        id="transposed convolution, group norm",
    ),
    pytest.param(
        lambda: Residual(nn.Conv1d(4, 4, 3, padding="same"), nn.InstanceNorm1d(4), nn.PReLU(4)),
        (2, 4, 7),
        id="a residual block",
    ),
    pytest.param(
        lambda: nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(27, 5)
        ),
        (2, 3, 4, 4),
        id="interpolation, adaptive pooling",
    ),
    pytest.param(
        lambda: nn.Sequential(nn.PixelShuffle(2), nn.ReflectionPad2d(1), nn.LocalResponseNorm(3), nn.Dropout()),
        (2, 8, 4, 4),
        id="shuffle, padding, response norm, dropout",
    ),
    pytest.param(lambda: nn.LSTM(4, 8, 2, bidirectional=True, proj_size=3), (5, 2, 4), id="LSTM"),
    pytest.param(lambda: nn.GRU(4, 8, batch_first=True), (2, 5, 4), id="GRU"),
    pytest.param(
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(),
        (2, 5, 8),
        id="a transformer layer, fused",
    ),
    pytest.param(
        lambda: nn.TransformerDecoderLayer(8, 2, 16), ((5, 2, 8), (7, 2, 8)), id="a transformer decoder layer"
    ),
    pytest.param(lambda: nn.MultiheadAttention(8, 2), ((5, 2, 8), (7, 2, 8), (7, 2, 8)), id="attention across"),
    pytest.param(
        lambda: nn.Sequential(nn.Embedding(10, 8), nn.LayerNorm(8), nn.Linear(8, 10)),
        "2x5:int64",
        id="embedding, layer norm",
    ),
    pytest.param(lambda: nn.EmbeddingBag(10, 8), "2x5:int64", id="a bag of embeddings"),
    pytest.param(lambda: Function(causal_attention), ((2, 5, 8),), id="attention written out, with a mask"),
    pytest.param(lambda: Function(positions), ((2, 5, 8),), id="positions made from shapes"),
    pytest.param(lambda: Function(written_in_place), ((4, 6),), id="writes through views"),
    pytest.param(
        lambda: Function(lambda x: x[torch.arange(4) % 2 == 0].sum()), ((4, 6),), id="a mask whose values are known"
    ),
    pytest.param(
        lambda: Function(lambda x: (x.max(1), x.topk(2), x.sort(), x.split(2))), ((4, 6),), id="several outputs"
    ),
    pytest.param(lambda: Function(lambda x: torch.einsum("ij,kj->ik", x, x).logsumexp(1)), ((4, 6),), id="einsum"),
    pytest.param(
        lambda: Function(
            lambda x: F.grid_sample(
                x, F.affine_grid(torch.eye(2, 3)[None], [1, 3, 4, 4], align_corners=False), align_corners=False
            )
        ),
        ((1, 3, 5, 5),),
        id="a spatial transformer",
    ),
    pytest.param(
        lambda: Function(lambda x: torch.fft.irfft2(torch.fft.rfft2(x)).real), ((4, 6),), id="Fourier transforms"
    ),
    pytest.param(
        lambda: Function(lambda x: F.cross_entropy(x, torch.zeros(4, dtype=torch.int64)) + F.mse_loss(x, x)),
        ((4, 6),),
        id="losses",
    ),
    pytest.param(
        lambda: Function(lambda x: torch.rand_like(x) + F.dropout(x) + torch.randn(6)), ((4, 6),), id="random numbers"
    ),
]


@GRAD
@pytest.mark.parametrize(("make", "inputs"), MODELS)
def test_with_and_without_the_memo_cold_and_warm_the_graph_is_the_same(make, inputs, grad):
    model = make()
    without = record(model, inputs, grad=grad, use_memo=False)
    memo.clear()
    cold = record(model, inputs, grad=grad)
    warm = record(model, inputs, grad=grad)
    again = record(model, inputs, grad=grad, use_memo=False)
    assert without == cold == warm == again
    assert len(without.nodes) > 0


APART = [
    # two functions of a (2, 4) float32 tensor whose ops look alike; each is recorded after the other
    pytest.param(lambda x: x + 1, lambda x: x + 1.0, id="1 and 1.0"),
    pytest.param(lambda x: x + 1, lambda x: x + True, id="1 and True"),
    pytest.param(lambda x: x.long() + 1, lambda x: x.long() + 1.0, id="1 and 1.0 added to whole numbers"),
    pytest.param(lambda x: x.long() * 1, lambda x: x.long() * True, id="1 and True times whole numbers"),
    pytest.param(lambda x: (x > 0) * 1, lambda x: (x > 0) * True, id="1 and True times booleans"),
    pytest.param(lambda x: x.long() / 2, lambda x: x.long() // 2, id="two divisions"),
    pytest.param(lambda x: x + 2, lambda x: x + torch.tensor(2), id="a number and a scalar tensor"),
    pytest.param(
        lambda x: x.half() + torch.tensor(2.0),
        lambda x: x.half() + torch.ones(1),
        id="a scalar tensor and a tensor of one element",
    ),
    pytest.param(lambda x: x * x.double(), lambda x: x * x.half(), id="dtypes"),
    pytest.param(lambda x: x.t() * 2, lambda x: x.reshape(4, 2) * 2, id="strides"),
    pytest.param(
        lambda x: x.t().contiguous(), lambda x: x.reshape(4, 2).contiguous(), id="strides that decide whether to copy"
    ),
    pytest.param(
        lambda x: x.t().reshape(-1),
        lambda x: x.reshape(4, 2).reshape(-1),
        id="strides that decide whether a reshape copies",
    ),
    pytest.param(lambda x: x[:, :2] + 1, lambda x: x[:, ::2] + 1, id="gaps"),
    pytest.param(lambda x: x.expand(3, 2, 4) + 1, lambda x: x.repeat(3, 1, 1) + 1, id="strides of zero"),
    pytest.param(lambda x: x.sum(0), lambda x: x.sum(0, keepdim=True), id="keepdim"),
    pytest.param(lambda x: x.sum(0), lambda x: x.sum(1), id="an axis"),
    pytest.param(lambda x: x.sum((0, 1)), lambda x: x.sum((1, 0)), id="the order of axes"),
    pytest.param(lambda x: x.sum(), lambda x: x.sum(dtype=torch.float64), id="a dtype that is asked for"),
    pytest.param(lambda x: x.view(2, 2, 2), lambda x: x.view(2, 2, 2, 1), id="a list of another length"),
    pytest.param(lambda x: torch.cat([x, x]), lambda x: torch.cat([x, x, x]), id="how many are joined"),
    pytest.param(lambda x: torch.cat([x, x[:1]]), lambda x: torch.cat([x[:1], x, x]), id="which are joined"),
    pytest.param(lambda x: x.split(1), lambda x: x.split([1, 1]), id="a size and a list of sizes"),
    pytest.param(lambda x: torch.zeros(2, 3), lambda x: torch.zeros(3, 2), id="sizes of what is made"),
    pytest.param(lambda x: torch.zeros(2), lambda x: torch.zeros(2, dtype=torch.int64), id="dtype of what is made"),
    pytest.param(lambda x: F.pad(x, (1, 1)), lambda x: F.pad(x, (1, 1), value=1.0), id="a value to pad with"),
    pytest.param(
        lambda x: F.interpolate(x[None], scale_factor=2.0),
        lambda x: F.interpolate(x[None], size=8),
        id="a factor and a size",
    ),
    pytest.param(F.gelu, lambda x: F.gelu(x, approximate="tanh"), id="text"),
    pytest.param(lambda x: x + x, lambda x: x + x.clone(), id="a tensor and itself, and two tensors"),
    pytest.param(lambda x: torch.cat([x, x.clone()]), lambda x: torch.cat([x, x]), id="two tensors, and one twice"),
    pytest.param(lambda x: x.clone().add_(1), lambda x: x.clone().add(1), id="in place and not"),
    pytest.param(
        lambda x: torch.arange(2).nonzero(), lambda x: torch.arange(1, 3).nonzero(), id="values that decide a shape"
    ),
    pytest.param(lambda x: x[torch.arange(2) > 0], lambda x: x[torch.arange(2) >= 0], id="a mask's values"),
    pytest.param(lambda x: torch.full((2,), 1), lambda x: torch.full((2,), 1.0), id="a number to fill with"),
    pytest.param(
        lambda x: torch.scalar_tensor(1), lambda x: torch.scalar_tensor(True), id="a number to make a tensor of"
    ),
]


def types(graph):
    return [graph.values[v].type for v in graph.outputs]


@GRAD
@pytest.mark.parametrize(("one", "other"), APART)
def test_ops_that_look_alike_are_not_taken_for_one_another(one, other, grad):
    models = [Function(one), Function(other)]
    truth = []
    for model in models:
        real = model(torch.ones(2, 4))
        real = real if isinstance(real, (tuple, list)) else [real]
        truth.append([(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for t in real])
    without = [record(model, ((2, 4),), grad=grad, use_memo=False) for model in models]
    for order in ((0, 1, 0), (1, 0, 1)):
        memo.clear()
        for i in order:
            graph = record(models[i], ((2, 4),), grad=grad)
            assert graph == without[i]
            assert types(graph) == truth[i]


@GRAD
def test_the_default_dtype_is_part_of_what_is_remembered(grad):
    """`1 / 2` of whole numbers, a mean of them, a random tensor: all have the default dtype."""
    model = Function(
        lambda n: (n / 2, torch.rand(2), n.sqrt(), torch.full((2,), 0.5), torch.linspace(0, 1, 3), n * 1.5)
    )
    memo.clear()
    for dtype in (torch.float32, torch.float64, torch.float16, torch.float32):
        torch.set_default_dtype(dtype)
        try:
            graph = record(model, ("3:int64",), grad=grad)
        finally:
            torch.set_default_dtype(torch.float32)
        assert {kind.dtype for kind in types(graph)} == {str(dtype).removeprefix("torch.")}


@GRAD
def test_memory_formats_are_part_of_what_is_remembered(grad):
    """The same shapes in another order in memory: results have that order too."""
    model = nn.Sequential(nn.BatchNorm2d(3).eval(), nn.ReLU(), Function(lambda x: x.permute(0, 2, 3, 1).reshape(2, -1)))
    plain = torch.zeros(2, 3, 8, 8)
    last = plain.to(memory_format=torch.channels_last)
    truth = {}
    with torch.no_grad():
        for x in (plain, last):
            y = model[1](model[0](x))
            # moving channels last is a view exactly where they are last already
            truth[x.stride()] = model[2](y).data_ptr() == y.data_ptr()
    assert sorted(truth.values()) == [False, True]
    memo.clear()
    for x in (plain, last, plain, last):
        graph = record(model, x, grad=grad)
        before, after = (graph.values[v].storage for v in (graph.calls[2].outputs[0], graph.outputs[0]))
        assert (before == after) is truth[x.stride()]


KEEP_ORDER = [
    pytest.param(lambda x: F.conv2d(x, torch.zeros(4, 4, 3, 3)), id="convolution"),
    pytest.param(lambda x: F.conv2d(x, torch.zeros(4, 1, 3, 3), groups=4), id="depthwise convolution"),
    pytest.param(lambda x: F.conv_transpose2d(x, torch.zeros(4, 4, 2, 2)), id="transposed convolution"),
    pytest.param(lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4)), id="batch norm"),
    pytest.param(lambda x: F.max_pool2d(x, 2), id="max pooling"),
    pytest.param(lambda x: F.avg_pool2d(x, 2), id="average pooling"),
    pytest.param(lambda x: F.adaptive_avg_pool2d(x, 2), id="adaptive pooling"),
    pytest.param(lambda x: F.interpolate(x, scale_factor=2), id="interpolation"),
    pytest.param(lambda x: F.pad(x, (1, 1, 1, 1)), id="padding"),
    pytest.param(lambda x: torch.cat([x, x], 1), id="concatenation"),
    pytest.param(lambda x: x * x.mean((2, 3), keepdim=True), id="a product with a mean"),
    pytest.param(lambda x: 1 - x, id="a difference"),
    pytest.param(lambda x: torch.where(x > 0, x, -x), id="where"),
    pytest.param(lambda x: x[:, ::2].relu(), id="an activation of every second channel"),
    pytest.param(lambda x: x.half() + 1, id="a cast"),
    pytest.param(
        lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2), id="layer norm over the channels"
    ),
]


@GRAD
@pytest.mark.parametrize("function", KEEP_ORDER)
@pytest.mark.parametrize(
    "order", [torch.contiguous_format, torch.channels_last], ids=["channels first", "channels last"]
)
def test_the_order_in_memory_is_that_of_a_real_run(function, order, grad, capsys):
    x = torch.zeros(2, 4, 8, 8).to(memory_format=order)
    with torch.no_grad():
        want = function(x).stride()
    record(Function(lambda x: print(function(x).stride())), x, grad=grad)  # noqa: T201  # what forward sees it can only say
    assert capsys.readouterr().out == f"{want}\n"


def test_a_group_norm_keeps_channels_last(capsys):
    """Without autograd: with it, torch's own code copies it into the usual order before the op is seen."""
    x = torch.zeros(2, 4, 8, 8).to(memory_format=torch.channels_last)
    record(Function(lambda x: print(F.group_norm(x, 2).stride())), x)  # noqa: T201  # what forward sees it can only say
    assert F.group_norm(x, 2).stride() == x.stride()
    assert capsys.readouterr().out == f"{x.stride()}\n"


def test_models_that_share_the_memo_keep_their_own_values_and_modules():
    one = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    other = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(4, 4)})
    other.forward = lambda x: other["b"](other["a"](x))
    memo.clear()
    for _ in range(2):
        first, second = record(one, (2, 4)), record(other, (2, 4))
        assert [first.call_path(node.call) for node in first.nodes] == ["0", "1"]
        assert [second.call_path(node.call) for node in second.nodes] == ["a", "b"]
        # a result of one op is the input of the next, in each
        for graph in (first, second):
            assert graph.nodes[1].inputs[0] == graph.nodes[0].outputs[0]
    assert {node.spec for node in first.nodes} == {node.spec for node in second.nodes}


def test_a_warm_recording_of_another_batch_size_is_not_the_first_ones():
    model = nn.Sequential(nn.Linear(4, 5), nn.Softmax(-1))
    for batch in (1, 2, 3, 1):
        assert cnncost.analyze(model, (batch, 4)).totals.macs == batch * 20


def test_a_failed_op_is_not_remembered_as_having_worked():
    memo.clear()
    model = nn.Linear(4, 5)
    for _ in range(2):
        with pytest.raises(cnncost.CnncostError):
            record(model, (2, 3))
        assert cnncost.analyze(model, (2, 4)).totals.macs == 40


def test_tensors_are_not_kept_alive_by_the_memo():
    model = nn.Linear(4, 5)
    x = torch.zeros(2, 4)
    watched = [weakref.ref(x), weakref.ref(model.weight), weakref.ref(model)]
    record(model, x)
    record(model, x, grad=True)
    del model, x
    gc.collect()
    assert [ref() for ref in watched] == [None] * 3


RESULTS = st.recursive(
    st.one_of(st.just(torch.Tensor), st.none(), st.integers(), st.booleans(), st.just("text")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=8,
)  # `torch.Tensor` stands for a new one


def made(form):
    if form is torch.Tensor:
        return torch.zeros(1)
    return type(form)(map(made, form)) if isinstance(form, (list, tuple)) else form


def alike(one, other):
    """Whether two results are of the same lists, tuples, plain values and tensors."""
    if isinstance(one, torch.Tensor):
        return one is other
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(alike, one, other))
    return type(one) is type(other) and one == other


@settings(deadline=None)
@given(form=RESULTS)
def test_a_result_is_its_template_with_its_tensors(form):
    result, tensors = made(form), []
    template = memo.template_of(result, tensors)
    assert alike(memo.fill(template, tensors), result)
    others = [torch.zeros(2) for _ in tensors]
    again = []
    memo.template_of(memo.fill(template, others), again)
    assert list(map(id, again)) == list(map(id, others))


TEMPLATES = {
    # a result, and how many tensors it has
    "one tensor": (lambda: torch.zeros(1), 1),
    "a tensor and nothing": (lambda: (torch.zeros(1), None), 1),
    "a list of tensors": (lambda: [torch.zeros(1), torch.zeros(1)], 2),
    "whole numbers and truths beside": (lambda: (torch.zeros(1), 3, True, [torch.zeros(1), 0]), 2),
    "no tensor": (lambda: (1, "text", None), 0),
    "nothing": (lambda: None, 0),
}


@pytest.mark.parametrize(("make", "count"), TEMPLATES.values(), ids=TEMPLATES)
def test_what_templates_keep(make, count):
    result, tensors = make(), []
    template = memo.template_of(result, tensors)
    assert len(tensors) == count
    assert alike(memo.fill(template, tensors), result)


def test_of_an_output_on_a_storage_of_its_own_no_values_are_at_hand():
    found = memo.fresh((2, 3), (3, 1), torch.float16)
    kind = TensorType((2, 3), "float16")
    sig = found.sig
    assert (sig.type, sig.stride, sig.dtype, sig.real, sig.conjugated, sig.grad) == (
        kind, (3, 1), torch.float16, False, False, False,
    )  # fmt: skip
    assert (found.size, found.stride, found.dtype, found.nbytes) == ((2, 3), (3, 1), torch.float16, 12)
    assert memo.fresh((2, 3), (3, 1), torch.float16) is found
    others = [memo.fresh((3, 2), (2, 1), torch.float16), memo.fresh((2, 3), (1, 2), torch.float16),
              memo.fresh((2, 3), (3, 1), torch.float32)]  # fmt: skip
    assert len({id(each) for each in (found, *others)}) == 4


@pytest.mark.parametrize(("fn", "moves"), [("alias", (("reshape", (2, 3)),)), ("after_write", None)])
def test_what_costs_nothing(fn, moves):
    """A layout op that copies nothing: no FLOPs, no bytes."""
    kind = TensorType((2, 3), "float32")
    spec = memo.layout(fn, (kind,), kind)
    assert (spec.kind, spec.inputs, spec.outputs) == ("layout", (kind,), (kind,))
    assert (spec["copy"], spec["moves"]) == (False, moves)
    found = cost_of(spec)
    assert (found.macs, found.flops, found.read, found.written) == (0, 0, 0, 0)
    assert memo.layout(fn, (kind,), kind) is spec is memo.intern(spec)


def test_equal_specs_are_one_object():
    kind = TensorType((5, 7), "float32")
    one, other = (OpSpec("pointwise", (kind,), (kind,), (("fn", "relu"),)) for _ in range(2))
    assert one is not other
    first = memo.intern(one)
    assert first == one
    assert memo.intern(other) is first


def test_a_cold_start_remembers_nothing():
    kind = TensorType((5, 7), "float32")
    specs = [OpSpec("pointwise", (kind,), (kind,), (("fn", "tanh"),)) for _ in range(2)]
    memo.clear()
    assert memo.intern(specs[0]) is specs[0]
    fresh, layout, table = (
        memo.fresh((5, 7), (7, 1), torch.float32),
        memo.layout("alias", (kind,), kind),
        memo.current(),
    )
    record(nn.Tanh(), (5, 7))
    assert table
    memo.clear()
    assert memo.intern(specs[1]) is specs[1]
    assert memo.fresh((5, 7), (7, 1), torch.float32) is not fresh
    assert memo.layout("alias", (kind,), kind) is not layout
    assert not memo.current()


def test_each_default_dtype_has_a_table_of_its_own():
    memo.clear()
    one = memo.current()
    assert memo.current() is one
    torch.set_default_dtype(torch.float64)
    try:
        other = memo.current()
        assert other is not one
        assert memo.current() is other
    finally:
        torch.set_default_dtype(torch.float32)
    assert memo.current() is one


GEOMETRY = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 7)), max_size=4)


@settings(max_examples=300, deadline=None)
@given(geometry=GEOMETRY, dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.bool, torch.complex64]))
def test_an_output_by_a_shape_rule_has_the_bytes_that_torch_allocates(geometry, dtype):
    size, stride = tuple(n for n, _ in geometry), tuple(step for _, step in geometry)
    made = torch.empty_strided(size, stride, dtype=dtype)
    assert memo.fresh(size, stride, dtype).nbytes == made.untyped_storage().nbytes()
