"""The entries of all networks, and the only place that lists them. There is one file per family; none imports torch."""

from cnncost.zoo.catalog import alexnet, conv6, lenet, mobilenet, perceptron, resnet, vgg

__all__ = ["CATALOG"]

CATALOG = (
    *perceptron.ENTRIES,
    *conv6.ENTRIES,
    *lenet.ENTRIES,
    *alexnet.ENTRIES,
    *vgg.ENTRIES,
    *resnet.ENTRIES,
    *mobilenet.ENTRIES,
)
