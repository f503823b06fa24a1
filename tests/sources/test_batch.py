"""Another batch size in inputs of any form."""

import pytest

from cnncost.errors import InputError
from cnncost.shapes import TensorText
from cnncost.sources.batch import with_batch
from cnncost.sources.resolve import resolve


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param("1x3x8x8", TensorText((5, 3, 8, 8), None), id="text"),
        pytest.param("1x3:int64", TensorText((5, 3), "int64"), id="text with a dtype"),
        pytest.param((1, 3, 8), (5, 3, 8), id="a shape"),
        pytest.param(((1, 3), (2, 4)), ((5, 3), (5, 4)), id="shapes"),
        pytest.param({"a": "1x3", "b": [(1, 2)]}, {"a": TensorText((5, 3), None), "b": [(5, 2)]}, id="nested"),
    ],
)
def test_the_first_axis_is_set(inputs, expected):
    assert with_batch(inputs, 5) == expected


def test_the_zoo_knows_its_inputs():
    assert resolve("lenet5", batch=7).inputs == TensorText((7, 1, 32, 32), None)
    assert resolve("lenet5", "1x1x28x28").inputs == "1x1x28x28"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: with_batch("1x3", 0), "expected 1 or more", id="below 1"),
        pytest.param(lambda: with_batch(object(), 2), "expected shapes to set it in, got object", id="no shape"),
        pytest.param(lambda: resolve("torch.nn:ReLU", batch=2), "no input given", id="no input known"),
    ],
)
def test_what_can_not_be_set(call, message):
    with pytest.raises(InputError, match=message):
        call()
