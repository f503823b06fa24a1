"""Receptive fields known from papers or derived by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.passes.receptive_field import GLOBAL, UNKNOWN, receptive_fields
from tests.passes.receptive_field import networks
from tests.passes.receptive_field.dags import WindowAttention

torch.set_num_threads(1)


def fields_of(model, inputs=None):
    return receptive_fields(cnncost.analyze(model, inputs).graph)


def at(fields, path, **options):
    graph = fields.graph
    return fields.of(next(i for i in range(len(graph.calls)) if graph.call_path(i) == path), **options)


def square(n):
    return (n, n)


@pytest.mark.parametrize(
    ("model", "layer", "size", "jump", "start"),
    [
        # LeCun et al. 1998: 5, 2·1 more by sub-sampling, 4·2, 1·2, 4·4
        ("lenet5", "c1", 5, 1, 0),
        ("lenet5", "s2", 6, 2, 0),
        ("lenet5", "c3", 14, 2, 0),
        ("lenet5", "s4", 16, 4, 0),
        ("lenet5", "c5", 32, 4, 0),
        # 11, +2·4, +4·8, +2·8, +2·16 three times, +2·16
        ("alexnet", "features.conv1", 11, 4, 0),
        ("alexnet", "features.pool5", 195, 32, -64),
        # Σ over five stages of 2·2ⁱ per convolution and 2ⁱ per pooling: 212 (Araujo et al. 2019)
        ("vgg16", "features.pool5", 212, 32, -90),
        ("resnet18", "layer1", 43, 4, -21),
        ("resnet18", "layer4", 435, 32, -217),
    ],
)
def test_the_zoo(model, layer, size, jump, start):
    field = at(fields_of(model), layer)
    assert (field.size, field.jump, field.start) == (square(size), square(jump), square(start))


@pytest.mark.parametrize(
    ("build", "layer", "size", "jump"),
    [
        (networks.mobilenet_v2, "", 491, 32),
        (networks.densenet121, "", 2071, 32),
        (networks.resnet50, "2", 35, 4),
        (networks.resnet50, "5", 427, 32),
    ],
)  # Araujo et al. 2019, table of common networks; ResNet-50 with its stride on 3×3
def test_published(build, layer, size, jump):
    field = at(fields_of(build(), "1x3x224x224"), layer)
    assert (field.size, field.jump) == (square(size), square(jump))


class Of(nn.Module):
    """A function as a layer."""

    def __init__(self, function, *modules):
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)

    def forward(self, *args):
        return self.function(*args, *self.parts)


def conv(*args, **options):
    return nn.Conv2d(4, 4, *args, **options)


IMAGE = (1, 4, 32, 32)
HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("layer", "size", "jump", "start"),
    [
        pytest.param(conv((3, 1), (2, 1), (1, 0)), (3, 1), (2, 1), (-1, 0), id="asymmetric"),
        pytest.param(conv(3, dilation=4), (9, 9), (1, 1), (0, 0), id="dilated"),
        pytest.param(conv(4, padding="same"), (4, 4), (1, 1), (-1, -1), id="same: the odd one behind"),
        # y[2i + a] += w[a]·x[i], a < 3: an even output sees two inputs, an odd one
        pytest.param(nn.ConvTranspose2d(4, 4, 3, 2), (2, 2), (HALF, HALF), (-1, -1), id="transposed"),
        pytest.param(nn.ConvTranspose2d(4, 4, 2, 2), (1, 1), (HALF, HALF), (0, 0), id="transposed without overlap"),
        pytest.param(nn.Upsample(scale_factor=2), (1, 1), (HALF, HALF), (0, 0), id="nearest"),
        # position (j + ½)/2 - ½: output 0 is at -¼
        pytest.param(nn.Upsample(scale_factor=2, mode="bilinear"), (2, 2), (HALF, HALF), (-1, -1), id="bilinear"),
        pytest.param(nn.Upsample(scale_factor=2, mode="bicubic"), (4, 4), (HALF, HALF), (-2, -2), id="bicubic"),
        pytest.param(nn.AdaptiveAvgPool2d(8), (4, 4), (4, 4), (0, 0), id="adaptive"),
        pytest.param(nn.AdaptiveAvgPool2d(1), (GLOBAL,) * 2, (GLOBAL,) * 2, (GLOBAL,) * 2, id="global pooling"),
        pytest.param(nn.PixelShuffle(2), (1, 1), (HALF, HALF), (0, 0), id="pixel shuffle"),
        pytest.param(nn.PixelUnshuffle(2), (2, 2), (2, 2), (0, 0), id="pixel unshuffle"),
        pytest.param(Of(lambda x: F.pad(x, (2, 0, 1, 0))), (1, 1), (1, 1), (-1, -2), id="pad"),
        pytest.param(Of(lambda x: x[:, :, 3:, ::2]), (1, 1), (1, 2), (3, 0), id="slices"),
        pytest.param(Of(lambda x: x.roll((2, -1), (2, 3))), (1, 1), (1, 1), (-2, 1), id="roll"),
        pytest.param(Of(lambda x: x.flip(3)), (1, 1), (1, -1), (0, 31), id="flip"),
        pytest.param(Of(lambda x: x.mT), (1, 1), (1, 1), (0, 0), id="transpose"),
        pytest.param(Of(lambda x: x[:, :, 3]), (1, 1), (0, 1), (3, 0), id="one row"),
        pytest.param(WindowAttention(8, 0), (8, 8), (1, 1), (0, 0), id="windows"),
        # the window of 8 that starts 4 positions earlier
        pytest.param(WindowAttention(8, 4), (8, 8), (1, 1), (-4, -4), id="shifted windows"),
        pytest.param(nn.GroupNorm(2, 4), (GLOBAL,) * 2, (GLOBAL,) * 2, (GLOBAL,) * 2, id="group norm"),
        pytest.param(nn.InstanceNorm2d(4), (GLOBAL,) * 2, (GLOBAL,) * 2, (GLOBAL,) * 2, id="instance norm"),
        pytest.param(nn.BatchNorm2d(4), (1, 1), (1, 1), (0, 0), id="batch norm"),
        pytest.param(nn.Linear(32, 7), (1, GLOBAL), (1, GLOBAL), (0, GLOBAL), id="linear over a row"),
        pytest.param(Of(lambda x: x.softmax(2)), (GLOBAL, 1), (GLOBAL, 1), (GLOBAL, 0), id="softmax over a column"),
        pytest.param(Of(torch.fft.rfft), (1, GLOBAL), (1, GLOBAL), (0, GLOBAL), id="Fourier over a row"),
        pytest.param(
            Of(lambda x, a, b: a(x) + b(x), conv(3, padding=1), conv(1)), (3, 3), (1, 1), (-1, -1), id="residual"
        ),
        pytest.param(
            Of(lambda x, a, b: torch.cat([a(x), b(x)], 1), conv(5, 2, 2), conv(3, 2, 1)), (5, 5), (2, 2), (-2, -2),
            id="inception",
        ),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_layers(layer, size, jump, start):
    field = at(fields_of(nn.Sequential(layer), IMAGE), "0")
    assert (field.size, field.jump, field.start) == (size, jump, start)


def test_shifted_windows_after_windows_see_the_union():
    """Unit 0 of the shifted windows sees 4 tokens back and 3 ahead: two windows of 7 tokens of 4 pixels each."""
    fields = fields_of(networks.Swin(), "1x3x224x224")
    assert at(fields, "windows").size == (28, 28)
    shifted = at(fields, "shifted")
    assert (shifted.size, shifted.jump, shifted.start) == ((56, 56), (4, 4), (-28, -28))
    assert at(fields, "").size == (84, 84)  # patch merging: two neighbours per axis, whose windows start 28 apart
    assert at(fields, "").jump == (8, 8)


@pytest.mark.parametrize("shape", [(1, 4, 8, 3), (1, 4, 12, 4), (1, 4, 3, 8)])
def test_windows_next_to_one_as_wide_as_the_image(shape):
    """Each group of four rows sees its own four: a mean jump of one, whatever the other axis is."""
    fields = fields_of(WindowAttention(4, 0), shape)
    rows = 0 if shape[2] > 4 else 1
    assert (at(fields, "").size[rows], at(fields, "").jump[rows]) == (4, 1)
    assert (at(fields, "").size[1 - rows], at(fields, "").jump[1 - rows]) == (GLOBAL, GLOBAL)


def test_resizing_to_one_row_with_aligned_corners_has_jump_zero():
    """Torch's step is 0 for a single output position: the next one would see the same first two rows."""
    model = nn.Sequential(nn.Upsample(size=(1, 8), mode="bilinear", align_corners=True), nn.Conv2d(3, 3, 3, padding=1))
    fields = fields_of(model, (1, 3, 5, 15))
    assert (at(fields, "0").size, at(fields, "0").jump) == ((2, 2), (0, 2))
    assert (at(fields, "1").size, at(fields, "1").jump) == ((2, 6), (0, 2))


@pytest.mark.parametrize("up", [lambda: nn.ConvTranspose2d(4, 4, 2, 2), lambda: nn.Upsample(scale_factor=2)])
def test_a_u_net_aligns(up):
    """Down: 5, then 6 + 4·2 = 14, then 16 + 4·4 = 32, with a jump of 4."""
    fields = fields_of(networks.UNet(up), (1, 4, 68, 68))
    assert at(fields, "bottom").size == (32, 32)
    whole = at(fields, "")
    assert whole.jump == (1, 1)
    # up: 5 units at step 2 span at most 3 cells of 4, 5 at step 1 at most 3 cells of 2: 32 + 2·4 + 2·2
    assert whole.size == (44, 44)


class Excited(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.pool, self.fc, self.after = conv(3), nn.AdaptiveAvgPool2d(1), conv(1), conv(3)

    def forward(self, x):
        x = self.stem(x)
        self.before = x
        return self.after(x * self.fc(self.pool(x)).sigmoid())


def test_squeeze_and_excite_is_global_from_there_on():
    fields = fields_of(Excited(), IMAGE)
    assert at(fields, "stem").size == (3, 3)
    assert at(fields, "after").size == (GLOBAL, GLOBAL)
    assert at(fields, "after", unit=(0, 0)).box == ((0, 31), (0, 31))
    assert at(fields, "after").sees_all


def test_misaligned_paths_are_reported():
    layer = Of(lambda x, a, b: a(x)[:, :, :8, :8] + b(x)[:, :, :8, :8], conv(3, 2), conv(3))
    field = at(fields_of(nn.Sequential(layer), IMAGE), "0")
    assert field.jump == (UNKNOWN, UNKNOWN)
    assert field.start == (UNKNOWN, UNKNOWN)
    assert field.size == (10, 10)  # unit 7 sees 14…16 and 7…9
    assert field.notes == ("paths don't align: they meet with jumps of 1 and 2",)


@torch.library.custom_op("rf_test::smooth", mutates_args=())
def smooth(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 3, 1, 1)


@smooth.register_fake
def _(x):
    return torch.empty_like(x)


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (smooth, "rf_test.smooth"),
        (lambda x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False), "aten.grid_sampler"),
        (lambda x: x[:, :, x[0, 0, 0].argsort()], "aten.index.Tensor"),
    ],
    ids=["an op without a rule", "grid sampling", "an index that the data decide"],
)  # fmt: skip
def test_fields_behind_an_op_that_cannot_be_followed_are_unknown(function, op):
    model = nn.Sequential(conv(3), Of(function), Of(lambda x: x + 1))
    fields = fields_of(model, (1, 4, 9, 9))
    assert at(fields, "0").size == (3, 3)
    field = at(fields, "2")
    assert field.size[0] == field.jump[0] == field.start[0] == field.seen[0] == UNKNOWN
    assert at(fields, "2", unit=()).box[0] is UNKNOWN
    assert field.share is None
    assert not field.sees_all
    assert [note.partition(" in ")[2] for note in field.notes] == ["1 can't be followed"]
    assert op in field.notes[0]


def _rows_written(x):
    y = x.clone()
    y[:, :, ::2] = x[:, :, ::2].flip(3)
    return y


def _rows_added(x):
    y = x * 1
    y[:, :, 1:] += x[:, :, :-1]
    return y


WRITES = {"rows": _rows_written, "a sum of rows": _rows_added}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("behind", [nn.Identity(), nn.ReLU()], ids=["", "and read"])
def test_what_is_written_through_a_view_of_an_output_is_not_followed(name, behind):
    """Also of a layer whose output nothing reads: the tensor is not what the op that made it returned."""
    fields = fields_of(nn.Sequential(conv(3), Of(WRITES[name]), behind), (1, 4, 9, 9))
    for path in ("1", "2"):
        field = at(fields, path)
        assert field.size == field.jump == (UNKNOWN, UNKNOWN), path
        assert "a write into a part of a tensor" in field.notes[0]


def test_global_fields_stay_global_behind_an_unknown_op():
    model = nn.Sequential(conv(3), nn.AdaptiveAvgPool2d(1), Of(lambda x: x.expand(1, 4, 9, 9)), Of(smooth))
    assert at(fields_of(model, (1, 4, 9, 9)), "3").size == (GLOBAL, GLOBAL)


@pytest.mark.parametrize(
    ("layer", "shape", "size"),
    [
        (nn.Conv1d(4, 4, 5, 2), (1, 4, 40), (5,)),
        (nn.Conv3d(4, 4, (1, 3, 5)), (1, 4, 9, 9, 9), (1, 3, 5)),
        (nn.Conv2d(4, 4, 3), (4, 9, 9), (3, 3)),  # without a batch
        (nn.LSTM(4, 5, batch_first=True), (2, 7, 4), (GLOBAL,)),
    ],
)
def test_any_number_of_axes(layer, shape, size):
    assert at(fields_of(nn.Sequential(layer), shape), "0").size == size


def test_channels_last_code_is_followed():
    def convnext(x, depthwise, norm, fc):
        return x + fc(norm(depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)

    block = Of(convnext, nn.Conv2d(4, 4, 7, padding=3, groups=4), nn.LayerNorm(4), nn.Linear(4, 4))
    field = at(fields_of(nn.Sequential(nn.Conv2d(3, 4, 4, 4), block), "1x3x32x32"), "1")
    assert (field.size, field.jump, field.start) == ((28, 28), (4, 4), (-12, -12))


def test_tokens_know_their_rows_and_columns():
    patches = Of(lambda x, embed: embed(x).flatten(2).transpose(1, 2), nn.Conv2d(3, 8, 4, 4))
    attend = Of(lambda x, a: a(x, x, x, need_weights=False)[0], nn.MultiheadAttention(8, 2, batch_first=True))
    fields = fields_of(nn.Sequential(patches, attend), "1x3x32x24")
    tokens = at(fields, "0")
    assert (tokens.size, tokens.jump, tokens.start) == ((4, 4), (4, 4), (0, 0))
    assert at(fields, "0", unit=(7,)).box == ((4, 7), (4, 7))  # 6 tokens per row: row 1, column 1
    assert at(fields, "1").size == (GLOBAL, GLOBAL)


def test_a_window_of_padding_alone_sees_nothing():
    """On a map of one position with dilation two, the window's taps lie before and after it."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.MaxPool2d(2, 1, 1, 2))
    field = at(fields_of(model, (1, 4, 3, 3)), "1", unit=())
    assert field.box == (None, None)
    assert field.seen == (0, 0)


def test_fields_of_two_images_are_separate():
    model = Of(lambda x, y, a, b: (a(x), b(y), a(x)[..., :8, :8] + b(y)[..., :8, :8]), conv(3), conv(5))
    fields = fields_of(model, ((1, 4, 16, 16), (1, 4, 20, 20)))
    assert [image.size for image in fields.images] == [(16, 16), (20, 20)]
    assert at(fields, "parts.0").size == (3, 3)
    assert at(fields, "parts.1").input == 1
    assert at(fields, "parts.1").size == (5, 5)
    assert at(fields, "parts.1", image=0).size == (0, 0)


def test_the_box_of_a_unit_is_clipped_at_the_border():
    fields = fields_of("resnet18")
    # unit 7 of layer3.1: 211 positions from -105 + 7·16 = 7 on; unit 0 starts in the padding
    assert at(fields, "layer3.1", unit=(7, 0)).box == ((7, 217), (0, 105))


@pytest.mark.parametrize("unit", [(7,), (14, 0), (-1, 0), (0.5, 0)])
def test_units_that_do_not_exist(unit):
    with pytest.raises(cnncost.CnncostError, match=r"receptive field of layer3\.1: .*14|13"):
        at(fields_of("resnet18"), "layer3.1", unit=unit)


@pytest.mark.parametrize(
    ("layer", "unit", "said"),
    [
        ("c3", (3,), r"expected 2 indices because the layer has 10×10 units, got 3; give --unit I,J"),
        ("c3", (3, 4, 5), r"expected 2 indices .* got 3,4,5; give --unit I,J"),
        ("c3", (), r"expected 2 indices .* got none; give --unit I,J"),
        (
            "f6",
            (3,),
            r"expected no indices because the layer has no spatial axis of its own, got 3; omit the unit",
        ),
    ],
)
def test_a_unit_with_another_number_of_indices(layer, unit, said):
    with pytest.raises(cnncost.CnncostError, match=f"receptive field of {layer}: {said}"):
        cnncost.analyze("lenet5").receptive_field(layer, unit)


def test_inputs_without_space():
    fields = fields_of(nn.Sequential(nn.Linear(4, 3)), (2, 4))
    assert fields.images == ()
    assert at(fields, "0") is None
    with pytest.raises(cnncost.CnncostError, match="inputs with spatial axes: none"):
        at(fields, "0", image=0)
