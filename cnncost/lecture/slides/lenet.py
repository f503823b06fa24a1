"""Slides 72 to 75: LeNet-5 and LeNet-1, with the figures of their papers."""

from __future__ import annotations

from fractions import Fraction

from cnncost.lecture.claims import Claim, Of, Scaled, Table, slide
from cnncost.lecture.slides.papers import layer_claims, published

__all__ = ["SLIDES"]

IEEE = "LeCun et al. 1998, "
NIPS_LAYERS = "from the sizes that LeCun et al. 1990 prints, pp. 400-402 and table 1"
DEMO = "LeCun, LeNet-5 demos"
VIDEO = "LeCun, Convolutional Network Demo from 1993"
MACS_A_SECOND = 12_500_000

LENET5 = slide(
    72,
    "LeNet-5",
    Claim(
        "activations",
        "stacked sigmoid convolutional layers",
        source="LeCun et al. 1998, appendix A",
        beside=(("function", Of("lenet5", "activations")),),
        reason="the paper's sigmoid is 1.7159 tanh(2a/3)",
    ),
    Claim(
        "subsampling layers",
        "repeated convolve-and-pool pattern",
        Of("lenet5", "pools"),
        value="2",
        reason="S2 and S4, each with a trainable coefficient and bias a map",
    ),
    Table(
        (
            *layer_claims("lenet5", source=f"{IEEE}sec. II.B"),
            *published("lenet5", "all", "trainable_params", "connections", source=IEEE),
        ),
        "LeNet-5 in the paper that the slide cites",
        "in the paper",
    ),
)

LENET1 = slide(
    75,
    "LeNet-1 (1993)",
    Claim(
        "speed of the DSP",
        "12.5 million multiply-accumulate operations per second",
        source=VIDEO,
        beside=(
            ("MACs a digit", Of("lenet1", "macs")),
            (
                "at that speed",
                Scaled(Of("lenet1", "macs"), Fraction(1000, MACS_A_SECOND), "at 12.5 million MACs a second", "ms"),
            ),
        ),
        reason="a time on a device is measured, not counted; at this peak a digit takes no less",
    ),
    Claim("number format", "32-bit floating-point DSP", source=VIDEO),
    Claim("checks read", "10 to 20% of all the checks in the US", source=VIDEO),
    Table(
        (
            *layer_claims("lenet1", source=NIPS_LAYERS),
            *published("lenet1", "all", "params", "connections", source=""),
        ),
        "LeNet-1 in the papers",
        "in the papers",
    ),
)

SLIDES = (
    LENET5,
    slide(
        73,
        "LeNet-5 robustness demo",
        Claim(
            "robustness",
            "shift invariance, noise robustness, multiple characters, overlaps",
            source=DEMO,
            reason="what a trained network does, which no count can tell",
        ),
    ),
    LENET1,
)
