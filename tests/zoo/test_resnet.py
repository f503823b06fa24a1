import pytest
import torch
from torch import nn

from cnncost import zoo
from cnncost.zoo.resnet import BasicBlock, Bottleneck, PaddedShortcut

STEM = 7 * 7 * 3 * 64
SIDES = (56, 28, 14, 7)
MAPS = (64, 128, 256, 512)
IMAGE = (1, 3, 224, 224)


def basic(blocks: tuple[int, ...], *, projections: bool) -> tuple[int, int]:
    """Parameters and MACs of a network of basic blocks, summed stage by stage."""
    params, macs = STEM + 2 * 64 + 1000 * (512 + 1), STEM * 112**2 + 512 * 1000
    for stage, (count, maps, side) in enumerate(zip(blocks, MAPS, SIDES, strict=True)):
        before = MAPS[max(stage - 1, 0)]
        weights = 9 * before * maps + (2 * count - 1) * 9 * maps * maps
        norms = 2 * count * 2 * maps
        if projections and stage:
            weights, norms = weights + before * maps, norms + 2 * maps
        params, macs = params + weights + norms, macs + weights * side**2
    return params, macs


def bottlenecks(blocks: tuple[int, ...], *, stride_on_3x3: bool) -> tuple[int, int]:
    """Parameters and MACs of a network of bottlenecks, summed stage by stage."""
    params, macs = STEM + 2 * 64 + 1000 * (2048 + 1), STEM * 112**2 + 2048 * 1000
    for stage, (count, maps, side) in enumerate(zip(blocks, MAPS, SIDES, strict=True)):
        before = 4 * MAPS[stage - 1] if stage else 64
        first = before * maps
        others = (count - 1) * 4 * maps * maps + count * (9 * maps * maps + 4 * maps * maps) + before * 4 * maps
        params += first + others + count * 2 * (maps + maps + 4 * maps) + 2 * 4 * maps
        wide = 2 * side if stage and stride_on_3x3 else side
        macs += first * wide**2 + others * side**2
    return params, macs


def measured(model: nn.Module, count_macs) -> tuple[int, int]:
    return sum(p.numel() for p in model.parameters()), sum(count_macs(model, IMAGE).values())


@pytest.mark.parametrize(
    ("name", "options", "expected", "params"),
    [
        pytest.param("resnet18", {}, basic((2, 2, 2, 2), projections=True), 11_689_512, id="ResNet-18"),
        pytest.param("resnet34", {}, basic((3, 4, 6, 3), projections=True), 21_797_672, id="ResNet-34"),
        pytest.param("plain18", {}, basic((2, 2, 2, 2), projections=False), 11_515_688, id="plain-18"),
        pytest.param("plain34", {}, basic((3, 4, 6, 3), projections=False), 21_623_848, id="plain-34"),
        pytest.param(
            "resnet34",
            {"shortcut": "A"},
            basic((3, 4, 6, 3), projections=False),
            21_623_848,
            id="ResNet-34 with option A costs what plain-34 costs",
        ),
        pytest.param(
            "resnet50", {}, bottlenecks((3, 4, 6, 3), stride_on_3x3=False), 25_557_032, id="ResNet-50: 3.86 G"
        ),
        pytest.param(
            "resnet50",
            {"stride_on": "3x3"},
            bottlenecks((3, 4, 6, 3), stride_on_3x3=True),
            25_557_032,
            id="ResNet-50 with the stride on the 3x3: 4.09 G, the same parameters",
        ),
        pytest.param("resnet101", {}, bottlenecks((3, 4, 23, 3), stride_on_3x3=False), 44_549_160, id="ResNet-101"),
        pytest.param("resnet152", {}, bottlenecks((3, 8, 36, 3), stride_on_3x3=False), 60_192_808, id="ResNet-152"),
    ],
)
def test_params_and_macs(name, options, expected, params, count_macs):
    with torch.device("meta"):
        model = zoo.build(name, **options).eval()
    assert measured(model, count_macs) == expected
    assert expected[0] == params


def test_stride_on_the_3x3_gives_the_4_089_g_of_later_libraries(count_macs):
    with torch.device("meta"):
        model = zoo.build("resnet50", stride_on="3x3").eval()
    assert sum(count_macs(model, IMAGE).values()) == 4_089_184_256


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        pytest.param("resnet18", 18, id="ResNet-18"),
        pytest.param("resnet34", 34, id="ResNet-34"),
        pytest.param("resnet50", 50, id="ResNet-50"),
        pytest.param("resnet101", 101, id="ResNet-101"),
        pytest.param("resnet152", 152, id="ResNet-152, which the lecture calls 151"),
        pytest.param("plain18", 18, id="plain-18"),
        pytest.param("plain34", 34, id="plain-34"),
    ],
)
def test_depth_is_that_of_layers_with_weights_off_the_shortcuts(name, layers, on_meta):
    weighted = [
        path
        for path, layer in on_meta(name).named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and "downsample" not in path
    ]
    assert len(weighted) == layers


@pytest.mark.parametrize(
    ("stride_on", "strides"),
    [
        pytest.param("1x1", (2, 1, 1), id="the paper's: on the first 1x1"),
        pytest.param("3x3", (1, 2, 1), id="v1.5: on the 3x3"),
    ],
)
def test_bottleneck_has_its_stride_where_it_is_told(stride_on, strides):
    block = Bottleneck(64, 16, 2, "B", stride_on)
    assert tuple(conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3)) == strides
    assert block(torch.zeros(2, 64, 8, 8)).shape == (2, 64, 4, 4)


@pytest.mark.parametrize(
    ("shortcut", "around"),
    [
        pytest.param("none", torch.zeros(1, 4, 2, 2), id="plain: nothing goes around"),
        pytest.param(
            "A",
            torch.tensor([[0.0, 2.0], [8.0, 10.0]]).expand(1, 2, 2, 2),
            id="A: every second position, and two maps of zeros",
        ),
    ],
)
def test_what_goes_around_a_block(shortcut, around):
    block = BasicBlock(2, 4, 2, shortcut)
    nn.init.zeros_(block.bn2.weight)
    around = torch.cat([around, torch.zeros(1, 4 - around.shape[1], 2, 2)], dim=1)
    assert torch.equal(block(torch.arange(16.0).view(1, 1, 4, 4).expand(1, 2, 4, 4)), around)


def test_a_block_that_keeps_its_shape_adds_its_input_as_it_is():
    block = BasicBlock(2, 2, 1, "B")
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, 2, 4, 4)
    assert torch.equal(block(x), x)


def test_padded_shortcut_has_no_parameters():
    assert list(PaddedShortcut(2, 2).parameters()) == []
    assert str(PaddedShortcut(64, 2)) == "PaddedShortcut(extra=64, stride=2)"


def test_a_bottleneck_without_shortcut_is_plain():
    block = Bottleneck(8, 2, 1, "none")
    nn.init.zeros_(block.bn3.weight)
    assert not block(torch.rand(2, 8, 4, 4)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"shortcut": "C"}, "shortcut to be one of .*got 'C'", id="an unknown shortcut"),
        pytest.param({"stride_on": "5x5"}, "stride_on to be one of .*got '5x5'", id="an unknown stride position"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        zoo.build("resnet50", **options)


def test_module_names_are_torchvisions(on_meta):
    keys = on_meta("resnet50").state_dict().keys()
    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer2.0.downsample.1.bias",
        "layer4.2.conv3.weight",
        "fc.bias",
    } <= keys
    assert " ".join(path for path, _ in on_meta("resnet50").named_children()) == (
        "conv1 bn1 relu maxpool layer1 layer2 layer3 layer4 avgpool flatten fc"
    )


@pytest.mark.parametrize("name", ["resnet18", "plain18"])
def test_real_forward_and_backward_of_the_full_width(name):
    model = zoo.build(name, num_classes=10).train()
    scores = model(torch.randn(2, 3, 64, 64))
    scores.square().mean().backward()
    assert scores.shape == (2, 10)
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in model.parameters())
