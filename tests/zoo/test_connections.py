import pytest
import torch

from cnncost import zoo
from cnncost.zoo.connections import connections, neurons


def test_connections_of_lenet5_by_hand(on_meta):
    assert connections(on_meta("lenet5"), (1, 1, 32, 32)) == {
        "c1": 6 * 28 * 28 * (25 + 1),
        "s2": 6 * 14 * 14 * (4 + 1),
        "c3": 10 * 10 * (60 * 25 + 16),
        "s4": 16 * 5 * 5 * (4 + 1),
        "c5": 120 * (16 * 25 + 1),
        "f6": 84 * (120 + 1),
        "output": 10 * 84,
    }


def test_connections_of_lenet1_by_hand(on_meta):
    assert connections(on_meta("lenet1"), (1, 1, 28, 28)) == {
        "h1": 4 * 24 * 24 * (25 + 1),
        "h2": 4 * 12 * 12 * (4 + 1),
        "h3": 8 * 8 * (20 * 25 + 12),
        "h4": 12 * 4 * 4 * (4 + 1),
        "output": 10 * (192 + 1),
    }


def test_units_of_lenet1_with_its_inputs_and_the_constant_one_are_4635(on_meta):
    assert sum(neurons(on_meta("lenet1"), (1, 1, 28, 28)).values()) + 28 * 28 + 1 == 4635


def test_units_of_alexnet_are_those_of_its_maps(on_meta):
    assert list(neurons(on_meta("alexnet_two_gpu"), (1, 3, 227, 227)).values()) == [
        96 * 55 * 55,
        256 * 27 * 27,
        384 * 13 * 13,
        384 * 13 * 13,
        256 * 13 * 13,
        4096,
        4096,
        1000,
    ]


def test_a_larger_input_makes_more_connections_of_the_same_weights(on_meta):
    small = connections(on_meta("lenet5_modern")[:4], (1, 1, 32, 32))
    large = connections(on_meta("lenet5_modern")[:4], (1, 1, 36, 36))
    assert large == {"c1": small["c1"] // 28**2 * 32**2, "c3": small["c3"] // 10**2 * 12**2}


def test_counts_are_those_of_one_image(on_meta):
    one = connections(on_meta("lenet5"), (1, 1, 32, 32))
    assert connections(on_meta("lenet5"), (16, 1, 32, 32)) == one


def test_the_model_is_left_as_it_was():
    model = zoo.build("lenet5").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    connections(model, (1, 1, 32, 32))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_model_is_left_as_it_was_when_forward_fails():
    model = zoo.build("lenet5")
    with pytest.raises(RuntimeError):
        connections(model, (1, 3, 32, 32))
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_that_the_papers_do_not_know_is_named(on_meta):
    with pytest.raises(TypeError, match=r"connections at bn1: expected Conv2d.*, got BatchNorm2d"):
        connections(on_meta("resnet18"), (1, 3, 224, 224))
