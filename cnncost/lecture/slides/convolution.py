"""Slides 17 to 34: the convolution by hand, the convolutional neuron, padding, channels."""

from __future__ import annotations

from cnncost.lecture.claims import Claim, Experiment, Of, Slide, slide

__all__ = ["SLIDES"]

MAP_SIZE = Experiment("worked_size")


def _step(number: int, row: int, column: int, work: str, printed: str) -> Slide:
    place = f"row {row}, column {column}"
    what = Claim(place, printed, Experiment("worked_step", (row, column)), work=work)
    return slide(number, f"Practical example: {place}", what)


def _later_step(row: int, column: int, printed: str) -> Claim:
    return Claim(f"row {row}, column {column}", printed, Experiment("worked_step", (row, column)))


WORKED = (
    slide(
        17,
        "Practical example: the input",
        Claim("input", "5x5", Experiment("worked_input_size"), beside=(("its rows", Experiment("worked_input")),)),
    ),
    slide(
        18,
        "Practical example: the filter",
        Claim("filter", "3x3", Experiment("worked_filter_size"), beside=(("its rows", Experiment("worked_filter")),)),
    ),
    _step(19, 1, 1, "1*1 + 1*0 + 1*1 + ... + 1*1", "4"),
    _step(20, 1, 2, "1*1 + 1*0 + 0*1 + ... + 1*1", "3"),
    _step(21, 1, 3, "1*1 + 0*0 + 1*0 + ... + 1*1", "4"),
    _step(22, 2, 1, "1*0 + 0*1 + 1*1 + ... + 1*1", "2"),
    _step(24, 3, 3, "1*1 + 1*0 + 1*1 + ... + 0*1", "4"),
    slide(
        25,
        "Practical example: the feature map",
        Claim("feature map", "4 3 4 / 2 4 3 / 2 3 4", Experiment("worked_map")),
        _later_step(2, 2, "4"),
        _later_step(2, 3, "3"),
        _later_step(3, 1, "2"),
        _later_step(3, 2, "3"),
    ),
    slide(26, "Practical example: its size", Claim("feature map", "3x3", MAP_SIZE)),
)

NEURON = (
    slide(
        28,
        "The convolutional neuron",
        Claim("pixels", "x1,..., x25", Experiment("worked_pixels"), value="25", formula="5·5"),
        Claim("weights", "w1,..., w9", Experiment("neuron_macs", (3,)), value="9", formula="3·3"),
        Claim(
            "last product",
            "z = w1 x1 +... + w9 x13",
            Experiment("worked_last_pixel"),
            value="13",
            reason="w9 weighs the pixel in row 3, column 3: (3 - 1)·5 + 3",
        ),
        Claim("z", "4", Experiment("worked_step", (1, 1))),
    ),
    slide(
        29,
        "The convolutional neuron: the functional equivalent",
        Claim(
            "products of a neuron",
            "z = w1 x1 +... + w9 x13",
            Experiment("neuron_macs", (3,)),
            value="9",
            formula="3·3",
            reason="nine MACs; adding the bias b is none",
        ),
        Claim("parameters", "w1,..., w9, b", Experiment("conv_params", (1, 3, 1)), value="10", formula="3·3 + 1"),
    ),
)


def _smaller(number: int, title: str) -> Slide:
    return slide(
        number,
        title,
        Claim(
            "feature map of a 28 px image",
            "26 «px»",
            Experiment("conv_side", (28, 3, 1, 0)),
            formula="28 − 3 + 1",
            reason="no padding: the filter has 26 places along each side",
        ),
    )


PADDING = (
    _smaller(30, "The convolutional neuron on an image"),
    _smaller(31, "Effect of the convolution"),
    slide(
        32,
        "Zero-padding (F=3, S=1, P=1)",
        Claim("image with zeros around it", "30 px", Experiment("padded_side", (28, 1)), formula="28 + 2·1"),
        Claim("feature map", "28 «px»", Experiment("conv_side", (28, 3, 1, 1)), formula="28 + 2·1 − 3 + 1"),
    ),
)

CHANNELS = (
    slide(
        33,
        "Multiple input channels",
        Claim("channels of an image", "RGB", Of("alexnet", "input_channels"), value="3"),
    ),
    slide(
        34,
        "Multiple input channels: filtered apart, then summed",
        Claim(
            "a convolution of several channels",
            "co-located features are summed",
            Experiment("channels_are_summed"),
        ),
    ),
)

SLIDES = (*WORKED, *NEURON, *PADDING, *CHANNELS)
