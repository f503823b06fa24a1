"""LeNet-1 and LeNet-5."""

from cnncost.zoo.entry import Entry, Figure

__all__ = ["ENTRIES"]

NIPS = (
    "LeCun, Boser, Denker, Henderson, Howard, Hubbard, Jackel 1990, "
    "Handwritten Digit Recognition with a Back-Propagation Network, NIPS 2"
)
IEEE = "LeCun, Bottou, Bengio, Haffner 1998, Gradient-Based Learning Applied to Document Recognition, Proc. IEEE"
GEOMETRY = "from the layer sizes"

LENET1 = Entry(
    name="lenet1",
    builder="cnncost.zoo.lenet:lenet1",
    input="1x1x28x28",
    title="LeNet-1",
    family="lenet",
    paper=NIPS,
    deviations=(
        "all layers are squashed by 1.7159 tanh(2a/3), with the constants of the authors' other papers",
        "H2 and H4 sum their inputs, whereas the text averages: the trainable coefficient absorbs the 1/4",
    ),
    published=(
        Figure("params", 2_578, "2578 independent parameters", source="LeCun et al. 1990, p. 402"),
        Figure("connections", 98_442, "98442 connections", source="LeCun et al. 1990, p. 402"),
        Figure(
            "neurons",
            3_850,
            reason="the paper prints 4635 units: these, the 784 inputs, and the constant input of the biases",
            source=GEOMETRY,
        ),
        Figure(
            "params",
            2_600,
            "only about 2600 free parameters",
            tolerance=0.01,
            reason="printed in hundreds",
            source="LeCun et al. 1998, sec. III.C.7",
        ),
        Figure(
            "connections",
            100_000,
            "about 100,000 multiply/add steps",
            tolerance=0.02,
            reason="a round number; as the paper counts them, the bias adds are steps too",
            source="LeCun et al. 1998, sec. III.C.7",
        ),
        Figure("macs", 91_520, source=GEOMETRY),
        *(
            figure
            for layer, params, connections in (
                ("h1", 104, 59_904),
                ("h2", 8, 2_880),
                ("h3", 512, 32_768),
                ("h4", 24, 960),
                ("output", 1_930, 1_930),
            )
            for figure in (
                Figure("params", params, layer=layer, source="LeCun et al. 1990, sizes on pp. 400-402, table 1"),
                Figure("connections", connections, layer=layer, source="same as for the parameters"),
            )
        ),
    ),
)

LENET5 = Entry(
    name="lenet5",
    builder="cnncost.zoo.lenet:lenet5",
    input="1x1x32x32",
    title="LeNet-5",
    family="lenet",
    paper=f"{IEEE}, sec. II.B",
    deviations=(
        "the RBF codes are ten digits of 7x12 pixels drawn anew, not those of the paper's figure 3",
        "biases are initialized from the same distribution as the weights; the paper mentions only weights",
    ),
    published=(
        Figure("trainable_params", 60_000, "60,000 trainable free parameters", source="sec. II.B"),
        Figure("connections", 340_908, "340,908 connections", source="sec. II.B"),
        Figure("macs", 325_680, reason="without the 840 squared differences of the RBF", source=GEOMETRY),
        *(
            figure
            for layer, params, printed_params, connections, printed_connections in (
                ("c1", 156, "156 trainable parameters", 122_304, "122,304 connections"),
                ("s2", 12, "12 trainable parameters", 5_880, "5,880 connections"),
                ("c3", 1_516, "1,516 trainable parameters", 151_600, "151,600 connections"),
                ("s4", 32, "32 trainable parameters", 2_000, "2,000 connections"),
                ("c5", 48_120, None, 48_120, "48,120 trainable connections"),
                ("f6", 10_164, "10,164 trainable parameters", 10_164, None),
            )
            for figure in (
                Figure("trainable_params", params, printed_params, layer, source="sec. II.B"),
                Figure("connections", connections, printed_connections, layer, source="sec. II.B"),
            )
        ),
        Figure("connections", 840, layer="output", source="the total less the other layers; 84*10"),
    ),
)

LENET5_MODERN = Entry(
    name="lenet5_modern",
    builder="cnncost.zoo.lenet:lenet5_modern",
    input="1x1x32x32",
    title="LeNet-5, modern",
    family="lenet",
    paper=f"after {IEEE}, sec. II.B",
    deviations=(
        "C3 sees all six maps of S2: 2,416 parameters instead of 1,516",
        "average pooling without coefficient and bias instead of S2 and S4",
        "tanh after C1, C3, C5 and F6 only, unscaled",
        "a linear output of 850 parameters instead of the RBF units",
    ),
    published=(
        Figure("params", 61_706, source=GEOMETRY),
        Figure("macs", 416_520, source=GEOMETRY),
    ),
)

ENTRIES = (LENET1, LENET5, LENET5_MODERN)
