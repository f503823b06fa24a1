import pytest
import torch
from torch import nn

from cnncost import zoo
from cnncost.zoo.alexnet import response_norm
from cnncost.zoo.width import scaled

FULLY_CONNECTED = 4096 * (256 * 6 * 6 + 1) + 4096 * (4096 + 1) + 1000 * (4096 + 1)


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [
        pytest.param(
            "alexnet",
            96 * (11 * 11 * 3 + 1)
            + 256 * (5 * 5 * 96 + 1)
            + 384 * (3 * 3 * 256 + 1)
            + 384 * (3 * 3 * 384 + 1)
            + 256 * (3 * 3 * 384 + 1),
            id="one tower: 3,747,200 in the convolutions, 62,378,344 in all",
        ),
        pytest.param(
            "alexnet_two_gpu",
            96 * (11 * 11 * 3 + 1)
            + 256 * (5 * 5 * 48 + 1)
            + 384 * (3 * 3 * 256 + 1)
            + 384 * (3 * 3 * 192 + 1)
            + 256 * (3 * 3 * 192 + 1),
            id="two GPUs: conv2, conv4 and conv5 see half of the maps",
        ),
    ],
)
def test_parameters(name, convolutions, on_meta):
    model = on_meta(name)
    assert sum(p.numel() for p in model.features.parameters()) == convolutions
    assert sum(p.numel() for p in model.parameters()) == convolutions + FULLY_CONNECTED


@pytest.mark.parametrize(
    ("name", "halves"),
    [pytest.param("alexnet", 1, id="one tower"), pytest.param("alexnet_two_gpu", 2, id="two GPUs")],
)
def test_macs_of_each_layer(name, halves, on_meta, count_macs):
    counts = count_macs(on_meta(name), (1, 3, 227, 227))
    assert {path: count for path, count in counts.items() if count} == {
        "features.conv1": 55 * 55 * 96 * 11 * 11 * 3,
        "features.conv2": 27 * 27 * 256 * 5 * 5 * 96 // halves,
        "features.conv3": 13 * 13 * 384 * 3 * 3 * 256,
        "features.conv4": 13 * 13 * 384 * 3 * 3 * 384 // halves,
        "features.conv5": 13 * 13 * 256 * 3 * 3 * 384 // halves,
        "classifier.fc6": 256 * 6 * 6 * 4096,
        "classifier.fc7": 4096 * 4096,
        "classifier.fc8": 4096 * 1000,
    }


def test_the_lecture_is_right_that_convolutions_have_6_percent_of_parameters_and_95_of_time(on_meta, count_macs):
    model = on_meta("alexnet")
    params = [sum(p.numel() for p in part.parameters()) for part in (model.features, model)]
    macs = count_macs(model, (1, 3, 227, 227))
    convolutions = sum(count for path, count in macs.items() if path.startswith("features."))
    assert round(100 * params[0] / params[1]) == 6
    assert round(100 * convolutions / sum(macs.values())) == 95


def test_response_normalisation_is_the_papers_formula():
    x = torch.randn(1, 8, 2, 2)
    expected = torch.empty_like(x)
    for i in range(8):
        neighbours = x[:, max(0, i - 2) : min(7, i + 2) + 1]
        expected[:, i] = x[:, i] / (2 + 1e-4 * neighbours.square().sum(dim=1)) ** 0.75
    assert torch.allclose(response_norm()(x), expected, rtol=1e-5)


def test_layers_follow_in_the_order_of_section_3_5(on_meta):
    model = on_meta("alexnet")
    assert " ".join(path for path, _ in model.features.named_children()) == (
        "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5"
    )
    assert " ".join(path for path, _ in model.classifier.named_children()) == (
        "fc6 relu6 dropout6 fc7 relu7 dropout7 fc8"
    )


def test_initial_biases_are_one_where_the_paper_says_so():
    model = zoo.build("alexnet", width=0.1)
    ones = [
        path
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and torch.all(layer.bias == 1)
    ]
    assert " ".join(ones) == "features.conv2 features.conv4 features.conv5 classifier.fc6 classifier.fc7"


def test_overlapping_pooling(on_meta):
    pools = [layer for layer in on_meta("alexnet").modules() if isinstance(layer, nn.MaxPool2d)]
    assert [(pool.kernel_size, pool.stride) for pool in pools] == [(3, 2)] * 3


def test_the_two_halves_do_not_see_each_other():
    model = zoo.build("alexnet_two_gpu", width=0.125)
    layer = model.features.conv4
    x = torch.randn(1, layer.in_channels, 5, 5)
    changed = x.clone()
    changed[:, layer.in_channels // 2 :] += 1
    half = layer.out_channels // 2
    with torch.no_grad():
        same = torch.isclose(layer(x), layer(changed))
    assert same[:, :half].all()
    assert not same[:, half:].any()


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        pytest.param(96, 1, 96, id="1 changes nothing"),
        pytest.param(96, 0.125, 12, id="an eighth"),
        pytest.param(96, 0.1, 10, id="to the nearest even number"),
        pytest.param(64, 0.001, 2, id="at least two"),
    ],
)
def test_width_scales(channels, width, expected):
    assert scaled(channels, width) == expected


def test_width_refuses_zero():
    with pytest.raises(ValueError, match="expected a factor above 0, got 0"):
        zoo.build("alexnet", width=0)
