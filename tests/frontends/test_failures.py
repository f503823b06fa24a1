"""Messages when a model can't be analyzed: where, what was expected, what came, what to do, in one line."""

import contextlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # torch's own name for it

import cnncost
from cnncost.errors import CnncostError, DataDependentError, ForwardError, InputError, SourceError

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

HERE = Path(__file__).name
X = (1, 3, 8, 8)


class Function(nn.Module):
    def __init__(self, function, **children):
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args):
        return self.function(self, *args)


def refused(kind, model, *inputs, **options):
    """The message of the error that an analysis ends with."""
    with pytest.raises(CnncostError) as error:
        cnncost.analyze(model, *inputs, **options)
    assert type(error.value) is kind
    message = str(error.value)
    assert "\n" not in message
    return message


NO_MODELS = [
    pytest.param(
        {"weight": torch.zeros(2)},
        "a dict of 1 items; a state dict has no forward: build the model and load it",
        id="a dictionary",
    ),
    pytest.param(nn.Linear(2, 3).state_dict(), "a dict of 2 items; a state dict has no forward", id="a state dict"),
    pytest.param(nn.Linear, "the class Linear; create an instance of it: Linear(...)", id="a class"),
    pytest.param(F.relu, "expected a torch.nn.Module, got function", id="a function"),
    pytest.param(len, "expected a torch.nn.Module, got builtin_function_or_method", id="a function of Python"),
    pytest.param(3, "expected a torch.nn.Module, got int: '3'", id="a number"),
    pytest.param(None, "expected a torch.nn.Module, got NoneType", id="nothing"),
    pytest.param([nn.Linear(2, 3)], "expected a torch.nn.Module, got list", id="a list of modules"),
    pytest.param(torch.zeros(2), "expected a torch.nn.Module, got Tensor", id="a tensor"),
    pytest.param(b"net.py", "expected a torch.nn.Module, got bytes", id="bytes"),
    pytest.param(
        type("Pipeline", (), {"__module__": "transformers.pipelines.base", "model": X, "__call__": lambda self: X})(),
        "got Pipeline, which takes texts, images or audio; give its .model",
        id="Transformers' pipeline",
    ),
    pytest.param(
        type("Net", (), {"forward": lambda self, x: x})(),
        "expected a torch.nn.Module, got Net",
        id="an object with a forward",
    ),
]


@pytest.mark.parametrize(("model", "words"), NO_MODELS)
def test_what_is_no_module_is_refused(model, words):
    assert words in refused(InputError, model, X)


def test_arguments_for_a_model_that_is_built_are_refused():
    message = refused(InputError, nn.Linear(2, 3), (1, 2), model_args={"width": 3})
    assert "model_args: expected a specification such as 'net.py:Net' to build, got a built model" in message


# ---- shapes and dtypes that don't fit


def block(*layers):
    """A model with the layers at blocks.0.1 and on."""
    return nn.Sequential(
        nn.Identity(), nn.ModuleDict({"blocks": nn.Sequential(nn.Sequential(nn.Identity(), *layers))})["blocks"]
    )


MISFITS = [
    # (layer, input, what it says it expected, what it says it got)
    pytest.param(nn.Conv2d(3, 4, 3), "1x5x8x8", "3 channels on axis 1", "1x5x8x8", id="a convolution, channels"),
    pytest.param(
        nn.Conv2d(4, 4, 3, groups=2), "1x2x8x8", "4 channels on axis 1", "1x2x8x8", id="a grouped convolution, channels"
    ),
    pytest.param(
        nn.Conv1d(3, 4, 3), "1x5x8", "3 channels on axis 1", "1x5x8", id="a convolution over one axis, channels"
    ),
    pytest.param(
        nn.Conv3d(3, 4, 3),
        "1x5x8x8x8",
        "3 channels on axis 1",
        "1x5x8x8x8",
        id="a convolution over three axes, channels",
    ),
    pytest.param(
        nn.ConvTranspose2d(5, 3, 3),
        "1x3x8x8",
        "5 channels on axis 1",
        "1x3x8x8",
        id="a transposed convolution, channels",
    ),
    pytest.param(
        nn.ConvTranspose1d(4, 4, 3, groups=2),
        "1x2x8",
        "4 channels on axis 1",
        "1x2x8",
        id="a grouped transposed convolution, channels",
    ),
    pytest.param(
        nn.Conv2d(3, 4, 3),
        "8x8",
        "an input of 4 axes (batch, 3 channels, 2 spatial axes)",
        "8x8",
        id="a convolution, axes",
    ),
    pytest.param(nn.Conv2d(3, 4, 3), "1x2x3x8x8", "an input of 4 axes", "1x2x3x8x8", id="a convolution, too many axes"),
    pytest.param(nn.Conv2d(3, 4, 9), "1x3x8x8", "9x9", "1x3x8x8", id="a convolution, larger than its input"),
    pytest.param(nn.Linear(4, 3), "2x5", "4 features on the last axis", "2x5", id="a linear layer, features"),
    pytest.param(nn.BatchNorm2d(4), "2x3x8x8", "4 channels on axis 1", "2x3x8x8", id="a batch norm, channels"),
    pytest.param(nn.GroupNorm(2, 4), "2x6x8x8", "4 channels on axis 1", "2x6x8x8", id="a group norm, channels"),
    pytest.param(nn.LayerNorm(4), "2x5", "last axes of (4,)", "2x5", id="a layer norm, features"),
    pytest.param(nn.LSTM(4, 3), "2x3x5", "4 features on the last axis", "2x3x5", id="a recurrent layer, features"),
    pytest.param(
        nn.Embedding(4, 3), "2x5", "integer indices (for example ids=1x128:int64)", "2x5", id="an embedding, fractions"
    ),
    pytest.param(
        nn.Conv2d(3, 4, 3),
        "1x3x8x8:int64",
        "float32, the dtype of its weight",
        "1x3x8x8:int64",
        id="a convolution, whole numbers",
    ),
    pytest.param(
        nn.Conv2d(3, 4, 3),
        "1x3x8x8:float16",
        "float32, the dtype of its weight",
        "1x3x8x8:float16",
        id="a convolution, half precision",
    ),
    pytest.param(
        nn.ConvTranspose2d(3, 4, 3),
        "1x3x8x8:float16",
        "float32, the dtype of its weight",
        "1x3x8x8:float16",
        id="a transposed convolution, half precision",
    ),
    pytest.param(
        nn.Linear(4, 3),
        "2x4:float64",
        "float32, the dtype of its weight",
        "2x4:float64",
        id="a linear layer, double precision",
    ),
    pytest.param(
        nn.Linear(4, 3),
        "2x4:int64",
        "float32, the dtype of its weight",
        "2x4:int64",
        id="a linear layer, whole numbers",
    ),
    pytest.param(
        nn.Linear(4, 3).half(),
        "2x4:float32",
        "float16, the dtype of its weight",
        "2x4",
        id="a linear layer of half precision, single",
    ),
    pytest.param(nn.LSTM(4, 3), "2x3x4:float64", "", "2x3x4:float64", id="a recurrent layer, double precision"),
    pytest.param(
        nn.MaxPool2d(9), "1x3x8x8", "Output size is too small", "1x3x8x8", id="a pooling, larger than its input"
    ),
    pytest.param(nn.Bilinear(4, 3, 2), None, "size", "2x3", id="a bilinear layer, features"),
    pytest.param(nn.PixelShuffle(2), "1x3x4x4", "pixel_shuffle", "1x3x4x4", id="a pixel shuffle, channels"),
    pytest.param(nn.Unflatten(1, (2, 3)), "2x5", "", "2x5", id="an unflatten, size"),
    pytest.param(nn.Softmax(3), "2x5", "imension out of range", "2x5", id="a softmax over an axis that is not there"),
    pytest.param(nn.TransformerEncoderLayer(8, 2, 16), "2x3x6", "", "2x3x6", id="a transformer layer, features"),
    pytest.param(nn.MultiheadAttention(6, 2), None, "6", "2x3x4", id="attention, features"),
]


@pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
@pytest.mark.parametrize(("layer", "text", "expected", "got"), MISFITS)
def test_a_misfit_names_the_layer_what_it_takes_and_what_it_got(layer, text, expected, got, grad):
    if text is None:  # two or three equal inputs
        shape = tuple(map(int, got.split("x")))
        layer = layer.train()
        times = 3 if isinstance(layer, nn.MultiheadAttention) else 2
        model = nn.Sequential(nn.Identity(), Function(lambda self, x: self.inner(*[x] * times), inner=layer))
        path, inputs = "1.inner", shape
    else:
        model, path, inputs = block(layer), "1.0.1", text
    with pytest.raises(ForwardError) as error:
        cnncost.record(model, inputs, grad=grad)
    message = str(error.value)
    # the layer, or a part of it that the mismatch shows in
    assert message.startswith(path)
    assert error.value.path.startswith(path)
    assert expected in message
    assert f"got {got}" in message
    assert "\n" not in message


def unpack_in_three(x):
    first, _, _ = x.unbind(0)
    return first


REAL_ERRORS = [
    # functions of x (2, 3), or of the shape given, that torch refuses
    pytest.param(lambda x: x @ x, (2, 3), id="a product of matrices that don't fit"),
    pytest.param(lambda x: torch.bmm(x, x), (2, 3, 4), id="a product of batches that don't fit"),
    pytest.param(lambda x: x @ x.double().t(), (2, 3), id="a product of two dtypes"),
    pytest.param(lambda x: torch.addmm(x, x[:, :2], x.double()), (2, 3), id="a sum with a product of two dtypes"),
    pytest.param(lambda x: torch.einsum("ij,jk->ik", x, x), (2, 3), id="an einsum that doesn't fit"),
    pytest.param(lambda x: torch.cat([x, x[:, :1]]), (2, 3), id="a concatenation that doesn't fit"),
    pytest.param(lambda x: torch.stack([x, x[:, :1]]), (2, 3), id="a stack that doesn't fit"),
    pytest.param(lambda x: x + x[:, :2], (2, 3), id="a sum that doesn't broadcast"),
    pytest.param(lambda x: torch.where(x > 0, x, x[:, :2]), (2, 3), id="a where that doesn't broadcast"),
    pytest.param(lambda x: x.clone()[:, :1].add_(x), (2, 3), id="a sum in place that would have to grow"),
    pytest.param(lambda x: x.view(7), (2, 3), id="a view of another size"),
    pytest.param(lambda x: x.t().view(6), (2, 3), id="a view that would have to copy"),
    pytest.param(lambda x: x.reshape(4, -1), (2, 3), id="a reshape of another size"),
    pytest.param(lambda x: x.permute(0, 2), (2, 3), id="a permutation of an axis that is not there"),
    pytest.param(lambda x: x[5], (2, 3), id="an index out of range"),
    pytest.param(lambda x: x.split([1, 1], 1), (2, 3), id="parts that don't add up"),
    pytest.param(unpack_in_three, (2, 3), id="too few parts to unpack"),
    pytest.param(lambda x: x.softmax(2), (2, 3), id="a softmax over an axis that is not there"),
    pytest.param(lambda x: x.sum(4), (2, 3), id="a sum over an axis that is not there"),
    pytest.param(lambda x: x.mean((0, 0)), (2, 3), id="a mean over one axis twice"),
    pytest.param(lambda x: x.long().mean(), (2, 3), id="a mean of whole numbers"),
    pytest.param(
        lambda x: F.scaled_dot_product_attention(x, x[..., :2], x),
        (1, 2, 3, 4),
        id="attention of queries and keys that don't fit",
    ),
    pytest.param(
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=torch.zeros(2, 2)),
        (1, 2, 3, 4),
        id="attention with a mask that doesn't fit",
    ),
    pytest.param(
        lambda x: F.conv2d(x, torch.zeros(4, 3, 3, 3), torch.zeros(5)),
        X,
        id="a convolution with a bias that doesn't fit",
    ),
    pytest.param(
        lambda x: F.conv2d(x, torch.zeros(4, 3, 3, 3), padding=-1), X, id="a convolution with negative padding"
    ),
    pytest.param(lambda x: F.conv2d(x, torch.zeros(4, 3, 3, 3), stride=0), X, id="a convolution with a stride of zero"),
    pytest.param(
        lambda x: F.conv2d(x, torch.zeros(4, 3, 3, 3), stride=2, padding="same"),
        X,
        id="a strided convolution with same padding",
    ),
    pytest.param(
        lambda x: F.linear(x, torch.zeros(4, 3), torch.zeros(5)),
        (2, 3),
        id="a linear function with a bias that doesn't fit",
    ),
    pytest.param(lambda x: F.linear(x, torch.zeros(4, 3).double()), (2, 3), id="a linear function of two dtypes"),
    pytest.param(
        lambda x: F.layer_norm(x, (3,), torch.zeros(4)), (2, 3), id="a layer norm with a scale that doesn't fit"
    ),
    pytest.param(
        lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(3)), X, id="a batch norm with a mean that doesn't fit"
    ),
    pytest.param(
        lambda x: F.batch_norm(x, None, None, training=False), X, id="a batch norm in eval mode without statistics"
    ),
    pytest.param(lambda x: F.max_pool2d(x, 2, padding=2), X, id="a pooling with too much padding"),
    pytest.param(lambda x: F.avg_pool2d(x, 0), X, id="a pooling over nothing"),
    pytest.param(lambda x: F.pad(x, (9, 9, 9, 9), mode="reflect"), X, id="a reflection beyond the image"),
    pytest.param(lambda x: F.interpolate(x, size=(0, 3)), X, id="an interpolation to nothing"),
    pytest.param(lambda x: x.gather(1, torch.zeros(3, 3, dtype=torch.int64)), (2, 3), id="a gather of too many rows"),
    pytest.param(
        lambda x: x.masked_fill(torch.zeros(2, 4, dtype=torch.bool), 0.0), (2, 3), id="a mask that doesn't fit"
    ),
    pytest.param(lambda x: x.masked_fill(x, 0.0), (2, 3), id="a mask that is none"),
    pytest.param(lambda x: x.masked_fill((x > 0).byte(), 0.0), (2, 3), id="a mask of bytes"),
    pytest.param(lambda x: x.clone().masked_fill_((x > 0).byte(), 0.0), (2, 3), id="a mask of bytes, in place"),
    pytest.param(lambda x: x.masked_scatter((x > 0).byte(), x), (2, 3), id="a mask of bytes for a scatter"),
    pytest.param(lambda x: torch.linalg.lstsq(x, x[:1]), (2, 3), id="least squares with a right side that doesn't fit"),
    pytest.param(lambda x: torch.linalg.lstsq(x, x.double()), (2, 3), id="least squares of two dtypes"),
    pytest.param(lambda x: torch.linalg.lstsq(x, x, driver="gel"), (2, 3), id="least squares by an unknown driver"),
    pytest.param(lambda x: x.topk(9), (2, 3), id="more of the largest than there are"),
    pytest.param(lambda x: (x > 0) - (x > 1), (2, 3), id="a difference of booleans"),
    pytest.param(
        lambda x: F.cross_entropy(x, torch.zeros(3, dtype=torch.int64)), (2, 3), id="a loss of too many targets"
    ),
    pytest.param(lambda x: torch.zeros(2, 2).copy_(x), (2, 3), id="a copy that doesn't fit"),
    pytest.param(lambda x: torch.outer(x, x), (2, 3), id="an outer product of matrices"),
    pytest.param(lambda x: x.movedim(0, 3), (2, 3), id="an axis moved out of range"),
    pytest.param(lambda x: torch.cdist(x, x[..., :2]), (1, 2, 3), id="distances between spaces of different size"),
]


@pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
@pytest.mark.parametrize(("function", "shape"), REAL_ERRORS)
def test_what_torch_refuses_is_refused(function, shape, grad):
    """Torch's own kernels for tensors without data are laxer than those that compute."""
    with pytest.raises((RuntimeError, IndexError, ValueError, TypeError, NotImplementedError)):
        function(torch.ones(shape))
    model = Function(lambda _, x: function(x))
    with pytest.raises(ForwardError) as error:
        cnncost.record(nn.Sequential(model), shape, grad=grad)
    line = function.__code__.co_firstlineno + (function is unpack_in_three)
    assert str(error.value).startswith(f"0 (Function) at {HERE}:{line}: ")
    assert "; it got " + "x".join(map(str, shape)) in str(error.value)
    assert "{" not in str(error.value)  # a placeholder that was not filled in
    assert error.value.path == "0"


@pytest.mark.parametrize(
    "function", [lambda: torch.meshgrid([]), lambda: torch.linalg.multi_dot([]), torch.cartesian_prod],
    ids=["meshgrid", "multi_dot", "cartesian_prod"],
)  # fmt: skip
def test_ops_of_no_tensors_fail_as_torch_does(function):
    """Forward may catch torch's error."""
    with pytest.raises(RuntimeError) as refused:
        function()
    with pytest.raises(ForwardError) as error:
        cnncost.record(Function(lambda *_: function()), (2, 3))
    assert f"RuntimeError: {refused.value}" in str(error.value)


# ---- forward itself fails


class Fails(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


LINE = Fails.forward.__code__.co_firstlineno + 1

RAISED = [
    pytest.param(ValueError("no luck"), "ValueError: no luck", id="an error with words"),
    pytest.param(ValueError(), "ValueError: no message", id="an error without words"),
    pytest.param(ValueError("  two\nlines"), "ValueError: two", id="an error of two lines"),
    pytest.param(KeyError("gate"), "KeyError: 'gate'", id="a missing key"),
    pytest.param(ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero", id="a division by zero"),
    pytest.param(AssertionError(), "AssertionError: no message", id="an assertion"),
    pytest.param(StopIteration(), "StopIteration: no message", id="a stopped iteration"),
    pytest.param(MemoryError("too much"), "MemoryError: too much", id="no memory"),
    pytest.param(type("Own", (Exception,), {})("mine"), "Own: mine", id="an error of the user's own"),
    pytest.param(
        type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})(), "Odd", id="an error that can't be shown"
    ),
    pytest.param(CnncostError("of ours"), "CnncostError: of ours", id="an error of the library's kind"),
    pytest.param(
        ExceptionGroup("several", [ValueError("a"), KeyError("b")]), "ExceptionGroup: several", id="a group of errors"
    ),
]


@pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
@pytest.mark.parametrize(("error", "words"), RAISED)
def test_an_error_of_forward_is_told_with_module_and_line(error, words, grad):
    model = nn.Sequential(nn.Linear(8, 4), nn.Sequential(nn.ReLU(), Fails(error)))
    with pytest.raises(ForwardError) as raised:
        cnncost.record(model, (2, 8), grad=grad)
    message = str(raised.value)
    assert message.startswith(f"1.1 (Fails) at {HERE}:{LINE}: {words}")
    assert "; it got 2x4" in message
    assert raised.value.path == "1.1"
    assert raised.value.__cause__ is error
    assert "\n" not in message


BY_KEYS = [
    pytest.param(lambda _, batch: batch["x"], "TypeError: new(): invalid data type 'str'", id="a key"),
    pytest.param(lambda _, batch: [batch[k] for k in batch], "RuntimeError: tensors used as indices", id="all keys"),
    pytest.param(lambda _, batch: batch.items(), "'Tensor' object has no attribute 'items'", id="items"),
    pytest.param(lambda _, batch: batch.get("x"), "'Tensor' object has no attribute 'get'", id="get"),
]


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize(("function", "said"), BY_KEYS)
def test_a_tensor_in_place_of_a_dict_is_told_with_what_to_do(function, said):
    message = refused(ForwardError, Function(function), "2x16")
    assert said in message
    assert "the model's input was 2x16; if forward takes a dict or another nested input" in message
    assert "analyze(model, {'batch': {'x': (2, 16), 'y': (2, 8)}})" in message


class OneDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(16, 4), nn.Linear(8, 4)

    def forward(self, batch):
        return self.left(batch["x"]) + self.right(batch["y"])


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_what_a_message_says_to_do_about_a_dict_works():
    assert "the model's input was batch=2x16;" in refused(ForwardError, OneDict(), {"batch": (2, 16)})
    assert cnncost.analyze(OneDict(), {"batch": {"x": (2, 16), "y": (2, 8)}}).totals.macs == 2 * 4 * (16 + 8)


def test_inputs_by_name_are_told_so():
    message = refused(ForwardError, OneDict(), {"batch": {"x": (2, 16), "y": (2, 9)}})
    assert "expected 8 features on the last axis; it got 2x9; check the input batch={x=2x16, y=2x9}" in message


def test_the_name_of_the_model_stands_in_front():
    assert refused(ForwardError, Fails(ValueError("x")), (2, 8)).startswith("Fails: the model (Fails) at ")
    class_of_another_name = type("Encoder", (Fails,), {})
    assert refused(ForwardError, class_of_another_name(ValueError("x")), (2, 8)).startswith(
        "Encoder: the model (Encoder)"
    )


def in_a_pool(m, x):
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(m.f, [x, x]))


def in_a_thread(m, x):
    made = []
    thread = Thread(target=lambda: made.append(m.f(x)))
    thread.start()
    thread.join()
    return m.g(made[0])


def in_a_thread_that_is_not_waited_for(m, x):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(m.f, x)
    return m.g(x)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("how", [{}, {"training": True}, {"trace": "real"}], ids=["inference", "training", "real"])
@pytest.mark.parametrize("forward", [in_a_pool, in_a_thread, in_a_thread_that_is_not_waited_for])
def test_a_module_in_a_thread_of_its_own_is_refused_as_nothing_would_be_counted(forward, how):
    model = Function(forward, f=nn.Linear(4, 4), g=nn.Linear(4, 4))
    message = refused(ForwardError, model, (2, 4), **how)
    assert "f: forward runs it in another thread, where nothing is recorded" in message


def test_threads_that_run_no_module_of_the_model_are_none_of_its_business():
    def forward(m, x):
        with ThreadPoolExecutor(1) as pool:
            return m.f(x) * pool.submit(sum, range(3)).result()

    assert cnncost.analyze(Function(forward, f=nn.Linear(4, 4)), (2, 4)).totals.macs == 2 * 4 * 4


def test_sys_exit_in_forward_does_not_end_the_process():
    assert "1" in refused(ForwardError, Fails(SystemExit(1)), (2, 8))


def test_an_error_that_the_model_itself_handles_is_none():
    def forward(self, x):
        try:
            return self.inner(x)
        except ValueError:
            return self.fc(x)

    report = cnncost.analyze(Function(forward, inner=Fails(ValueError("first way")), fc=nn.Linear(8, 4)), (2, 8))
    assert report.totals.macs == 64


def test_after_an_error_that_was_handled_the_place_of_the_next_is_right():
    def forward(self, x):
        with contextlib.suppress(ValueError):
            self.inner(x)
        return self.outer(x)

    model = Function(forward, inner=Fails(ValueError("first")), outer=Fails(KeyError("second")))
    message = refused(ForwardError, model, (2, 8))
    assert f"outer (Fails) at {HERE}:{LINE}: KeyError: 'second'" in message


NO_FORWARD = [
    pytest.param(type("NoForward", (nn.Module,), {}), "has no forward", id="no forward"),
    pytest.param(lambda: nn.ModuleList([nn.Linear(2, 2)]), "has no forward", id="a list of modules"),
    pytest.param(
        lambda: Function(lambda self, x: self.missing(x)),
        "has no attribute 'missing'",
        id="an attribute that is missing",
    ),
    pytest.param(
        lambda: Function(lambda self, x: undefined(x)),  # noqa: F821  # that is the test
        "name 'undefined' is not defined",
        id="a name that is missing",
    ),
]


@pytest.mark.parametrize(("make", "words"), NO_FORWARD)
def test_models_that_could_never_run(make, words):
    assert words in refused(ForwardError, make(), (2, 8))


class Endless(nn.Module):
    def forward(self, x):
        return self(x)


class EndlessFunction(nn.Module):
    def forward(self, x):
        return self.forward(x)


@pytest.mark.parametrize("kind", [Endless, EndlessFunction])
@pytest.mark.parametrize("nested", [False, True], ids=["the model", "inside"])
def test_a_forward_that_calls_itself_without_end(kind, nested):
    model = nn.Sequential(nn.ReLU(), kind()) if nested else kind()
    message = refused(ForwardError, model, (2, 8))
    assert f"{'1' if nested else 'the model'} ({kind.__name__})" in message
    assert "forward calls itself without end" in message


def cyclic(kind):
    model, child = Function(lambda self, x: x), Function(lambda self, x: x)
    if kind == "itself":
        model.me = model
        return model, "me"
    model.child = child
    if kind == "parent":
        child.parent = model
        return model, "child.parent"
    child.grandchild = nn.Sequential(nn.ReLU(), child)
    return model, "child.grandchild.1"


@pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
@pytest.mark.parametrize("kind", ["itself", "parent", "grandchild"])
def test_a_module_that_contains_itself(kind, grad):
    model, path = cyclic(kind)
    with pytest.raises(InputError) as error:
        cnncost.record(model, (2, 8), grad=grad)
    assert f"module '{path}' (Function) contains itself" in str(error.value)
    assert "hold the back reference in a list or a weakref" in str(error.value)


def test_a_very_deep_model_is_analyzed():
    model = nn.Linear(4, 4)
    for _ in range(150):
        model = nn.Sequential(model)
    assert cnncost.analyze(model, (2, 4)).totals.macs == 32


# ---- reading values: the message in full


def test_the_message_of_a_model_that_reads_values():
    gate = Function(lambda self, x: x if x.sum() > 0 else -x)
    message = refused(DataDependentError, nn.Sequential(nn.Linear(8, 4), gate), (2, 8))
    assert message.startswith(f"Sequential: 1 (Function) at {HERE}:")
    assert "forward reads the values of a tensor" in message
    assert "a static analysis has none" in message
    assert "`inputs`" in message


# ---- names


NAMES = [
    pytest.param("lenet6", "lenet6: no network of this name; did you mean lenet5", id="a digit off"),
    pytest.param("LeNet5", "did you mean lenet5", id="capital letters"),
    pytest.param("resnet-50", "did you mean resnet50", id="a hyphen"),
    pytest.param("alexnett", "did you mean alexnet", id="a letter too many"),
    pytest.param("zzzz", "zzzz: no network of this name; `cnncost zoo` lists all", id="nothing like it"),
    pytest.param("", "MODEL is empty: expected a zoo name such as lenet5", id="an empty name"),
    pytest.param("   ", "MODEL is empty", id="spaces"),
]


@pytest.mark.parametrize(("name", "words"), NAMES)
def test_an_unknown_name_suggests_near_ones(name, words):
    assert words in refused(SourceError, name)


def test_a_network_of_the_zoo_on_an_input_that_does_not_fit():
    message = refused(ForwardError, "lenet5", "1x3x32x32")
    assert message.startswith("lenet5: c1 (Conv2d): expected 1 channel on axis 1; it got 1x3x32x32")


def test_no_input_for_a_model_that_has_none_of_its_own():
    assert "give for example inputs='1x3x224x224'" in refused(InputError, nn.Linear(2, 3))


# ---- errors as objects


def test_errors_can_be_pickled():
    """As they are when a worker process raises them."""
    for error in (ForwardError("message", "a.b"), InputError("message"), DataDependentError("message", "c")):
        again = pickle.loads(pickle.dumps(error))  # our own bytes
        assert (type(again), str(again), getattr(again, "path", None)) == (
            type(error), "message", getattr(error, "path", None),
        )  # fmt: skip


def test_all_that_is_raised_on_purpose_has_one_base():
    from cnncost import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    kinds = [kind for kind in kinds if not issubclass(kind, Warning)]
    assert len(kinds) > 5
    assert all(issubclass(kind, CnncostError) for kind in kinds)
    assert cnncost.CnncostError is CnncostError


# ---- models at the edge that are none


EDGES = [
    pytest.param(nn.Identity, (2, 8), (0, 0, 0), id="no ops and no parameters"),
    pytest.param(nn.Sequential, (2, 8), (0, 0, 0), id="an empty Sequential"),
    pytest.param(lambda: Function(lambda self, x: None), (2, 8), (0, 0, 0), id="returns nothing"),
    pytest.param(nn.ReLU, (2, 8), (0, 0, 16), id="no parameters"),
    pytest.param(
        lambda: Function(lambda self, x: x, unused=nn.Linear(8, 8)), (2, 8), (72, 0, 0), id="parameters and no ops"
    ),
    pytest.param(lambda: nn.Linear(0, 3), "2x0", None, id="a layer of no inputs"),
    pytest.param(lambda: nn.Linear(8, 3), torch.zeros(0, 8), (27, 0, 0), id="an empty batch"),
]


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
@pytest.mark.parametrize(("make", "inputs", "numbers"), EDGES)
def test_models_at_the_edge(make, inputs, numbers):
    if numbers is None:
        with pytest.raises(InputError):
            cnncost.analyze(make(), inputs)
        return
    report = cnncost.analyze(make(), inputs)
    assert (report.totals.params, report.totals.macs, report.totals.flops) == numbers
    assert str(report)
    assert report.biggest is None or report.biggest.flops == numbers[2]
