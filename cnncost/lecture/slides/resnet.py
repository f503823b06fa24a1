"""Slides 91 to 95: ResNet, vanishing gradients, skip connections."""

from __future__ import annotations

from cnncost.lecture.claims import Below, Claim, Difference, Experiment, Of, Published, Table, slide
from cnncost.lecture.slides.papers import published

__all__ = ["SLIDES"]

PAPER = "He et al. 2015"
DEPTHS = {"18": "18", "34": "34", "50": "50", "101": "101", "152": "151"}
"""Depths of the networks, mapped to the slide's text."""
PADDED = (("shortcut", "A"),)


def _depth(depth: str, printed: str) -> Claim:
    network = f"resnet{depth}"
    return Claim(
        f"ResNet-{depth}, layers",
        f"{printed} layers",
        Of(network, "depth"),
        beside=(("parameters", Of(network, "params")), ("MACs", Of(network, "macs"))),
        reason="" if depth == printed else "a slip: the paper's deepest network for ImageNet is ResNet-152",
    )


RESNET = slide(
    91,
    "ResNet (2015)",
    Claim(
        "top-5 error, winner of 2015",
        "6.7%",
        Published("3.57 %", f"{PAPER}, table 5"),
        reason="3.57 % won, an ensemble; 6.7 % is the error of the winner of 2014 (GoogLeNet), and by chance that "
        "of a single ResNet-50 (6.71 %, table 3)",
    ),
    Claim(
        "pooling",
        "(almost) pool-less",
        Below(Of("resnet50", "pools"), Of("vgg16", "pools")),
        beside=(("poolings of ResNet-50", Of("resnet50", "pools")), ("of VGG-16", Of("vgg16", "pools"))),
        reason="one after the first convolution; the average at the end is over all positions",
    ),
    Claim(
        "stride where maps shrink",
        "2px convolution stride",
        Of("resnet50", "stride", "layer2.0.conv1"),
        reason="on the block's first 1×1, as in the paper; later libraries have it on the 3×3",
    ),
    Table(tuple(_depth(depth, printed) for depth, printed in DEPTHS.items()), "Layers"),
    Table(
        tuple(
            claim
            for depth in DEPTHS
            for claim in published(f"resnet{depth}", f"ResNet-{depth}", "macs", source=f"{PAPER}, ")
        ),
        "Multiply-adds in the paper that the slide cites",
        "in the paper",
    ),
)

GRADIENT = slide(
    92,
    "The vanishing gradient problem (recap)",
    Claim(
        "products of small factors",
        "values in magnitude < 1: gradient vanishing",
        Experiment("small_factors_vanish"),
        beside=(
            ("largest factor of a sigmoid", Experiment("largest_factor", (0,))),
            ("twenty of these", Experiment("product", (25, 20))),
            ("largest factor of a ReLU", Experiment("largest_factor", (1,))),
        ),
    ),
    Claim(
        "products of large factors",
        "values in magnitude > 1: gradient explosion",
        Experiment("large_factors_explode"),
        beside=(("twenty factors of 2", Experiment("product", (200, 20))),),
    ),
    Table(
        tuple(
            Claim(
                f"{depth} layers",
                "more evident on sigmoid-activated models",
                Experiment("fades_faster", (depth,)),
                beside=(
                    ("with sigmoids", Experiment("gradient_left", (0, depth))),
                    ("with ReLUs", Experiment("gradient_left", (1, depth))),
                ),
            )
            for depth in (5, 10, 20)
        ),
        "Gradient of the first layer over that of the last one, by depth",
    ),
)


def _no_extra(depth: str, quantity: str, words: str) -> Claim:
    shortcut, plain = f"resnet{depth}", f"plain{depth}"
    return Claim(
        f"ResNet-{depth} less plain-{depth}, {words}",
        f"no extra {words}",
        Difference(Of(shortcut, quantity, options=PADDED), Of(plain, quantity)),
        value="0",
        beside=(
            (f"plain-{depth}", Of(plain, quantity)),
            ("with projections (B)", Difference(Of(shortcut, quantity), Of(plain, quantity))),
        ),
        source=f"{PAPER}, sec. 4.1",
    )


SKIP = (
    slide(
        93,
        "Skip connections",
        Claim(
            "training",
            "gradient backprop easier",
            source=f"{PAPER}, sec. 3",
            reason="a block's gradient has a summand that passes no weights",
        ),
    ),
    slide(
        94,
        "Skip connections effectiveness",
        Claim(
            "plain against residual networks",
            "skip connections effectiveness",
            source=f"{PAPER}, fig. 4 and table 2",
            reason="top-1 error: plain-18 27.94 %, plain-34 28.54 %; ResNet-18 27.88 %, ResNet-34 25.03 %",
        ),
        Table(
            tuple(
                _no_extra(depth, quantity, words)
                for depth in ("18", "34")
                for quantity, words in (("params", "parameters"), ("macs", "MACs"))
            ),
            "The same cost: shortcuts that pad with zeros (A) are free",
        ),
    ),
    slide(
        95,
        "Deeper gets better performance!",
        Claim("depth and error", "deeper gets better", source=f"{PAPER}, tables 3 and 4"),
    ),
)

SLIDES = (RESNET, GRADIENT, *SKIP)
