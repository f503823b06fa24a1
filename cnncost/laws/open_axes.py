"""What may vary in a file of ops: the axes that it leaves open, by its own names or by those that all models have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cnncost.errors import InputError
from cnncost.laws.variables import Asked, axes_of
from cnncost.near import suggestion
from cnncost.sources.sizes import Axis, Leaf, leaves

if TYPE_CHECKING:
    from cnncost.sources.resolve import Resolved

_BEGIN = 64
"""Where an open axis begins that is given no size; a batch begins at 1."""


class OpenAxes(NamedTuple):
    """The axes that a file leaves open.

    Attributes:
        tensors: the file's inputs.
        names: of each open axis; empty for those without one.
    """

    tensors: Sequence[Leaf]
    names: Mapping[Axis, str]

    def of(self, name: str) -> list[Axis]:
        """The open axes that a name stands for, with all others of the same name in the file.

        Raises:
            InputError: no axis has this name, or the file fixes its size.
        """
        own = [axis for axis, known in self.names.items() if known == name]
        if own:
            return own
        found = axes_of(name, self.tensors, ())
        if not found:
            known = self._known()
            near = suggestion(name, known) or f"; it has {', '.join(known)}"
            raise InputError(f"vary {name}: the file has no open axis of this name{near if known else _CLOSED}")
        opened = [axis for axis in found if axis in self.names]
        if not opened:
            axis = found[0]
            size = next(leaf.shape[axis.number or 0] for leaf in self.tensors if leaf.place == axis.place)
            others = f"; what it leaves open is {', '.join(self._known())}" if self.names else _CLOSED
            raise InputError(f"vary {name}: the file fixes {_told(axis)} at {size}{others}")
        shared = {self.names[axis] for axis in opened} - {""}
        return [*opened, *(axis for axis, known in self.names.items() if known in shared and axis not in opened)]

    def _known(self) -> list[str]:
        return list(dict.fromkeys(name or _told(axis) for axis, name in self.names.items()))


_CLOSED = (
    "; no size of its inputs is open: export it with open axes (dynamic_shapes of torch.onnx.export), or name the "
    "model that it was exported from"
)


def with_open_axes(resolved: Resolved, asked: Sequence[Asked]) -> tuple[Resolved, OpenAxes]:
    """A file with a shape for each of its inputs, and what it leaves open.

    An axis that varies and has no size yet begins at the first one asked for, else at 1 for a batch and 64 for others.

    Raises:
        InputError: an axis that does not vary and has no size.
    """
    file: Any = resolved
    names = {Axis((name,), axis): known for (name, axis), known in file.open_axes().items()}
    anywhere = OpenAxes(leaves(file.sized(dict.fromkeys(names.values(), _BEGIN)).inputs), names)
    begin = {}
    for each in asked:
        first = each.values[0] if each.values else each.low
        for part in each.parts:
            for name in {names[axis] for axis in anywhere.of(part)} - {""}:
                begin[name] = first if first is not None else 1 if name.lower().startswith("batch") else _BEGIN
    sized = file.sized(begin)
    return sized, OpenAxes(leaves(sized.inputs), names)


def _told(axis: Axis) -> str:
    return f"{axis.place[0]}.{axis.number}"
