import pytest
from torch import nn

from cnncost.zoo import Entry, Figure


@pytest.mark.parametrize(
    ("figure", "measured", "agrees"),
    [
        pytest.param(Figure("params", 100), 100, True, id="an exact figure agrees with itself"),
        pytest.param(Figure("params", 100), 101, False, id="an exact figure is off by one"),
        pytest.param(Figure("macs", 100, tolerance=0.1, reason="r"), 110, True, id="at the edge above"),
        pytest.param(Figure("macs", 100, tolerance=0.1, reason="r"), 90, True, id="at the edge below"),
        pytest.param(Figure("macs", 100, tolerance=0.1, reason="r"), 111, False, id="past the edge"),
    ],
)
def test_figure_agrees_within_its_tolerance(figure, measured, agrees):
    assert figure.agrees(measured) is agrees


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"quantity": "flops"}, "expected a quantity", id="a quantity that no paper means"),
        pytest.param({"tolerance": 0.1}, "give its reason", id="a tolerance without its reason"),
        pytest.param({"tolerance": -0.1, "reason": "r"}, "0 or more", id="a tolerance below zero"),
    ],
)
def test_figure_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Figure(**{"quantity": "params", "value": 1} | arguments)


def test_entry_gives_its_input_as_ints():
    assert entry().input_shape == (1, 3, 32, 32)


def test_entry_builds_with_keyword_arguments():
    model = entry().build(num_classes=7)
    assert model[-1].out_features == 7


def test_entry_passes_on_what_the_builder_refuses():
    with pytest.raises(TypeError, match="depth"):
        entry().build(depth=3)


def test_entry_cannot_be_changed():
    with pytest.raises(AttributeError):
        entry().name = "other"


def entry() -> Entry:
    network = Entry("n", "cnncost.zoo.perceptron:fc10", "1x3x32x32", "N", "f", "p")
    assert isinstance(network.build(), nn.Module)
    return network
