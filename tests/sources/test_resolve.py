"""MODEL, whatever it is, becomes a module and its inputs; near names for what does not exist."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost import zoo
from cnncost.errors import InputError, SourceError
from cnncost.near import suggestion
from cnncost.sources.resolve import resolve

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


def test_a_network_of_the_zoo_knows_its_input_and_has_no_weights():
    resolved = resolve("lenet300", None, None)
    assert (resolved.name, resolved.inputs) == ("lenet300", zoo.entry("lenet300").input)
    assert all(parameter.is_meta for parameter in resolved.model.parameters())


def test_another_input_than_its_own_may_be_given():
    small, large = (cnncost.analyze("resnet18", size).totals for size in ("1x3x64x64", "1x3x128x128"))
    assert small.params == large.params
    # all but the last layer of 512·1000 grows with the image's area
    assert large.macs - 512_000 == 4 * (small.macs - 512_000)


def test_a_batch_of_another_size():
    one, eight = cnncost.analyze("lenet5"), cnncost.analyze("lenet5", "8x1x32x32")
    assert (eight.totals.macs, eight.totals.params, eight.batch) == (8 * one.totals.macs, one.totals.params, 8)


def test_arguments_reach_a_network_of_the_zoo():
    # the last layer has 10 classes instead of 1000: 512 weights and a bias for each
    few, many = (cnncost.analyze("resnet18", model_args={"num_classes": n}).totals.params for n in (10, 1000))
    assert many - few == 990 * 513


def test_a_module_is_taken_as_it_is():
    model = nn.Linear(2, 3)
    resolved = resolve(model, (1, 2), None)
    assert resolved.model is model
    assert (resolved.name, resolved.inputs) == ("Linear", (1, 2))


def test_a_graph_is_analyzed_as_it_is():
    graph = cnncost.record(nn.Linear(2, 3), (1, 2))
    report = cnncost.analyze(graph)
    assert (report.totals.macs, report.model, report.inputs) == (6, "graph", (((1, 2), "float32"),))
    assert report.graph is graph


NO_ARGUMENTS = [
    pytest.param(
        "lenet5",
        {"no_such": 1},
        SourceError,
        "lenet5: building it with (no_such=1) failed",
        id="a network that takes no such argument",
    ),
    pytest.param("nothing_of_the_kind", {}, SourceError, "`cnncost zoo` lists all", id="a name that does not exist"),
    pytest.param("vgg", {}, SourceError, "did you mean vgg1", id="a family's name"),
    pytest.param("\t\n", {}, SourceError, "MODEL is empty", id="white space"),
]


@pytest.mark.parametrize(("spec", "arguments", "kind", "words"), NO_ARGUMENTS)
def test_refused(spec, arguments, kind, words):
    with pytest.raises(kind) as error:
        cnncost.analyze(spec, model_args=arguments)
    assert words in str(error.value)


def test_no_input_for_a_model_that_knows_none():
    with pytest.raises(InputError, match="no input given, and the source has no default"):
        resolve("torch.nn:ReLU", None, None)


NEAR = [
    pytest.param("lenet6", ["lenet5", "alexnet", "vgg16"], "; did you mean lenet5", id="a letter off"),
    pytest.param("zzz", ["lenet5", "vgg16"], "", id="nothing near"),
    pytest.param("abc", [], "", id="nothing known"),
    pytest.param("", ["a"], "", id="an empty name"),
    pytest.param("aaaa", ["aaab", "aaac", "aaad", "aaae"], "; did you mean ", id="at most three"),
]


@pytest.mark.parametrize(("name", "known", "expected"), NEAR)
def test_near_names(name, known, expected):
    found = suggestion(name, known)
    assert found.startswith(expected)
    assert bool(found) is bool(expected)
    assert found.count(",") <= 2
    assert not found or found.endswith("?")
