"""Slides 42 to 46: a convolution instead of the first fully connected layer."""

from __future__ import annotations

from cnncost.lecture.claims import TOTAL, Cell, Claim, Formula, Of, Sum, Table, slide
from cnncost.lecture.slides.perceptron import (
    ALL_LAYERS,
    biases,
    fc10_row,
    lenet300_macs,
    lenet300_macs_total,
    lenet300_params,
    lenet300_total,
)

__all__ = ["SLIDES", "conv6_row"]

ONE_DIGIT = (
    "the slide keeps one digit of 470,400 where its other figures keep three, and goes on with it: "
    "~400k below, ~486k on slide 46"
)
TITLE = "In the title"

MAPS = Claim("feature maps", "6 feature maps", Of("conv6", "maps", "conv1"))
SIZE = Claim("their size", "28x28", Of("conv6", "map_size", "conv1"))
FILTERS = Claim("filters", "6 conv neurons (6 filters)", Of("conv6", "maps", "conv1"))
FEATURES = Claim("features", "4700 features", Of("conv6", "features", "conv1"), work="6 x (28x28)", formula="6·(28·28)")
FROM_PARAMS = ("~260k", Of("lenet300", "weights"))


def conv6_row(network: str, work: str) -> Claim:
    """Row with the first convolution's parameters."""
    return Claim(
        "Conv-6",
        "156",
        Of(network, "params", "conv1"),
        work=work,
        formula="6·(5·5·1 + 1)",
        cell=Cell("conv", 1),
    )


DROPS = slide(
    44,
    "Moving to conv layers: the first layer's parameters drop",
    Table(
        (
            Claim(
                "first layer of LeNet-300",
                "230k",
                Of("lenet300", "weights", "fc1"),
                formula="300·(28·28)",
            ),
            Claim(
                "first layer, Conv-6",
                "60 params!",
                Of("conv6", "params", "conv1"),
                formula="6·(5·5·1 + 1)",
                reason="the title disagrees with its own table: 6 filters have 5·5 weights and a bias each",
            ),
        ),
        TITLE,
    ),
    Table((*lenet300_params(), conv6_row("conv6", "6 * (5x5 +1) x1"), fc10_row("conv6")), "Parameters"),
    FILTERS,
)

SOARS = slide(
    45,
    "Moving to conv layers: the total soars",
    Table(
        (
            Claim("total of LeNet-300", "260k", Of("lenet300", "weights"), formula=ALL_LAYERS),
            Claim("total with Conv-6", "400k params!", Of("conv6", "params"), value="400k", reason="from 267k to 472k"),
        ),
        TITLE,
    ),
    Table(
        (
            *lenet300_params(),
            lenet300_total(),
            conv6_row("conv6", "6 * (5x5 +1) * 1"),
            Claim(
                "FC-100",
                "400k",
                Of("conv6", "weights", "fc1"),
                work="100 * (6 * (28x28))",
                formula="100·(6·28·28)",
                beside=(biases("conv6", "fc1"),),
                reason=ONE_DIGIT,
                cell=Cell("conv", 2),
            ),
            fc10_row("conv6"),
            Claim(
                "total",
                "~400k",
                Of("conv6", "params"),
                formula="6·(5·5·1 + 1) + 100·(6·28·28 + 1) + 10·(100 + 1)",
                reason="FC-100 alone has 470,400 weights",
                cell=Cell("conv", TOTAL),
            ),
        ),
        "Parameters",
    ),
    FEATURES,
)

ALL_MACS = Of("conv6", "macs")
VALID_CONV6 = Of("conv6_valid", "macs", "conv1")
MACS = slide(
    46,
    "Moving to conv layers: MACs",
    Table(
        (
            Claim("total of LeNet-300", "266k", Of("lenet300", "macs"), formula=ALL_LAYERS),
            Claim(
                "total with Conv-6, MACs",
                "400k params!",
                ALL_MACS,
                value="400k",
                reason="the title of slide 45 once more, parameters and all; the table below has ~486k MACs",
            ),
        ),
        TITLE,
    ),
    Table(
        (
            *lenet300_macs(),
            lenet300_macs_total(),
            Claim(
                "Conv-6",
                "86k",
                VALID_CONV6,
                work="6 * (5x5 +1) * (24*24*1)",
                formula="6·(5·5)·(24·24·1)",
                beside=(("with P=2, on 28×28 maps", Of("conv6", "macs", "conv1")),),
                reason="right for 24×24 maps, that is without padding; see below for its formula and its maps",
                cell=Cell("conv", 1),
            ),
            Claim(
                "FC-100",
                "400k",
                Of("conv6", "macs", "fc1"),
                work="100 * (6 * (28x28))",
                formula="100·(6·28·28)",
                reason="one digit of 470,400, as on slide 45",
                cell=Cell("conv", 2),
            ),
            fc10_row("conv6", quantity="macs"),
            Claim(
                "total",
                "~486k",
                ALL_MACS,
                formula="6·(5·5)·(28·28·1) + 100·(6·28·28) + 10·100",
                beside=(
                    (
                        "the slide's own rows",
                        Sum((VALID_CONV6, Of("conv6", "macs", "fc1"), Of("conv6", "macs", "fc2"))),
                    ),
                    ("without padding throughout", Of("conv6_valid", "macs")),
                ),
                reason="86k + 400k, with the one-digit 400k, without FC-10, and over maps of two sizes",
                cell=Cell("conv", TOTAL),
            ),
        ),
        "MACs",
    ),
    Table(
        (
            Claim(
                "formula of Conv-6",
                "6 * (5x5 +1) * (24*24*1)",
                VALID_CONV6,
                formula="6·(5·5)·(24·24·1)",
                beside=(("the product as printed", Formula("6·(5·5 + 1)·(24·24·1)")),),
                reason="the + 1 is the bias, and adding it is no MAC; the slide's own 86k leaves it out",
            ),
            Claim(
                "maps that FC-100 reads",
                "28x28",
                Of("conv6_valid", "map_size", "conv1"),
                reason="Conv-6 is counted on 24×24 maps (no padding), FC-100 on 28×28 ones (P=2): two networks in one "
                "table",
                beside=(
                    ("Conv-6 with P=2", Of("conv6", "macs", "conv1")),
                    ("FC-100 on 24×24 maps", Of("conv6_valid", "macs", "fc1")),
                ),
            ),
            FEATURES,
        ),
        "What the table counts",
    ),
)

SLIDES = (
    slide(42, "Moving to conv layers: six filters", MAPS, SIZE),
    slide(
        43,
        "Moving to conv layers: FC layers classify the maps",
        MAPS,
        SIZE,
        Claim("classes", "C=10", Of("conv6", "features")),
    ),
    DROPS,
    SOARS,
    MACS,
)
