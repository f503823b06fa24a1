"""Receptive fields: which input positions each unit of each layer depends on, over all paths of the Graph.

Dependencies are those in eval mode: batch norm with running statistics is elementwise, dropout is the identity;
normalization over space, softmax over space, attention and linear layers over space see all positions. A zero weight
still counts as a dependency. Reference: Araujo, Norris, Sim 2019, Computing Receptive Fields of Convolutional Neural
Networks, which has the recurrence for chains; here hulls are propagated exactly, borders included.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from cnncost.errors import CnncostError
from cnncost.graph import Graph
from cnncost.passes.receptive_field.axes import AxisTracker, spatial_axes
from cnncost.passes.receptive_field.boxes import Boxes, boxes
from cnncost.passes.receptive_field.field import GLOBAL, UNKNOWN, Extent, Field
from cnncost.passes.receptive_field.result import ReceptiveField
from cnncost.passes.receptive_field.units import Units, box, numbers
from cnncost.passes.receptive_field.walk import Lost, Seen, Walk

__all__ = ["GLOBAL", "UNKNOWN", "Boxes", "Extent", "ReceptiveField", "ReceptiveFields", "receptive_fields"]


class Image(NamedTuple):
    """An input with spatial axes: its index among the inputs, the axes and their sizes."""

    number: int
    axes: tuple[int, ...]
    size: tuple[int, ...]


class ReceptiveFields:
    """The receptive fields of all module calls of a Graph.

    `images` are the inputs with spatial axes. Calls are given by their index in the Graph.
    """

    def __init__(self, graph: Graph, images: tuple[Image, ...], seen: dict[int, Seen], tracker: AxisTracker) -> None:
        self.graph = graph
        self.images = images
        self._seen = seen
        self._tracker = tracker

    def of(self, call: int, image: int | None = None, unit: Sequence[int] | None = None) -> ReceptiveField | None:
        """Return the receptive field of a call's first output; None if the output doesn't depend on an image.

        Args:
            call: index of the module call.
            image: index of the input; by default the first image that the layer sees.
            unit: a unit whose box is computed, too.

        Raises:
            CnncostError: `image` has no spatial axes, or the unit does not exist.
        """
        output, seen = self._output(call)
        chosen = self._image(image, seen)
        if output is None or chosen is None:
            return None
        path, by_axis, units = self._units(call, output, chosen, seen)
        axis_numbers = [numbers(units.combined(f) if isinstance(f, Field) else f, units.inner) for f in by_axis]
        field = ReceptiveField(
            path, chosen.number, chosen.size, tuple(n.size for n in axis_numbers), tuple(n.jump for n in axis_numbers),
            tuple(n.start for n in axis_numbers), tuple(n.seen for n in axis_numbers),
            tuple(dict.fromkeys(n.note for n in axis_numbers if n.note)),
        )  # fmt: skip
        if unit is None:
            return field
        index = units.index(tuple(unit))
        return field._replace(unit=tuple(unit), box=tuple(box(each, index) for each in by_axis))

    def boxes(self, call: int, image: int | None = None) -> tuple[Boxes | None, ...] | None:
        """Return the boxes of all units, a table for each spatial axis of the input; None if the layer sees no image.

        A table is None if nothing is seen along its axis, an op could not be followed, or the table is too large.
        """
        output, seen = self._output(call)
        chosen = self._image(image, seen)
        if output is None or chosen is None:
            return None
        _, by_axis, units = self._units(call, output, chosen, seen)
        return tuple([boxes(units.combined(each), units) if isinstance(each, Field) else None for each in by_axis])

    def units(self, call: int, image: int | None = None) -> dict[int, int]:
        """Return the output axes that a layer's units lie along, with the number of units along each."""
        output, seen = self._output(call)
        chosen = self._image(image, seen)
        if output is None or chosen is None:
            return {}
        _, _, units = self._units(call, output, chosen, seen)
        return dict(zip(units.axes, units.sizes, strict=True))

    def _units(self, call: int, output: int, image: Image, seen: Seen) -> tuple[str, list[Field | Lost | None], Units]:
        """Return the layer's path, the field of its output along each axis of the image, and its units."""
        by_axis = [seen.get((image.number, axis)) for axis in image.axes]
        path = self.graph.call_path(call)
        fields = [each for each in by_axis if isinstance(each, Field)]
        lost = any(isinstance(each, Lost) for each in by_axis)
        along = self._tracker.axes_from(output, {(image.number, axis) for axis in image.axes}) if not lost else set()
        return path, by_axis, Units(path, self.graph.values[output].shape, fields, along)

    def _output(self, call: int) -> tuple[int | None, Seen]:
        """Return a call's first output that depends on an input axis, or else its first output, and its fields."""
        outputs = self.graph.calls[call].outputs
        for value in outputs:
            if seen := self._seen.get(value):
                return value, seen
        return (outputs[0] if outputs else None), {}

    def _image(self, number: int | None, seen: Seen) -> Image | None:
        """Return the image with this input index, by default the first that is seen; None if none is.

        Raises CnncostError if the input with this index has no spatial axes.
        """
        if number is None:
            inputs = {key[0] for key in seen}
            return next((image for image in self.images if image.number in inputs), None)
        for image in self.images:
            if image.number == number:
                return image
        numbers = ", ".join(str(image.number) for image in self.images) or "none"
        raise CnncostError(f"receptive field: input {number} has no spatial axes; inputs with spatial axes: {numbers}")


def receptive_fields(graph: Graph) -> ReceptiveFields:
    """Compute the receptive fields of all module outputs in one walk through a Graph.

    Raises:
        RuleError: a reach rule fails.
    """
    tracker = AxisTracker(graph)
    images = []
    for number, value in enumerate(graph.inputs):
        shape = graph.values[value].shape
        axes = spatial_axes(shape, *tracker.axes_of_input(number)) if prod(shape) else ()
        if axes:
            images.append(Image(number, axes, tuple(shape[axis] for axis in axes)))
    walk = Walk(graph, [(image.number, axis) for image in images for axis in image.axes], tracker.axes)
    walk.run()
    outputs = {value for call in graph.calls for value in call.outputs}
    seen = {value: walk.seen[value] for value in sorted(outputs) if walk.seen.get(value)}
    return ReceptiveFields(graph, tuple(images), seen, tracker)
