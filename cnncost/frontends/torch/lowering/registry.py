"""From a torch op to an `OpSpec`: which kind it is, and the attributes that matter.

A lowering is a small function found by the op's name in the `aten` namespace, without the
underscore of its form in place. It knows torch's argument order and no cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from cnncost.frontends.torch.overloads import Overload
from cnncost.frontends.torch.types import attribute
from cnncost.graph import Attr, OpSpec, TensorType

Attrs: TypeAlias = dict[str, Attr]
Lowered: TypeAlias = tuple[str, Attrs]
Lowering: TypeAlias = "Callable[[OpCall], Lowered]"


class OpCall:
    """One call of a torch op, its arguments by the names of its schema.

    `call["weight"]` is the argument or its default; `inputs` and `outputs` are the types of all its
    tensors; `moves` says whether an output has storage of its own.
    """

    __slots__ = ("arguments", "inputs", "moves", "name", "op", "outputs")

    def __init__(
        self, op: Overload, arguments: dict[str, Any], inputs: tuple[TensorType, ...],
        outputs: tuple[TensorType, ...], moves: bool,
    ) -> None:  # fmt: skip
        self.op = op
        self.name = op.name
        self.arguments = arguments
        self.inputs = inputs
        self.outputs = outputs
        self.moves = moves

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The argument, or `default` if the op has none of this name."""
        return self.arguments.get(name, default)

    def first(self, *names: str) -> Any:
        """The first argument that the op has, of several names that overloads use."""
        return next(self.arguments[n] for n in names if n in self.arguments)

    def plain(self) -> Attrs:
        """All arguments that are not tensors and not None."""
        return {
            name: attribute(value)
            for name, value in self.arguments.items()
            if value is not None and name != "__op__" and not _has_tensor(value)
        }


def spread(value: Any, axes: int) -> Attr:
    """`[2]` or 2 as a value for each axis; a padding mode ("same") stays a word."""
    if isinstance(value, str):
        return value
    if type(value) is list and len(value) == axes:  # as torch hands them over: ints
        return tuple(value)
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return attribute(values * axes if len(values) == 1 else values)


def _has_tensor(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_has_tensor(v) for v in value)
    return isinstance(value, torch.Tensor)


_LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register a lowering for these ops. Raises ValueError if one has one already."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            if name in _LOWERINGS:
                raise ValueError(f"lowers({name!r}): the op has a lowering already")
            _LOWERINGS[name] = function
        return function

    return register


def is_known(op: Overload) -> bool:
    """Whether the op has a lowering. Composite ops without one are recorded as their parts."""
    return op.name in _LOWERINGS


def lower(call: OpCall) -> OpSpec:
    """The spec of a call. An op that nothing is known of keeps its full name as its kind."""
    kind, attrs = lowered(call) or (call.op.schema_name, call.plain())
    return OpSpec(kind, call.inputs, call.outputs, tuple(sorted(attrs.items())))


def lowered(call: OpCall) -> Lowered | None:
    """Kind and attributes of a call, or None if nothing is known of the op."""
    function = _LOWERINGS.get(call.name)
    if function is not None:
        return function(call)
    if call.name.startswith("profiler::"):  # marks in a timeline, as wrappers set them
        return "layout", {"fn": call.name, "copy": False}
    space, _, bare = call.name.partition("::")
    if space == "prims" and bare in _PRIMS:
        return "pointwise", {"fn": _PRIMS_OF_OTHER_NAMES.get(bare, bare)}
    if call.op.is_view:
        return "layout", {"fn": call.name, "copy": call.moves, **call.plain()}
    if torch.Tag.view_copy in call.op.func.tags or (call.op.outs and call.name.endswith("_copy")):
        return "layout", {"fn": call.name, "copy": True, **call.plain()}
    if torch.Tag.pointwise in call.op.func.tags and len(call.outputs) == 1:
        return "pointwise", {"fn": call.name}
    return None


_PRIMS_OF_OTHER_NAMES = {"bessel_i0": "i0", "bessel_i1": "i1", "erf_inv": "erfinv"}
_PRIMS = frozenset(_PRIMS_OF_OTHER_NAMES) | frozenset(
    "abs acos acosh add asin asinh atan atan2 atanh ceil cos cosh div eq erf erfc exp expm1 floor fmod ge gt isfinite"
    " le log log10 log1p lt mul ne neg pow remainder round sign sin sinh sqrt sub tan tanh where".split()
)
"""What torch's decompositions for forward-mode derivatives are made of: elementwise, and not tagged so."""
