"""Laws of small networks against formulas that follow from their geometry, written as products."""

from random import Random

import networks_of_laws as nets
import pytest
from torch import nn

import cnncost
from tests.samples import sample

CASES = [
    # network, inputs, what varies, MACs by hand, parameters by hand, the step of each variable
    pytest.param(
        nn.Linear(7, 5), "1x7", "batch", lambda b: b * 7 * 5, lambda b: 7 * 5 + 5, {"batch": 1}, id="a linear layer"
    ),
    pytest.param(
        nn.Conv2d(3, 6, 3, padding=1), "1x3x20x20", "batch,height,width", lambda b, h, w: b * h * w * 3 * 3 * 3 * 6,
        lambda b, h, w: 3 * 3 * 3 * 6 + 6, {"batch": 1, "height": 1, "width": 1}, id="a convolution",
    ),
    pytest.param(
        nn.Conv2d(3, 6, 3, 2, 1), "1x3x20x20", "batch,height,width",
        lambda b, h, w: b * (h // 2) * (w // 2) * 3 * 3 * 3 * 6, lambda b, h, w: 3 * 3 * 3 * 6 + 6,
        {"batch": 1, "height": 2, "width": 2}, id="a stride",
    ),
    pytest.param(
        nn.Sequential(nn.Conv2d(1, 6, 5), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5)), "1x1x32x32", "batch,height,width",
        lambda b, h, w: b * ((h - 4) * (w - 4) * 5 * 5 * 6 + (h // 2 - 6) * (w // 2 - 6) * 5 * 5 * 6 * 16),
        lambda b, h, w: 5 * 5 * 6 + 6 + 5 * 5 * 6 * 16 + 16, {"batch": 1, "height": 2, "width": 2}, id="LeNet's maps",
    ),
    pytest.param(
        nn.Sequential(nn.Conv1d(4, 4, 3, padding=1, groups=4), nn.Conv1d(4, 8, 1)), "1x4x30", "batch,length",
        lambda b, t: b * t * (4 * 3 + 4 * 8), lambda b, t: 4 * 3 + 4 + 4 * 8 + 8, {"batch": 1, "length": 1},
        id="separable, in one dimension",
    ),
    pytest.param(
        nn.Conv3d(1, 2, 3, padding=1), "1x1x8x10x12", "batch,depth,height,width",
        lambda b, d, h, w: b * d * h * w * 27 * 2, lambda b, d, h, w: 27 * 2 + 2,
        {"batch": 1, "depth": 1, "height": 1, "width": 1}, id="three dimensions",
    ),
    pytest.param(
        nets.Attention(16), "1x10x16", "batch,sequence", lambda b, s: b * (3 * s * 16 * 16 + 2 * s * s * 16),
        lambda b, s: 3 * (16 * 16 + 16), {"batch": 1, "sequence": 1}, id="attention",
    ),
    pytest.param(
        nn.GRU(4, 8, batch_first=True), "1x9x4", "batch,sequence", lambda b, s: b * s * 3 * 8 * (4 + 8),
        lambda b, s: 3 * (8 * 4 + 8 * 8 + 8 + 8), {"batch": 1, "sequence": 1}, id="a recurrent layer",
    ),
    pytest.param(
        nets.Cells(), "1x9x4", "batch,sequence", lambda b, s: b * (s * 8 * (4 + 8) + 8 * 3),
        lambda b, s: 8 * 4 + 8 * 8 + 8 + 8 + 8 * 3 + 3, {"batch": 1, "sequence": 1}, id="a loop over the sequence",
    ),
    pytest.param(
        nn.ConvTranspose2d(4, 2, 2, 2), "1x4x8x8", "batch,height,width", lambda b, h, w: b * h * w * 4 * 2 * 2 * 2,
        lambda b, h, w: 4 * 2 * 2 * 2 + 2, {"batch": 1, "height": 1, "width": 1}, id="a transposed convolution",
    ),
    pytest.param(
        nets.Words(), "1x16:int64", "batch,sequence", lambda b, s: b * s * 12 * 50, lambda b, s: 50 * 12 + 12 * 50 + 50,
        {"batch": 1, "sequence": 1}, id="tokens",
    ),
    pytest.param(
        nets.Doubled(), "1x3x16x16", "batch,size",
        lambda b, n: b * ((n // 2) ** 2 * 9 * 3 * 4 + n * n * 9 * 4 * 2), lambda b, n: 9 * 3 * 4 + 4 + 9 * 4 * 2 + 2,
        {"batch": 1, "size": 2}, id="down and up, of squares",
    ),
    # what follows the last convolution divides the image further, but costs no MACs
    pytest.param(
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2), nn.Conv2d(2, 3, 1), nn.MaxPool2d(2), nn.MaxPool2d(2)),
        "1x1x32x32", "height,width", lambda h, w: h * w * 2 + (h // 2) * (w // 2) * 2 * 3, lambda h, w: 2 + 2 + 6 + 3,
        {"height": 2, "width": 2}, id="FLOPs on a lattice of 8, MACs of 2",
    ),
    pytest.param(
        nn.Sequential(nn.Conv2d(1, 2, 4, 4), nn.MaxPool2d(2), nn.AvgPool2d(2)), "1x1x64x64", "batch,size",
        lambda b, n: b * (n // 4) ** 2 * 4 * 4 * 2, lambda b, n: 4 * 4 * 2 + 2, {"batch": 1, "size": 4},
        id="FLOPs on a lattice of 16, MACs of 4",
    ),
    pytest.param(
        nn.Sequential(nn.Conv1d(1, 4, 3, 3), nn.MaxPool1d(2), nn.MaxPool1d(2)), "1x1x96", "length",
        lambda t: (t // 3) * 3 * 4, lambda t: 3 * 4 + 4, {"length": 3}, id="FLOPs on a lattice of 12, MACs of 3",
    ),
    pytest.param(
        nets.Patches(), "1x3x56x56", "height,width",
        lambda h, w: (h // 14) * (w // 14) * (3 * 14 * 14 * 16 + 3 * 16 * 16) + 2 * ((h // 14) * (w // 14)) ** 2 * 16,
        lambda h, w: 3 * 14 * 14 * 16 + 16 + 3 * (16 * 16 + 16), {"height": 14, "width": 14}, id="patches as tokens",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("network", "inputs", "vary", "macs", "params", "steps"), sample(CASES, 8))
def test_by_hand(network, inputs, vary, macs, params, steps):
    laws = cnncost.formula(network, inputs, vary, training=False)
    law, random = laws["macs"], Random(3)  # noqa: S311

    assert dict(zip(law.names, [span.step for span in law.domain], strict=True)) == steps
    for _ in range(40):
        at = {
            name: random.randrange(span.low, min(span.high, 40 * span.step + span.low), span.step)
            for name, span in zip(law.names, law.domain, strict=True)
        }  # fmt: skip
        assert law(**at) == macs(*at.values()), at
        assert laws["params"](**at) == params(*at.values()), at


@pytest.mark.parametrize(
    ("network", "inputs", "macs"),
    [
        pytest.param(
            nn.Conv2d(3, 6, 3, 2, 1), "1x3x20x20", lambda h, w: -(-h // 2) * -(-w // 2) * 9 * 3 * 6, id="rounded up"
        ),
        pytest.param(
            nn.Conv2d(3, 6, 11, 4), "1x3x47x47", lambda h, w: ((h - 11) // 4 + 1) * ((w - 11) // 4 + 1) * 121 * 3 * 6,
            id="AlexNet's first",
        ),
        pytest.param(
            nn.Sequential(nn.Conv2d(1, 6, 5), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5)), "1x1x32x32",
            lambda h, w: (h - 4) * (w - 4) * 25 * 6 + ((h - 4) // 2 - 4) * ((w - 4) // 2 - 4) * 25 * 6 * 16,
            id="two maps",
        ),
        pytest.param(
            nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(2, 4, 1)), "1x1x32x32",
            lambda h, w: -(-h // 2) * -(-w // 2) * 9 * 2 + -(-h // 4) * -(-w // 4) * 2 * 4, id="in ceil mode",
        ),
    ],
)  # fmt: skip
def test_floors_for_all_sizes(network, inputs, macs):
    law = cnncost.formula(network, inputs, ("height", "width"), training=False)["macs"]
    low = [span.low for span in law.domain]

    assert law.everywhere is not None
    for height in range(low[0], low[0] + 40):
        for width in range(low[1], low[1] + 40, 3):
            assert law(height=height, width=width) == macs(height, width)


def test_a_width():
    laws = cnncost.formula(
        f"{nets.__file__}:scaled", "1x3x8x8", {"batch": None, "width": (16, 32, 64)}, training=False
    )  # fmt: skip

    assert str(laws["params"]) == "9·width² + 37·width + 10"  # 27·w + 9·w² of the convolutions, 10·w + 10
    assert laws["macs"](batch=3, width=48) == 3 * (8 * 8 * (27 * 48 + 9 * 48 * 48) + 10 * 48)
