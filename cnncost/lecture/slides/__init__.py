"""The slides of Enzo Tartaglione's lecture MN909, Convolutional Neural Networks, and what they claim.

One file a topic, each a tuple of slides. Slides without a figure or a statement about cost are left out.
"""

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

__all__ = ["SLIDES", "TOPICS"]

TOPICS = {
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
"""In the lecture's order."""

SLIDES = tuple(slide for slides in TOPICS.values() for slide in slides)
