"""The kernels that take the place of torchvision's compiled ones, against loops over boxes and taps."""

import pytest
import torch
import zoos
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncost

pytestmark = [zoos.needs("torchvision"), pytest.mark.filterwarnings("ignore")]
some = settings(max_examples=40, deadline=None)


def overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    area = sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return common / (area - common)


@some
@given(count=st.integers(0, 12), seed=st.integers(0, 999), threshold=st.sampled_from([0.1, 0.5, 0.9]))
def test_boxes_that_are_kept(count, seed, threshold):
    import torchvision_cpu

    generator = torch.Generator().manual_seed(seed)
    corner, size = torch.rand(count, 2, generator=generator), torch.rand(count, 2, generator=generator) + 0.1
    boxes, scores = torch.cat([corner, corner + size], 1), torch.rand(count, generator=generator)
    kept = []
    for i in sorted(range(count), key=lambda i: -float(scores[i])):
        if all(overlap(boxes[i].double().tolist(), boxes[j].double().tolist()) <= threshold for j in kept):
            kept.append(i)
    assert torchvision_cpu.nms(boxes, scores, threshold).tolist() == kept


def sampled(image, y, x):
    """Bilinear, held within a pixel of the border, zero beyond it."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = (1 - dx) * image[top, left] + dx * image[top, right]
    lower = (1 - dx) * image[bottom, left] + dx * image[bottom, right]
    return float((1 - dy) * upper + dy * lower)


@some
@given(seed=st.integers(0, 999), ratio=st.integers(1, 3), aligned=st.booleans())
def test_regions_that_are_sampled(seed, ratio, aligned):
    import torchvision_cpu

    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 1, 6, 7, generator=generator, dtype=torch.float64)
    corner, size = 8 * torch.rand(2, generator=generator) - 2, 5 * torch.rand(2, generator=generator)
    box = [*corner.tolist(), *(corner + size).tolist()]
    out = torchvision_cpu.roi_align(image, torch.tensor([[0, *box]], dtype=torch.float64), 0.5, 2, 3, ratio, aligned)
    x1, y1, x2, y2 = (0.5 * v - (0.5 if aligned else 0.0) for v in box)
    width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
    for p in range(2):
        for q in range(3):
            total = 0.0
            for i in range(ratio):
                for j in range(ratio):
                    y = y1 + height / 2 * (p + (i + 0.5) / ratio)
                    x = x1 + width / 3 * (q + (j + 0.5) / ratio)
                    total += sampled(image[0, 0], y, x)
            assert out[0, 0, p, q] == pytest.approx(total / ratio**2, abs=1e-5)


@some
@given(
    seed=st.integers(0, 999), stride=st.integers(1, 2), pad=st.integers(0, 1), groups=st.sampled_from([1, 2]),
    offset_groups=st.sampled_from([1, 2]), masked=st.booleans(),
)  # fmt: skip
def test_convolutions_that_are_bent(seed, stride, pad, groups, offset_groups, masked):
    import torchvision_cpu

    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    side = (5 + 2 * pad - 3) // stride + 1
    x, weight, bias = draw(1, 4, 5, 5), draw(2, 4 // groups, 3, 3), draw(2)
    offset = 2 * draw(1, 2 * offset_groups * 9, side, side) - 1
    mask = draw(1, offset_groups * 9, side, side)
    found = torchvision_cpu.deform_conv2d(
        x, weight, offset, mask, bias, stride, stride, pad, pad, 1, 1, groups, offset_groups, masked
    )
    moved = offset.view(offset_groups, 9, 2, side, side)
    for k in range(2):
        for p in range(side):
            for q in range(side):
                total = float(bias[k])
                for c in range(4 // groups):
                    channel = c + (k // (2 // groups)) * (4 // groups)
                    part = channel // (4 // offset_groups)
                    for tap in range(9):
                        y = p * stride - pad + tap // 3 + float(moved[part, tap, 0, p, q])
                        z = q * stride - pad + tap % 3 + float(moved[part, tap, 1, p, q])
                        value = zero_padded(x[0, channel], y, z)
                        total += (
                            float(weight[k, c, tap // 3, tap % 3])
                            * value
                            * (float(mask.view(offset_groups, 9, side, side)[part, tap, p, q]) if masked else 1.0)
                        )
                assert float(found[0, k, p, q]) == pytest.approx(total, abs=1e-6)


def zero_padded(image, y, x):
    """Bilinear, with zeros beyond the border."""
    top, left = int(y // 1), int(x // 1)
    total = 0.0
    for i, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
        for j, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]:
                total += wy * wx * float(image[i, j])
    return total


@pytest.mark.parametrize("masked", [False, True])
def test_a_bent_convolution_trains(masked):
    """Its backward is two products of the size of forward's one; offsets and masks come from a convolution."""
    from torchvision.ops import DeformConv2d

    class Bent(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.offset, self.mask = torch.nn.Conv2d(4, 18, 3, padding=1), torch.nn.Conv2d(4, 9, 3, padding=1)
            self.layer = DeformConv2d(4, 6, 3, padding=1)

        def forward(self, x):
            return self.layer(x, self.offset(x), self.mask(x) if masked else None)

    report = cnncost.analyze(Bent(), (2, 4, 8, 8), training=True)
    product, others = 2 * 64 * 4 * 9, 18 + 9 * masked
    assert report.unknown == {}
    assert [row.macs for row in report.phases][:2] == [product * (6 + others), product * (2 * 6 + others)]
