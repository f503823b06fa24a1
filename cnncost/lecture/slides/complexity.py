"""Slides 37 to 41: the meaning of complexity, and how layers are counted."""

from __future__ import annotations

from cnncost.lecture.claims import Claim, Experiment, Formula, Of, slide
from cnncost.lecture.slides.perceptron import lenet300_macs, lenet300_params

__all__ = ["ONE_BIAS_A_FILTER", "SLIDES"]

ONE_BIAS_A_FILTER = (
    "a filter has F² weights for each input channel, but one bias, however many channels there are: "
    "m·(1 + F²·#ch). The slide's product counts a bias for every channel; the two agree for one channel only"
)
FC_FORMULA = Experiment("linear_formula")

MEANINGS = slide(
    37,
    "Complexity in deep neural networks",
    Claim(
        "number of parameters",
        "-> memory required",
        Experiment("memory_follows_parameters"),
        right="4 bytes each",
        beside=(
            ("LeNet-300, parameters", Of("lenet300", "params")),
            ("its bytes", Of("lenet300", "param_bytes")),
        ),
    ),
    Claim(
        "number of operations",
        "-> hardware capability (FLOPs, MACs…)",
        beside=(("LeNet-300, MACs", Of("lenet300", "macs")), ("its FLOPs", Of("lenet300", "flops"))),
        source="a rule of thumb",
        reason="operations say what hardware has to do, not how fast it does it",
    ),
)

FULLY_CONNECTED = slide(
    38,
    "Parameters of the conv layer: fully connected first",
    Claim("FC layer", "n_out * (1+ n_in)", FC_FORMULA),
    Claim("inputs, for example", "n_in = 28²", Of("lenet300", "input_values"), value="28²", formula="28·28"),
)

CONVOLUTIONAL = slide(
    39,
    "Parameters of the conv layer",
    Claim("FC layer", "m * (1+ n)", FC_FORMULA),
    Claim(
        "conv layer",
        "m * (1+F²) * #ch",
        Experiment("conv_formula"),
        right="m * (1 + F² * #ch)",
        beside=(
            ("m=6, F=5, #ch=1", Experiment("conv_params", (6, 5, 1))),
            ("m=16, F=5, #ch=6", Experiment("conv_params", (16, 5, 6))),
            ("by the slide's product", Formula("16·(1 + 5²)·6")),
        ),
        reason=ONE_BIAS_A_FILTER,
    ),
    Claim("filters, for example", "F=5", Of("conv6", "kernel_side", "conv1")),
)

SLIDES = (
    MEANINGS,
    FULLY_CONNECTED,
    CONVOLUTIONAL,
    slide(40, "Parameters in LeNet-300", *lenet300_params()),
    slide(41, "MACs in LeNet-300", *lenet300_macs()),
)
