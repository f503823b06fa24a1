"""The steps from LeNet-300 to a convolutional network in Enzo Tartaglione's MN909 lecture (slides 42 to 55).

One or two 5x5 convolutions on 28x28 digits, then FC-100 and FC-10. The first four networks differ only in
how their maps become smaller: not at all, by missing padding, by pooling, by stride. The fifth has pooling
and a second convolution. `side` is the image size ("What about larger images?", slide 6).
"""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from cnncost.zoo.chain import Chain

__all__ = ["Conv6", "Stage", "conv6", "conv6_16", "conv6_pool", "conv6_stride", "conv6_valid"]

SIDE = 28
KERNEL = 5


@dataclass(frozen=True, slots=True)
class Stage:
    """A 5x5 convolution, its ReLU and, with `pool`, 2x2 max pooling."""

    maps: int
    padding: int = 2
    stride: int = 1
    pool: bool = False

    def side(self, side: int) -> int:
        """Return the side length of the output maps for input maps of this side length."""
        convolved = (side + 2 * self.padding - KERNEL) // self.stride + 1
        return convolved // 2 if self.pool else convolved


class Conv6(Chain):
    """Stages conv1, relu1, pool1, conv2, ..., then FC-100 and the output layer.

    Shapes: (N, 1, side, side) -> (N, num_classes) logits.
    """

    def __init__(self, *stages: Stage, num_classes: int = 10, side: int = SIDE) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        maps = 1
        for number, stage in enumerate(stages, start=1):
            layers[f"conv{number}"] = nn.Conv2d(maps, stage.maps, KERNEL, stage.stride, stage.padding)
            layers[f"relu{number}"] = nn.ReLU()
            if stage.pool:
                layers[f"pool{number}"] = nn.MaxPool2d(2)
            maps, side = stage.maps, stage.side(side)
        layers["flatten"] = nn.Flatten()
        layers["fc1"] = nn.Linear(maps * side * side, 100)
        layers["relu_fc1"] = nn.ReLU()
        layers["fc2"] = nn.Linear(100, num_classes)
        super().__init__(layers)


def conv6(*, num_classes: int = 10, side: int = SIDE) -> Conv6:
    """Slide 45: 6 maps of 28x28, padded, no pooling. 471,666 parameters."""
    return Conv6(Stage(6), num_classes=num_classes, side=side)


def conv6_valid(*, num_classes: int = 10, side: int = SIDE) -> Conv6:
    """Slide 46's convolution: no padding, 6 maps of 24x24. 346,866 parameters."""
    return Conv6(Stage(6, padding=0), num_classes=num_classes, side=side)


def conv6_pool(*, num_classes: int = 10, side: int = SIDE) -> Conv6:
    """Slide 52: 6 maps of 28x28, pooled to 14x14. 118,866 parameters."""
    return Conv6(Stage(6, pool=True), num_classes=num_classes, side=side)


def conv6_stride(*, num_classes: int = 10, side: int = SIDE) -> Conv6:
    """Slide 51: stride 2 instead of pooling, 6 maps of 14x14. 118,866 parameters."""
    return Conv6(Stage(6, stride=2), num_classes=num_classes, side=side)


def conv6_16(*, num_classes: int = 10, side: int = SIDE) -> Conv6:
    """Slide 55: two stages with pooling, 6 maps and 16 maps. 82,082 parameters."""
    return Conv6(Stage(6, pool=True), Stage(16, pool=True), num_classes=num_classes, side=side)
