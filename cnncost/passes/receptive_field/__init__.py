"""Receptive fields: which input positions each unit of each layer depends on, over all paths of the Graph.

Dependence is that of the function in eval mode: batch norm with running statistics is elementwise, dropout is the
identity; normalisation over space, softmax over space, attention and linear layers over space see all of it.
A weight of zero is a weight. References: Araujo, Norris, Sim 2019, Computing Receptive Fields of Convolutional
Neural Networks, for the recurrence on chains; here hulls are propagated exactly, border by border.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from math import prod
from typing import NamedTuple

from cnncost.errors import CnncostError
from cnncost.graph import Graph
from cnncost.passes.receptive_field.cells import Cell, hull_of
from cnncost.passes.receptive_field.field import GLOBAL, UNKNOWN, Broken, Extent, Field, Law, reduced
from cnncost.passes.receptive_field.result import ReceptiveField, Size, Step
from cnncost.passes.receptive_field.walk import Lost, Seen, Walk, spatial_axes

__all__ = ["GLOBAL", "UNKNOWN", "Extent", "ReceptiveField", "ReceptiveFields", "receptive_fields"]


class Image(NamedTuple):
    """An input that has space: its place among the inputs, its spatial axes and their sizes."""

    number: int
    axes: tuple[int, ...]
    size: tuple[int, ...]


class ReceptiveFields:
    """The receptive fields of all module calls of a Graph.

    `images` are the inputs that have spatial axes. Calls are those of the Graph, by index.
    """

    def __init__(self, graph: Graph, images: tuple[Image, ...], seen: dict[int, Seen]) -> None:
        self.graph = graph
        self.images = images
        self._seen = seen

    def of(self, call: int, image: int | None = None, unit: Sequence[int] | None = None) -> ReceptiveField | None:
        """What the first output of a call sees; None if it is made of no image.

        Args:
            call: index of the module call.
            image: which input; by default the first that the layer sees.
            unit: also find the box that this unit sees.

        Raises:
            CnncostError: `image` is no input with space, or there is no such unit.
        """
        output, seen = self._output(call)
        chosen = self._image(image, seen)
        if output is None or chosen is None:
            return None
        found = [seen.get((chosen.number, axis)) for axis in chosen.axes]
        path = self.graph.call_path(call)
        units = _Units(path, self.graph.values[output].shape, [f for f in found if isinstance(f, Field)])
        numbers = [_numbers(units.each(field) if isinstance(field, Field) else field, units.inner) for field in found]
        field = ReceptiveField(
            path, chosen.number, chosen.size, *(tuple(each) for each in zip(*(n[:4] for n in numbers), strict=True)),
            notes=tuple(dict.fromkeys(n.note for n in numbers if n.note)),
        )  # fmt: skip
        if unit is None:
            return field
        index = units.index(tuple(unit))
        return field._replace(unit=tuple(unit), box=tuple(_box(each, index) for each in found))

    def units(self, call: int, image: int | None = None) -> dict[int, int]:
        """Along which axes of its output a layer's units lie, and how many there are along each."""
        output, seen = self._output(call)
        chosen = self._image(image, seen)
        if output is None or chosen is None:
            return {}
        found = [seen.get((chosen.number, axis)) for axis in chosen.axes]
        units = _Units("", self.graph.values[output].shape, [f for f in found if isinstance(f, Field)])
        return dict(zip(units.axes, units.sizes, strict=True))

    def _output(self, call: int) -> tuple[int | None, Seen]:
        """The first output that sees something, or else the first."""
        outputs = self.graph.calls[call].outputs
        for value in outputs:
            if seen := self._seen.get(value):
                return value, seen
        return (outputs[0] if outputs else None), {}

    def _image(self, number: int | None, seen: Seen) -> Image | None:
        if number is None:
            inputs = {key[0] for key in seen}
            return next((image for image in self.images if image.number in inputs), None)
        for image in self.images:
            if image.number == number:
                return image
        known = ", ".join(str(image.number) for image in self.images) or "none"
        raise CnncostError(f"receptive field: input {number} has no spatial axes; inputs that have some: {known}")


def receptive_fields(graph: Graph) -> ReceptiveFields:
    """Walk through a Graph once, and keep what the outputs of its module calls see.

    Raises:
        RuleError: a reach rule fails.
    """
    walk = Walk(graph)
    walk.run()
    images = []
    for number, value in enumerate(graph.inputs):
        shape = graph.values[value].shape
        slid, inner = ([axis for n, axis in keys if n == number] for keys in (walk.slid, walk.inner))
        axes = spatial_axes(shape, slid, inner)
        if axes:
            images.append(Image(number, axes, tuple(shape[axis] for axis in axes)))
    wanted = {(image.number, axis) for image in images for axis in image.axes}
    outputs = {value for call in graph.calls for value in call.outputs}
    seen = {
        value: {key: field for key, field in walk.seen[value].items() if key in wanted}
        for value in sorted(outputs)
        if walk.seen.get(value)
    }
    return ReceptiveFields(graph, tuple(images), seen)


# ---- numbers of a field


class _Numbers(NamedTuple):
    size: Size
    jump: Step
    start: Size
    seen: Size
    note: str = ""


def _numbers(field: Field | Lost | None, inner: dict[int, list[tuple[int, int]]]) -> _Numbers:
    """Of the units of a layer, each over all channels."""
    if field is None:
        return _Numbers(0, UNKNOWN, UNKNOWN, 0, "it sees nothing of this input")
    if isinstance(field, Lost):
        where = f" in {field.path}" if field.path else ""
        return _Numbers(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, f"{field.op}{where} can't be followed")
    seen, law = _widest(field.exact), field.law
    if isinstance(law, Broken):
        return _Numbers(seen, UNKNOWN, UNKNOWN, seen, law.reason)
    if not isinstance(law, Law):
        return _Numbers(GLOBAL, GLOBAL, GLOBAL, seen)
    return _Numbers(_widest(law.cells), _jump(field, law, inner), _start(field, law), seen)


def _widest(cells: Sequence[Cell]) -> int:
    return max((last - first + 1 for first, last in filter(None, cells)), default=0)


def _jump(field: Field, law: Law, inner: dict[int, list[tuple[int, int]]]) -> int | Fraction:
    """From one unit to the next along the input's axis. In a row of H·W tokens the next along H is W further on."""
    jump = Fraction(law.shift, law.period)
    if field.image is not None:
        axis = next(i for i, part in enumerate(field.parts) if part.start <= field.image < part.stop)
        after = prod(atom.size for atom in field.atoms[field.image + 1 : field.parts[axis].stop])
        jump /= after // prod(size for behind, size in inner[axis] if behind < after)
    return jump.numerator if jump.denominator == 1 else jump


def _start(field: Field, law: Law) -> Size:
    """The first position that unit 0 sees."""
    first: dict[int, int] = {}
    if field.image is not None:
        part = next(part for part in field.parts if part.start <= field.image < part.stop)
        first = {i: 0 if i == field.image else field.atoms[i].lookup[0] for i in range(part.start, part.stop)}
    whole = hull_of([law.cells[i] for i in _picked(field.law_dims, first)])
    return UNKNOWN if whole is None else whole[0]


def _picked(dims: Sequence[int], fixed: dict[int, int]) -> Iterator[int]:
    """Flat indices of a grid where some axes are fixed."""
    ranges = [(fixed[i],) if i in fixed else range(n) for i, n in enumerate(dims)]
    for index in product(*ranges):
        flat = 0
        for i, n in zip(index, dims, strict=True):
            flat = flat * n + i
        yield flat


# ---- units


class _Units:
    """The units of a layer: positions along the axes that come from the image's, each over all of the others.

    Where an axis was cut (windows, space to depth), its outer part tells units apart.
    """

    def __init__(self, path: str, shape: tuple[int, ...], fields: Sequence[Field]) -> None:
        self.path = path
        self.axes = sorted(
            axis
            for axis in range(len(shape))
            if any(atom.image for field in fields for atom in field.atoms[field.parts[axis]])
        )
        self.sizes = tuple(shape[axis] for axis in self.axes)
        self.inner = {axis: _inner(fields, axis) for axis in self.axes}

    def each(self, field: Field) -> Field:
        """What the units see: the hull over all axes that don't tell them apart."""
        for axis, count in enumerate(field.counts):
            if count and axis not in self.axes:
                field = reduced(field, axis)
        return field

    def index(self, unit: tuple[int, ...]) -> dict[int, int]:
        """Position by axis of the tensor. Raises CnncostError if there is no such unit."""
        layer = f"receptive field of {self.path or 'the model'}"
        if len(unit) != len(self.sizes):
            have = "x".join(map(str, self.sizes)) + " units" if self.sizes else "no spatial axis of its own"
            raise CnncostError(f"{layer}: unit {unit} has {len(unit)} indices; the layer has {have}")
        for place, size in zip(unit, self.sizes, strict=True):
            if not isinstance(place, int) or not 0 <= place < size:
                last = ", ".join(str(n - 1) for n in self.sizes)
                raise CnncostError(f"{layer}: there is no unit {unit}; they go from 0 to ({last})")
        return dict(zip(self.axes, unit, strict=True))


def _inner(fields: Sequence[Field], axis: int) -> list[tuple[int, int]]:
    """The atoms of an axis that come from axes of the input: how many positions are behind each, and its size."""
    places = []
    for field in fields:
        part = field.parts[axis]
        if field.image is not None and part.start <= field.image < part.stop:
            after = prod(atom.size for atom in field.atoms[field.image + 1 : part.stop])
            places.append((after, field.atoms[field.image].size))
    return places


def _box(field: Field | Lost | None, index: dict[int, int]) -> Cell | Extent:
    """The hull of what a unit sees, over all channels."""
    if field is None:
        return None
    if isinstance(field, Lost):
        return UNKNOWN
    fixed: dict[int, int] = {}
    for axis, place in index.items():
        rest = place
        part = field.parts[axis]
        for i in range(part.stop - 1, part.start - 1, -1):
            rest, here = divmod(rest, field.atoms[i].size)
            fixed[i] = field.atoms[i].lookup[here]
    return hull_of(field.exact[i] for i in _picked(field.dims, fixed))
