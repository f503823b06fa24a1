"""What a Graph says of one run: which ops, on which values, with which shapes, and what depends on what.

Most tests run the same forward on real tensors as well: shapes, dtypes and dependencies are then facts.
"""

from collections import UserDict, deque
from dataclasses import dataclass
from types import MappingProxyType

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # torch's own name for it
from torch.nn.utils import parametrizations, parametrize, prune

import cnncost
from cnncost.frontends.torch import record
from tests.mappings import ReadOnly

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

GRAD = pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])


class Function(nn.Module):
    """A function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args, **kwargs):
        return self.function(*args, **kwargs)


def tensors(result):
    """The tensors of a nest of containers, in order."""
    if isinstance(result, torch.Tensor):
        return [result]
    items = result.values() if isinstance(result, dict) else result if isinstance(result, (list, tuple)) else ()
    return [tensor for item in items for tensor in tensors(item)]


def types(graph, values):
    return [(graph.values[v].shape, graph.values[v].dtype) for v in values]


def reached(graph, value):
    """All values that a value leads to, itself included."""
    found, waiting = {value}, deque(graph.nodes)
    while waiting:
        node = waiting.popleft()
        if found & set(node.inputs):
            found |= set(node.outputs)
    return found


# ---- views and ops in place: later reads depend on the write


def written_through_a_view(a, b):
    y = a.clone()
    y[:, 0].add_(b[:, 0])
    return y * 1


def written_through_the_base(a, b):
    y = a.clone()
    view = y[:, 0]
    y.add_(b)
    return view * 1


def written_through_a_view_of_a_view(a, b):
    y = a.clone()
    y.t().reshape(-1)  # a copy, which the write doesn't reach
    y.view(-1).view(3, 2)[0].mul_(b[0, :2])
    return y.t() * 1


def written_through_a_sister_view(a, b):
    y = a.clone()
    one, other = y.view(-1), y.t()
    one.mul_(b.reshape(-1))
    return other * 1


def read_before_the_write(a, b):
    y = a.clone()
    z = y * 1
    y.add_(b)
    return z


def copied_before_the_write(a, b):
    y = a.clone()
    z = y.clone()
    y.add_(b)
    return z


def set_by_a_slice(a, b):
    y = a.clone()
    y[:, 1:] = b[:, 1:]
    return y * 1


def added_to_a_slice(a, b):
    y = a.clone()
    y[..., 0] += b[..., 0]
    return y * 1


def set_by_indices(a, b):
    y = a.clone()
    y[:, torch.tensor([0, 2])] = b[:, :2]
    return y * 1


def chunks_written(a, b):
    y = a.clone()
    for part in y.split(1, 1):
        part.add_(b[:, :1])
    return y * 1


def unbound_rows_written(a, b):
    y = a.clone()
    first, _ = y.unbind(0)
    first.copy_(b[0])
    return y * 1


def written_to_what_was_given(a, b):
    y = a * 1
    torch.add(a, b, out=y)
    return y * 1


def written_to_a_slice_given_as_out(a, b):
    y = a.clone()
    torch.mul(b[:, 0], 2, out=y[:, 0])
    return y * 1


def written_to_what_detach_gives(a, b):
    y = a.clone()
    y.detach().add_(b)
    return y * 1


def written_to_data(a, b):
    y = a.clone()
    y.data.add_(b)
    return y * 1


def a_list_written_at_once(a, b):
    ys = [a.clone(), a + 1]
    torch._foreach_add_(ys, [b, b])
    return ys[0] * ys[1]


def a_scalar_written(a, b):
    total = a.sum()
    total.add_(b.sum())
    return total * 1


def scattered(a, b):
    y = a.clone()
    y.scatter_(1, torch.zeros(2, 1, dtype=torch.int64), b)
    return y * 1


def filled_where_known(a, b):
    y = a.clone()
    y[torch.arange(2) < 1] = b[:1]
    return y * 1


def activation_in_place(a, b):
    y = a + b
    F.relu(y, inplace=True)
    return y * 1


def a_chain_in_place(a, b):
    return (a * 1).add_(b).mul_(2).relu_()


def a_new_shape_in_place(a, b):
    y = (a * b).unsqueeze_(0)
    y.squeeze_(0).t_()
    return y * 1


def another_storage_written(a, b):
    y, z = a.clone(), a.clone()
    y.add_(b)
    return z * 1


def written_where_it_was_made_by_shape(a, b):
    y = torch.zeros(2, 3, device=a.device)
    y[:, 1] = b[:, 1]
    return y * 1


WRITES = [
    # (function, does a reach the result, does b reach it)
    pytest.param(written_through_a_view, True, True, id="a write through a view reaches the base"),
    pytest.param(written_through_the_base, True, True, id="a write through the base reaches a view made before"),
    pytest.param(written_through_a_view_of_a_view, True, True, id="a write through a view of a view"),
    pytest.param(written_through_a_sister_view, True, True, id="a write through one view reaches another"),
    pytest.param(read_before_the_write, True, False, id="what was read before the write does not depend on it"),
    pytest.param(copied_before_the_write, True, False, id="a copy made before the write does not depend on it"),
    pytest.param(set_by_a_slice, True, True, id="a slice is set"),
    pytest.param(added_to_a_slice, True, True, id="a slice is added to"),
    pytest.param(set_by_indices, True, True, id="columns picked by index are set"),
    pytest.param(chunks_written, True, True, id="the parts of a split are written"),
    pytest.param(unbound_rows_written, True, True, id="an unbound row is written"),
    pytest.param(written_to_what_was_given, True, True, id="out= is written"),
    pytest.param(written_to_a_slice_given_as_out, True, True, id="out= is a slice"),
    pytest.param(written_to_what_detach_gives, True, True, id="a write through detach()"),
    pytest.param(written_to_data, True, True, id="a write through .data"),
    pytest.param(a_list_written_at_once, True, True, id="a list of tensors is written at once"),
    pytest.param(a_scalar_written, True, True, id="a scalar is written"),
    pytest.param(scattered, True, True, id="scatter_"),
    pytest.param(filled_where_known, True, True, id="a mask whose values are known selects what is set"),
    pytest.param(activation_in_place, True, True, id="an activation in place"),
    pytest.param(a_chain_in_place, True, True, id="a chain of ops in place"),
    pytest.param(a_new_shape_in_place, True, True, id="shapes changed in place"),
    pytest.param(another_storage_written, True, False, id="a write to another storage"),
    pytest.param(written_where_it_was_made_by_shape, False, True, id="a tensor of zeros is filled in"),
]


@GRAD
@pytest.mark.parametrize(("function", "of_a", "of_b"), WRITES)
def test_what_a_result_depends_on(function, of_a, of_b, grad):
    torch.manual_seed(0)
    a, b, c = (torch.rand(2, 3) + 0.5 for _ in range(3))
    want = function(a, b)
    # the facts: does the result change with each input?
    assert torch.equal(function(c, b), want) is not of_a
    assert torch.equal(function(a, c), want) is not of_b

    graph = record(Function(function), ((2, 3), (2, 3)), grad=grad)

    assert types(graph, graph.outputs) == [(tuple(want.shape), "float32")]
    assert (graph.outputs[0] in reached(graph, graph.inputs[0])) is of_a
    assert (graph.outputs[0] in reached(graph, graph.inputs[1])) is of_b


def test_a_stale_view_is_brought_up_to_date_by_a_node_of_its_own():
    graph = record(Function(written_through_the_base), ((2, 3), (2, 3)))
    names = [node.name for node in graph.nodes]
    assert names == ["aten.clone", "aten.select.int", "aten.add_.Tensor", "after_write", "aten.mul.Tensor"]
    clone, select, add, caught_up, mul = graph.nodes
    assert caught_up.inputs == (*select.outputs, *add.outputs)
    assert mul.inputs == caught_up.outputs
    assert {graph.values[v].storage for v in (*clone.outputs, *select.outputs, *add.outputs, *caught_up.outputs)} == {2}


def test_a_read_through_the_tensor_that_was_written_needs_no_node():
    graph = record(Function(lambda a: a.clone().relu_().neg()), ((2, 3),))
    assert [node.name for node in graph.nodes] == ["aten.clone", "aten.relu_", "aten.neg"]


# ---- ops with several inputs and outputs

MANY = [
    pytest.param(lambda x: x.max(1), id="max over an axis: values and indices"),
    pytest.param(lambda x: x.max(), id="max of all: a scalar"),
    pytest.param(lambda x: x.topk(2, -1), id="topk"),
    pytest.param(lambda x: x.sort(descending=True), id="sort"),
    pytest.param(lambda x: torch.std_mean(x, 1), id="standard deviation and mean"),
    pytest.param(lambda x: torch.aminmax(x, dim=1), id="a named tuple"),
    pytest.param(lambda x: x.split([1, 3], 1), id="split into parts of different sizes"),
    pytest.param(lambda x: x.chunk(3, 1), id="chunk with a smaller rest"),
    pytest.param(lambda x: x.unbind(0), id="unbind"),
    pytest.param(lambda x: torch.tensor_split(x, (1, 2), 1), id="tensor_split"),
    pytest.param(lambda x: torch.cat([x, x, x[:, :1]], 1), id="cat of a tensor, itself and a part"),
    pytest.param(lambda x: torch.stack([x, x * 2], -1), id="stack"),
    pytest.param(lambda x: torch.stack(x.unbind(1)[::-1]), id="unbind, turned around, stacked"),
    pytest.param(lambda x: torch.meshgrid(x[0], x[:, 0], indexing="ij"), id="meshgrid"),
    pytest.param(lambda x: torch.broadcast_tensors(x, x[:, :1]), id="broadcast_tensors"),
    pytest.param(lambda x: torch.block_diag(x, x), id="block_diag"),
    pytest.param(lambda x: torch.cartesian_prod(x[0], x[1]), id="cartesian_prod"),
    pytest.param(lambda x: F.max_pool1d(x[None], 2, return_indices=True), id="pooling with indices"),
    pytest.param(
        lambda x: {"y": [x, {"z": (x + 1, None, "text", 3)}], "w": ()},
        id="a nest of containers with no tensors in it too",
    ),
    pytest.param(lambda x: (x, x), id="the input, twice"),
    pytest.param(lambda _: None, id="nothing"),
    pytest.param(lambda x: x.sum() * 2, id="a scalar times a number"),
    pytest.param(lambda x: 3 - x / 2 + x**2, id="numbers from both sides"),
    pytest.param(lambda x: x * torch.tensor(2.0), id="a scalar tensor made in forward"),
    pytest.param(lambda x: x > 0.5, id="a comparison: booleans"),
    pytest.param(lambda x: (x > 0.5).sum(), id="how many: a whole number"),
    pytest.param(lambda x: x.half() + 1, id="to half precision"),
    pytest.param(lambda x: x.half() * x, id="mixed precision: the wider one"),
    pytest.param(
        lambda x: x.bfloat16() * torch.tensor(2.0, dtype=torch.float64), id="a wider scalar tensor does not widen"
    ),
    pytest.param(lambda x: x.to(torch.int32) / 2, id="whole numbers divided"),
    pytest.param(lambda x: torch.view_as_complex(x.reshape(2, 2, 2)), id="complex numbers seen in pairs"),
    pytest.param(torch.fft.rfft, id="a Fourier transform"),
    pytest.param(lambda x: x.new_empty(0, 4).sum(0), id="a sum over nothing"),
    pytest.param(lambda x: x[:, None].expand(2, 3, 4).transpose(1, 2), id="expand and transpose"),
    pytest.param(lambda x: x.t().reshape(-1), id="a reshape that has to copy"),
    pytest.param(lambda x: x.t().contiguous(), id="contiguous that has to copy"),
    pytest.param(lambda x: x.contiguous(), id="contiguous that has nothing to do"),
    pytest.param(lambda x: x.as_strided((2, 2), (1, 2), 1), id="as_strided"),
    pytest.param(lambda x: x.unfold(1, 2, 1), id="sliding windows"),
    pytest.param(lambda x: x.roll(1, 0).flip(1), id="roll and flip"),
    pytest.param(lambda x: torch.einsum("ij,kj->ik", x, x), id="einsum"),
    pytest.param(lambda x: torch.where(x > 0.5, x, x.mean()), id="where with a scalar tensor"),
    pytest.param(
        lambda x: F.one_hot(torch.arange(3), 5) @ torch.ones(5, 2, dtype=torch.int64) + x.shape[0],
        id="one_hot of known classes",
    ),
    pytest.param(lambda x: x.repeat_interleave(2, 0), id="repeat_interleave"),
    pytest.param(lambda x: torch.cdist(x, x), id="distances"),
    pytest.param(lambda x: x.cumsum(1).tril().diagonal(), id="cumsum, tril, diagonal"),
    pytest.param(lambda x: torch.linalg.vector_norm(x, dim=1), id="a norm"),
    pytest.param(lambda x: torch.quantile(x, 0.5, dim=1), id="a quantile"),
    pytest.param(lambda x: F.unfold(x[None, None], 2), id="patches"),
    pytest.param(torch.vmap(lambda row: row @ row), id="vmap of a function"),
    pytest.param(lambda x: torch.func.jvp(lambda t: t * t, (x,), (x,))[1], id="a derivative forward"),
]


@GRAD
@pytest.mark.parametrize("function", MANY)
def test_shapes_and_dtypes_are_those_of_a_real_run(function, grad):
    x = torch.rand(2, 4)
    want = [(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for t in tensors(function(x))]

    graph = record(Function(function), x, grad=grad)

    assert types(graph, graph.outputs) == want


def test_an_op_on_a_list_reads_all_of_it_in_order():
    graph = record(Function(lambda a, b: torch.cat([b, a, b])), ((2, 3), (4, 3)))
    a, b = graph.inputs
    (node,) = graph.nodes
    assert (node.inputs, node.spec.inputs[0].shape, node.spec.outputs[0].shape) == ((b, a, b), (4, 3), (10, 3))


def test_an_op_of_several_outputs_makes_a_value_for_each():
    graph = record(Function(lambda x: x.max(1)), ((2, 3),))
    (node,) = graph.nodes
    assert node.outputs == graph.outputs
    assert types(graph, graph.outputs) == [((2,), "float32"), ((2,), "int64")]
    assert len({graph.values[v].storage for v in graph.outputs}) == 2


def test_parts_of_a_split_are_views_of_one_storage():
    graph = record(Function(lambda x: x.split(1, 1)), ((2, 3),))
    assert [graph.values[v].storage for v in graph.outputs] == [graph.values[graph.inputs[0]].storage] * 3


GLOBAL = torch.ones(3)


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(x) + GLOBAL + torch.zeros(3)


def test_roles_of_values():
    graph = record(Norm().eval(), ((2, 3),))
    roles = [value.role for value in graph.values]
    # weight, bias; mean, variance, number of batches; x; the norm's result; the constant and a sum; zeros and a sum
    assert sorted(roles) == sorted(
        ["parameter"] * 2
        + ["buffer"] * 3
        + ["input"]
        + ["activation"]
        + ["constant", "activation"]
        + ["activation"] * 2
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@GRAD
def test_a_model_of_another_precision_has_the_same_counts_and_other_bytes(dtype, grad):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    model = model.eval().to(getattr(torch, dtype))

    graph = record(model, (2, 3, 8, 8), grad=grad)
    totals = cnncost.analyze(graph).totals

    # 2 images of 4·6·6 outputs, each a sum of 3·3·3 products; 2·5 outputs of 144 products
    assert totals.macs == 2 * 4 * 36 * 27 + 2 * 5 * 144
    # 4·3·9 weights and 4 biases, scale and shift of 4, 5·144 weights and 5 biases
    assert totals.params == 112 + 8 + 725
    assert totals.param_bytes == totals.params * {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}[dtype]
    assert {graph.values[v].dtype for v in (*graph.inputs, *graph.outputs)} == {dtype}


# ---- ops on parameters alone


class StandardisedConv(nn.Conv2d):
    """Weights are standardised at each forward (Qiao et al. 2019)."""

    def forward(self, x):
        w = self.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, w, self.bias)


class Symmetric(nn.Module):
    """A parametrization: only the upper half of the weight counts."""

    def forward(self, w):
        return w.triu() + w.triu(1).t()


def symmetric():
    layer = nn.Linear(5, 5)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


class Hypernetwork(nn.Module):
    """The weight of one layer is computed by another from a parameter."""

    def __init__(self):
        super().__init__()
        self.maker, self.code = nn.Linear(3, 20), nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return F.linear(x, self.maker(self.code).view(4, 5))


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(7))

    def forward(self, x):
        return x * self.scale.exp().sum()


OWN_WEIGHTS = [
    # (model, input, parameters, MACs of the layer itself, MACs spent on its weight)
    pytest.param(
        lambda: StandardisedConv(3, 4, 3), (2, 3, 8, 8), 112, 2 * 4 * 36 * 27, 0, id="weight standardisation"
    ),
    # v of 4·5 and g of 4, and 4 biases
    pytest.param(
        lambda: parametrizations.weight_norm(nn.Linear(5, 4)), (2, 5), 28, 40, 0, id="weight norm as a parametrization"
    ),
    pytest.param(lambda: nn.utils.weight_norm(nn.Linear(5, 4)), (2, 5), 28, 40, 0, id="weight norm by a hook"),
    # one power iteration in train mode: W·v and Wᵀ·u, of 20 products each, then u·(W·v), of 20 + 4
    pytest.param(
        lambda: parametrizations.spectral_norm(nn.Linear(5, 4)), (2, 5), 24, 40, 20 + 20 + 20 + 4,
        id="spectral norm as a parametrization, in train mode",
    ),
    pytest.param(
        lambda: nn.utils.spectral_norm(nn.Linear(5, 4)), (2, 5), 24, 40, 20 + 20 + 20 + 4,
        id="spectral norm by a hook, in train mode",
    ),
    # in eval mode only u·(W·v)
    pytest.param(
        lambda: parametrizations.spectral_norm(nn.Linear(5, 4)).eval(), (2, 5), 24, 40, 20 + 4,
        id="spectral norm in eval mode",
    ),
    pytest.param(symmetric, (2, 5), 30, 50, 0, id="a symmetric weight"),
    # the mask is a buffer and no parameter: 4·5 and 4 remain
    pytest.param(
        lambda: prune.l1_unstructured(nn.Linear(5, 4), "weight", 0.5), (2, 5), 24, 40, 0, id="a pruned weight"
    ),
    pytest.param(Hypernetwork, (2, 5), 20 * 3 + 20 + 3, 40, 20 * 3, id="a weight that another layer makes"),
]  # fmt: skip


@GRAD
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:UserWarning")
@pytest.mark.parametrize(("model", "shape", "params", "layer", "weight"), OWN_WEIGHTS)
def test_ops_on_parameters_alone_are_counted(model, shape, params, layer, weight, grad):
    report = cnncost.analyze(record(model(), shape, grad=grad))
    assert report.unknown == {}
    assert (report.totals.params, report.totals.macs) == (params, layer + weight)


@GRAD
def test_an_op_on_parameters_that_is_not_of_any_layer_is_the_models_own(grad):
    report = cnncost.analyze(record(Scale(), ((3, 2),), grad=grad))
    # 7 exponentials, 6 additions, 3·2 products
    assert (report.layer("").flops, report.totals.flops) == (7 + 6 + 6, 7 + 6 + 6)


# ---- what the names in a Graph are


def test_nodes_carry_the_names_that_torch_has_for_the_ops():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten())
    graph = record(model, (2, 3, 8, 8))
    assert [(node.name, node.spec.kind) for node in graph.nodes] == [
        ("aten.conv2d", "conv"),
        ("aten.relu_", "pointwise"),
        ("aten.flatten.using_ints", "layout"),
    ]
    assert {node.phase for node in graph.nodes} == {"forward"}


def test_equal_ops_share_one_spec():
    graph = record(nn.Sequential(*(nn.Linear(8, 8) for _ in range(50))), (2, 8))
    assert len(graph.nodes) == 50
    assert len({id(node.spec) for node in graph.nodes}) == 1
    assert len(graph.specs) == 1


def test_the_same_recording_twice_is_the_same_graph():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.Flatten(), nn.Linear(144, 5), nn.Softmax(-1))
    first, second = record(model, (2, 3, 8, 8)), record(model, (2, 3, 8, 8))
    assert first == second
    assert first is not second


@GRAD
def test_real_and_meta_weights_give_the_same_graph(grad):
    def build():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(144, 5)).eval()

    with torch.device("meta"):
        bare = build()
    assert record(bare, (2, 3, 8, 8), grad=grad) == record(build(), (2, 3, 8, 8), grad=grad)


@dataclass
class Result:
    logits: object
    hidden: object
    name: str = "result"


class Computed(ReadOnly):
    """Computes an item when it is asked for; there is none named `b`."""

    def __init__(self, items):
        super().__init__({**items, "b": None})

    def __getitem__(self, key):
        return self._items[key] * 2


MAPPINGS = {"dict": dict, "proxy": MappingProxyType, "UserDict": UserDict, "held": ReadOnly, "computed": Computed}


@GRAD
@pytest.mark.parametrize("kind", MAPPINGS.values(), ids=MAPPINGS)
def test_tensors_in_a_mapping_are_outputs_and_nothing_is_computed_to_find_them(kind, grad):
    graph = record(nn.Sequential(Function(lambda x: kind({"a": x + 1}))), ((2, 3),), grad=grad)
    assert [graph.values[v].shape for v in graph.outputs] == [(2, 3)]
    assert len(graph.nodes) == 1


@GRAD
def test_tensors_in_a_dataclass_that_is_returned_are_outputs(grad):
    model = nn.Sequential(Function(lambda x: Result(x * 2, [x + 1, None])))
    graph = record(model, ((2, 3),), grad=grad)
    assert [graph.values[v].shape for v in graph.outputs] == [(2, 3), (2, 3)]
    assert cnncost.analyze(graph).layer("0").output_shapes == ((2, 3), (2, 3))
