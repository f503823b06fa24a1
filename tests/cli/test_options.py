"""Options that several commands share: --model-args, --input, and what completion offers."""

import click
import pytest

from cnncost.cli.options import complete_model, parsed_model_args
from cnncost.errors import InputError
from cnncost.shapes import TensorText
from cnncost.sources.settings import Settings

PLAIN = [
    # (text, value): what stands after `a=`
    pytest.param("64", 64, id="a whole number"),
    pytest.param("-3", -3, id="a negative number"),
    pytest.param("0x10", 16, id="hexadecimal"),
    pytest.param("1_000", 1000, id="a number with an underscore"),
    pytest.param("1.5", 1.5, id="a fraction"),
    pytest.param("1e-3", 0.001, id="a small number"),
    pytest.param("2.0", 2.0, id="a fraction that is whole"),
    pytest.param("True", True, id="True"),
    pytest.param("true", True, id="true"),
    pytest.param("False", False, id="False"),
    pytest.param("false", False, id="false"),
    pytest.param("None", None, id="None"),
    pytest.param("none", None, id="none"),
    pytest.param("relu", "relu", id="a word"),
    pytest.param("ReLU6", "ReLU6", id="a word with capitals and a digit"),
    pytest.param("grün", "grün", id="a word with an umlaut"),
    pytest.param("'two words'", "two words", id="quoted text"),
    pytest.param('"64"', "64", id="a number in quotes is text"),
    pytest.param("'True'", "True", id="True in quotes is text"),
    pytest.param("''", "", id="empty text"),
    pytest.param("'a,b=c'", "a,b=c", id="commas and signs in quotes"),
    pytest.param("'./x.txt'", "./x.txt", id="a path in quotes"),
    pytest.param("[1, 2, 3]", [1, 2, 3], id="a list"),
    pytest.param("(1, 2)", (1, 2), id="a tuple"),
    pytest.param("[[1, 2.5], [None, 'x']]", [[1, 2.5], [None, "x"]], id="lists in a list"),
    pytest.param("[]", [], id="an empty list"),
    pytest.param("{'depth': 3}", {"depth": 3}, id="a dictionary"),
]


@pytest.mark.parametrize(("text", "value"), PLAIN)
def test_a_value(text, value):
    parsed = parsed_model_args((f"a={text}",))
    assert parsed == {"a": value}
    assert type(parsed["a"]) is type(value)


SEVERAL = [
    pytest.param((), {}, id="none"),
    pytest.param(("width=64",), {"width": 64}, id="one"),
    pytest.param(
        ("width=64,deep=True,act=relu",), {"width": 64, "deep": True, "act": "relu"}, id="several in one option"
    ),
    pytest.param(("width=64", "deep=True"), {"width": 64, "deep": True}, id="several options"),
    pytest.param(("sizes=[1,2],width=3",), {"sizes": [1, 2], "width": 3}, id="a list with commas, and another"),
    pytest.param((" width = 64 , deep = False ",), {"width": 64, "deep": False}, id="spaces"),
    pytest.param(("width=64,",), {"width": 64}, id="a comma at the end"),
]


@pytest.mark.parametrize(("texts", "arguments"), SEVERAL)
def test_several_arguments(texts, arguments):
    parsed = parsed_model_args(texts)
    assert parsed == arguments
    assert list(parsed) == list(arguments)


NAME_AND_VALUE = "expected NAME=VALUE, for example width=64 or act=relu,depth=3"
NO_PLAIN_VALUE = "is not a plain value; expected a number, True, a word, 'quoted text', or a list of these"

REFUSED = [
    pytest.param(("",), NAME_AND_VALUE, id="nothing"),
    pytest.param(("width",), NAME_AND_VALUE, id="a name alone"),
    pytest.param(("64",), NAME_AND_VALUE, id="a value alone"),
    pytest.param(("width=",), NAME_AND_VALUE, id="no value"),
    pytest.param(("=64",), NAME_AND_VALUE, id="no name"),
    pytest.param(("width=64 deep=True",), NAME_AND_VALUE, id="no comma between"),
    pytest.param(("width=64;deep=True",), NAME_AND_VALUE, id="a semicolon between"),
    pytest.param(("width:64",), NAME_AND_VALUE, id="a colon"),
    pytest.param(("2width=64",), NAME_AND_VALUE, id="a name that begins with a digit"),
    pytest.param(("class=64",), NAME_AND_VALUE, id="a name that Python keeps"),
    pytest.param(("a=b=c",), NAME_AND_VALUE, id="two signs"),
    pytest.param(("64,width=64",), NAME_AND_VALUE, id="a value without a name before one with"),
    pytest.param(("**{'width': 64}",), NAME_AND_VALUE, id="stars"),
    pytest.param(("a=3)(b=4",), NAME_AND_VALUE, id="parentheses that close and open"),
    pytest.param(("a=(1",), NAME_AND_VALUE, id="a parenthesis that does not close"),
    pytest.param(("a='x",), NAME_AND_VALUE, id="a quote that does not close"),
    pytest.param(("a=./x.txt",), "text with other characters needs quotes", id="a path without quotes"),
    pytest.param(("a=1x3",), "text with other characters needs quotes", id="a shape without quotes"),
    pytest.param(("a=1,a=2",), "a is given twice", id="a name twice in one option"),
    pytest.param(("a=1", "a=2"), "a is given twice", id="a name in two options"),
    pytest.param(("a=f(1)",), NO_PLAIN_VALUE, id="a call"),
    pytest.param(("a=torch.relu",), NO_PLAIN_VALUE, id="an attribute"),
    pytest.param(("a=2**10",), NO_PLAIN_VALUE, id="a power"),
    pytest.param(("a=[relu, 1]",), NO_PLAIN_VALUE, id="a word without quotes in a list"),
    pytest.param(("a=lambda: 1",), NO_PLAIN_VALUE, id="a function"),
    pytest.param(("a=x if y else z",), NO_PLAIN_VALUE, id="a condition"),
    pytest.param(("a=__import__('os').getcwd()",), NO_PLAIN_VALUE, id="code"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "words"), REFUSED)
def test_what_is_no_argument_is_refused_and_never_run(texts, words):
    with pytest.raises(InputError) as error:
        parsed_model_args(texts)
    assert str(error.value).startswith(f"--model-args {texts[-1]!r}: ")
    assert words in str(error.value)


def test_inputs():
    def given(texts):
        return Settings(inputs=texts).parsed_inputs()

    assert given(()) is None
    assert given(("1x3", "4:int64")) == (TensorText((1, 3), None), TensorText((4,), "int64"))
    assert given(("ids=4:int64",)) == {"ids": TensorText((4,), "int64")}
    with pytest.raises(InputError, match="other inputs are named"):
        given(("ids=4:int64", "1x3"))


COMPLETED = [
    pytest.param("lenet", ["lenet300", "lenet1", "lenet5", "lenet5_modern"], id="a family of the zoo"),
    pytest.param("resnet18", ["resnet18"], id="a whole name"),
]


@pytest.mark.parametrize(("begun", "names"), COMPLETED)
def test_completion_offers_names_of_the_zoo(begun, names):
    context = click.Context(click.Command("summarize"))
    offered = complete_model(context, click.Argument(["model"]), begun)
    assert sorted(item.value for item in offered) == sorted(names)
    assert {item.type for item in offered} == {"plain"}


def test_completion_offers_files_for_what_is_no_name():
    context = click.Context(click.Command("summarize"))
    (item,) = complete_model(context, click.Argument(["model"]), "src/ne")
    assert (item.value, item.type) == ("src/ne", "file")
