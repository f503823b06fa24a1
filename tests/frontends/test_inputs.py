"""Which inputs are accepted, and the messages for those that are not."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import InputError
from cnncost.frontends.torch import record

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args, **kwargs):
        return self.function(*args, **kwargs)


class Pair(NamedTuple):
    left: object
    right: object


def types(graph):
    return [(graph.values[v].shape, graph.values[v].dtype) for v in graph.inputs]


F32, I64 = "float32", "int64"
TWICE = torch.zeros(2)

GIVEN = [
    # (forward, inputs, shapes and dtypes of all input tensors in order)
    pytest.param(lambda x: x, (2, 3), [((2, 3), F32)], id="a tuple of sizes"),
    pytest.param(lambda x: x, [2, 3], [((2, 3), F32)], id="a list of sizes"),
    pytest.param(lambda x: x, torch.Size([2, 3]), [((2, 3), F32)], id="a torch.Size"),
    pytest.param(lambda x: x, (5,), [((5,), F32)], id="one size"),
    pytest.param(lambda x: x, torch.Size([]), [((), F32)], id="a scalar's torch.Size"),
    pytest.param(lambda x: x, "2x3", [((2, 3), F32)], id="text"),
    pytest.param(lambda x: x, "2x3:int64", [((2, 3), I64)], id="text with a dtype"),
    pytest.param(lambda x: x, "2×3: bool", [((2, 3), "bool")], id="text with a multiplication sign"),
    pytest.param(lambda x: x, torch.zeros(2, 3), [((2, 3), F32)], id="a tensor"),
    pytest.param(lambda x: x, torch.zeros(2, 3, device="meta"), [((2, 3), F32)], id="a tensor without data"),
    pytest.param(lambda x: x, torch.zeros(()), [((), F32)], id="a scalar tensor"),
    pytest.param(
        lambda x: x, torch.zeros(2, 3, dtype=torch.float64), [((2, 3), "float64")], id="a tensor of another dtype"
    ),
    pytest.param(
        lambda x: x, torch.zeros(2, 3, requires_grad=True), [((2, 3), F32)], id="a tensor that wants a gradient"
    ),
    pytest.param(lambda x: x, torch.zeros(2, 6)[:, ::2], [((2, 3), F32)], id="a view with gaps"),
    pytest.param(lambda x: x, torch.zeros(2, 0, 3), [((2, 0, 3), F32)], id="an empty tensor"),
    pytest.param(lambda x: x, nn.Parameter(torch.zeros(2)), [((2,), F32)], id="a parameter of something else"),
    pytest.param(lambda a, b: (a, b), ((2, 3), "4:int64"), [((2, 3), F32), ((4,), I64)], id="two inputs"),
    pytest.param(lambda a, b: (a, b), [(2, 3), (4, 5)], [((2, 3), F32), ((4, 5), F32)], id="two inputs in a list"),
    pytest.param(lambda a, b: (a, b), (torch.zeros(2), "3"), [((2,), F32), ((3,), F32)], id="a tensor and a shape"),
    pytest.param(lambda a, b: (a, b), (TWICE, TWICE), [((2,), F32)], id="one tensor twice"),
    pytest.param(
        lambda a, scale, name: (a, [scale, name]),
        ((2, 3), 0.5, "bilinear"),
        [((2, 3), F32)],
        id="numbers and text beside a shape",
    ),
    pytest.param(lambda a, mask=None: a, ((2, 3), None), [((2, 3), F32)], id="None beside a shape"),
    pytest.param(lambda a, flag: a, ((2, 3), True), [((2, 3), F32)], id="a flag beside a shape"),
    pytest.param(
        lambda x, y: (x, y),
        {"y": (4,), "x": (2, 3)},
        [((4,), F32), ((2, 3), F32)],
        id="keyword arguments, in the order given",
    ),
    pytest.param(
        lambda x, scale=1, mode="a": x,
        {"x": "2x3", "scale": 2, "mode": "nearest"},
        [((2, 3), F32)],
        id="keyword arguments of other kinds",
    ),
    pytest.param(
        lambda batch: batch["image"],
        ({"image": (1, 3, 4, 4), "size": [(2,), (3,)]},),
        [((1, 3, 4, 4), F32), ((2,), F32), ((3,), F32)],
        id="a dictionary as the one argument",
    ),
    pytest.param(
        lambda batch: batch["a"],
        {"batch": {"a": (2,), "b": ["3:int64"]}},
        [((2,), F32), ((3,), I64)],
        id="a dictionary as a keyword argument",
    ),
    pytest.param(lambda batch: batch["a"], (OrderedDict(a=(2,)),), [((2,), F32)], id="an ordered dictionary"),
    pytest.param(
        lambda images: images,
        ([(3, 4, 4), (3, 5, 5)],),
        [((3, 4, 4), F32), ((3, 5, 5), F32)],
        id="a list of images of different sizes",
    ),
    pytest.param(
        lambda pair: pair.left @ pair.right, (Pair((2, 3), "3x4"),), [((2, 3), F32), ((3, 4), F32)], id="a named tuple"
    ),
    pytest.param(
        lambda pair: pair.a,
        (namedtuple("P", "a b")(torch.zeros(2), None),),  # noqa: PYI024  # the other kind is tested above
        [((2,), F32)],
        id="a named tuple of collections",
    ),
    pytest.param(
        lambda nest: nest[0][1]["x"][0],
        (([1, {"x": ((2, 3), "4")}],),),
        [((2, 3), F32), ((4,), F32)],
        id="nested several times",
    ),
    pytest.param(lambda: torch.zeros(2), (), [], id="no inputs at all"),
    pytest.param(lambda: torch.zeros(2), {}, [], id="no keyword arguments at all"),
]


@pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
@pytest.mark.parametrize(("forward", "inputs", "expected"), GIVEN)
def test_inputs_reach_forward_as_it_takes_them(forward, inputs, expected, grad):
    graph = record(Function(forward), inputs, grad=grad)
    assert types(graph) == expected
    assert {graph.values[v].role for v in graph.inputs} <= {"input"}
    assert len(set(graph.inputs)) == len(expected)


MARKER = object()


def expects(*args, **kwargs):
    assert args[1:4] == (1.5, "text", None)
    assert args[4][:2] == [3, "x"]
    assert args[4][2] is MARKER
    assert kwargs == {}


def expects_by_name(**kwargs):
    assert kwargs["k"] is MARKER


def test_what_forward_is_given_besides_tensors_is_what_was_given():
    record(Function(expects), ((2,), 1.5, "text", None, [3, "x", MARKER]))
    record(Function(expects_by_name), {"x": (2,), "k": MARKER})
    with pytest.raises(cnncost.CnncostError, match="AssertionError"):
        record(Function(expects_by_name), {"x": (2,), "k": object})


@dataclass
class Batch:
    image: object
    size: int


def test_an_object_with_tensors_in_it_is_copied_and_its_tensors_are_inputs():
    batch = Batch(torch.zeros(2, 3), 4)
    image = batch.image
    graph = record(Function(lambda b: setattr(b, "image", b.image * b.size)), (batch,))
    assert (graph.inputs, [node.name for node in graph.nodes]) == ((0,), ["aten.mul.Tensor"])
    assert graph.values[graph.nodes[0].inputs[0]].role == "input"
    assert batch.image is image


DTYPES = [
    pytest.param(lambda: nn.Linear(3, 4), F32, id="single precision"),
    pytest.param(lambda: nn.Linear(3, 4).half(), "float16", id="half precision"),
    pytest.param(lambda: nn.Sequential(nn.Embedding(3, 3), nn.Linear(3, 4)).double(), "float64", id="double precision"),
    pytest.param(nn.Identity, F32, id="no parameters"),
]


@pytest.mark.parametrize(("model", "dtype"), DTYPES)
def test_a_shape_without_a_dtype_has_that_of_the_parameters(model, dtype):
    holder = Function(lambda x: x)
    holder.inner = model()
    assert types(record(holder, (2, 3))) == [((2, 3), dtype)]


def test_a_shape_without_a_dtype_has_the_default_dtype_when_there_are_no_parameters():
    torch.set_default_dtype(torch.float64)
    try:
        assert types(record(nn.Identity(), (2, 3))) == [((2, 3), "float64")]
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_strides_of_a_given_tensor_are_kept(capsys):
    image = torch.zeros(1, 3, 4, 5).to(memory_format=torch.channels_last)
    record(Function(lambda x: print(x.stride())), image)  # noqa: T201  # what forward sees it can only say
    assert capsys.readouterr().out == f"{image.stride()}\n" == "(60, 1, 15, 3)\n"


@pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
def test_a_given_tensor_is_not_touched(grad):
    given, numbers = torch.zeros(2, 3), torch.arange(3)
    record(Function(lambda x, n: x.add_(1) * n.mul_(2)), (given, numbers), grad=grad)
    assert (given.sum().item(), given._version, numbers.tolist(), numbers._version) == (0.0, 0, [0, 1, 2], 0)


REFUSED = [
    # (inputs, words of the message)
    pytest.param(None, "expected shapes or tensors, got None", id="nothing"),
    pytest.param(3, "got int", id="a number"),
    pytest.param(2.5, "got float", id="a fraction"),
    pytest.param(object(), "got object", id="an object"),
    pytest.param({1, 2}, "got set", id="a set"),
    pytest.param(b"1x3", "got bytes", id="bytes"),
    pytest.param("", "expected a shape such as 1x3x224x224", id="empty text"),
    pytest.param("1x3xa", "expected a shape such as 1x3x224x224", id="a letter for a size"),
    pytest.param("lenet5", "expected a shape such as 1x3x224x224", id="a word"),
    pytest.param("1x3x8.5", "expected a shape such as 1x3x224x224", id="a fraction for a size"),
    pytest.param(
        "1x3:float23", "'float23' is not a dtype of torch; expected one such as float32", id="an unknown dtype"
    ),
    pytest.param("1x3:nn", "'nn' is not a dtype of torch", id="a name of torch that is not a dtype"),
    pytest.param((1, 3, 0, 8), "expected sizes of 1 or more, got 0 on axis 2 of (1, 3, 0, 8)", id="a size of zero"),
    pytest.param((1, 3, -8, 8), "expected sizes of 1 or more, got -8 on axis 2", id="a negative size"),
    pytest.param("1x0", "expected sizes of 1 or more, got 0 on axis 1", id="a size of zero in text"),
    pytest.param("-1x3", "expected sizes of 1 or more, got -1 on axis 0", id="a negative size in text"),
    pytest.param(
        ((2, 3), (4, 0)),
        "inputs[1]: expected sizes of 1 or more, got 0 on axis 1",
        id="a size of zero in the second input",
    ),
    pytest.param({"x": (2, 0)}, "x: expected sizes of 1 or more, got 0 on axis 1", id="a size of zero by name"),
    pytest.param(({"a": [(2, 0)]},), "inputs[0]['a'][0]: expected sizes of 1 or more", id="a size of zero deep inside"),
    pytest.param({"x": "2x3:int99"}, "x: 'int99' is not a dtype of torch", id="an unknown dtype by name"),
    pytest.param((1.0, 3, 8, 8), "1.0", id="a fraction among sizes"),
]


@pytest.mark.parametrize(("inputs", "words"), REFUSED)
def test_what_is_no_input_is_refused(inputs, words):
    with pytest.raises(InputError) as error:
        record(nn.Linear(3, 4), inputs)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


UNFIT = [
    # forward's own signature is the one to fit
    pytest.param(((2, 3), (2, 3)), "takes 2 positional arguments but 3 were given", id="one too many"),
    pytest.param((), "missing 1 required positional argument: 'x'", id="none"),
    pytest.param({"y": (2, 3)}, "unexpected keyword argument 'y'", id="another name"),
    pytest.param({}, "missing 1 required positional argument: 'x'", id="no names"),
]


class Net(nn.Module):
    def forward(self, x):
        return x * 2


@pytest.mark.parametrize("nested", [False, True], ids=["given to analyze", "given to record"])
@pytest.mark.parametrize(("inputs", "words"), UNFIT)
def test_inputs_that_do_not_fit_forward(inputs, words, nested):
    with pytest.raises(InputError) as error:
        (record if nested else cnncost.analyze)(Net(), inputs)
    message = str(error.value)
    assert "the model (Net): the inputs don't fit its forward" in message
    assert words in message


def test_a_model_whose_own_code_calls_a_layer_wrongly_is_not_blamed_on_the_inputs():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x):
            return self.fc(x, x)

    with pytest.raises(cnncost.CnncostError) as error:
        record(Wrong(), (2, 3))
    assert not isinstance(error.value, InputError)
    assert "fc (Linear)" in str(error.value)
    assert "takes 2 positional arguments but 3 were given" in str(error.value)


def test_the_report_says_what_went_in():
    report = cnncost.analyze(Function(lambda a, b: a), ("4x3", "7:int64"))
    assert (report.inputs, report.batch) == ((((4, 3), "float32"), ((7,), "int64")), 4)
    assert cnncost.analyze(Function(lambda a: a), torch.zeros(())).batch is None
    assert cnncost.analyze(Function(lambda: torch.zeros(2)), ()).batch is None


def test_a_packed_sequence_is_one_input():
    packed = nn.utils.rnn.pack_padded_sequence(torch.zeros(3, 5, 8), torch.tensor([5, 3, 2]), batch_first=True)
    for inputs in (packed, (packed,), {"input": packed}):
        # 10 steps of four gates of 4, each of 8 inputs and 4 states
        assert cnncost.analyze(nn.LSTM(8, 4), inputs).totals.macs == 10 * 16 * 12


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("trace", ["static", "real"])
def test_a_quantized_tensor_is_refused_with_what_to_do(trace):
    x = torch.quantize_per_tensor(torch.randn(2, 8), 0.1, 0, torch.qint8)
    with pytest.raises(cnncost.CnncostError, match="dequantized"):
        cnncost.analyze(nn.Linear(8, 8), x, trace=trace)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_a_nested_tensor_is_refused():
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    for inputs in (nested, (nested,), {"x": nested}):
        with pytest.raises(cnncost.CnncostError, match="nested"):
            record(Net(), inputs)
