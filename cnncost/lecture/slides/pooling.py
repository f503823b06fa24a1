"""Slides 48 to 55: max pooling, stride, and a second convolution."""

from __future__ import annotations

from cnncost.lecture.claims import TOTAL, Cell, Claim, Experiment, Of, Table, slide
from cnncost.lecture.slides.complexity import ONE_BIAS_A_FILTER
from cnncost.lecture.slides.features import TITLE, conv6_row
from cnncost.lecture.slides.perceptron import (
    ALL_LAYERS,
    biases,
    fc10_row,
    lenet300_params,
    lenet300_total,
)

__all__ = ["SLIDES"]

BEFORE = Claim("total of LeNet-300", "~260k", Of("lenet300", "weights"), formula=ALL_LAYERS)
FIVE = Claim("filters", "5x5 filters", Of("conv6_pool", "kernel", "conv1"), value="5x5")
POOLED_PARAMS = "6·(5·5·1 + 1) + 100·(6·14·14 + 1) + 10·(100 + 1)"
DEEPER_PARAMS = "6·(5·5·1 + 1) + 16·(5·5·6 + 1) + 100·(16·7·7 + 1) + 10·(100 + 1)"

POOLING = (
    slide(
        48,
        "The (max)-pooling layers",
        Claim("pooled area", "2x2", Of("conv6_pool", "kernel", "pool1")),
        Claim(
            "non-overlapping",
            "2x2 non-overlapping area",
            Of("conv6_pool", "stride", "pool1"),
            value="2",
            reason="steps of 2, as wide as the area",
        ),
        Claim("pooling", "pick maximum value", Experiment("pool_picks_maxima")),
    ),
    slide(
        49,
        "Conv+pool are a common pattern",
        Claim("image", "28x28", Of("conv6_pool", "input_size")),
        FIVE,
        Claim("feature map after the convolution", "28x28", Of("conv6_pool", "map_size", "conv1")),
        Claim("feature map after the pooling", "14x14", Of("conv6_pool", "map_size", "pool1")),
    ),
    slide(
        50,
        "Conv+pool: the receptive field",
        Claim("filters", "F=5", Of("conv6_pool", "kernel_side", "conv1")),
        Claim("stride", "S=1", Of("conv6_pool", "stride", "conv1")),
        Claim("padding", "P=2", Of("conv6_pool", "padding", "conv1")),
        Claim("receptive field after the convolution", "5x5", Of("conv6_pool", "receptive_field", "conv1")),
        Claim("field that the pooling reads", "2x2", Of("conv6_pool", "kernel", "pool1")),
        Claim(
            "receptive field after the pooling",
            "6x6",
            Of("conv6_pool", "receptive_field", "pool1"),
            beside=(("jump", Of("conv6_pool", "jump", "pool1")),),
            reason="5 + (2 − 1)·1: two neighbouring 5×5 fields; the next feature sees 2 pixels further on",
        ),
    ),
    slide(
        51,
        "Conv with stride is another pattern",
        Claim("stride", "S=2", Of("conv6_stride", "stride", "conv1")),
        Claim("filters", "5x5 filters", Of("conv6_stride", "kernel", "conv1"), value="5x5"),
        Claim("image", "28x28", Of("conv6_stride", "input_size")),
        Claim(
            "feature map",
            "14x14",
            Of("conv6_stride", "map_size", "conv1"),
            beside=(("padding", Of("conv6_stride", "padding", "conv1")),),
        ),
        Claim(
            "pooling layers",
            "no MaxPooling",
            Of("conv6_stride", "pools"),
            value="0",
            beside=(
                ("MACs of the convolution", Of("conv6_stride", "macs", "conv1")),
                ("with pooling instead", Of("conv6_pool", "macs", "conv1")),
            ),
            reason="a quarter of the places to compute",
        ),
    ),
)

COMPLEXITY = slide(
    52,
    "Complexity with pooling",
    Table(
        (
            BEFORE,
            Claim(
                "total with pooling",
                "~160k params",
                Of("conv6_pool", "params"),
                formula=POOLED_PARAMS,
                reason="the title disagrees with its own table, whose total is ~118k",
            ),
        ),
        TITLE,
    ),
    Table(
        (
            *lenet300_params(),
            lenet300_total(),
            conv6_row("conv6_pool", "6 * (5x5 +1) * 1"),
            Claim(
                "FC-100",
                "117k",
                Of("conv6_pool", "weights", "fc1"),
                work="100 * (6 * (14x14))",
                formula="100·(6·14·14)",
                beside=(biases("conv6_pool", "fc1"),),
                reason="the slide strikes out the 400k of slide 45: a quarter of the features is left",
                cell=Cell("conv", 2),
            ),
            fc10_row("conv6_pool"),
            Claim("total", "~118k", Of("conv6_pool", "params"), formula=POOLED_PARAMS, cell=Cell("conv", TOTAL)),
        ),
        "Parameters",
    ),
    Claim("filters", "6 conv neurons (6 filters)", Of("conv6_pool", "maps", "conv1")),
)

MAPS = (
    slide(
        53,
        "Training more feature maps: the first conv-and-pool layer",
        Claim("image", "28 px", Of("conv6_16", "input_side")),
        Claim("filters", "6 conv neurons (6 filters)", Of("conv6_16", "maps", "conv1")),
        Claim("output", "14x14 «image»", Of("conv6_16", "map_size", "pool1"), value="14x14"),
        Claim("its channels", "six «channels»", Of("conv6_16", "maps", "pool1"), value="6"),
    ),
    slide(
        54,
        "Training more feature maps: the second conv-and-pool layer",
        Claim("image", "28 px", Of("conv6_16", "input_side")),
        Claim("first filters", "6 5x5 filters", Of("conv6_16", "kernel", "conv1"), value="5x5"),
        Claim("first maps, pooled", "14 «px»", Of("conv6_16", "map_side", "pool1")),
        Claim("second filters", "16 5x5 filters", Of("conv6_16", "kernel", "conv2"), value="5x5"),
        Claim("output", "7x7 «image»", Of("conv6_16", "map_size", "pool2"), value="7x7"),
        Claim("its channels", "16 «channels»", Of("conv6_16", "maps", "pool2")),
    ),
)

DEEPER = slide(
    55,
    "More conv layers",
    Table(
        (BEFORE, Claim("total with two convolutions", "~82k params", Of("conv6_16", "params"), formula=DEEPER_PARAMS)),
        TITLE,
    ),
    Table(
        (
            *lenet300_params(last=4),
            lenet300_total(),
            conv6_row("conv6_16", "6 * (5x5 +1) * 1"),
            Claim(
                "Conv-10",
                "2496*",
                Of("conv6_16", "params", "conv2"),
                work="16 * (5x5 +1) * 6",
                formula="16·(5·5·6 + 1)",
                reason=f"the slip of slide 39: {ONE_BIAS_A_FILTER}. Here: 16·6 biases instead of 16, 80 too many",
                cell=Cell("conv", 2),
            ),
            Claim(
                "FC-100",
                "78k",
                Of("conv6_16", "params", "fc1"),
                work="100 * ((16 * 7x7) +1)",
                formula="100·(16·7·7 + 1)",
                cell=Cell("conv", 3),
            ),
            fc10_row("conv6_16", row=4),
            Claim("total", "~82k", Of("conv6_16", "params"), formula=DEEPER_PARAMS, cell=Cell("conv", TOTAL)),
        ),
        "Parameters",
    ),
    Claim("first filters", "6 conv neurons (6 filters)", Of("conv6_16", "maps", "conv1")),
    Claim(
        "name of the second layer",
        "Conv-10",
        Of("conv6_16", "conv_name", "conv2"),
        reason="layers are named by their filters, and this one has 16, as its own formula says",
    ),
    Claim("second filters", "16 conv neurons", Of("conv6_16", "maps", "conv2")),
    Claim("second filters, by channel", "16x6 filters", Of("conv6_16", "kernels", "conv2"), value="16·6"),
)

SLIDES = (*POOLING, COMPLEXITY, *MAPS, DEEPER)
