"""Another batch size in inputs of any form."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import cnncost
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


def test_positional_and_named_arguments_get_the_batch_size():
    found = with_batch(cnncost.arguments((1, 3, 8, 8), mask="1x8", scale=2.0), 5)
    assert found.positional == ((5, 3, 8, 8),)
    assert found.named == {"mask": TensorText((5, 8), None), "scale": 2.0}


def images(*sizes):
    return [torch.empty(3, *size) for size in sizes]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param((images((8, 9)),), [(3, 8, 9)] * 3, id="one image"),
        pytest.param((images((8, 9), (7, 6)),), [(3, 8, 9), (3, 7, 6), (3, 8, 9)], id="two sizes in turn"),
        pytest.param((images((8, 9), (7, 6), (5, 5), (4, 4)),), [(3, 8, 9), (3, 7, 6), (3, 5, 5)], id="fewer"),
        pytest.param({"images": images((8, 9))}, [(3, 8, 9)] * 3, id="by name"),
        pytest.param(cnncost.arguments(images((8, 9))), [(3, 8, 9)] * 3, id="as arguments"),
    ],
)
def test_a_list_of_images_has_as_many_as_the_batch(inputs, expected):
    found = with_batch(inputs, 3)
    listed = found["images"] if isinstance(found, dict) else getattr(found, "positional", found)[0]
    assert [tuple(image.shape) for image in listed] == expected
    assert len({id(image) for image in listed}) == len(listed)


def test_each_image_has_its_own_targets():
    target = {"boxes": torch.rand(2, 4), "labels": torch.ones(2, dtype=torch.int64)}
    _, targets = with_batch((images((8, 9)), [target]), 2)
    assert [sorted(each) for each in targets] == [["boxes", "labels"]] * 2
    assert targets[0] is target
    assert targets[1]["boxes"] is not target["boxes"]
    assert targets[1]["boxes"].equal(target["boxes"])


def test_a_packed_sequence_stays():
    packed = pack_sequence([torch.rand(4, 2), torch.rand(3, 2)])
    found = with_batch((packed, (1, 3)), 5)
    assert found[0] is packed
    assert found[1] == (5, 3)


def test_the_zoo_knows_its_inputs():
    assert resolve("lenet5", batch=7).inputs == TensorText((7, 1, 32, 32), None)
    assert resolve("lenet5", "1x1x28x28").inputs == "1x1x28x28"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: with_batch("1x3", 0), "expected 1 or more", id="below 1"),
        pytest.param(
            lambda: with_batch(object(), 2),
            "expected inputs with a tensor or shape to set it in, got object",
            id="no shape",
        ),
        pytest.param(lambda: resolve("torch.nn:ReLU", batch=2), "no input given", id="no input known"),
    ],
)
def test_what_can_not_be_set(call, message):
    with pytest.raises(InputError, match=message):
        call()
