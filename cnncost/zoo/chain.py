"""Networks that are a sequence of layers."""

from collections import OrderedDict

from torch import nn

__all__ = ["Chain"]


class Chain(nn.Sequential):
    """An nn.Sequential that can be subclassed with another constructor.

    nn.Sequential creates its slices by calling its class on the layers, which fails for subclasses with another
    constructor. Slices of a Chain are plain: `lenet5()[:4]` is an nn.Sequential of c1 to squash2.
    """

    def __getitem__(self, index: slice | int) -> nn.Sequential | nn.Module:
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        layer: nn.Module = super().__getitem__(index)
        return layer
