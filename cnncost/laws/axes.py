"""Finds axes of inputs by name: a standard name (`height`), a position (`x.2`), or a name in an ONNX file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cnncost.errors import InputError
from cnncost.near import suggestion
from cnncost.sources.sizes import Axis, Leaf, Place

SYMBOLS = {"batch": "B", "height": "H", "width": "W", "depth": "D", "sequence": "S", "length": "L", "size": "N"}
"""Standard names of axes, with their symbols in laws. `size` is the height and width of a square."""


def axes_of(name: str, tensors: Sequence[Leaf], names: Sequence[str]) -> list[Axis]:
    """Return the axes of these tensors for which a name stands; empty if there are none.

    `names` are forward's positional parameters. For a standard name other than `batch`, only axes of the same size as
    the first one are returned, because only these can vary together.
    """
    if name == "size":
        return [*axes_of("height", tensors, names), *axes_of("width", tensors, names)]
    if name == "batch":
        lists = {leaf.place[:-1] for leaf in tensors if leaf.listed}
        first_axes = [Axis(leaf.place, 0) for leaf in tensors if leaf.shape and not leaf.listed]
        return [*first_axes, *(Axis(place, None) for place in sorted(lists, key=str))]
    if name in SYMBOLS:
        axes = [axis for leaf in tensors if (axis := _standard(name, leaf, tensors)) is not None]
        sizes = [size_of(axis, tensors) for axis in axes]
        return [axis for axis, size in zip(axes, sizes, strict=True) if size == sizes[0]]
    tensor, _, index = name.rpartition(".")
    leaf = next((leaf for leaf in tensors if tensor in names_of(leaf.place, names)), None)
    if leaf is None or not re.fullmatch(r"-?\d+", index) or not -len(leaf.shape) <= int(index) < len(leaf.shape):
        return []
    return [Axis(leaf.place, int(index) % len(leaf.shape))]


def _standard(name: str, leaf: Leaf, tensors: Sequence[Leaf]) -> Axis | None:
    """Return the axis of one tensor for which a name in `SYMBOLS` stands; None if the tensor has none."""
    rank = len(leaf.shape)
    image = not leaf.integral and (rank >= 4 or (leaf.listed and rank == 3))  # items of a list have no batch axis
    if name in {"height", "width"} and image:
        return Axis(leaf.place, rank - (2 if name == "height" else 1))
    if name == "depth" and image and rank == 5:
        return Axis(leaf.place, 2)
    if name == "length" and not leaf.integral and rank == 3 and not leaf.listed:
        return Axis(leaf.place, 2)
    if name == "sequence" and rank >= 2 and not image:
        has_tokens = any(each.integral and len(each.shape) >= 2 for each in tensors)
        if leaf.integral or not has_tokens:  # if there are tokens, these and not vectors define the sequence
            return Axis(leaf.place, 1)
    return None


def size_of(axis: Axis, tensors: Sequence[Leaf]) -> int:
    """Return the size of an axis, or the length of a list."""
    if axis.number is None:
        return sum(leaf.place[:-1] == axis.place for leaf in tensors)
    return next(leaf.shape[axis.number] for leaf in tensors if leaf.place == axis.place)


def names_of(place: Place, names: Sequence[str]) -> list[str]:
    """Return a tensor's names: its position (`0`, in a container `0.1`), and that by forward's parameter (`x.1`)."""
    place = place or (0,)
    tensor_names = [".".join(map(str, place))]
    if isinstance(place[0], int) and place[0] < len(names):
        tensor_names.append(".".join([names[place[0]], *map(str, place[1:])]))
    return tensor_names


def axis_name(axis: Axis, names: Sequence[str]) -> str:
    """Return the name of an axis for messages: `x.2`, or `the items of images`."""
    tensor = names_of(axis.place, names)[-1]
    return f"the items of {tensor}" if axis.number is None else f"{tensor}.{axis.number}"


class OpenAxes(NamedTuple):
    """The axes whose sizes an ONNX file leaves open.

    Attributes:
        tensors: the file's inputs.
        names: the name of each open axis in the file; empty if it has none.
    """

    tensors: Sequence[Leaf]
    names: Mapping[Axis, str]

    def of(self, name: str) -> list[Axis]:
        """Return the open axes for which a name stands, with all other axes that have the same name in the file.

        Raises:
            InputError: no axis has this name, or the file fixes its size.
        """
        named = [axis for axis, file_name in self.names.items() if file_name == name]
        if named:
            return named
        axes = axes_of(name, self.tensors, ())
        if not axes:
            choices = self._open_names()
            near = suggestion(name, choices) or f"; it has {', '.join(choices)}"
            raise InputError(f"vary {name}: the file has no open axis of this name{near if choices else _NONE_OPEN}")
        open_axes = [axis for axis in axes if axis in self.names]
        if not open_axes:
            axis = axes[0]
            size = next(leaf.shape[axis.number or 0] for leaf in self.tensors if leaf.place == axis.place)
            others = f"; its open axes are {', '.join(self._open_names())}" if self.names else _NONE_OPEN
            raise InputError(f"vary {name}: the file fixes {file_axis_name(axis)} at {size}{others}")
        shared = {self.names[axis] for axis in open_axes} - {""}
        also = (axis for axis, file_name in self.names.items() if file_name in shared and axis not in open_axes)
        return [*open_axes, *also]

    def _open_names(self) -> list[str]:
        """Return the name of each open axis: the file's name for it, or else its position."""
        return list(dict.fromkeys(name or file_axis_name(axis) for axis, name in self.names.items()))


_NONE_OPEN = (
    "; no size of its inputs is open: export it with open axes (dynamic_shapes of torch.onnx.export), or give the "
    "model from which it was exported"
)


def file_axis_name(axis: Axis) -> str:
    """Return the position of an axis of an ONNX file's input: `x.2`."""
    return f"{axis.place[0]}.{axis.number}"
