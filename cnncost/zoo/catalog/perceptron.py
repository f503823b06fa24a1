"""Fully connected networks from LeCun et al. 1998.

The MN909 lecture, which also has figures for LeNet-300, is Enzo Tartaglione's (see `cnncost.lecture.contents`).
"""

from cnncost.zoo.entry import Entry, Figure

__all__ = ["ENTRIES"]

PAPER = "LeCun, Bottou, Bengio, Haffner 1998, Gradient-Based Learning Applied to Document Recognition, Proc. IEEE"
GEOMETRY = "from the layer sizes"
OUTPUT = "logits, with the softmax left to the loss; the paper's output units are squashed"
HIDDEN = "ReLU hidden units; the paper's are scaled tanh"

ENTRIES = (
    Entry(
        name="fc10",
        builder="cnncost.zoo.perceptron:fc10",
        input="1x1x28x28",
        title="FC-10",
        family="perceptron",
        paper=f"{PAPER}, sec. III.C.1, linear classifier",
        deviations=(OUTPUT,),
        published=(
            Figure("params", 7_850, source=GEOMETRY),
            Figure("macs", 7_840, source=GEOMETRY),
        ),
    ),
    Entry(
        name="fc300",
        builder="cnncost.zoo.perceptron:fc300",
        input="1x1x28x28",
        title="FC-300-10",
        family="perceptron",
        paper=f"{PAPER}, sec. III.C.5, one-hidden-layer network",
        deviations=(HIDDEN, OUTPUT),
        published=(
            Figure("params", 238_510, source=GEOMETRY),
            Figure("macs", 238_200, source=GEOMETRY),
        ),
    ),
    Entry(
        name="lenet300",
        builder="cnncost.zoo.perceptron:lenet300",
        input="1x1x28x28",
        title="LeNet-300 (300-100-10)",
        family="perceptron",
        paper=f"{PAPER}, sec. III.C.6, two-hidden-layer network",
        deviations=(HIDDEN, OUTPUT),
        published=(
            Figure("params", 266_610, source=GEOMETRY),
            Figure("macs", 266_200, source=GEOMETRY),
            Figure(
                "macs",
                266_000,
                "~266k",
                tolerance=0.5 / 266,
                reason="printed in thousands",
                source="MN909 lecture, slide 46",
            ),
            Figure(
                "macs",
                235_000,
                "300 * (28*28) = 235k",
                layer="fc1",
                tolerance=0.5 / 235,
                reason="printed in thousands",
                source="MN909 lecture, slide 41",
            ),
            Figure("macs", 30_000, "100 * 300 = 30k", layer="fc2", source="MN909 lecture, slide 41"),
            Figure("macs", 1_000, "10 * 100 = 1k", layer="fc3", source="MN909 lecture, slide 41"),
        ),
    ),
)
