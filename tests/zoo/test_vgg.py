import pytest
from torch import nn

from cnncost import zoo

HIDDEN = 4096 * (512 * 7 * 7 + 1) + 4096 * (4096 + 1) + 1000 * (4096 + 1)
HIDDEN_MACS = 512 * 7 * 7 * 4096 + 4096 * 4096 + 4096 * 1000
SIDES = (224, 112, 56, 28, 14)
MAPS = (3, 64, 128, 256, 512, 512)


def convolutions(depths: tuple[int, ...], kernels: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """maps in, maps out, kernel, side of each convolution; `kernels`: of the last one of each block."""
    return [
        (MAPS[block + (k > 0)], MAPS[block + 1], kernels[block] if k == depth - 1 else 3, SIDES[block])
        for block, depth in enumerate(depths)
        for k in range(depth)
    ]


CONFIGURATIONS = [
    pytest.param("vgg11", (1, 1, 2, 2, 2), (3, 3, 3, 3, 3), id="A"),
    pytest.param("vgg11_lrn", (1, 1, 2, 2, 2), (3, 3, 3, 3, 3), id="A-LRN"),
    pytest.param("vgg13", (2, 2, 2, 2, 2), (3, 3, 3, 3, 3), id="B"),
    pytest.param("vgg16_c", (2, 2, 3, 3, 3), (3, 3, 1, 1, 1), id="C, whose last blocks end in a 1x1"),
    pytest.param("vgg16", (2, 2, 3, 3, 3), (3, 3, 3, 3, 3), id="D"),
    pytest.param("vgg19", (2, 2, 4, 4, 4), (3, 3, 3, 3, 3), id="E"),
]


@pytest.mark.parametrize(("name", "depths", "kernels"), CONFIGURATIONS)
def test_params_and_macs(name, depths, kernels, on_meta, count_macs):
    table = convolutions(depths, kernels)
    params = sum(o * (k * k * i + 1) for i, o, k, _ in table) + HIDDEN
    macs = sum(o * k * k * i * side**2 for i, o, k, side in table) + HIDDEN_MACS
    assert sum(p.numel() for p in on_meta(name).parameters()) == params
    assert sum(count_macs(on_meta(name), (1, 3, 224, 224)).values()) == macs


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        pytest.param("vgg11", 11, id="A"),
        pytest.param("vgg11_lrn", 11, id="A-LRN"),
        pytest.param("vgg13", 13, id="B"),
        pytest.param("vgg16_c", 16, id="C"),
        pytest.param("vgg16", 16, id="D"),
        pytest.param("vgg19", 19, id="E"),
    ],
)
def test_depth_is_that_of_layers_with_weights(name, layers, on_meta):
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in on_meta(name).modules()) == layers


def test_two_3x3_have_18_weights_a_channel_pair_where_one_5x5_has_25(on_meta):
    features = on_meta("vgg13").features
    pair = features.conv2_2.in_channels * features.conv2_2.out_channels
    assert 2 * features.conv2_2.weight.numel() == 18 * pair < 25 * pair


def test_only_a_lrn_normalises_and_does_so_after_the_first_relu(on_meta):
    normalising = [
        name
        for name in zoo.names()
        if name.startswith("vgg") and any(isinstance(m, nn.LocalResponseNorm) for m in on_meta(name).modules())
    ]
    assert normalising == ["vgg11_lrn"]
    first = [path for path, _ in on_meta("vgg11_lrn").features.named_children()][:4]
    assert first == ["conv1_1", "relu1_1", "norm1", "pool1"]


def test_initial_biases_are_zero():
    model = zoo.build("vgg11", width=0.05)
    assert all(not p.any() for name, p in model.named_parameters() if name.endswith("bias"))
