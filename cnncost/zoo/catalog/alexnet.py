"""AlexNet, as one tower and split over two GPUs."""

from cnncost.zoo.entry import Entry, Figure

__all__ = ["ENTRIES"]

PAPER = "Krizhevsky, Sutskever, Hinton 2012, ImageNet Classification with Deep Convolutional Neural Networks, NIPS 25"
GEOMETRY = "from the sizes in fig. 2 and sec. 3.5"
INPUT = "227x227 inputs: the paper prints 224x224, but kernel size 11 and stride 4 do not give 55x55 maps from that"

SINGLE_TOWER = Entry(
    name="alexnet",
    builder="cnncost.zoo.alexnet:alexnet",
    input="1x3x227x227",
    title="AlexNet, single tower",
    family="alexnet",
    paper=PAPER,
    deviations=(INPUT, "conv2, conv4 and conv5 see all maps before them, not only the half on their own GPU"),
    published=(
        Figure(
            "params",
            62_300_000,
            "62.3 M parameters",
            tolerance=0.002,
            reason="truncated to three digits: 62,378,344",
            source="MN909 lecture, slide 81",
        ),
        Figure("params", 62_378_344, source=GEOMETRY),
        Figure("params", 3_747_200, layer="features", source=GEOMETRY),
        Figure("macs", 1_135_256_096, source=GEOMETRY),
        Figure("macs", 1_076_634_144, layer="features", source=GEOMETRY),
    ),
)

TWO_GPU = Entry(
    name="alexnet_two_gpu",
    builder="cnncost.zoo.alexnet:alexnet_two_gpu",
    input="1x3x227x227",
    title="AlexNet, two GPUs",
    family="alexnet",
    paper=PAPER,
    deviations=(
        INPUT,
        "both halves in one module, as two groups of each split convolution",
        "response normalisation runs over all maps, across the border between the halves",
    ),
    published=(
        Figure(
            "params",
            60_000_000,
            "60 million parameters",
            tolerance=0.02,
            reason="a round number: 60,965,224",
            source="abstract",
        ),
        Figure(
            "neurons",
            650_000,
            "650,000 neurons",
            tolerance=0.015,
            reason="a round number: 650,080 in the convolutions and 9,192 in the fully connected layers",
            source="abstract",
        ),
        Figure(
            "neurons",
            253_440,
            "253,440",
            layer="features.conv1",
            tolerance=0.15,
            reason="an error in the caption, which computes 55*48*96; 96 maps of 55*55 have 290,400",
            source="fig. 2",
        ),
        Figure("neurons", 186_624, "186,624", layer="features.conv2", source="fig. 2"),
        Figure("neurons", 64_896, "64,896", layer="features.conv3", source="fig. 2"),
        Figure("neurons", 64_896, "64,896", layer="features.conv4", source="fig. 2"),
        Figure("neurons", 43_264, "43,264", layer="features.conv5", source="fig. 2"),
        Figure("neurons", 4_096, "4096", layer="classifier.fc6", source="fig. 2"),
        Figure("neurons", 4_096, "4096", layer="classifier.fc7", source="fig. 2"),
        Figure("neurons", 1_000, "1000", layer="classifier.fc8", source="fig. 2"),
        Figure("params", 60_965_224, source=GEOMETRY),
        Figure("params", 34_944, layer="features.conv1", source=GEOMETRY),
        Figure("params", 307_456, layer="features.conv2", source=GEOMETRY),
        Figure("params", 885_120, layer="features.conv3", source=GEOMETRY),
        Figure("params", 663_936, layer="features.conv4", source=GEOMETRY),
        Figure("params", 442_624, layer="features.conv5", source=GEOMETRY),
        Figure("params", 37_752_832, layer="classifier.fc6", source=GEOMETRY),
        Figure("params", 16_781_312, layer="classifier.fc7", source=GEOMETRY),
        Figure("params", 4_097_000, layer="classifier.fc8", source=GEOMETRY),
        Figure("macs", 724_406_816, source=GEOMETRY),
    ),
)

ENTRIES = (SINGLE_TOWER, TWO_GPU)
