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
    """A number that a source states for a network, or for one of its layers, for one input image.

    `value` is the number as an int ("1.8 x 10^9" is 1_800_000_000) and `printed` the source's own
    words; `printed` is None if the source prints no number but it follows from the geometry that
    the source prints. `layer` is a module path, None for the whole network. `tolerance` is
    relative, 0 for exact, and must come with a `reason`.
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
    one image in a batch, "1x3x224x224". `deviations` lists all differences from `paper`.
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
        """`input` as ints, batch first."""
        return tuple(int(extent) for extent in self.input.split("x"))

    def build(self, **kwargs: object) -> nn.Module:
        """Build the network; keyword arguments are passed to its builder. Imports torch."""
        module, _, function = self.builder.partition(":")
        builder: Callable[..., nn.Module] = getattr(import_module(module), function)
        return builder(**kwargs)
