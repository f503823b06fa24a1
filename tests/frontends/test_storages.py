"""When memory is allocated and freed: derived by hand, node by node."""

import gc
import subprocess
import sys

import pytest
import torch
from torch import nn

from cnncost.frontends.torch import memo, record

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


def lives(graph):
    """(bytes, born, died) of all storages that nodes created, in order."""
    return [(s.nbytes, s.born, s.died) for s in graph.storages if s.born is not None]


def names(graph):
    return [node.name for node in graph.nodes]


def chain(x):
    return x.exp().log().sin()


def held_by_a_name(x):
    a = x.exp()
    b = a.log()
    return a + b.sin()


def deleted_early(x):
    a = x.exp()
    b = a.log()
    del a
    return b.sin().cos()


def a_name_that_is_used_again(x):
    x = x.exp()
    x = x.log()
    x = x.sin()
    return x  # each name keeps its tensor until the next takes its place


def dropped_at_once(x):
    x.exp()
    return x.sin().cos()


def a_view_keeps_it(x):
    view = x.exp()[:, :2]
    return view.sin().cos()


def the_last_view_frees_it(x):
    a = x.exp()
    one, other = a[:, :2], a.t()
    del a, one
    b = other.sin()
    del other
    return b.cos()


def a_view_is_returned(x):
    return x.exp().t()


def both_are_returned(x):
    a = x.exp()
    return a, a.sum(), a[0]


def in_place(x):
    return x.exp().add_(1).mul_(2)


def in_place_on_the_input(x):
    return x.add_(1).exp()


def a_view_of_the_input(x):
    return x.t().exp()


def a_part_of_a_split(x):
    first, _ = x.exp().chunk(2, 1)
    return first.sin()


def one_of_two_outputs(x):
    return x.max(1)[0].exp()


def a_reference_cycle(x):
    """Eager Python frees it when the collector runs, at a moment that no one can tell; until then it lives."""
    holder = {"tensor": x.exp()}
    holder["self"] = holder
    y = holder["tensor"].log()
    del holder
    return y.sin().cos()


def made_of_shapes(x):
    return x + torch.ones(4)


def reshaped_with_a_copy(x):
    return x.t().reshape(-1).exp()


def returned_twice(x):
    a = x.exp()
    return [a, {"again": a}]


def the_input_is_returned(x):
    x.exp()
    return x


def out_is_given(x):
    buffer = torch.zeros(2, 4, device=x.device)
    torch.exp(x, out=buffer)
    return buffer.sin()


LIVES = [
    # x is (2, 4): 32 bytes. (forward, names of the nodes, (bytes, born, died) of what they make)
    # A temporary is dropped when the op that reads it has returned: it dies after that node.
    # A name keeps its tensor until it is deleted, bound anew, or the function returns, after its last node.
    pytest.param(chain, 3, [(32, 0, 1), (32, 1, 2), (32, 2, None)], id="temporaries die with the op that reads them"),
    pytest.param(
        held_by_a_name, 4, [(32, 0, 3), (32, 1, 3), (32, 2, 3), (32, 3, None)], id="a name holds its tensor to the end"
    ),
    pytest.param(deleted_early, 4, [(32, 0, 1), (32, 1, 3), (32, 2, 3), (32, 3, None)], id="del frees"),
    pytest.param(a_name_that_is_used_again, 3, [(32, 0, 1), (32, 1, 2), (32, 2, None)], id="a name that is bound anew"),
    pytest.param(dropped_at_once, 3, [(32, 0, 0), (32, 1, 2), (32, 2, None)], id="a result that nobody takes"),
    pytest.param(a_view_keeps_it, 4, [(32, 0, 3), (16, 2, 3), (16, 3, None)], id="a view keeps the storage alive"),
    pytest.param(the_last_view_frees_it, 5, [(32, 0, 3), (32, 3, 4), (32, 4, None)], id="the last view frees it"),
    pytest.param(a_view_is_returned, 2, [(32, 0, None)], id="a view that is returned"),
    pytest.param(both_are_returned, 3, [(32, 0, None), (4, 1, None)], id="a tensor, its sum and a view of it returned"),
    pytest.param(in_place, 3, [(32, 0, None)], id="ops in place make no storage"),
    pytest.param(in_place_on_the_input, 2, [(32, 1, None)], id="an op in place on the input"),
    pytest.param(a_view_of_the_input, 2, [(32, 1, None)], id="a view of the input makes no storage"),
    pytest.param(a_part_of_a_split, 3, [(32, 0, 2), (16, 2, None)], id="a part keeps the whole"),
    # values of 2 float32 and 2 int64 indices, which the unpacking drops at once
    pytest.param(one_of_two_outputs, 2, [(8, 0, 1), (16, 0, 0), (8, 1, None)], id="one of two outputs"),
    pytest.param(
        a_reference_cycle,
        4,
        [(32, 0, None), (32, 1, 3), (32, 2, 3), (32, 3, None)],
        id="a reference cycle is not freed",
    ),
    pytest.param(made_of_shapes, 2, [(16, 0, 1), (32, 1, None)], id="a tensor made of shapes alone"),
    pytest.param(reshaped_with_a_copy, 3, [(32, 1, 2), (32, 2, None)], id="a reshape that copies"),
    pytest.param(returned_twice, 1, [(32, 0, None)], id="one tensor returned twice"),
    pytest.param(the_input_is_returned, 1, [(32, 0, 0)], id="the input returned"),
    pytest.param(out_is_given, 3, [(32, 0, 2), (32, 2, None)], id="out= makes no storage"),
]


@pytest.mark.parametrize(("forward", "nodes", "expected"), LIVES)
def test_lives(forward, nodes, expected):
    graph = record(Function(forward), ((2, 4),))
    assert len(graph.nodes) == nodes
    assert lives(graph) == expected


@GRAD
@pytest.mark.parametrize(("forward", "nodes", "expected"), LIVES)
def test_inputs_and_parameters_outlive_the_run(forward, nodes, expected, grad):
    model = Function(forward)
    model.weight, model.mean = nn.Parameter(torch.zeros(5)), nn.Buffer(torch.zeros(3, dtype=torch.float64))
    graph = record(model, ((2, 4),), grad=grad)
    assert sorted((s.nbytes, s.born, s.died) for s in graph.storages if s.born is None) == [
        (20, None, None), (24, None, None), (32, None, None),
    ]  # fmt: skip


@GRAD
@pytest.mark.parametrize(("forward", "nodes", "expected"), LIVES)
def test_outputs_outlive_the_run(forward, nodes, expected, grad):
    graph = record(Function(forward), ((2, 4),), grad=grad)
    assert graph.outputs
    assert {graph.storages[graph.values[v].storage].died for v in graph.outputs} == {None}


def test_a_small_convolutional_network():
    """conv 0, relu 1 in place, pool 2, flatten 3, linear 4, in a Sequential that rebinds one name at each layer."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3))
    graph = record(model, (1, 1, 6, 6))
    assert names(graph) == ["aten.conv2d", "aten.relu_", "aten.max_pool2d", "aten.flatten.using_ints", "aten.linear"]
    # 2·4·4, pooled to 2·2·2, then 3 numbers of 4 bytes
    assert lives(graph) == [(128, 0, 2), (32, 2, 4), (12, 4, None)]
    given = [s.nbytes for s in graph.storages if s.born is None]
    # 2·9 weights and 2 biases, 3·8 and 3, and the image of 36
    assert sorted(given) == sorted([72, 8, 96, 12, 144])


def test_a_skip_connection_holds_its_tensor_until_the_sum():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 4)

        def forward(self, x):
            return x + self.two(self.one(x).relu())

    graph = record(nn.Sequential(nn.ReLU(), Block()), (2, 4))
    # relu 0 gives the block's input; one 1, relu 2, two 3, sum 4: what is held until the sum dies after it
    assert names(graph) == ["aten.relu", "aten.linear", "aten.relu", "aten.linear", "aten.add.Tensor"]
    assert lives(graph) == [(32, 0, 4), (64, 1, 2), (64, 2, 3), (32, 3, 4), (32, 4, None)]


def test_what_a_module_keeps_on_itself_outlives_the_run():
    """A cache that grows, as in generation, is memory that stays allocated."""

    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.cache = []

        def forward(self, x):
            self.cache.append(x.exp())
            return x.sin()

    model = Caching()
    assert lives(record(model, (2, 4))) == [(32, 0, None), (32, 1, None)]
    assert model.cache == []


def test_with_autograd_what_backward_needs_lives_on():
    """exp saves its result, sin its input: both are the one tensor; log saves its input, the same."""
    graph = record(Function(lambda w: w.exp().sin().sum()), (nn.Parameter(torch.zeros(2, 4)),), grad=True)
    assert names(graph)[:1] == ["aten.exp"]
    held = {node.name: graph.storages[graph.values[node.outputs[0]].storage].died for node in graph.nodes}
    no_grad = record(Function(lambda w: w.exp().sin().sum()), ((2, 4),), grad=True)
    freed = {node.name: no_grad.storages[no_grad.values[node.outputs[0]].storage].died for node in no_grad.nodes}
    # an input of the model wants no gradient unless it is asked for: nothing needs to be saved
    assert freed["aten.exp"] == 1
    assert held["aten.sum"] is freed["aten.sum"] is None


def test_with_autograd_the_activations_of_layers_are_saved():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh())
    graph = record(model, (2, 4), grad=True)
    # Tanh saves its result, and so do layers their inputs: two results of 32 bytes that the loss would need.
    # The layers' own results are needed by nobody.
    by_kind = {}
    for node in graph.nodes:
        for value in node.outputs:
            storage = graph.storages[graph.values[value].storage]
            if storage.born is not None and storage.nbytes == 32:
                by_kind.setdefault(node.name, []).append(storage.died)
    assert by_kind["aten.tanh"] == [None, None]
    assert None not in by_kind["aten.addmm"]


def test_tied_and_viewed_parameters_share_their_storage():
    embed, head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
    head.weight = embed.weight
    model = nn.Sequential(embed, head)
    graph = record(model, "3:int64")
    assert [s.nbytes for s in graph.storages if s.born is None] == [160, 24]
    flat = torch.zeros(24)
    views = nn.ParameterList([nn.Parameter(flat[:8].view(2, 4)), nn.Parameter(flat[8:].view(4, 4))])
    holder = Function(lambda x: x)
    holder.views = views
    graph = record(holder, ((2, 4),))
    # the flat block of 96 bytes, and the input
    assert sorted(s.nbytes for s in graph.storages if s.born is None) == [32, 96]


@pytest.mark.parametrize("enabled", [True, False], ids=["with collection on", "with collection off"])
def test_lives_do_not_depend_on_the_garbage_of_others(enabled):
    def litter(x):
        for _ in range(3000):
            a = []
            a.append(a)
        return a_reference_cycle(x)

    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        graph = record(Function(litter), ((2, 4),))
    finally:
        (gc.enable if was else gc.disable)()
    assert lives(graph) == [(32, 0, None), (32, 1, 3), (32, 2, 3), (32, 3, None)]


@GRAD
def test_lives_are_the_same_each_time(grad):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(144, 5), nn.Softmax(-1)
    )
    first = record(model, (2, 3, 8, 8), grad=grad)
    for _ in range(3):
        assert record(model, (2, 3, 8, 8), grad=grad).storages == first.storages


CLEAN = """
import torch
from torch import nn
from cnncost.frontends.torch import memo, record
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1), nn.Linear(4, 4), nn.GroupNorm(2, 4))
print([(s.born, s.died) for s in record(model, (2, 4)).storages if s.born is not None])
"""


@pytest.mark.long
def test_lives_are_seen_in_a_process_of_its_own_as_they_are_here():
    """The first run of an op imports parts of torch; objects that the import creates must not hold tensors."""
    done = subprocess.run(  # our own code
        [sys.executable, "-c", CLEAN], capture_output=True, text=True, check=True, timeout=120
    )
    model = nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1), nn.Linear(4, 4), nn.GroupNorm(2, 4))
    here = [(s.born, s.died) for s in record(model, (2, 4)).storages if s.born is not None]
    assert done.stdout.strip() == str(here)
    assert here[0] == (0, 1)


@GRAD
def test_a_life_of_no_node_before_its_birth(grad):
    """Births and deaths are indices of existing nodes, in order."""
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    graph = record(model, (2, 5, 8), grad=grad)
    last = len(graph.nodes) - 1
    for storage in graph.storages:
        if storage.born is not None:
            assert 0 <= storage.born <= (last if storage.died is None else storage.died) <= last
    readers = {}
    for index, node in enumerate(graph.nodes):
        for value in (*node.inputs, *node.outputs):
            readers[graph.values[value].storage] = index
    for storage in graph.storages:
        if storage.died is not None:
            assert storage.died >= readers[storage.id], "it was read after its death"


def test_an_output_without_elements_has_no_bytes():
    memo.clear()
    layer = nn.Linear(8, 4)
    layer.weight, layer.bias = nn.Parameter(torch.empty(0, 8)), nn.Parameter(torch.empty(0))
    assert lives(record(layer, (2, 8))) == [(0, 0, None)]
