"""MobileNet."""

from cnncost.zoo.entry import Entry, Figure

__all__ = ["ENTRIES"]

PAPER = (
    "Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam 2017, MobileNets: Efficient Convolutional Neural "
    "Networks for Mobile Vision Applications, arXiv 1704.04861"
)
GEOMETRY = "from table 1"

ENTRIES = (
    Entry(
        name="mobilenet",
        builder="cnncost.zoo.mobilenet:mobilenet",
        input="1x3x224x224",
        title="MobileNet",
        family="mobilenet",
        paper=f"{PAPER}, table 1",
        deviations=("stride 1 in the last depthwise convolution; table 1 prints s2, but its maps stay 7x7",),
        published=(
            Figure(
                "macs",
                569_000_000,
                "569 million mult-adds",
                tolerance=0.5 / 569,
                reason="printed in millions",
                source="table 4",
            ),
            Figure(
                "params",
                4_200_000,
                "4.2 million",
                tolerance=0.05 / 4.2,
                reason="printed to two digits",
                source="table 4",
            ),
            Figure("params", 4_231_976, source=GEOMETRY),
            Figure("macs", 568_740_352, source=GEOMETRY),
        ),
    ),
)
