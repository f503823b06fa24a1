"""The steps from LeNet-300 to a convolutional network in Enzo Tartaglione's MN909 lecture."""

from cnncost.zoo.entry import Entry, Figure

__all__ = ["ENTRIES"]

GEOMETRY = "from the layer sizes"
UNSTATED = "ReLU after the hidden layers and logits as the output: the slides name no activation functions"
THOUSANDS = "printed in thousands"


def _entry(name: str, title: str, slides: str, note: tuple[str, ...], published: tuple[Figure, ...]) -> Entry:
    return Entry(
        name=name,
        builder=f"cnncost.zoo.conv6:{name}",
        input="1x1x28x28",
        title=title,
        family="conv6",
        paper=f"MN909 lecture, {slides}",
        deviations=(UNSTATED, *note),
        published=published,
    )


ENTRIES = (
    _entry(
        "conv6",
        "Conv-6 + FC-100-10",
        "slides 42 to 46",
        (),
        (
            Figure("params", 471_666, source=GEOMETRY),
            Figure("macs", 589_000, source=GEOMETRY),
            Figure("params", 156, "6 * (5*5 + 1) * 1 = 156", layer="conv1", source="MN909 lecture, slide 45"),
        ),
    ),
    _entry(
        "conv6_valid",
        "Conv-6 + FC-100-10, no padding",
        "slide 46",
        ("FC-100 reads the 24x24 maps that the convolution produces; the slide counts 28x28 maps for it",),
        (
            Figure("params", 346_866, source=GEOMETRY),
            Figure("macs", 433_000, source=GEOMETRY),
            Figure(
                "macs",
                86_000,
                "6 * (5x5 + 1) * (24*24*1) = 86k",
                layer="conv1",
                tolerance=0.5 / 86,
                reason="printed in thousands; the value leaves out the bias, which the printed product includes",
                source="MN909 lecture, slide 46",
            ),
        ),
    ),
    _entry(
        "conv6_pool",
        "Conv-6, max pooling + FC-100-10",
        "slides 48 to 53",
        (),
        (
            Figure("params", 118_866, source=GEOMETRY),
            Figure("macs", 236_200, source=GEOMETRY),
            Figure(
                "params",
                118_000,
                "~118k",
                tolerance=0.01,
                reason="truncated to thousands",
                source="MN909 lecture, slide 52",
            ),
            Figure(
                "macs",
                117_000,
                "100 * (6 * (14x14)) = 117k",
                layer="fc1",
                tolerance=0.01,
                reason="truncated to thousands: 117,600 weights, each used once",
                source="MN909 lecture, slide 52",
            ),
        ),
    ),
    _entry(
        "conv6_stride",
        "Conv-6, stride 2 + FC-100-10",
        "slide 51",
        ("FC-100 and FC-10 as in the network with pooling: the slide shows only the convolution",),
        (
            Figure("params", 118_866, source=GEOMETRY),
            Figure("macs", 148_000, source=GEOMETRY),
        ),
    ),
    _entry(
        "conv6_16",
        "Conv-6-16 + FC-100-10",
        "slides 54 and 55",
        ("the second convolution has 16*(5*5*6 + 1) = 2,416 parameters; the slide prints 2496",),
        (
            Figure("params", 82_082, source=GEOMETRY),
            Figure("macs", 667_400, source=GEOMETRY),
            Figure(
                "params",
                82_000,
                "~82k",
                tolerance=0.5 / 82,
                reason=THOUSANDS,
                source="MN909 lecture, slide 55",
            ),
            Figure(
                "params",
                78_000,
                "100 * ((16 * 7x7) + 1) = 78k",
                layer="fc1",
                tolerance=0.01,
                reason="truncated to thousands: 78,500",
                source="MN909 lecture, slide 55",
            ),
        ),
    ),
)
