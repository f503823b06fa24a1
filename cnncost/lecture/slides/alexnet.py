"""Slides 81 to 84: AlexNet."""

from __future__ import annotations

from fractions import Fraction

from cnncost.lecture.claims import Claim, Experiment, Of, Published, Scaled, Share, slide

__all__ = ["SLIDES"]

NIPS = "Krizhevsky, Sutskever, Hinton 2012"
PARAMS, MACS = Of("alexnet", "params"), Of("alexnet", "macs")
SPLIT_PARAMS, SPLIT_MACS = Of("alexnet_two_gpu", "params"), Of("alexnet_two_gpu", "macs")
HALF, HALF_WORDS = Fraction(1, 2), "half of it"

ALEXNET = slide(
    81,
    "AlexNet (2012)",
    Claim("convolutional layers", "5 convolutional layers", Of("alexnet", "convs")),
    Claim("fully connected layers", "3 fully connected layers", Of("alexnet", "linears")),
    Claim(
        "parameters",
        "62.3 M parameters",
        PARAMS,
        beside=(("split over two GPUs, as in 2012", SPLIT_PARAMS),),
        reason="one tower; in the paper's network conv2, conv4 and conv5 see half of the maps each",
    ),
    Claim(
        "convolutions' share of the parameters",
        "conv layers 6%",
        Share(Of("alexnet", "params", "features"), PARAMS),
        beside=(("parameters in convolutions", Of("alexnet", "params", "features")),),
    ),
    Claim(
        "convolutions' share of the time",
        "95% of time",
        source="the slide",
        beside=(
            ("share of the MACs", Share(Of("alexnet", "macs", "features"), MACS)),
            ("MACs in convolutions", Of("alexnet", "macs", "features")),
            ("of all MACs", MACS),
        ),
        reason="time is measured on a device and differs between devices; it is the MACs that can be counted",
    ),
)

TRAINING = slide(
    82,
    "AlexNet (2012): training details",
    Claim(
        "memory of each of the two GPUs, in GB",
        "two GTX580 GPUs (2GB memory each)",
        Published("3 GB", f"{NIPS}, sec. 3.2"),
        value="2",
        beside=(
            ("bytes of parameters a GPU", Scaled(Of("alexnet_two_gpu", "param_bytes"), HALF, HALF_WORDS)),
            (
                "with gradients and momentum",
                Scaled(Of("alexnet_two_gpu", "param_bytes"), 3 * HALF, "three times half of it"),
            ),
        ),
        reason="a single GTX 580 GPU has only 3 GB of memory, says the paper; each GPU holds half of every layer, and "
        "the rest of its 3 GB is for the activations of the batch of 128",
    ),
    Claim(
        "convolutions split over the GPUs",
        "split convolutions to different GPUs",
        Of("alexnet_two_gpu", "groups", "features.conv2"),
        value="2",
        beside=(
            ("parameters", SPLIT_PARAMS),
            ("parameters a GPU", Scaled(SPLIT_PARAMS, HALF, HALF_WORDS)),
            ("MACs", SPLIT_MACS),
            ("MACs a GPU", Scaled(SPLIT_MACS, HALF, HALF_WORDS)),
        ),
        reason="conv2, conv4 and conv5 see the maps of their own GPU only",
    ),
    Claim("training time", "5~6 days", source=NIPS),
    Claim("epochs", "90 epochs", source=NIPS),
)

AGAINST_LENET5 = slide(
    83,
    "AlexNet vs LeNet-5",
    Claim("AlexNet's convolutions", "5 Conv", Of("alexnet", "convs")),
    Claim("LeNet-5's convolutions", "w.r.t. 3", Of("lenet5", "convs"), reason="C1, C3 and C5"),
    Claim("activations", "ReLU", Of("alexnet", "activations")),
    Claim(
        "dropout",
        "dropout before FC layers",
        Experiment("dropout_is_free"),
        right="costs nothing",
        reason="no parameters, no MACs: the counts with and without are the same",
    ),
    Claim("batch size", "128 images", source=NIPS, reason="counts here are for one image"),
    Claim("learning rate", "divided by 10", source=NIPS),
)

ON_IMAGENET = slide(
    84,
    "AlexNet (2012) on ImageNet",
    Claim(
        "top-5 error",
        "16.4%",
        source=f"{NIPS}, table 2",
        reason="five networks, trained on ILSVRC data alone; the abstract's 15.3 % is of seven, two with more data",
    ),
    Claim("top-5 error of the second", "26.2%", source=f"{NIPS}, abstract"),
    Claim(
        "first filters",
        "11x11",
        Of("alexnet", "kernel", "features.conv1"),
        beside=(
            ("parameters", Of("alexnet", "params", "features.conv1")),
            ("of all parameters", Share(Of("alexnet", "params", "features.conv1"), PARAMS)),
            ("MACs", Of("alexnet", "macs", "features.conv1")),
            ("of all MACs", Share(Of("alexnet", "macs", "features.conv1"), MACS)),
        ),
        reason="large filters are no matter of storage: they weigh in MACs",
    ),
)

SLIDES = (ALEXNET, TRAINING, AGAINST_LENET5, ON_IMAGENET)
