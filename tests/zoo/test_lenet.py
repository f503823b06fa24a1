import pytest
import torch
from torch import nn

from cnncost import zoo


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        pytest.param(
            "lenet1",
            {"h1": 4 * 26, "h2": 4 * 2, "h3": 20 * 25 + 12, "h4": 12 * 2, "output": 10 * (12 * 4 * 4 + 1)},
            id="LeNet-1: 104 + 8 + 512 + 24 + 1930 = 2578",
        ),
        pytest.param(
            "lenet5",
            {
                "c1": 6 * 26,
                "s2": 6 * 2,
                "c3": 60 * 25 + 16,
                "s4": 16 * 2,
                "c5": 120 * (16 * 25 + 1),
                "f6": 84 * (120 + 1),
                "output": 0,
            },
            id="LeNet-5: 156 + 12 + 1516 + 32 + 48120 + 10164 = 60000",
        ),
        pytest.param(
            "lenet5_modern",
            {
                "c1": 6 * 26,
                "s2": 0,
                "c3": 16 * (6 * 25 + 1),
                "s4": 0,
                "c5": 120 * (16 * 25 + 1),
                "f6": 84 * (120 + 1),
                "output": 10 * (84 + 1),
            },
            id="modern LeNet-5: 156 + 2416 + 48120 + 10164 + 850 = 61706",
        ),
    ],
)
def test_parameters_of_each_layer(name, layers, on_meta):
    model = on_meta(name)
    measured = {path: sum(p.numel() for p in model.get_submodule(path).parameters()) for path in layers}
    assert measured == layers
    assert sum(p.numel() for p in model.parameters()) == sum(layers.values())


@pytest.mark.parametrize(
    ("name", "shape", "maps"),
    [
        pytest.param(
            "lenet1",
            (1, 1, 28, 28),
            {"h1": (4, 24, 24), "h2": (4, 12, 12), "h3": (12, 8, 8), "h4": (12, 4, 4), "output": (10,)},
            id="LeNet-1",
        ),
        pytest.param(
            "lenet5",
            (1, 1, 32, 32),
            {
                "c1": (6, 28, 28),
                "s2": (6, 14, 14),
                "c3": (16, 10, 10),
                "s4": (16, 5, 5),
                "c5": (120, 1, 1),
                "f6": (84,),
                "output": (10,),
            },
            id="LeNet-5",
        ),
    ],
)
def test_maps_have_the_sizes_of_the_papers(name, shape, maps):
    x, measured = torch.zeros(shape), {}
    for path, layer in zoo.build(name).named_children():
        x = layer(x)
        measured[path] = tuple(x.shape[1:])
    assert {path: measured[path] for path in maps} == maps


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        pytest.param(
            "lenet1",
            {"h1": 4 * 25 * 24 * 24, "h3": 20 * 25 * 8 * 8, "output": 192 * 10},
            id="LeNet-1: 57,600 + 32,000 + 1,920",
        ),
        pytest.param(
            "lenet5",
            {"c1": 6 * 25 * 28 * 28, "c3": 60 * 25 * 10 * 10, "c5": 120 * 16 * 25, "f6": 120 * 84},
            id="LeNet-5: the 60 pairs of C3, not 96",
        ),
    ],
)
def test_macs_are_those_of_the_connections(name, macs, on_meta, count_macs):
    counts = count_macs(on_meta(name), zoo.entry(name).input_shape)
    assert {path: count for path, count in counts.items() if count} == macs


def test_rbf_codes_of_lenet5_are_a_buffer():
    model = zoo.build("lenet5")
    assert [name for name, _ in model.named_buffers()] == ["output.codes"]
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", ["lenet1", "lenet5"])
def test_initial_weights_follow_the_fan_in(name):
    for module in zoo.build(name).modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.weight.abs().max() <= 2.4 / module.weight[0].numel()


def test_every_unit_of_lenet1_is_squashed():
    assert zoo.build("lenet1")(torch.randn(4, 1, 28, 28) * 100).abs().max() <= 1.7159
