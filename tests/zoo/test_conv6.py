import pytest
import torch

from cnncost import zoo
from cnncost.zoo.conv6 import Stage

CONV6 = 6 * (5 * 5 * 1 + 1)
CONV16 = 16 * (5 * 5 * 6 + 1)
FC10 = 10 * (100 + 1)


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        pytest.param(
            "conv6",
            CONV6 + 100 * (6 * 28 * 28 + 1) + FC10,
            6 * 25 * 28 * 28 + 100 * 6 * 28 * 28 + 1000,
            id="padded: 6 maps of 28x28, 4,704 features",
        ),
        pytest.param(
            "conv6_valid",
            CONV6 + 100 * (6 * 24 * 24 + 1) + FC10,
            6 * 25 * 24 * 24 + 100 * 6 * 24 * 24 + 1000,
            id="no padding: 6 maps of 24x24",
        ),
        pytest.param(
            "conv6_pool",
            CONV6 + 100 * (6 * 14 * 14 + 1) + FC10,
            6 * 25 * 28 * 28 + 100 * 6 * 14 * 14 + 1000,
            id="pooled to 14x14 after a convolution at full size",
        ),
        pytest.param(
            "conv6_stride",
            CONV6 + 100 * (6 * 14 * 14 + 1) + FC10,
            6 * 25 * 14 * 14 + 100 * 6 * 14 * 14 + 1000,
            id="stride 2: a quarter of the convolution's MACs, as many parameters",
        ),
        pytest.param(
            "conv6_16",
            CONV6 + CONV16 + 100 * (16 * 7 * 7 + 1) + FC10,
            6 * 25 * 28 * 28 + 16 * 25 * 6 * 14 * 14 + 100 * 16 * 7 * 7 + 1000,
            id="two stages: 2,416 parameters in the second, not the 2496 of the slide",
        ),
    ],
)
def test_params_and_macs(name, params, macs, on_meta, count_macs):
    assert sum(p.numel() for p in on_meta(name).parameters()) == params
    assert sum(count_macs(on_meta(name), (1, 1, 28, 28)).values()) == macs


@pytest.mark.parametrize(
    ("stage", "side"),
    [
        pytest.param(Stage(6), 28, id="padding of 2 keeps 28"),
        pytest.param(Stage(6, padding=0), 24, id="without it 28 becomes 24"),
        pytest.param(Stage(6, pool=True), 14, id="pooling halves"),
        pytest.param(Stage(6, stride=2), 14, id="a stride of 2 halves"),
        pytest.param(Stage(6, padding=0, stride=2), 12, id="both: positions 0, 2, ..., 22"),
    ],
)
def test_stage_knows_the_side_of_its_maps(stage, side):
    assert stage.side(28) == side


def test_feature_maps_of_the_second_stage_are_16_of_7x7():
    until_the_second_pooling = zoo.build("conv6_16")[:6]
    assert until_the_second_pooling(torch.zeros(1, 1, 28, 28)).shape == (1, 16, 7, 7)
