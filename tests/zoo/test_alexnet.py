import pytest
import torch
from torch import nn

import cnncost
from cnncost import zoo
from cnncost.lecture.quantities import value_of
from cnncost.zoo.alexnet_layers import response_norm
from cnncost.zoo.alexnet_towers import Towers
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


# ---- on two GPUs, by the sizes of figure 2

BATCH, FLOAT = 128, 4
CONVS = [
    # maps of one GPU, channels that each sees, side of the kernel, positions
    (48, 3, 11, 55 * 55), (128, 48, 5, 27 * 27), (192, 256, 3, 13 * 13), (192, 192, 3, 13 * 13), (128, 192, 3, 13 * 13),
]  # fmt: skip
HALF = sum(m * (c * k * k + 1) for m, c, k, _ in CONVS) + 2048 * (9216 + 1) + 2048 * (4096 + 1)
LAST = 1000 * (4096 + 1)
MACS = sum(m * c * k * k * n for m, c, k, n in CONVS) + 2048 * 9216 + 2048 * 4096
SENT = {"exchange3": 128 * 13 * 13, "exchange6": 128 * 6 * 6, "exchange7": 2048, "exchange8": 2048}
"""Values of an image that a GPU sends to the other one; the last goes to the first GPU alone."""
IMAGES = 3 * 227 * 227


@pytest.fixture(scope="module")
def placed():
    return cnncost.analyze(
        "alexnet_two_gpu", f"{BATCH}x3x227x227", model_args={"placed": True}, training=True, optimizer="momentum"
    )


def test_each_gpu_has_half_of_all_but_the_last_layer(placed):
    first, second = placed.devices
    assert (first.params, second.params) == (HALF + LAST, HALF) == (32_531_112, 28_434_112)
    assert (first.macs, second.macs) == (BATCH * (MACS + 1000 * 4096), BATCH * MACS)
    assert placed.totals.params == 60_965_224
    assert placed.totals.macs == BATCH * 724_406_816
    assert placed.unknown == {}


def test_bytes_over_the_link(placed):
    """The images are on the first GPU here; the paper's host sends them to both."""
    forth = BATCH * FLOAT * (SENT["exchange3"] + SENT["exchange6"] + SENT["exchange7"])
    last = BATCH * FLOAT * SENT["exchange8"]
    told = {(link.run, link.phase, link.source, link.target): link.nbytes for link in placed.links}
    zero, one = "cuda:0", "cuda:1"
    for run in ("inference", "training"):
        assert told.pop((run, "forward", zero, one)) == forth + BATCH * FLOAT * IMAGES
        assert told.pop((run, "forward", one, zero)) == forth + last
    assert told == {
        ("training", "backward", zero, one): forth + last,
        ("training", "backward", one, zero): forth,  # images have no gradient
    }


@pytest.mark.parametrize(("layer", "values"), SENT.items())
def test_bytes_before_each_layer_for_an_image(layer, values):
    report = cnncost.analyze("alexnet_two_gpu", "1x3x227x227", model_args={"placed": True})
    ways = 1 if layer == "exchange8" else 2
    assert value_of(report, "link_bytes", layer) == ways * FLOAT * values


def test_memory_of_a_step_at_batch_128(placed):
    """The peak is in the backward of the second response normalisation, which torch computes from its parts.

    Normalisation keeps its input, padded squares (two maps more on each side), and the sum before and after the power.
    """
    maps1, maps2, pooled = 48 * 55 * 55, 128 * 27 * 27, 48 * 27 * 27
    padded1, padded2 = 52 * 55 * 55, 132 * 27 * 27
    kept = FLOAT * BATCH * (3 * maps1 + padded1 + maps1 + pooled + 3 * maps2 + padded2) + 8 * BATCH * pooled
    gradients = FLOAT * BATCH * 5 * maps2  # of the pooled maps, and four parts of the quotient's
    later = HALF - sum(m * (c * k * k + 1) for m, c, k, _ in CONVS[:2])
    images = FLOAT * BATCH * IMAGES
    second = FLOAT * (2 * HALF + later) + images + kept + gradients
    logits = FLOAT * (BATCH * 1000 + 2)  # and the loss, and its gradient
    first = second + FLOAT * 3 * LAST + logits
    assert [d.training_peak for d in placed.devices] == [first, second] == [1_332_478_696, 1_282_802_688]
    assert max(first, second) < 2 * 10**9 < 3 * 10**9  # the slide's and the paper's cards


def test_the_halves_compute_what_the_groups_do():
    """With the same weights, and without normalisation, which crosses the border in the one and not in the other."""
    whole, halves = zoo.build("alexnet_two_gpu", width=0.125).eval(), Towers(width=0.125, devices=("cpu", "cpu")).eval()
    for norm in ("norm1", "norm2"):
        setattr(whole.features, norm, nn.Identity())
        for tower in halves.before:
            setattr(tower, norm, nn.Identity())
    for index in range(2):
        parts = {**dict(halves.before[index].named_children()), **dict(halves.after[index].named_children())}
        for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
            copy_half(getattr(whole.features, name), parts[name], index)
        copy_half(whole.classifier.fc6, halves.fc6[index].fc, index)
        copy_half(whole.classifier.fc7, halves.fc7[index].fc, index)
    halves.fc8.load_state_dict(whole.classifier.fc8.state_dict())
    x = torch.randn(2, 3, 227, 227)
    with torch.no_grad():
        torch.testing.assert_close(halves(x), whole(x))


def copy_half(whole, half, index):
    for name, parameter in half.named_parameters():
        parameter.data.copy_(getattr(whole, name).chunk(2)[index])
