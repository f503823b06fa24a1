"""LeNet-1 (1989, published in 1990) and LeNet-5 (1998) as in the papers, and LeNet-5 as it is built today."""

from collections import OrderedDict

from torch import nn

from cnncost.zoo.chain import Chain
from cnncost.zoo.lenet_layers import ScaledTanh, SparseConv2d, Subsample, inputs_per_map, lecun_uniform_
from cnncost.zoo.rbf import BitmapRBF

__all__ = ["LeNet1", "LeNet5", "LeNet5Modern", "lenet1", "lenet5", "lenet5_modern"]

# LeCun et al. 1990, table 1. Rows: maps of H2; columns: maps of H3. 20 pairs.
H3_TABLE = """
XXX.XX......
.XXXXX......
......XXX.XX
.......XXXXX
"""

# LeCun et al. 1998, table I. Rows: maps of S2; columns: maps of C3. 60 pairs.
C3_TABLE = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""


def _draw_initial_weights(model: nn.Module) -> None:
    """Draw the weights of nn.Conv2d and nn.Linear layers as in the papers.

    The layers of `lenet_layers` draw their own weights.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            for parameter in module.parameters():
                lecun_uniform_(parameter, fan_in)


class LeNet1(Chain):
    """Four hidden layers H1 to H4, all with shared weights, and ten output units.

    Shapes: (N, 1, 28, 28) -> h1 4x24x24 -> h2 4x12x12 -> h3 12x8x8 -> h4 12x4x4 -> (N, 10), each output
    within +-1.7159; the target is +1 for the right class and -1 for the others.
    """

    def __init__(self) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            h1=nn.Conv2d(1, 4, 5),
            squash1=ScaledTanh(),
            h2=Subsample(4),
            squash2=ScaledTanh(),
            h3=SparseConv2d(inputs_per_map(H3_TABLE), 5),
            squash3=ScaledTanh(),
            h4=Subsample(12),
            squash4=ScaledTanh(),
            flatten=nn.Flatten(),
            output=nn.Linear(12 * 4 * 4, 10),
            squash5=ScaledTanh(),
        )
        super().__init__(layers)
        _draw_initial_weights(self)


class LeNet5(Chain):
    """C1, S2, C3, S4, C5, F6, each squashed, and ten fixed RBF units.

    Shapes: (N, 1, 32, 32) -> c1 6x28x28 -> s2 6x14x14 -> c3 16x10x10 -> s4 16x5x5 -> c5 120x1x1 -> f6 84
    -> (N, 10) penalties: the *smallest* one indicates the class. Losses: `rbf.mle_loss`, `rbf.map_loss`.
    """

    def __init__(self) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            c1=nn.Conv2d(1, 6, 5),
            squash1=ScaledTanh(),
            s2=Subsample(6),
            squash2=ScaledTanh(),
            c3=SparseConv2d(inputs_per_map(C3_TABLE), 5),
            squash3=ScaledTanh(),
            s4=Subsample(16),
            squash4=ScaledTanh(),
            c5=nn.Conv2d(16, 120, 5),
            squash5=ScaledTanh(),
            flatten=nn.Flatten(),
            f6=nn.Linear(120, 84),
            squash6=ScaledTanh(),
            output=BitmapRBF(),
        )
        super().__init__(layers)
        _draw_initial_weights(self)


class LeNet5Modern(Chain):
    """A network of LeNet-5's sizes with standard layers: tanh, average pooling, a dense C3, a linear output.

    Shapes: (N, 1, 32, 32) -> (N, num_classes) logits.
    """

    def __init__(self, *, num_classes: int = 10) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            c1=nn.Conv2d(1, 6, 5),
            tanh1=nn.Tanh(),
            s2=nn.AvgPool2d(2),
            c3=nn.Conv2d(6, 16, 5),
            tanh3=nn.Tanh(),
            s4=nn.AvgPool2d(2),
            c5=nn.Conv2d(16, 120, 5),
            tanh5=nn.Tanh(),
            flatten=nn.Flatten(),
            f6=nn.Linear(120, 84),
            tanh6=nn.Tanh(),
            output=nn.Linear(84, num_classes),
        )
        super().__init__(layers)


def lenet1() -> LeNet1:
    """LeCun et al. 1990, figure 3 and section 3: 2,578 parameters."""
    return LeNet1()


def lenet5() -> LeNet5:
    """LeCun et al. 1998, section II.B: 60,000 trainable parameters and fixed RBF codes."""
    return LeNet5()


def lenet5_modern(*, num_classes: int = 10) -> LeNet5Modern:
    """LeNet-5 as libraries and courses build it: 61,706 parameters."""
    return LeNet5Modern(num_classes=num_classes)
