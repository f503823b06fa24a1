"""Fully connected networks on 28x28 digits (LeCun et al. 1998, sections III.C.1, III.C.5, III.C.6).

`side` is the image size, if not 28.
"""

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from cnncost.zoo.chain import Chain

__all__ = ["Perceptron", "fc10", "fc300", "lenet300"]

SIDE = 28


class Perceptron(Chain):
    """Linear layers fc1, fc2, ... with a ReLU between any two.

    Shapes: (N, ...) of `widths[0]` values per image -> (N, widths[-1]) logits.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for number, (n_in, n_out) in enumerate(pairwise(widths), start=1):
            if number > 1:
                layers[f"relu{number - 1}"] = nn.ReLU()
            layers[f"fc{number}"] = nn.Linear(n_in, n_out)
        super().__init__(layers)


def fc10(*, num_classes: int = 10, side: int = SIDE) -> Perceptron:
    """784-10, the linear classifier: 7,850 parameters."""
    return Perceptron((side * side, num_classes))


def fc300(*, num_classes: int = 10, side: int = SIDE) -> Perceptron:
    """784-300-10: 238,510 parameters."""
    return Perceptron((side * side, 300, num_classes))


def lenet300(*, num_classes: int = 10, side: int = SIDE) -> Perceptron:
    """784-300-100-10, LeNet-300: 266,610 parameters."""
    return Perceptron((side * side, 300, 100, num_classes))
