"""The table of lowerings: from an ONNX op with its types and constants to steps of the Graph's op kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from cnncost.frontends.onnx.tensors import Constant
from cnncost.graph import Attr
from cnncost.tensor_types import Shape, TensorType

Attrs: TypeAlias = dict[str, Attr]


class Tensor(NamedTuple):
    """What a name stands for.

    Attributes:
        type: its type; None while its shape is not known.
        value: its value in the Graph; None for constants that no op has read yet, and without a type.
        constant: its elements, if they are few and known.
        weight: the name of the initializer that it is; empty for others.
        proto: its TypeProto, if it has no type.
        later: the DequantizeLinear that makes it, recorded only if an op reads it in floating point.
        origins: the stored tensors that a constant was computed from: they are parameters where it would be one.
        parts: its tensors, if it is a sequence that the file makes.
        absent: whether it is an optional with nothing in it.
    """

    type: TensorType | None
    value: int | None = None
    constant: Constant | None = None
    weight: str = ""
    proto: Any = None
    later: Later | None = None
    origins: tuple[Tensor, ...] = ()
    parts: tuple[Tensor, ...] | None = None
    absent: bool = False


@dataclass
class Later:
    """A node that is recorded when its output is read first: what it reads, and where it stands."""

    name: str
    inputs: tuple[Tensor | None, ...]
    call: int
    value: int | None = None

    @property
    def source(self) -> Tensor | None:
        """What is dequantized."""
        return self.inputs[0]


class Ref(NamedTuple):
    """An output of a step."""

    step: int
    output: int = 0


Source: TypeAlias = "int | Ref"
"""An input of the op by its position, or an output of a step."""


class Step(NamedTuple):
    """One op of the Graph."""

    kind: str
    attrs: Attrs
    inputs: tuple[Source, ...]
    outputs: tuple[TensorType, ...]
    alias: bool


@dataclass
class Op:
    """An op whose types are known.

    Attributes:
        type, opset: its name, and the version of its domain.
        attributes: as Python's numbers, lists and texts; tensors as constants.
        inputs: None for optional ones that are left out.
        outputs: types; None for optional ones that are left out.
        steps: what it was lowered to so far.
        notes: what the figures have to be told with.
        looked: whether more of its inputs was read than their types: ops like it may be lowered in another way.
    """

    type: str
    opset: int
    attributes: dict[str, Any]
    inputs: list[Tensor | None]
    outputs: list[TensorType | None]
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    looked: bool = False

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def has(self, index: int) -> bool:
        """Whether there is an input at this position."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def x(self, index: int = 0) -> TensorType:
        """The type of an input."""
        tensor = self.inputs[index]
        assert tensor is not None
        assert tensor.type is not None
        return tensor.type

    def y(self, index: int = 0) -> TensorType:
        """The type of an output."""
        found = self.outputs[index]
        assert found is not None
        return found

    def type_of(self, source: Source) -> TensorType:
        """The type of an input or of a step's output."""
        return self.steps[source.step].outputs[source.output] if isinstance(source, Ref) else self.x(source)

    def constant(self, index: int) -> Constant | None:
        """The elements of an input, if they are known."""
        self.looked = True
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return None if tensor is None else tensor.constant

    def stored(self, index: int) -> bool:
        """Whether an input is a tensor of the file."""
        self.looked = True
        tensor = self.inputs[index]
        return tensor is not None and bool(tensor.weight)

    def present(self, *indices: int) -> tuple[int, ...]:
        """Those of the positions at which there is an input; all without arguments."""
        return tuple(i for i in (indices or range(len(self.inputs))) if self.has(i))

    def step(self, kind: str, attrs: Attrs, inputs: Sequence[Source], *outputs: TensorType) -> Ref:
        """A step, by default with the op's own outputs; returns its first output."""
        alias = kind == "layout" and attrs.get("copy") is False
        types = outputs or tuple(t for t in self.outputs if t is not None)
        self.steps.append(Step(kind, attrs, tuple(inputs), types, alias))
        return Ref(len(self.steps) - 1)

    def done(self, kind: str, attrs: Attrs, inputs: Sequence[Source] | None = None) -> Made:
        """One last step that makes all of the op's outputs."""
        at = self.step(kind, attrs, self.present() if inputs is None else inputs).step
        made: Made = []
        number = 0
        for output in self.outputs:
            made.append(None if output is None else Ref(at, number))
            number += output is not None
        return made

    def integers(self, x: int, w: int) -> Attrs:
        """What says of a product that its factors are dequantized 8-bit integers: then it reads the integers."""
        sources = [tensor.later.source for i in (x, w) if (tensor := self.inputs[i]) is not None and tensor.later]
        if len(sources) < 2:
            return {}
        self.looked = True
        self.inputs[x], self.inputs[w] = sources
        return {"integer": True}

    # ---- steps that many ops share

    def pointwise(self, fn: str, inputs: Sequence[Source], shape: Shape | None = None) -> Ref:
        """An elementwise function; the shape of the first input unless given."""
        first = self.type_of(inputs[0])
        return self.step("pointwise", {"fn": fn}, inputs, first if shape is None else TensorType(shape, first.dtype))

    def move(self, source: Source, moves: tuple[Any, ...] | None, to: TensorType, copy: bool = False) -> Ref:
        """A layout step."""
        return self.step("layout", {"copy": copy, "moves": moves}, (source,), to)

    def reshaped(self, source: Source, shape: Shape) -> Source:
        """The elements in another shape, if it is another one."""
        given = self.type_of(source)
        return source if given.shape == shape else self.move(source, (("reshape", shape),), given._replace(shape=shape))

    def permuted(self, source: Source, order: tuple[int, ...], copy: bool = True) -> Ref:
        """Axes in another order."""
        given = self.type_of(source)
        shape = tuple(given.shape[i] for i in order)
        return self.move(source, (("permute", order),), given._replace(shape=shape), copy)


Made: TypeAlias = "list[Ref | Source | None]"
Lowering: TypeAlias = "Callable[[Op], Made | None]"
Shaper: TypeAlias = "Callable[[Op], list[TensorType | None] | None]"
_LOWERINGS: dict[tuple[str, str], Lowering] = {}
_SHAPES: dict[tuple[str, str], Shaper] = {}
_WEIGHTS: dict[tuple[str, str], tuple[int, ...]] = {}
MICROSOFT = "com.microsoft"
BLOCKED = "com.microsoft.nchwc"


def lowers(*names: str, domain: str = "", weights: tuple[int, ...] = ()) -> Callable[[Lowering], Lowering]:
    """Register a lowering; `weights` are the positions at which an initializer is a parameter, of whatever type."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            _LOWERINGS[domain, name] = function
            _WEIGHTS[domain, name] = weights
        return function

    return register


def shapes(*names: str, domain: str = MICROSOFT) -> Callable[[Shaper], Shaper]:
    """Register how output types follow from inputs, for ops that the package onnx does not know."""

    def register(function: Shaper) -> Shaper:
        _SHAPES.update({(domain, name): function for name in names})
        return function

    return register


def lowering(domain: str, name: str) -> Lowering | None:
    """The lowering of an op, or None."""
    return _LOWERINGS.get((domain, name))


def shaper(domain: str, name: str) -> Shaper | None:
    """The rule of an op's output types, or None."""
    return _SHAPES.get((domain, name))


def weights(domain: str, name: str) -> tuple[int, ...]:
    """Positions at which an initializer is a parameter."""
    return _WEIGHTS.get((domain, name), ())
