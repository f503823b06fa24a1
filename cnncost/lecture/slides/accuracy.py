"""Slides 56 and 57: the error rates of five networks, and what a filter can see."""

from __future__ import annotations

from cnncost.lecture.claims import Below, Claim, Experiment, Of, Published, Table, slide

__all__ = ["SLIDES"]

IEEE = "LeCun et al. 1998, fig. 9"


def _network(name: str, layers: str, error: str, network: str, source: str = IEEE) -> Claim:
    costs = (("parameters", Of(network, "params")), ("MACs", Of(network, "macs")))
    return Claim(f"{name}: {layers}", f"{error} %", beside=costs, source=source)


ERRORS = Table(
    (
        _network("FC-10", "1 FC output layer (10 U)", "12.0", "fc10"),
        _network("FC-300-10", "1 hidden FC (300 U), 1 output FC (10 U)", "4.7", "fc300"),
        _network("LeNet-300", "2 hidden FCs (300 + 100 U), 1 output FC (10 U)", "3.05", "lenet300"),
        _network("LeNet-1", "2 Conv (3 F), 1 output FC", "1.7", "lenet1"),
        _network("LeNet-5", "2 conv (6+16 F), 3 FC layer", "0.95", "lenet5"),
    ),
    "Error on MNIST, beside what the networks cost",
)

LAYERS = Table(
    (
        Claim("units of the linear classifier", "10 U", Of("fc10", "features")),
        Claim("hidden units", "300 U", Of("fc300", "features", "fc1")),
        Claim("hidden units of LeNet-300", "300 + 100 U", Of("lenet300", "hidden_units"), value="300 + 100"),
        Claim("LeNet-1, convolutions", "2 Conv", Of("lenet1", "convs")),
        Claim(
            "LeNet-1, filters",
            "3 F",
            Of("lenet1", "maps_by_layer"),
            reason="the paper's H1 has 4 maps and H3 has 12, and no layer of it has 3",
        ),
        Claim(
            "LeNet-5, its name on the slide",
            "LeNet300",
            Published("LeNet-5", "LeCun et al. 1998, sec. II.B"),
            reason="0.95 % is the error of LeNet-5; LeNet-300 is the fully connected one above",
        ),
        Claim("LeNet-5, convolutions", "2 conv", Of("lenet5", "map_convs"), reason="C1 and C3; see the FC layers"),
        Claim("LeNet-5, maps of C1", "6 F", Of("lenet5", "maps", "c1")),
        Claim("LeNet-5, maps of C3", "16 F", Of("lenet5", "maps", "c3")),
        Claim(
            "LeNet-5, FC layers",
            "3 FC layer",
            Of("lenet5_modern", "dense_layers"),
            reason="C5, F6 and the output; C5 is a convolution as large as its input: slide 83 counts it as one",
        ),
        Claim("images, LeNet-5", "32x32", Of("lenet5", "input_size")),
        Claim(
            "images, the other four",
            "32x32",
            Of("lenet1", "input_size"),
            reason="in the paper the fully connected networks and LeNet-1 read 28×28",
        ),
    ),
    "Layers and inputs",
)

LOWER = "Better performance for lower complexity"
PARAMETERS = Below(Of("lenet5", "params"), Of("lenet300", "params"))
COMPARED = (("LeNet-5", Of("lenet5", "params")), ("LeNet-300", Of("lenet300", "params")))
BETTER = Table(
    (
        Claim(
            "in parameters",
            LOWER,
            PARAMETERS,
            beside=COMPARED,
        ),
        Claim(
            "in MACs",
            LOWER,
            Below(Of("lenet5", "macs"), Of("lenet300", "macs")),
            right="higher",
            beside=(
                ("LeNet-5", Of("lenet5", "macs")),
                ("LeNet-300", Of("lenet300", "macs")),
                ("LeNet-1", Of("lenet1", "macs")),
            ),
            reason="a shared weight is stored once and used at every position: LeNet-5 stores less than a quarter and "
            "computes more. LeNet-1 is lower in both, with 1.7 %",
        ),
    ),
    "LeNet-5 against LeNet-300",
)

FIELDS = tuple((layer.upper(), Of("lenet5", "receptive_field", layer)) for layer in ("c1", "s2", "c3", "s4", "c5"))

WRAP_UP = slide(
    57,
    "To wrap up: the receptive field",
    Claim("convolutional against fully connected", "it has fewer parameters", PARAMETERS, beside=COMPARED),
    Claim("filters", "5x5", Of("lenet5", "kernel", "c1")),
    Claim("a digit", "at least 20x20 pixels", source=IEEE.replace("fig. 9", "sec. III.A: digits were fitted in 20×20")),
    Claim("image", "32x32", Of("lenet5", "input_size")),
    Claim(
        "receptive field",
        "its back-projection through the pooling and convolutional layers",
        Experiment("back_projection"),
        beside=FIELDS,
        reason="a 5×5 filter cannot see a digit, but layers add up: S4 sees 16×16 pixels, and C5 all of them",
    ),
)

SLIDES = (slide(56, "Performance evaluation", ERRORS, LAYERS, BETTER), WRAP_UP)
