"""Values that depend only on shapes, or that the user gave, can be read; those of activations can't."""

import re
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import grad as grad_of
from torch.func import vmap
from torch.nn import functional as F  # torch's own name for it

import cnncost
from cnncost.errors import DataDependentError
from cnncost.frontends.torch import record

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

GRAD = pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
HERE = Path(__file__).name
Pair = namedtuple("Pair", "left right")  # noqa: PYI024  # it has no types


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def positions(x):
    return torch.arange(x.shape[-1], device=x.device)


def written_behind_a_view(x):
    ones = torch.ones(4)
    view = torch.broadcast_tensors(x, ones)[1]
    ones.fill_(3)
    return view[0, 2].item()


READABLE = [
    # (forward, what it reads): the forward appends what it read to a list
    pytest.param(lambda x: positions(x)[2].item(), 2, id="item of a range"),
    pytest.param(lambda x: int(positions(x).sum()), 6, id="int of a sum"),
    pytest.param(lambda x: float(torch.linspace(0, 1, 5, device=x.device)[1]), 0.25, id="float of a linspace"),
    pytest.param(
        lambda x: torch.linspace(0, 1, 3, device=x.device).tolist(), [0.0, 0.5, 1.0], id="tolist of a linspace"
    ),
    pytest.param(lambda x: positions(x).tolist(), [0, 1, 2, 3], id="tolist of a range on the input's device"),
    pytest.param(lambda x: torch.arange(3).tolist(), [0, 1, 2], id="tolist of a range without a device"),
    pytest.param(lambda x: bool(torch.zeros(3, device=x.device).any()), False, id="bool of zeros"),
    pytest.param(lambda x: bool((x.new_ones(2) > 0).all()), True, id="bool of ones made like the input"),
    pytest.param(lambda x: torch.zeros_like(x).sum().item(), 0.0, id="a sum of zeros like the input"),
    pytest.param(lambda x: (positions(x) * 2 + 1).max().item(), 7, id="arithmetic on a range"),
    pytest.param(
        lambda x: torch.stack([positions(x), positions(x).flip(0)]).sum(0).tolist(),
        [3, 3, 3, 3],
        id="a stack of ranges",
    ),
    pytest.param(lambda x: positions(x).view(2, 2).t()[1].tolist(), [1, 3], id="views of a range"),
    pytest.param(lambda x: positions(x).add_(1).tolist(), [1, 2, 3, 4], id="a range written in place"),
    pytest.param(lambda x: torch.tensor([3, 1, 2]).argmax().item(), 0, id="a literal tensor"),
    pytest.param(lambda x: x.new_tensor([3, 1, 2]).argmax().item(), 0, id="a literal tensor made like the input"),
    pytest.param(lambda x: str(x.new_tensor([3]).dtype), "torch.float32", id="dtype of one made like the input"),
    pytest.param(lambda x: x.new([3, 1, 2]).tolist(), [3.0, 1.0, 2.0], id="a literal tensor made by the legacy method"),
    pytest.param(lambda x: list(x.new(torch.Size([2, 3])).shape), [2, 3], id="the legacy method with a size"),
    pytest.param(
        lambda x: str(torch.tensor([torch.tensor(1.0, dtype=torch.float64)]).dtype),
        "torch.float64",
        id="dtype of a literal of a scalar tensor",
    ),
    pytest.param(
        lambda x: str(torch.tensor([torch.tensor(1.0, dtype=torch.half), 2.0]).dtype),
        "torch.float32",
        id="dtype of a literal of a scalar tensor and a number",
    ),
    pytest.param(
        lambda x: torch.tensor(Pair(torch.tensor(3), 1)).tolist(), [3, 1], id="a literal of a named tuple of tensors"
    ),
    pytest.param(
        lambda x: grad_of(lambda r: (r * r.new_tensor([1.0, 2, 3, 4])).sum())(x)[0].shape[0],
        4,
        id="a literal made like a tensor of grad",
    ),
    pytest.param(
        lambda x: vmap(lambda r: r.new_tensor([3, 1]))(x)[0].tolist(), [3.0, 1.0], id="a literal made like one of vmap"
    ),
    pytest.param(
        lambda x: grad_of(lambda r: (r * torch.tensor([1.0], requires_grad=True)).sum())(x).shape[0],
        2,
        id="a literal that requires a gradient, within grad",
    ),
    pytest.param(
        lambda x: torch.broadcast_tensors(x, positions(x))[1].tolist(),
        [[0, 1, 2, 3]] * 2,
        id="broadcast beside an input",
    ),
    pytest.param(
        lambda x: (torch.ones(4) * torch.broadcast_tensors(x, torch.tensor(2.0))[1]).tolist(),
        [[2.0] * 4] * 2,
        id="a product with a number broadcast beside an input",
    ),
    pytest.param(
        lambda x: torch.broadcast_tensors(x, torch.arange(10)[3:7])[1][1].tolist(),
        [3, 4, 5, 6],
        id="a part of a range, broadcast beside an input",
    ),
    pytest.param(
        lambda x: torch.meshgrid(x[0], torch.arange(2.0), indexing="ij")[1].tolist(),
        [[0.0, 1.0]] * 4,
        id="a grid beside an input",
    ),
    pytest.param(lambda x: torch.atleast_2d(x, positions(x))[1].tolist(), [[0, 1, 2, 3]], id="an axis beside an input"),
    pytest.param(written_behind_a_view, 3.0, id="a broadcast view, written through its base"),
    pytest.param(
        lambda x: torch.tensor([3, 1, 2], device=x.device).tolist(),
        [3, 1, 2],
        id="a literal tensor on the input's device",
    ),
    pytest.param(lambda x: torch.full((2,), 7, device=x.device).tolist(), [7, 7], id="a tensor that is filled"),
    pytest.param(lambda x: torch.eye(2, device=x.device).tolist(), [[1.0, 0.0], [0.0, 1.0]], id="an identity matrix"),
    pytest.param(
        lambda x: torch.tril(torch.ones(2, 2, device=x.device)).tolist(), [[1.0, 0.0], [1.0, 1.0]], id="a causal mask"
    ),
    pytest.param(lambda x: positions(x).nonzero().flatten().tolist(), [1, 2, 3], id="nonzero of a range"),
    pytest.param(lambda x: torch.unique(positions(x) // 2).tolist(), [0, 1], id="unique of a range"),
    pytest.param(lambda x: positions(x)[positions(x) % 2 == 0].tolist(), [0, 2], id="a range under a mask"),
    pytest.param(lambda x: torch.where(positions(x) > 2)[0].tolist(), [3], id="where a range is large"),
    pytest.param(lambda x: torch.equal(positions(x), positions(x)), True, id="equal"),
    pytest.param(lambda x: torch.allclose(torch.ones(2, device=x.device), torch.ones(2)), True, id="allclose"),
    pytest.param(lambda x: positions(x).cpu().numpy().tolist(), [0, 1, 2, 3], id="numpy of a range, by way of the CPU"),
    pytest.param(lambda x: len(positions(x)), 4, id="len"),
    pytest.param(lambda x: [int(i) for i in positions(x)], [0, 1, 2, 3], id="iterating over a range"),
    pytest.param(lambda x: positions(x).float().mean().item(), 1.5, id="a mean"),
    pytest.param(lambda x: torch.bucketize(2, positions(x)).item(), 2, id="a bucket"),
    pytest.param(lambda x: positions(x).to(torch.uint8).sum().item(), 6, id="of another dtype"),
    pytest.param(
        lambda x: torch.empty(2, device=x.device).fill_(3).tolist(),
        [3.0, 3.0],
        id="uninitialised memory that is filled",
    ),
    pytest.param(lambda x: torch.repeat_interleave(positions(x), 2).shape[0], 8, id="a length after repeating"),
    pytest.param(
        lambda x: list(torch.narrow(x, 1, positions(x)[1], 2).shape), [2, 2], id="where a range of an input starts"
    ),
    pytest.param(
        lambda x: [list(t.shape) for t in torch.tensor_split(x, positions(x)[1:2], 1)],
        [[2, 1], [2, 3]],
        id="where an input is split",
    ),
    pytest.param(
        lambda x: list(torch.repeat_interleave(x, positions(x), 1).shape), [2, 6], id="how often columns are repeated"
    ),
]


@GRAD
@pytest.mark.parametrize(("read", "expected"), READABLE)
def test_values_made_from_shapes_alone_are_at_hand(read, expected, grad):
    def forward(x):
        found = read(x)
        assert (found, type(found)) == (expected, type(expected))
        return x * 1

    assert record(Function(forward), (2, 4), grad=grad).nodes[-1].name == "aten.mul.Tensor"


@GRAD
@pytest.mark.parametrize(("read", "expected"), READABLE)
def test_a_real_run_reads_the_same(read, expected, grad):
    with torch.set_grad_enabled(grad):
        assert read(torch.zeros(2, 4)) == expected


GIVEN = [
    # (forward, inputs, output shape): integer and boolean inputs given as tensors keep their values
    pytest.param(
        lambda n: torch.zeros(int(n.max()) + 1, 3),
        (torch.tensor([1, 4, 2]),),
        (5, 3),
        id="a size read from whole numbers",
    ),
    pytest.param(lambda x, n: x[:, : int(n)], ((2, 8), torch.tensor(3)), (2, 3), id="a length as a scalar"),
    pytest.param(
        lambda x, m: x[m], ((3, 4), torch.tensor([True, False, True])), (2, 4), id="a boolean mask over an axis"
    ),
    pytest.param(
        lambda x, m: x[m], ((2, 2), torch.tensor([[True, False], [True, True]])), (3,), id="a boolean mask over all"
    ),
    pytest.param(
        lambda x, m: x.masked_select(m), ((2, 2), torch.tensor([[True, False], [True, True]])), (3,), id="masked_select"
    ),
    pytest.param(lambda x, i: x[i], ((5, 4), torch.tensor([0, 3, 3])), (3, 4), id="rows by index"),
    pytest.param(
        lambda x, i: x[i[i > 0]], ((5, 4), torch.tensor([0, 3, 3])), (2, 4), id="rows by an index that a mask picks"
    ),
    pytest.param(
        lambda x, n: x.repeat_interleave(n, 0),
        ((3, 4), torch.tensor([1, 0, 3])),
        (4, 4),
        id="rows repeated as often as said",
    ),
    pytest.param(
        lambda x, n: x.split(n.tolist()), ((6, 4), torch.tensor([1, 2, 3])), (1, 4), id="parts of given sizes"
    ),
    pytest.param(F.one_hot, (torch.tensor([0, 2, 1]),), (3, 3), id="as many classes as there are"),
    pytest.param(
        lambda x, n: nn.utils.rnn.pack_padded_sequence(x, n, batch_first=True).data,
        ((3, 5, 8), torch.tensor([5, 3, 2])),
        (10, 8),
        id="sequences packed by their lengths: 5 + 3 + 2 steps",
    ),
    pytest.param(
        lambda x, n: nn.utils.rnn.pack_padded_sequence(x, n.cpu(), batch_first=True, enforce_sorted=False).data,
        ((3, 5, 8), torch.tensor([2, 5, 3])),
        (10, 8),
        id="sequences packed in any order",
    ),
    pytest.param(
        lambda x, n: nn.utils.rnn.pad_packed_sequence(
            nn.utils.rnn.pack_padded_sequence(x, n, batch_first=True), batch_first=True
        )[0],
        ((3, 5, 8), torch.tensor([4, 3, 2])),
        (3, 4, 8),
        id="sequences packed and padded again",
    ),
]


@GRAD
@pytest.mark.parametrize(("forward", "inputs", "shape"), GIVEN)
def test_whole_numbers_and_booleans_that_are_given_keep_their_values(forward, inputs, shape, grad):
    graph = record(Function(forward), inputs, grad=grad)
    assert graph.values[graph.outputs[0]].shape == shape


GEOMETRIES = {
    # inputs that lie in memory otherwise than their copies would
    "one row": torch.arange(4).expand(2, 4),
    "one column": torch.arange(1, 3).view(2, 1).expand(2, 4),
    "one number": torch.tensor(3).expand(2, 4),
    "every other": torch.arange(16)[::2].view(2, 4),
    "a column": torch.arange(16).view(4, 4)[:, 1],
    "a part": torch.arange(30).view(5, 6)[1:3, 2:],
    "a part, transposed": torch.arange(30).view(5, 6)[1:, :2].t(),
}


def beside_an_activation(x, given):
    return torch.broadcast_tensors(x, given)[1].flatten()


@GRAD
@pytest.mark.parametrize("place", ["input", "constant"])
@pytest.mark.parametrize("given", GEOMETRIES.values(), ids=GEOMETRIES)
def test_values_are_those_of_the_tensor_wherever_they_lie(given, place, grad):
    expected = beside_an_activation(torch.zeros(3, 2, 4), given).tolist()

    def forward(x, given=given):
        assert [int(n) for n in beside_an_activation(x, given)] == expected
        return x * given

    record(Function(forward), ((3, 2, 4), given) if place == "input" else (3, 2, 4), grad=grad)


def test_an_input_whose_parts_are_too_far_apart_to_copy_stands_beside_an_activation():
    """Its values there are unknown, as long as nothing reads them."""
    given = torch.arange(1 << 20)[:: 1 << 18]
    assert record(Function(lambda x, n: x * beside_an_activation(x, n).view(2, 4)), ((2, 4), given)).nodes
    with pytest.raises(DataDependentError):
        record(Function(lambda x, n: x * int(beside_an_activation(x, n)[1])), ((2, 4), given))


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, batch_first=True)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]


@GRAD
def test_a_packed_recurrent_layer_counts_the_steps_that_there_are(grad):
    totals = cnncost.analyze(record(Packed(), ((3, 5, 8), torch.tensor([5, 3, 2])), grad=grad)).totals
    # 5 + 3 + 2 steps of four gates of 16, each of 8 inputs and 16 states
    assert totals.macs == 10 * 4 * 16 * (8 + 16)


def test_values_that_were_given_do_not_make_graphs_of_other_values():
    """The same shapes with other values: nothing of the first may be remembered."""
    model = Function(lambda x, m: x[m])
    for mask, rows in (
        ([True, True, True], 3),
        ([True, False, False], 1),
        ([False, False, False], 0),
        ([False, True, True], 2),
    ):
        graph = record(model, ((3, 4), torch.tensor(mask)))
        assert graph.values[graph.outputs[0]].shape == (rows, 4)


BUFFER_READERS = [
    pytest.param(lambda: nn.BatchNorm2d(4, momentum=None), id="a batch norm that averages over all batches"),
    pytest.param(lambda: nn.BatchNorm2d(4).train(), id="a batch norm in train mode"),
]


@GRAD
@pytest.mark.parametrize("make", BUFFER_READERS)
def test_counters_in_buffers_are_read(make, grad):
    # scale and shift of 2·4·3·3 numbers
    assert cnncost.analyze(record(make(), (2, 4, 3, 3), grad=grad)).totals.flops == 2 * 72


class Counting(nn.Module):
    """Takes another path each time that it has run."""

    def __init__(self, start):
        super().__init__()
        self.register_buffer("count", torch.tensor(start))
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        self.count += 1
        for _ in range(int(self.count)):
            x = self.fc(x)
        return x


@GRAD
@pytest.mark.parametrize("start", [0, 3])
def test_a_buffer_that_forward_counts_in_has_its_new_value_in_forward_alone(start, grad):
    model = Counting(start)
    for _ in range(2):
        graph = record(model, (2, 4), grad=grad)
        assert graph.scopes[1].calls == start + 1
    assert model.count.item() == start


UNKNOWN = [
    # what forward does with an activation (2, 4)
    pytest.param(lambda x: x.sum().item(), id="item"),
    pytest.param(lambda x: float(x.sum()), id="float"),
    pytest.param(lambda x: int(x[0, 0]), id="int"),
    pytest.param(lambda x: range(x[0, 0].long()), id="range"),
    pytest.param(lambda x: x if x.sum() > 0 else -x, id="if"),
    pytest.param(lambda x: x if (x > 0).any() else -x, id="if any"),
    pytest.param(lambda x: x.tolist(), id="tolist"),
    pytest.param(lambda x: x[1:, 2:].tolist(), id="tolist of a part, which begins elsewhere in memory"),
    pytest.param(lambda x: x.numpy() if not x.requires_grad else x.detach().numpy(), id="numpy"),
    pytest.param(lambda x: x.cpu().detach().numpy(), id="numpy by way of the CPU"),
    pytest.param(lambda x: x.nonzero(), id="nonzero"),
    pytest.param(lambda x: x[x > 0], id="a mask"),
    pytest.param(lambda x: x.masked_select(x > 0), id="masked_select"),
    pytest.param(lambda x: torch.where(x > 0), id="where with one argument"),
    pytest.param(lambda x: torch.unique(x, dim=0), id="unique"),
    pytest.param(lambda x: torch.equal(x, x + 1), id="equal"),
    pytest.param(lambda x: torch.allclose(x, x + 1), id="allclose"),
    pytest.param(lambda x: x.argmax(-1).bincount(), id="bincount"),
    pytest.param(lambda x: x.repeat_interleave(x[:, 0].long(), 0), id="repeated as often as an activation says"),
    pytest.param(lambda x: F.one_hot(x.argmax(-1)), id="as many classes as an activation says"),
    pytest.param(lambda x: max(x.flatten()), id="Python's max"),
    pytest.param(lambda x: x[: x.shape[0] if x[0, 0] else 1], id="a size that an activation decides"),
    pytest.param(lambda x: torch.zeros(x.sum().long().item()), id="a shape that an activation gives"),
]


@GRAD
@pytest.mark.parametrize("read", UNKNOWN)
def test_reading_an_activation_names_the_place_and_what_to_do(read, grad):
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), Function(lambda x: read(x * 2))))
    with pytest.raises(DataDependentError) as error:
        record(model, (2, 4), grad=grad)
    message = str(error.value)
    line = read.__code__.co_firstlineno
    assert message.startswith(f"1.1 (Function) at {HERE}:{line}: forward reads the values of a tensor")
    assert error.value.path == "1.1"
    assert re.search(r"give the tensor .* in `inputs`, or make it a constant", message)
    assert "\n" not in message


@GRAD
def test_reading_a_weight_is_refused(grad):
    """Also when the model has weights: the analysis must not depend on them."""

    class ReadsWeight(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return x * self.fc.weight.max().item()

    with pytest.raises(DataDependentError, match="the model \\(ReadsWeight\\) at "):
        record(ReadsWeight(), (2, 4), grad=grad)


def test_reading_whole_numbers_of_which_only_the_shape_was_given_is_refused():
    with pytest.raises(DataDependentError, match="give the tensor that is read as an integer tensor with its values"):
        record(Function(lambda n: torch.zeros(int(n.max()))), "3:int64")


CHECKED = [
    # of 8 numbers each an exponential, a product with noise and a sum
    pytest.param(lambda x: torch.distributions.Normal(x, x.exp()).rsample(), 24, (2, 4), id="a sample of a normal"),
    pytest.param(lambda x: torch.distributions.Categorical(logits=x).entropy(), None, (2,), id="an entropy of classes"),
    # a product with noise and a sum: the scale, 1, is a number
    pytest.param(lambda x: torch.distributions.Normal(x, 1.0).rsample(), 16, (2, 4), id="of a scale that is a number"),
    pytest.param(
        lambda x: torch.distributions.TransformedDistribution(
            torch.distributions.Normal(x, 1.0), [torch.distributions.TanhTransform()]
        ).rsample(),
        24,
        (2, 4),
        id="a squashed normal",
    ),
    pytest.param(lambda x: torch.distributions.Gamma(x.exp(), 1.0).rsample(), None, (2, 4), id="a gamma"),
    pytest.param(lambda x: torch.distributions.Beta(x.exp(), x.exp()).rsample(), None, (2, 4), id="a beta"),
    pytest.param(lambda x: torch.distributions.Dirichlet(x.exp()).rsample(), None, (2, 4), id="a Dirichlet"),
    pytest.param(lambda x: F.gaussian_nll_loss(x, x, x.exp()), None, (), id="a likelihood's variance"),
    pytest.param(lambda x: nn.GaussianNLLLoss(full=True)(x, x, x[:, :1].exp()), None, (), id="a variance a row"),
]


@pytest.fixture
def checking():
    """Torch's own default, which its compiler turns off for good when it is first used."""
    distribution = torch.distributions.Distribution
    before = distribution._validate_args
    distribution.set_default_validate_args(True)
    yield
    distribution.set_default_validate_args(before)


@GRAD
@pytest.mark.usefixtures("checking")
@pytest.mark.parametrize(("forward", "flops", "shape"), CHECKED)
def test_parameters_are_not_checked_while_they_are_analyzed(forward, flops, shape, grad):
    """Checks of distributions, and of a likelihood's variance, decide no shape."""
    graph = record(Function(forward), (2, 4), grad=grad)
    assert graph.values[graph.outputs[0]].shape == shape
    assert flops is None or cnncost.analyze(graph).totals.flops == flops
    with pytest.raises(ValueError, match="to satisfy the constraint"):
        torch.distributions.Normal(torch.zeros(2), -torch.ones(2))
    with pytest.raises(ValueError, match="negative"):
        F.gaussian_nll_loss(torch.zeros(2), torch.zeros(2), -torch.ones(2))


def test_a_check_of_ones_own_is_a_read():
    with pytest.raises(DataDependentError):
        record(Function(lambda x: x if torch.any(x < 0) else F.gaussian_nll_loss(x, x, x.exp())), (2, 4))


def test_a_distribution_that_is_told_not_to_check_is_counted():
    forward = Function(lambda x: torch.distributions.Normal(x, x.exp(), validate_args=False).rsample())
    graph = record(forward, (2, 4))
    assert graph.values[graph.outputs[0]].shape == (2, 4)
    # of 8 numbers each: an exponential, a product with noise, a sum
    assert cnncost.analyze(graph).totals.flops == 24


LARGE = 1 << 20


@GRAD
def test_large_tensors_made_from_shapes_have_shapes_only(grad):
    """Their values would take as long as a real run."""
    graph = record(Function(lambda x: torch.arange(LARGE, device=x.device).float() * 2), (2, 4), grad=grad)
    assert graph.values[graph.outputs[0]].shape == (LARGE,)
    graph = record(Function(lambda x: torch.arange(2000)[:, None] * torch.arange(2000) + x[0, 0]), (2, 4), grad=grad)
    assert graph.values[graph.outputs[0]].shape == (2000, 2000)
    with pytest.raises(DataDependentError):
        record(Function(lambda x: x[:, : int(torch.arange(LARGE, device=x.device)[2])]), (2, 4), grad=grad)


@GRAD
def test_a_relative_position_index_as_vision_transformers_make_it(grad):
    class Bias(nn.Module):
        def __init__(self, size=3):
            super().__init__()
            self.table = nn.Parameter(torch.zeros((2 * size - 1) ** 2, 2))
            rows = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
            offsets = (rows[:, :, None] - rows[:, None] + size - 1).permute(1, 2, 0)
            self.register_buffer("index", (offsets * torch.tensor([2 * size - 1, 1])).sum(-1))

        def forward(self, scores):
            return scores + self.table[self.index.view(-1)].view(9, 9, 2).permute(2, 0, 1)

    totals = cnncost.analyze(record(Bias(), (1, 2, 9, 9), grad=grad)).totals
    # a lookup is free; an addition for each of the 2·9·9 scores
    assert (totals.flops, totals.params, totals.buffers) == (162, 50, 81)
