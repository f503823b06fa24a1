"""Slides 85 to 87: VGG."""

from __future__ import annotations

from cnncost.lecture.claims import Claim, Experiment, Of, Table, slide
from cnncost.lecture.slides.papers import published

__all__ = ["SLIDES"]

PAPER = "Simonyan, Zisserman 2014"
CONFIGURATIONS = {
    "A": "vgg11", "A-LRN": "vgg11_lrn", "B": "vgg13", "C": "vgg16_c", "D": "vgg16", "E": "vgg19",
}  # fmt: skip

VGG = slide(
    85,
    "Going deeper: the VGG architecture",
    Claim(
        "convolutional layers of the deepest",
        "up to 19 convolutional layers",
        Of("vgg19", "convs"),
        beside=(("layers with weights", Of("vgg19", "depth")),),
        reason="19 is the number of all layers with weights, the 3 fully connected ones included",
    ),
    Claim("fully connected layers", "3 fully connected layers", Of("vgg19", "linears")),
    Claim(
        "filters",
        "3x3 filters everywhere",
        Of("vgg19", "kernel_sizes"),
        value="3x3",
        reason="so in configurations A, A-LRN, B, D and E",
    ),
    Claim(
        "filters of configuration C",
        "3x3 filters everywhere",
        Of("vgg16_c", "kernel_sizes"),
        value="3x3",
        beside=(("1×1 convolutions", Of("vgg16_c", "pointwise_convs")),),
        reason="C ends its last three blocks with a 1×1 convolution",
    ),
    Claim(
        "two 3×3 filters see",
        "5×5",
        Of("vgg13", "receptive_field", "features.conv1_2"),
        beside=(
            ("weights of two 3×3, by pair of channels", Experiment("weights_per_pair", (2, 3))),
            ("of one 5×5", Experiment("weights_per_pair", (1, 5))),
        ),
        source=f"{PAPER}, sec. 2.3",
        reason="the key idea: the same field for fewer weights, with a ReLU more in between",
    ),
)

LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}
"""Number of layers, as in the table's column headings."""


def _layers(configuration: str) -> Claim:
    network = CONFIGURATIONS[configuration]
    return Claim(
        f"{configuration}, layers",
        f"{LAYERS[configuration]} weight layers",
        Of(network, "depth"),
        beside=(("convolutions", Of(network, "convs")), ("MACs", Of(network, "macs"))),
    )


TABLE = slide(
    86,
    "Some configurations for VGG",
    Table(tuple(_layers(configuration) for configuration in CONFIGURATIONS), "Layers"),
    Table(
        tuple(
            claim
            for configuration, network in CONFIGURATIONS.items()
            for claim in published(network, configuration, "params", source=f"{PAPER}, ")
        ),
        "Parameters in the paper that the slide cites",
        where="in the paper",
    ),
)

SLIDES = (
    VGG,
    TABLE,
    slide(87, "VGG on ImageNet", Claim("top-5 error, second in 2014", "7,3%", source=f"{PAPER}, table 7")),
)
