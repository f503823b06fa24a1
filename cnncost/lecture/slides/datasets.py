"""Slides 76 to 79: CIFAR-10 and ImageNet."""

from __future__ import annotations

from cnncost.lecture.claims import Claim, Formula, Of, slide

__all__ = ["SLIDES"]

CIFAR = "Krizhevsky 2009, CIFAR-10"
ILSVRC = "ILSVRC 2012"

SLIDES = (
    slide(
        76,
        "CIFAR-10",
        Claim("training images", "50k train images", source=CIFAR),
        Claim("test images", "10k test images", source=CIFAR),
        Claim("classes", "10 classes", source=CIFAR),
        Claim(
            "image size",
            "32x32",
            source=CIFAR,
            beside=(("values an image (RGB)", Formula("3·32·32")), ("of MNIST", Of("lenet300", "input_values"))),
        ),
    ),
    slide(
        77,
        "CIFAR-10: more difficult than MNIST",
        Claim("loss of accuracy", "-50%", source="the slide", reason="read off a figure of training runs"),
    ),
    slide(
        79,
        "The ImageNet challenge (ILSVRC12)",
        Claim("classes", "1000 object classes", Of("resnet50", "features")),
        Claim("training images", "1.2M images", source=ILSVRC),
        Claim("test images", "100k images", source=ILSVRC),
        Claim(
            "image size",
            "224x224",
            Of("resnet50", "input_size"),
            beside=(("AlexNet's", Of("alexnet", "input_size")),),
            reason="VGG and ResNet; AlexNet's sizes follow from 227×227, though its paper prints 224 too",
        ),
        Claim("channels", "RGB", Of("resnet50", "input_channels"), value="3"),
    ),
)
