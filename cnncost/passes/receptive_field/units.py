"""The units of a layer: their axes and number, what each sees, and the layer's size, jump and start."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from itertools import product
from math import prod
from typing import NamedTuple

from cnncost.errors import CnncostError
from cnncost.passes.receptive_field.cells import Cell, hull_of
from cnncost.passes.receptive_field.field import GLOBAL, UNKNOWN, Broken, Extent, Field, PeriodicPattern
from cnncost.passes.receptive_field.result import Size, Step
from cnncost.passes.receptive_field.steps import reduced
from cnncost.passes.receptive_field.walk import Lost


class Units:
    """The units of a layer: positions along the axes that come from the image's, each combined over all other axes.

    If an axis was split (windows, space to depth), its outer part distinguishes units. `along` are axes that come from
    the image's although everything was mixed along them: their units see the same but are still distinct.

    Attributes:
        axes: the output axes that distinguish units.
        sizes: number of units along each.
        inner: for each of the axes, the growing factors in it, as `_growing_factors` returns them.
    """

    def __init__(self, path: str, shape: tuple[int, ...], fields: Sequence[Field], along: Collection[int]) -> None:
        self.path = path
        self.axes = sorted(
            axis
            for axis in range(len(shape))
            if axis in along or any(factor.grows for field in fields for factor in field.factors[field.parts[axis]])
        )
        self.sizes = tuple(shape[axis] for axis in self.axes)
        self.inner = {axis: _growing_factors(fields, axis) for axis in self.axes}

    def combined(self, field: Field) -> Field:
        """Return a field reduced to the units: the hull over all axes that don't distinguish them."""
        for axis, count in enumerate(field.counts):
            if count and axis not in self.axes:
                field = reduced(field, axis)
        return field

    def _wrong_indices(self, unit: tuple[int, ...]) -> str:
        """Return the error message for a unit with the wrong number of indices."""
        indices = ",".join(map(str, unit)) or "none"
        if not self.sizes:
            return f"expected no indices because the layer has no spatial axis of its own, got {indices}; omit the unit"
        units = "×".join(map(str, self.sizes))
        count, letters = len(self.sizes), ",".join("IJKLMN"[: len(self.sizes)])
        noun = "index" if count == 1 else "indices"
        return f"expected {count} {noun} because the layer has {units} units, got {indices}; give --unit {letters}"

    def index(self, unit: tuple[int, ...]) -> dict[int, int]:
        """Return a unit's index along each of `axes`. Raises CnncostError if the unit does not exist."""
        layer = f"receptive field of {self.path or 'the model'}"
        if len(unit) != len(self.sizes):
            raise CnncostError(f"{layer}: {self._wrong_indices(unit)}")
        for place, size in zip(unit, self.sizes, strict=True):
            if place not in range(size):
                last = ", ".join(str(n - 1) for n in self.sizes)
                raise CnncostError(f"{layer}: there is no unit {unit}; the last unit is ({last})")
        return dict(zip(self.axes, unit, strict=True))


def _growing_factors(fields: Sequence[Field], axis: int) -> list[tuple[int, int]]:
    """Each field's growing factor in an axis: the product of the sizes after it in the axis, and its own size."""
    growing_factors = []
    for field in fields:
        part = field.parts[axis]
        if field.growing is not None and part.start <= field.growing < part.stop:
            after = prod(factor.size for factor in field.factors[field.growing + 1 : part.stop])
            growing_factors.append((after, field.factors[field.growing].size))
    return growing_factors


def box(field: Field | Lost | None, index: dict[int, int]) -> Cell | Extent:
    """Return the hull of the positions that a unit sees, over all channels; `index` is from `Units.index`."""
    if field is None:
        return None
    if isinstance(field, Lost):
        return UNKNOWN
    fixed: dict[int, int] = {}
    for axis, place in index.items():
        part, outer = field.parts[axis], place
        for i in range(part.stop - 1, part.start - 1, -1):  # from the innermost factor outwards
            outer, position = divmod(outer, field.factors[i].size)
            fixed[i] = field.factors[i].lookup[position]
    return hull_of(field.exact[i] for i in _flat_indices(field.dims, fixed))


# ---- numbers


class Numbers(NamedTuple):
    """The values of a `ReceptiveField` along one input axis; `note` is the reason if one is unknown."""

    size: Size
    jump: Step
    start: Size
    seen: Size
    note: str = ""


def numbers(field: Field | Lost | None, inner: dict[int, list[tuple[int, int]]]) -> Numbers:
    """Return the numbers along one input axis. `field` is reduced to the units, `inner` is `Units.inner`."""
    if field is None:
        return Numbers(0, UNKNOWN, UNKNOWN, 0, "it sees nothing of this input")
    if isinstance(field, Lost):
        where = f" in {field.path}" if field.path else ""
        return Numbers(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, f"{field.op}{where} can't be followed")
    seen, periodic = _widest(field.exact), field.periodic
    if isinstance(periodic, Broken):
        return Numbers(seen, UNKNOWN, UNKNOWN, seen, periodic.reason)
    if not isinstance(periodic, PeriodicPattern):
        return Numbers(GLOBAL, GLOBAL, GLOBAL, seen)
    if field.growing is None and len(set(filter(None, periodic.cells))) > 1:
        reason = "its units see different fixed positions"
        return Numbers(_widest(periodic.cells), UNKNOWN, UNKNOWN, seen, reason)
    return Numbers(_widest(periodic.cells), _jump(field, periodic, inner), _start(field, periodic), seen)


def _widest(cells: Sequence[Cell]) -> int:
    return max((last - first + 1 for first, last in filter(None, cells)), default=0)


def _jump(field: Field, periodic: PeriodicPattern, inner: dict[int, list[tuple[int, int]]]) -> int | Fraction:
    """Return the step to the next unit along the input's axis.

    The pattern counts steps of the growing factor. Each is as many units long as the factors after it in the axis have
    positions, so the jump is divided by that number. Factors from another axis of the image don't count: in a row of
    H·W tokens, the jump along H is that from one image row to the next.
    """
    jump = Fraction(periodic.shift, periodic.period)
    if field.growing is not None:
        axis = next(i for i, part in enumerate(field.parts) if part.start <= field.growing < part.stop)
        after = prod(factor.size for factor in field.factors[field.growing + 1 : field.parts[axis].stop])
        jump /= after // prod(size for behind, size in inner[axis] if behind < after)
    return jump.numerator if jump.denominator == 1 else jump


def _start(field: Field, periodic: PeriodicPattern) -> Size:
    """Return the first position that unit 0 sees; UNKNOWN if it sees nothing."""
    fixed: dict[int, int] = {}
    if field.growing is not None:
        part = next(part for part in field.parts if part.start <= field.growing < part.stop)
        fixed = {i: 0 if i == field.growing else field.factors[i].lookup[0] for i in range(part.start, part.stop)}
    whole = hull_of([periodic.cells[i] for i in _flat_indices(field.periodic_dims, fixed)])
    return UNKNOWN if whole is None else whole[0]


def _flat_indices(dims: Sequence[int], fixed: dict[int, int]) -> Iterator[int]:
    """Yield the flat indices of the cells of a grid in which some axes have a fixed index."""
    ranges = [(fixed[i],) if i in fixed else range(n) for i, n in enumerate(dims)]
    for index in product(*ranges):
        flat = 0
        for i, n in zip(index, dims, strict=True):
            flat = flat * n + i
        yield flat
