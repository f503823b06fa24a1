"""ResNet and its plain counterparts: He, Zhang, Ren, Sun 2015 (arXiv 1512.03385), table 1.

Parameters have torchvision's names, so that weights can be exchanged; comments give the paper's names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypedDict, Unpack, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from cnncost.zoo.width import scaled

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "PaddedShortcut",
    "ResNet",
    "plain18",
    "plain34",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
]

Shortcut = Literal["A", "B", "none"]
StrideOn = Literal["1x1", "3x3"]


class PlainOptions(TypedDict, total=False):
    """Options of every builder of this module; see `ResNet`."""

    num_classes: int
    in_channels: int
    width: float


class Options(PlainOptions, total=False):
    """Further options of the builders of networks with shortcuts."""

    shortcut: Shortcut


class BottleneckOptions(Options, total=False):
    """Further options of the builders of bottleneck networks."""

    stride_on: StrideOn


class Depth(NamedTuple):
    """A column of table 1: whether blocks are bottlenecks, and the number of blocks in conv2_x to conv5_x."""

    bottleneck: bool
    blocks: tuple[int, int, int, int]


DEPTHS = {
    18: Depth(False, (2, 2, 2, 2)),
    34: Depth(False, (3, 4, 6, 3)),
    50: Depth(True, (3, 4, 6, 3)),
    101: Depth(True, (3, 4, 23, 3)),
    152: Depth(True, (3, 8, 36, 3)),
}
STAGE_MAPS = (64, 128, 256, 512)
"""Maps of the 3x3 convolutions in conv2_x to conv5_x."""
EXPANSION = 4
"""Number of output maps of a bottleneck per map of its 3x3 convolution."""


def _conv(in_maps: int, maps: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, because batch norm follows; padded so that only strides reduce the size."""
    convolution = nn.Conv2d(in_maps, maps, kernel, stride, padding=kernel // 2, bias=False)
    # reference [13] of the paper: He et al. 2015, "Delving deep into rectifiers"
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


class PaddedShortcut(nn.Module):
    """Option A of section 3.3: every stride-th position, with zeros for the additional maps.

    Shapes: (N, C, H, W) -> (N, C + extra, H/stride, W/stride). No parameters.
    """

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra = extra
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.extra))

    def extra_repr(self) -> str:
        return f"extra={self.extra}, stride={self.stride}"


def _shortcut(kind: Shortcut, in_maps: int, out_maps: int, stride: int) -> nn.Module | None:
    """Return the shortcut around a block: None, the identity, or a conversion to the block's output shape."""
    if kind == "none":
        return None
    if in_maps == out_maps and stride == 1:
        return nn.Identity()
    if kind == "A":
        return PaddedShortcut(out_maps - in_maps, stride)
    return nn.Sequential(_conv(in_maps, out_maps, 1, stride), nn.BatchNorm2d(out_maps))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (figure 5, left), the stride on the first; the shortcut joins before the ReLU.

    Shapes: (N, in_maps, H, W) -> (N, maps, H/stride, W/stride).
    """

    def __init__(self, in_maps: int, maps: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.out_maps = maps
        self.conv1 = _conv(in_maps, maps, 3, stride)
        self.bn1 = nn.BatchNorm2d(maps)
        self.relu1 = nn.ReLU()
        self.conv2 = _conv(maps, maps, 3)
        self.bn2 = nn.BatchNorm2d(maps)
        self.downsample = _shortcut(shortcut, in_maps, maps, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.downsample is not None:
            y = y + self.downsample(x)
        y = self.relu2(y)
        return y


class Bottleneck(nn.Module):
    """A 1x1 convolution to `maps` maps, a 3x3, and a 1x1 to four times as many (figure 5, right).

    The paper has the stride on the first 1x1. On the 3x3 (later libraries' "v1.5") it costs more MACs
    but no more parameters.

    Shapes: (N, in_maps, H, W) -> (N, 4*maps, H/stride, W/stride).
    """

    def __init__(self, in_maps: int, maps: int, stride: int, shortcut: Shortcut, stride_on: StrideOn = "1x1") -> None:
        super().__init__()
        self.out_maps = EXPANSION * maps
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = _conv(in_maps, maps, 1, first)
        self.bn1 = nn.BatchNorm2d(maps)
        self.relu1 = nn.ReLU()
        self.conv2 = _conv(maps, maps, 3, second)
        self.bn2 = nn.BatchNorm2d(maps)
        self.relu2 = nn.ReLU()
        self.conv3 = _conv(maps, self.out_maps, 1)
        self.bn3 = nn.BatchNorm2d(self.out_maps)
        self.downsample = _shortcut(shortcut, in_maps, self.out_maps, stride)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.downsample is not None:
            y = y + self.downsample(x)
        y = self.relu3(y)
        return y


Block = Callable[[int, int, int], BasicBlock | Bottleneck]


def _block_constructor(bottleneck: bool, shortcut: Shortcut, stride_on: StrideOn) -> Block:
    """Return a constructor of blocks that takes in_maps, maps and stride."""
    if bottleneck:
        return partial(Bottleneck, shortcut=shortcut, stride_on=stride_on)
    return partial(BasicBlock, shortcut=shortcut)


def _stage(block: Block, in_maps: int, maps: int, count: int, stride: int) -> nn.Sequential:
    """`count` blocks; only the first one has the stride, and the number of input maps of the stage before."""
    first = block(in_maps, maps, stride)
    return nn.Sequential(first, *(block(first.out_maps, maps, 1) for _ in range(count - 1)))


class ResNet(nn.Module):
    """conv1, max pooling, four stages of blocks (layer1 to layer4: conv2_x to conv5_x), and a linear layer.

    `shortcut`, if a block changes the shape: "B" projects, "A" pads with zeros; "none" gives the plain network.
    `stride_on` only affects depths of 50 and more. `width` scales all maps.

    Shapes: (N, 3, 224, 224) -> conv1 64x112x112 -> layer1 56x56 -> layer2 28x28 -> layer3 14x14 -> layer4 7x7
    -> (N, num_classes) logits. Inputs of other sizes, 32x32 and more, work as well.
    """

    def __init__(
        self,
        depth: int,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        shortcut: Shortcut = "B",
        stride_on: StrideOn = "1x1",
    ) -> None:
        super().__init__()
        _check("depth", depth, tuple(DEPTHS))
        _check("shortcut", shortcut, get_args(Shortcut))
        _check("stride_on", stride_on, get_args(StrideOn))
        bottleneck, counts = DEPTHS[depth]
        block = _block_constructor(bottleneck, shortcut, stride_on)
        maps = [scaled(maps, width) for maps in STAGE_MAPS]
        outs = [EXPANSION * each for each in maps] if bottleneck else maps
        self.conv1 = _conv(in_channels, maps[0], 7, 2)
        self.bn1 = nn.BatchNorm2d(maps[0])
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        # conv2_x has stride 1: the pooling before it has already halved the size
        self.layer1 = _stage(block, maps[0], maps[0], counts[0], stride=1)
        self.layer2 = _stage(block, outs[0], maps[1], counts[1], stride=2)
        self.layer3 = _stage(block, outs[1], maps[2], counts[2], stride=2)
        self.layer4 = _stage(block, outs[2], maps[3], counts[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(outs[3], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.fc(self.flatten(self.avgpool(x)))
        return x


def _check(option: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"ResNet: expected {option} to be one of {allowed}, got {value!r}")


def resnet18(**options: Unpack[Options]) -> ResNet:
    """18 layers, basic blocks: 11,689,512 parameters."""
    return ResNet(18, **options)


def resnet34(**options: Unpack[Options]) -> ResNet:
    """34 layers, basic blocks: 21,797,672 parameters."""
    return ResNet(34, **options)


def resnet50(**options: Unpack[BottleneckOptions]) -> ResNet:
    """50 layers, bottlenecks: 25,557,032 parameters; 3.86 G MACs, or 4.09 G with stride_on="3x3"."""
    return ResNet(50, **options)


def resnet101(**options: Unpack[BottleneckOptions]) -> ResNet:
    """101 layers, bottlenecks: 44,549,160 parameters."""
    return ResNet(101, **options)


def resnet152(**options: Unpack[BottleneckOptions]) -> ResNet:
    """152 layers, bottlenecks: 60,192,808 parameters."""
    return ResNet(152, **options)


def plain18(**options: Unpack[PlainOptions]) -> ResNet:
    """ResNet-18 without its shortcuts (section 4.1)."""
    return ResNet(18, shortcut="none", **options)


def plain34(**options: Unpack[PlainOptions]) -> ResNet:
    """ResNet-34 without its shortcuts (section 3.3, figure 3, middle)."""
    return ResNet(34, shortcut="none", **options)
