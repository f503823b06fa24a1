"""Catalog entries of networks: plain data, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

Quantity = Literal["params", "trainable_params", "macs", "connections", "neurons"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number from a source for a network or one of its layers, for one input image.

    `value` is the number as an int ("1.8 x 10^9" is 1_800_000_000). `printed` has the source's own
    words; it is None if the number is not printed there, but follows from the printed geometry or
    is metadata. `layer` is a module path, or None for the whole network. `tolerance` is relative,
    0 for an exact number; others need a `reason`.
    """

    quantity: Quantity
    value: int
    printed: str | None = None
    layer: str | None = None
    tolerance: float = 0.0
    reason: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.quantity not in get_args(Quantity):
            raise ValueError(f"Figure: expected a quantity of {get_args(Quantity)}, got {self.quantity!r}")
        if self.tolerance < 0:
            raise ValueError(f"Figure: expected a tolerance of 0 or more, got {self.tolerance}")
        if self.tolerance and not self.reason:
            raise ValueError(f"Figure: {self.quantity} {self.value} has a tolerance; give its reason")

    def agrees(self, measured: int) -> bool:
        """Return whether a measured number equals the stated one within the tolerance."""
        return abs(measured - self.value) <= self.tolerance * self.value


@dataclass(frozen=True, slots=True)
class Entry:
    """A network of the zoo: its builder, input, paper and published figures.

    `builder` is "module:function", imported only when the network is built. `input` is the shape of
    a batch of one image, such as "1x3x224x224". `deviations` lists all differences from `paper`.
    """

    name: str
    builder: str
    input: str
    title: str
    family: str
    paper: str
    deviations: tuple[str, ...] = ()
    published: tuple[Figure, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """`input` as ints; the first is the batch size."""
        return tuple(int(extent) for extent in self.input.split("x"))

    def build(self, **kwargs: object) -> nn.Module:
        """Import the builder, and torch with it, and build the network with these keyword arguments."""
        module, _, function = self.builder.partition(":")
        builder: Callable[..., nn.Module] = getattr(import_module(module), function)
        return builder(**kwargs)
