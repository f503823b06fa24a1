"""Ops of detection models: counts derived by hand."""

import pytest

from cnncost.graph import OpSpec, TensorType
from cnncost.ops import cost_of

GEOMETRY = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "offset_groups": 1}


def spec(kind, inputs, outputs, **attrs):
    types = [tuple(TensorType(shape, "float32") for shape in shapes) for shapes in (inputs, outputs)]
    return OpSpec(kind, *types, tuple(sorted(attrs.items())))


@pytest.mark.parametrize(
    ("boxes", "flops"),
    [
        pytest.param(0, 0, id="no box"),
        pytest.param(1, 3, id="one box has an area"),
        pytest.param(4, 3 * 4 + 13 * 6, id="four boxes are six pairs"),
    ],
)
def test_non_maximum_suppression(boxes, flops):
    cost = cost_of(spec("nms", [(boxes, 4), (boxes,)], [(boxes,)], boxes=boxes))
    assert (cost.macs, cost.flops) == (0, flops)


def test_roi_align():
    # 5 regions, 7×7 bins of 2×2 samples, 16 channels: 4 products and 3 sums per sample, and one to add it to the mean;
    # per sampling position 8 for the fractions of its coordinates and 4 products of them
    found = cost_of(spec("roi_align", [(1, 16, 50, 50), (5, 5)], [(5, 16, 7, 7)], samples=2))
    places = 5 * 49 * 4
    assert (found.macs, found.flops) == (0, places * 16 * 8 + places * 12)


def test_roi_align_with_adaptive_samples_is_unknown():
    assert cost_of(spec("roi_align", [(1, 16, 50, 50), (5, 5)], [(5, 16, 7, 7)], samples=0)) is None


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_deformable_convolution(groups, masked):
    # x: 2×4×8×8, 6 kernels of 3×3, one output position per pixel
    inputs = [(2, 4, 8, 8), (6, 4 // groups, 3, 3), (2, 18, 8, 8), (2, 9, 8, 8), (6,)]
    found = cost_of(spec("deform_conv", inputs, [(2, 6, 8, 8)], groups=groups, masked=masked, **GEOMETRY))
    macs = 2 * 6 * 64 * (4 // groups) * 9
    taps = 2 * 64 * 9
    assert found.macs == macs
    assert found.flops == 2 * macs + taps * 4 * (8 if masked else 7) + taps * 12 + 2 * 6 * 64


def test_roi_align_backward():
    # a sample distributes its share of the mean to four pixels, weighted: 1 + 4·2; its position is computed again
    found = cost_of(spec("roi_align_backward", [(5, 16, 7, 7), (5, 5)], [(1, 16, 50, 50)], samples=2))
    places = 5 * 49 * 4
    assert (found.macs, found.flops) == (0, places * 16 * 9 + places * 12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_deformable_convolution_backward(groups, masked):
    g, x, w = (2, 6, 8, 8), (2, 4, 8, 8), (6, 4 // groups, 3, 3)
    inputs = [g, x, w, (2, 18, 8, 8), (2, 9, 8, 8), (6,)]
    outputs = [x, w, (2, 18, 8, 8), (2, 9, 8, 8), (6,)]
    found = cost_of(spec("deform_conv_backward", inputs, outputs, groups=groups, masked=masked, **GEOMETRY))
    macs = 2 * 6 * 64 * (4 // groups) * 9
    samples = 2 * 64 * 9 * 4
    sampled, spread, slopes = (7 + masked), (4 * 2 + masked), (2 * (5 + 2) + masked)
    assert found.macs == 2 * macs
    places = 3 * 2 * 64 * 9
    assert found.flops == 4 * macs + samples * (sampled + spread + slopes + 9 * masked) + 12 * places + 2 * 6 * 64
