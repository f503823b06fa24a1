"""The receptive field of a layer, as plain frozen data."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import NamedTuple, TypeAlias

from cnncost.passes.receptive_field.field import UNKNOWN, Extent

Size: TypeAlias = "int | Extent"
Step: TypeAlias = "int | Fraction | Extent"
Span: TypeAlias = "tuple[int, int] | None"


class ReceptiveField(NamedTuple):
    """The part of an input that a layer's units see: one value per spatial axis of the input.

    Attributes:
        layer: path of the layer.
        input: index of the input among the model's inputs.
        input_size: its size along each spatial axis.
        size: positions that a unit sees far from all borders, as if the input were unbounded; the maximum over units.
            GLOBAL: the whole input, whatever its size. UNKNOWN: an op could not be followed.
        jump: input positions from one unit to the next (effective stride); a Fraction after upsampling.
            UNKNOWN if there is no single number, for example if paths with different jumps merge; `size` is then that
            of the unit that sees most.
        start: first position that unit 0 sees; negative in the padding.
        seen: the most positions that a unit sees of an input of this size.
        unit: the requested unit, by its index along the layer's own spatial axes; None if none was requested.
        box: first and last input position that the unit sees along each axis, both included; None along an axis of
            which it sees nothing. None if no unit was requested.
        notes: reasons for unknown values.
    """

    layer: str
    input: int
    input_size: tuple[int, ...]
    size: tuple[Size, ...]
    jump: tuple[Step, ...]
    start: tuple[Size, ...]
    seen: tuple[Size, ...]
    notes: tuple[str, ...] = ()
    unit: tuple[int, ...] | None = None
    box: tuple[Span | Extent, ...] | None = None

    @property
    def share(self) -> Fraction | None:
        """Largest fraction of the input that a unit sees; None if unknown."""
        if any(n is UNKNOWN for n in self.seen):
            return None
        return Fraction(prod(n for n in self.seen if isinstance(n, int)), prod(self.input_size))

    @property
    def sees_all(self) -> bool:
        """True if some unit sees the whole input."""
        return self.seen == self.input_size
