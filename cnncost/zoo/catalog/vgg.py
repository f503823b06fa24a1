"""VGG, configurations A, A-LRN, B, C, D, E."""

from cnncost.zoo.entry import Entry, Figure

__all__ = ["ENTRIES"]

PAPER = "Simonyan, Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv 1409.1556"
RESNET = "He et al. 2015, arXiv 1512.03385"
GEOMETRY = "from table 1"
INITIAL = "initial weights of Glorot and Bengio, biases 0, instead of pre-training with configuration A"


def _entry(name: str, configuration: str, millions: int, params: int, *more: Figure) -> Entry:
    return Entry(
        name=name,
        builder=f"cnncost.zoo.vgg:{name}",
        input="1x3x224x224",
        title=f"VGG {configuration}",
        family="vgg",
        paper=f"{PAPER}, table 1, {configuration}",
        deviations=(INITIAL,),
        published=(
            Figure(
                "params",
                millions * 1_000_000,
                f"{millions} million",
                tolerance=0.5 / millions,
                reason="printed in millions",
                source="table 2",
            ),
            Figure("params", params, source=GEOMETRY),
            *more,
        ),
    )


ENTRIES = (
    _entry("vgg11", "A", 133, 132_863_336, Figure("macs", 7_609_090_048, source=GEOMETRY)),
    _entry("vgg11_lrn", "A-LRN", 133, 132_863_336, Figure("macs", 7_609_090_048, source=GEOMETRY)),
    _entry("vgg13", "B", 133, 133_047_848, Figure("macs", 11_308_466_176, source=GEOMETRY)),
    _entry("vgg16_c", "C", 134, 133_638_952, Figure("macs", 11_770_888_192, source=GEOMETRY)),
    _entry(
        "vgg16",
        "D",
        138,
        138_357_544,
        Figure("macs", 15_470_264_320, source=GEOMETRY),
        Figure(
            "macs",
            15_300_000_000,
            "15.3 billion FLOPs (multiply-adds)",
            layer="features",
            tolerance=0.05 / 15.3,
            reason="printed to three digits; the convolutions alone, without the 0.12 G of the FC layers",
            source=f"{RESNET}, sec. 4.1",
        ),
    ),
    _entry(
        "vgg19",
        "E",
        144,
        143_667_240,
        Figure("macs", 19_632_062_464, source=GEOMETRY),
        Figure(
            "macs",
            19_600_000_000,
            "19.6 billion FLOPs (multiply-adds)",
            tolerance=0.05 / 19.6,
            reason="printed to three digits; here the FC layers are counted",
            source=f"{RESNET}, sec. 3.3",
        ),
    ),
)
