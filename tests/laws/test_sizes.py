"""Inputs in other sizes, and the names by which their axes are varied."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import InputError
from cnncost.laws.axes import axes_of
from cnncost.laws.variables import parse, variables
from cnncost.shapes import TensorText
from cnncost.sources.sizes import Axis, leaves, with_sizes


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        pytest.param("1x3x8x8", [((), (1, 3, 8, 8), False, False)], id="a text"),
        pytest.param((1, 3, 8, 8), [((), (1, 3, 8, 8), False, False)], id="sizes"),
        pytest.param("1x9:int64", [((), (1, 9), True, False)], id="whole"),
        pytest.param(TensorText((2, 5), "bfloat16"), [((), (2, 5), False, False)], id="parsed"),
        pytest.param(
            ("1x9:long", (1, 4)), [((0,), (1, 9), True, False), ((1,), (1, 4), False, False)], id="two positions"
        ),
        pytest.param(
            {"ids": "1x9:int64", "scale": 2.0}, [(("ids",), (1, 9), True, False)], id="names, and what is no tensor"
        ),
        pytest.param(([(3, 8, 9)],), [((0, 0), (3, 8, 9), False, True)], id="a list of images"),
        pytest.param(
            cnncost.arguments((1, 2), mask="1x2:bool"),
            [((0,), (1, 2), False, False), (("mask",), (1, 2), True, False)],
            id="positions and names",
        ),
        pytest.param(torch.ones(2, 3), [((), (2, 3), False, False)], id="a tensor"),
        pytest.param({"a": [torch.ones(2, dtype=torch.int32)]}, [(("a", 0), (2,), True, True)], id="nested"),
    ],
)  # fmt: skip
def test_what_is_among_the_inputs(inputs, found):
    assert [tuple(leaf) for leaf in leaves(inputs)] == found


@pytest.mark.parametrize(
    ("inputs", "sizes", "result"),
    [
        pytest.param("1x3x8x8", {Axis((), 2): 16, Axis((), 0): 4}, TensorText((4, 3, 16, 8), None), id="a text"),
        pytest.param((1, 3, 8, 8), {Axis((), 3): 5}, (1, 3, 8, 5), id="sizes"),
        pytest.param("1x9:int64", {Axis((), 1): 5}, TensorText((1, 5), "int64"), id="with its dtype"),
        pytest.param(
            {"a": (1, 4), "b": ("x", (1, 7))}, {Axis(("b", 1), 1): 2}, {"a": (1, 4), "b": ("x", (1, 2))}, id="nested"
        ),
        pytest.param(([(3, 8, 9)],), {Axis((0,), None): 3, Axis((0, 0), 1): 6}, ([(3, 6, 9)] * 3,), id="items"),
        pytest.param((1, 3), {}, (1, 3), id="nothing"),
    ],
)
def test_other_sizes(inputs, sizes, result):
    assert with_sizes(inputs, sizes) == result


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_tensor_repeats_its_values(size):
    found = with_sizes({"x": torch.tensor([[4, 5, 6]])}, {Axis(("x",), 1): size})["x"]

    assert found.tolist() == [[(4, 5, 6)[i % 3] for i in range(size)]]


def test_positions_and_names_stay_so():
    found = with_sizes(cnncost.arguments((1, 2), mask="1x2:bool"), {Axis(("mask",), 1): 5})

    assert (found.positional, found.named) == (((1, 2),), {"mask": TensorText((1, 5), "bool")})


@pytest.mark.parametrize("size", [0, -3, 2**63])
def test_sizes_that_no_tensor_has(size):
    with pytest.raises(InputError, match="expected sizes from 1"):
        with_sizes((1, 2), {Axis((), 0): size})


IMAGE, CLIP, TOKENS, VECTORS, SOUND = (
    "1x3x20x24", "1x3x8x20x24", {"ids": "1x9:int64", "mask": "1x9:int64", "pixels": "1x3x4x6"}, "1x9x16", "1x2x400",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "inputs", "axes"),
    [
        pytest.param("batch", IMAGE, [((), 0)], id="the batch"),
        pytest.param("batch", TOKENS, [(("ids",), 0), (("mask",), 0), (("pixels",), 0)], id="of all inputs"),
        pytest.param("batch", ([(3, 8, 9)],), [((0,), None)], id="of a list"),
        pytest.param("batch", ("scalar", (2, 3)), [((1,), 0)], id="but for scalars"),
        pytest.param("height", IMAGE, [((), 2)], id="height"),
        pytest.param("width", CLIP, [((), 4)], id="width of a volume"),
        pytest.param("depth", CLIP, [((), 2)], id="depth"),
        pytest.param("depth", IMAGE, [], id="no depth"),
        pytest.param("size", IMAGE, [((), 2), ((), 3)], id="both"),
        pytest.param("height", ([(3, 8, 9)],), [((0, 0), 1)], id="height of a list's images"),
        pytest.param("sequence", TOKENS, [(("ids",), 1), (("mask",), 1)], id="of tokens, not of pixels"),
        pytest.param("sequence", VECTORS, [((), 1)], id="of vectors"),
        pytest.param("length", SOUND, [((), 2)], id="of sound"),
        pytest.param("length", IMAGE, [], id="no length"),
        pytest.param("ids.1", TOKENS, [(("ids",), 1)], id="an axis by name"),
        pytest.param("ids.-1", TOKENS, [(("ids",), 1)], id="from behind"),
        pytest.param("0.1", VECTORS, [((), 1)], id="by position"),
        pytest.param("x.1", VECTORS, [((), 1)], id="by forward's own"),
        pytest.param("x.3", VECTORS, [], id="an axis that is not there"),
        pytest.param("y.1", VECTORS, [], id="an input that is not there"),
    ],
)
def test_axes_by_name(name, inputs, axes):
    assert [tuple(axis) for axis in axes_of(name, leaves(inputs), ["x"])] == axes


BATCH = ("batch", (), None, None, None)


@pytest.mark.parametrize(
    ("vary", "asked"),
    [
        pytest.param("batch", [BATCH], id="a name"),
        pytest.param("batch,height", [BATCH, ("height", (), None, None, None)], id="two"),
        pytest.param(("batch", "ids.1=64..512"), [BATCH, ("ids.1", (), 64, 512, None)], id="to"),
        pytest.param("ids.1=64..512:64", [("ids.1", (), 64, 512, 64)], id="in steps"),
        pytest.param("width=64,16,32", [("width", (16, 32, 64), None, None, None)], id="examples"),
        pytest.param(
            "width=16,32,batch", [("width", (16, 32), None, None, None), BATCH], id="then a name"
        ),
        pytest.param({"width": (16, 32)}, [("width", (16, 32), None, None, None)], id="a dict"),
        pytest.param({"n": range(8, 33, 8), "batch": None}, [("n", (), 8, 32, 8), BATCH], id="a range"),
        pytest.param("height+width=32..64", [("height+width", (), 32, 64, None)], id="together"),
    ],
)  # fmt: skip
def test_what_is_asked(vary, asked):
    assert [tuple(each) for each in parse(vary)] == asked


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        pytest.param("", "expected names of variables", id="nothing"),
        pytest.param("batch,batch", "batch is given twice", id="twice"),
        pytest.param("height+width,width", "width is given twice", id="twice, once with another"),
        pytest.param("3x", "expected a name such as batch", id="no name"),
        pytest.param("batch=0..4", "expected sizes from 1", id="nought"),
        pytest.param("batch=-2,4", "expected sizes from 1", id="below nought"),
        pytest.param("act=relu,gelu", "expected whole numbers", id="words"),
        pytest.param("width=1.5,2.5", "expected whole numbers", id="fractions"),
        pytest.param("width=16", "expected several sizes", id="one size"),
        pytest.param("ids.1=512..64", "expected a smaller size first, such as ids.1=64..512", id="backwards"),
        pytest.param("n=1..99999999999999", "expected sizes from 1 to 2", id="absurd"),
        pytest.param({"n": 7.5}, "expected sizes such as", id="a number alone"),
    ],
)
def test_what_can_not_be_asked(vary, said):
    with pytest.raises(InputError, match=said):
        parse(vary)


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        pytest.param("heigth", "did you mean height", id="misspelt"),
        pytest.param("depth", "the inputs are x 1×3×20×24, and nothing has this name", id="an axis that images lack"),
        pytest.param("x.7", "did you mean x.3", id="an axis too many"),
        pytest.param("y.2", "did you mean", id="an input that is not there"),
        pytest.param("sequence", "expected one of batch, height, width, size", id="no sequence"),
        pytest.param(
            "act", "the factory's default is 'relu', not a whole number above 0", id="a keyword that is a word"
        ),
        pytest.param("drop", "the factory's default is 0.5", id="a keyword that is a fraction"),
    ],
)
def test_names_that_stand_for_nothing(vary, said):
    with pytest.raises(InputError, match=said):
        variables(parse(vary), leaves(IMAGE), ["x"], {"channels": 16, "act": "relu", "drop": 0.5}, takes_others=False)


def test_a_keyword_of_the_factory():
    (found,) = variables(parse("channels"), leaves(IMAGE), ["x"], {"channels": 16}, takes_others=False)

    assert (found.base, found.keywords, found.axes, found.about) == (16, ("channels",), (), "the factory's channels")


def test_a_tensor_is_not_filled_without_end():
    """A law is checked far out, where an image with values would take terabytes: it is found all the same, nearer."""
    with pytest.raises(InputError, match="give a shape instead of a tensor"):
        with_sizes(torch.zeros(2, 3, 8, 8), {Axis((), 0): 65_536, Axis((), 2): 1024})
    laws = cnncost.formula(nn.Conv2d(3, 8, 1), torch.zeros(2, 3, 8, 8), "batch,height", training=False)
    assert str(laws["macs"]) == "192·B·H"


LARGE = {Axis((), 0): 700, Axis((), 1): 701}
"""Sizes at which a static analysis reads the values of integers and of masks alone."""


def masked(hidden, dtype):
    return torch.tensor([[0, hidden], [0.5, 0]], dtype=dtype)


EXAMPLES = {  # and whether a static analysis may read the values
    "an image": (torch.ones(2, 3), False),
    "in half precision": (torch.ones(2, 3, dtype=torch.bfloat16), False),
    "of parameters": (torch.ones(2, 3, requires_grad=True), False),
    "transposed": (torch.ones(3, 2).t(), False),
    "whole numbers": (torch.tensor([[1, 2]]), True),
    "truth values": (torch.tensor([[True, False]]), True),
    "complex numbers": (torch.ones(2, 3, dtype=torch.complex64), True),
    "a mask": (masked(float("-inf"), torch.float32), True),
    "a mask in half precision": (masked(float("-inf"), torch.float16), True),
    "a mask by the least number": (masked(torch.finfo(torch.bfloat16).min, torch.bfloat16), True),
    "a subclass": (nn.Parameter(torch.ones(2, 3)), True),
}


@pytest.mark.parametrize("sizes", [LARGE, {Axis((), 1): 9}, {Axis((), 0): 2}], ids=["large", "small", "as before"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_static_analyses_get_the_values_that_they_may_read(name, sizes):
    example, read = EXAMPLES[name]
    filled, found = with_sizes(example, sizes), with_sizes(example, sizes, static=True)

    def told(tensor):
        return type(tensor), tensor.shape, tensor.dtype, tensor.stride(), tensor.device, tensor.requires_grad

    assert told(found) == told(filled)
    assert torch.equal(found, filled) == (read or sizes is not LARGE)
    assert sizes is LARGE or example.shape == filled.shape or found.any()


class Attention(nn.Module):
    def forward(self, x, mask):
        return nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)


@pytest.mark.long
@pytest.mark.parametrize(
    ("model", "inputs", "vary"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1)), torch.rand(2, 3, 32, 32), "batch,height,width"),
        (Attention(), (torch.rand(1, 2, 2, 4), masked(float("-inf"), torch.float32)), "0.0"),
        (Attention(), (torch.rand(1, 2, 512, 4), torch.zeros(512, 512).fill_diagonal_(float("-inf"))), "0.0,0.3"),
    ],
    ids=["images", "a small mask", "a large mask"],
)
def test_laws_are_those_of_inputs_that_are_filled(model, inputs, vary, monkeypatch):
    monkeypatch.setattr("cnncost.sources.sizes._MOST_VALUES", 1 << 20)
    found = cnncost.formula(model, inputs, vary)
    monkeypatch.setattr("cnncost.sources.sizes._is_never_read", lambda *_: False)
    filled = cnncost.formula(model, inputs, vary)

    for quantity in ("macs", "flops", "training_peak"):
        assert str(found[quantity]) == str(filled[quantity])
    assert found.notes == filled.notes
