"""Networks that are a sequence of layers."""

from collections import OrderedDict

from torch import nn

__all__ = ["Chain"]


class Chain(nn.Sequential):
    """An nn.Sequential for subclasses with other constructor arguments.

    nn.Sequential creates a slice by calling its own class on the layers, which fails for such subclasses. A slice of a
    Chain is a plain nn.Sequential: `lenet5()[:4]` has the layers c1 to squash2.
    """

    def __getitem__(self, index: slice | int) -> nn.Sequential | nn.Module:
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        layer: nn.Module = super().__getitem__(index)
        return layer
