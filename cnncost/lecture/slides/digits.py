"""Slides 3 to 6: MNIST, and the complexity of LeNet-300."""

from __future__ import annotations

from cnncost.lecture.claims import Claim, Difference, Experiment, Of, Share, Table, slide
from cnncost.lecture.slides.perceptron import lenet300_params

__all__ = ["SLIDES"]

MNIST = "LeCun, Cortes, Burges, the MNIST database"
PIXELS = Of("lenet300", "input_values")
SIZE = Of("lenet300", "input_size")
CLASSES = Of("lenet300", "features")
BIASES = Difference(Of("lenet300", "params"), Of("lenet300", "weights"))

KNOWN_DATASET = slide(
    3,
    "A known dataset",
    Claim("images", "60k digits images", source=MNIST, reason="for training; 10,000 more are for testing"),
    Claim("image size", "28x28", SIZE),
    Claim("image size, framed", "32x32", Of("lenet5", "input_size"), reason="what LeNet-5 reads"),
    Claim("classes", "C=10", CLASSES),
    Claim(
        "depth of a pixel",
        "grayscale 8 bit",
        source=MNIST,
        beside=(("channels", Of("lenet300", "input_channels")),),
    ),
)

VECTOR = slide(
    4,
    "A known dataset: a digit as a vector",
    Claim("height and width", "28 px, 28 px", SIZE, value="28x28"),
    Claim("vector", "784 px", PIXELS, formula="28·28"),
    Claim("last pixel", "x784", PIXELS, value="784", formula="28·28"),
)

ARCHITECTURE = slide(
    5,
    "The LeNet-300 architecture",
    Claim("inputs", "784", PIXELS, work="28x28", formula="28·28"),
    Claim(
        "vector in the figure",
        "768 px",
        PIXELS,
        formula="28·28",
        reason="a slip of the pen: the last input of the same figure is x784",
    ),
    Claim("output neurons", "C=10", CLASSES),
)

COMPLEXITY = slide(
    6,
    "A look at the complexity: LeNet-300",
    Table(lenet300_params(), "Parameters"),
    Claim(
        "share of the first FC layer",
        "88%",
        Share(Of("lenet300", "weights", "fc1"), Of("lenet300", "weights")),
        beside=(("with biases", Share(Of("lenet300", "params", "fc1"), Of("lenet300", "params"))),),
    ),
    Claim("layer of m units, n inputs", "m * (1+n)", Experiment("linear_formula")),
    Claim(
        "the same, simplified",
        "~ m * n",
        Experiment("biases_are_few"),
        beside=(
            ("LeNet-300 by m·(1+n)", Of("lenet300", "params")),
            ("by m·n", Of("lenet300", "weights")),
            ("share of the biases", Share(BIASES, Of("lenet300", "params"))),
        ),
        reason="the biases are few, and the slide's table leaves them out",
    ),
    Claim(
        "what grows with the image",
        "larger images (larger m)",
        Experiment("larger_images"),
        value="m",
        beside=(
            ("FC-300 on 28×28", Experiment("linear_params", (300, 784))),
            ("FC-300 on 56×56", Experiment("linear_params", (300, 3136))),
        ),
        reason="m counts the units, n their inputs, the pixels; it is n that grows, and the parameters with it",
    ),
)

SLIDES = (KNOWN_DATASET, VECTOR, ARCHITECTURE, COMPLEXITY)
