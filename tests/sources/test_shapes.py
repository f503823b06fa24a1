"""Input shapes as text."""

import pytest

from cnncost.errors import InputError
from cnncost.shapes import TensorText, looks_like_shape, parse_inputs, parse_shape

SHAPES = [
    pytest.param("1x3x224x224", (1, 3, 224, 224), None, id="a batch of images"),
    pytest.param("7", (7,), None, id="one size"),
    pytest.param("1x128:int64", (1, 128), "int64", id="with a dtype"),
    pytest.param("1×3×8", (1, 3, 8), None, id="with multiplication signs"),
    pytest.param("1,3,8", (1, 3, 8), None, id="with commas"),
    pytest.param("1x3,8×2", (1, 3, 8, 2), None, id="with all of them"),
    pytest.param("  1 x 3  x 8 : float16 ", (1, 3, 8), "float16", id="with spaces"),
    pytest.param("01x003", (1, 3), None, id="with leading zeros"),
    pytest.param("1X3", (1, 3), None, id="with a capital letter"),
    pytest.param("(1, 3)", (1, 3), None, id="as Python writes a tuple"),
    pytest.param("[1,3]", (1, 3), None, id="as Python writes a list"),
    pytest.param(str(2**63 - 1), (2**63 - 1,), None, id="63 bits"),
]


@pytest.mark.parametrize(("text", "shape", "dtype"), SHAPES)
def test_a_shape(text, shape, dtype):
    assert parse_shape(text) == TensorText(shape, dtype)
    assert looks_like_shape(text)


NO_SHAPES = [
    pytest.param(text, id=name)
    for name, text in {
        "nothing": "",
        "a space": " ",
        "a word": "image",
        "no first size": "x3",
        "no last size": "1x",
        "two signs": "1xx3",
        "a star": "1*3",
        "a fraction": "1x3.5",
        "a plus": "+1x3",
        "no sign between": "1 3",
        "a bracket that stays open": "[1,3",
        "a parenthesis and a bracket": "(1, 3]",
        "no dtype after the colon": "1x3:",
        "a dtype with a dot": "1x3:torch.float",
        "two dtypes": "1x3:int64:int32",
        "a dtype alone": ":int64",
        "a name": "x=1x3",
        "hexadecimal": "0x10x",
        "a semicolon": "1;3",
    }.items()
]


@pytest.mark.parametrize("text", NO_SHAPES)
def test_what_is_no_shape(text):
    assert not looks_like_shape(text)
    with pytest.raises(InputError) as error:
        parse_shape(text)
    assert str(error.value) == (f"input {text!r}: expected a shape such as 1x3x224x224, or with a dtype 1x128:int64")


TOO_SMALL = [
    pytest.param("1x0x8", 0, 1, id="zero"),
    pytest.param("0", 0, 0, id="zero alone"),
    pytest.param("1x-3", -3, 1, id="a negative size"),
    pytest.param("-1x3x8x8:int64", -1, 0, id="minus one for the batch"),
]


@pytest.mark.parametrize(("text", "size", "axis"), TOO_SMALL)
def test_a_size_below_one(text, size, axis):
    with pytest.raises(InputError, match=f"expected sizes of 1 or more, got {size} on axis {axis}"):
        parse_shape(text)


ONE, TWO = TensorText((1, 3), None), TensorText((4,), "int64")

SEVERAL = [
    pytest.param((), (), id="none"),
    pytest.param(("1x3",), (ONE,), id="one"),
    pytest.param(("1x3", "4:int64"), (ONE, TWO), id="two by position"),
    pytest.param(("x=1x3",), {"x": ONE}, id="one by name"),
    pytest.param(("b=1x3", "a=4:int64"), {"b": ONE, "a": TWO}, id="two by name, in their order"),
    pytest.param((" input_ids = 1x3 ",), {"input_ids": ONE}, id="spaces around the name"),
    pytest.param(("größe=1x3",), {"größe": ONE}, id="a name with an umlaut"),
]


@pytest.mark.parametrize(("texts", "inputs"), SEVERAL)
def test_several_inputs(texts, inputs):
    parsed = parse_inputs(texts)
    assert parsed == inputs
    assert list(parsed) == list(inputs)


MIXED = [
    pytest.param(
        ("a=1x3", "4"),
        "input '4': other inputs are named; name all of them (NAME=SHAPE) or none",
        id="the second has no name",
    ),
    pytest.param(
        ("4", "a=1x3"),
        "input '4': other inputs are named; name all of them (NAME=SHAPE) or none",
        id="the first has no name",
    ),
    pytest.param(("a=1x3", "a=4"), "input 'a=4': a is given twice", id="a name twice"),
    pytest.param(("1a=1x3",), "input '1a=1x3': expected a shape", id="no name of Python"),
    pytest.param(("a=",), "a: input '': expected a shape", id="no shape after the name"),
    pytest.param(("a=b=1x3",), "a: input 'b=1x3': expected a shape", id="two names"),
    pytest.param(
        ("ids=1x0",), "ids: input '1x0': expected sizes of 1 or more, got 0 on axis 1", id="a size of zero by name"
    ),
]


@pytest.mark.parametrize(("texts", "words"), MIXED)
def test_inputs_that_are_refused(texts, words):
    with pytest.raises(InputError) as error:
        parse_inputs(texts)
    assert str(error.value).startswith(words)
