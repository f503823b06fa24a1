"""All slides with claims, by topic, in the lecture's order.

Enzo Tartaglione, MN909 Deep Learning for Multimedia: Convolutional Neural Networks. Slides without a figure,
and without a statement about cost, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnncost.errors import CnncostError
from cnncost.lecture.claims import Slide
from cnncost.lecture.slides import (
    accuracy,
    alexnet,
    complexity,
    convolution,
    datasets,
    digits,
    features,
    lenet,
    pooling,
    resnet,
    vgg,
)

__all__ = ["LECTURE", "SLIDES", "TOPICS", "numbered", "topic_of"]

LECTURE = "Enzo Tartaglione, MN909 Deep Learning for Multimedia, Convolutional Neural Networks"

TOPICS: dict[str, tuple[Slide, ...]] = {
    "A known data set, and LeNet-300": digits.SLIDES,
    "The convolution, worked by hand": convolution.SLIDES,
    "Complexity: parameters and MACs": complexity.SLIDES,
    "Moving to convolutional layers": features.SLIDES,
    "Pooling, stride, and more maps": pooling.SLIDES,
    "Accuracy against complexity": accuracy.SLIDES,
    "LeNet-5 and LeNet-1": lenet.SLIDES,
    "CIFAR-10 and ImageNet": datasets.SLIDES,
    "AlexNet": alexnet.SLIDES,
    "VGG": vgg.SLIDES,
    "ResNet": resnet.SLIDES,
}

SLIDES: tuple[Slide, ...] = tuple(slide for slides in TOPICS.values() for slide in slides)

_NEAR = 2


def topic_of(slide: Slide) -> str:
    """The topic that a slide belongs to."""
    return next(topic for topic, slides in TOPICS.items() if slide in slides)


def numbered(numbers: Iterable[int]) -> tuple[Slide, ...]:
    """The slides with these numbers, in the lecture's order.

    Raises:
        CnncostError: a slide has no claims, or does not exist; the message suggests others.
    """
    wanted, known = set(numbers), {slide.number for slide in SLIDES}
    for number in sorted(wanted - known):
        near = sorted(sorted(known, key=lambda other: (abs(other - number), other))[:_NEAR])
        raise CnncostError(
            f"slide {number}: has no claim that is checked here; the nearest that have are {near[0]} and {near[1]} "
            f"(there are {_ranges(sorted(known))})"
        )
    return tuple(slide for slide in SLIDES if slide.number in wanted)


def _ranges(numbers: list[int]) -> str:
    """Number ranges as text: `3-6, 17-22, 24`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
