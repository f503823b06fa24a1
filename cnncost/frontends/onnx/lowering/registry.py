"""The table of lowerings, which convert ONNX ops with known types and constants to steps (ops of the Graph)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from cnncost.frontends.onnx.tensors import Constant
from cnncost.graph import Attr
from cnncost.tensor_types import Shape, TensorType

Attrs: TypeAlias = dict[str, Attr]


class Tensor(NamedTuple):
    """What a tensor name of the file refers to.

    Attributes:
        type: its type; None if its shape is unknown.
        value: its value id in the Graph; None if its type is unknown, if it is deferred, and for constants that no op
            has read yet.
        constant: its elements, if they are few and known.
        weight: the unique name of an initializer or of a Constant node's tensor; empty for other tensors.
        proto: its TypeProto, if it has no type.
        deferred: the DequantizeLinear that computes it, if that is recorded only once an op reads the floating-point
            result.
        origins: the stored tensors that a constant was folded from; they are parameters if it is used as a weight.
        parts: the tensors of a sequence that the file builds; None for other tensors.
        absent: whether it is an empty optional.
        packed: whether it is a stored tensor whose elements are smaller than a byte.
    """

    type: TensorType | None
    value: int | None = None
    constant: Constant | None = None
    weight: str = ""
    proto: Any = None
    deferred: DeferredNode | None = None
    origins: tuple[Tensor, ...] = ()
    parts: tuple[Tensor, ...] | None = None
    absent: bool = False
    packed: bool = False


@dataclass
class DeferredNode:
    """A node that is recorded when its output is first read.

    Attributes:
        name: the node's name.
        inputs: what it reads.
        call: index of the module call that it belongs to.
        value: its output's value id; None until it is recorded.
    """

    name: str
    inputs: tuple[Tensor | None, ...]
    call: int
    value: int | None = None

    @property
    def source(self) -> Tensor | None:
        """The quantized tensor."""
        return self.inputs[0]


class Ref(NamedTuple):
    """An output of a step, by its index."""

    step: int
    output: int = 0


Source: TypeAlias = "int | Ref"
"""The position of one of the op's inputs, or an output of a step."""


class Step(NamedTuple):
    """One op to append to the Graph; with `alias`, its outputs share the storage of its first input."""

    kind: str
    attrs: Attrs
    inputs: tuple[Source, ...]
    outputs: tuple[TensorType, ...]
    alias: bool


@dataclass
class Op:
    """An op of the file, with what is known of its inputs; lowerings get it only if all types are known.

    Attributes:
        type, opset: its name, and the version of its domain.
        attributes: Python numbers, lists and strings by name; tensors as NumPy arrays.
        inputs: its inputs; None for an optional one that is left out.
        outputs: types of its outputs; None for an optional one that is left out.
        steps: the steps appended so far.
        notes: remarks that reports print with the figures.
        reads_values: whether the lowering read more of its inputs than their types; if so, its result isn't cached.
    """

    type: str
    opset: int
    attributes: dict[str, Any]
    inputs: list[Tensor | None]
    outputs: list[TensorType | None]
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reads_values: bool = False

    def get(self, name: str, default: Any = None) -> Any:
        """Return the attribute, or `default` if the op doesn't have it."""
        return self.attributes.get(name, default)

    def has(self, index: int) -> bool:
        """Return True if the op has an input at this position."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def x(self, index: int = 0) -> TensorType:
        """Return the type of an input."""
        tensor = self.inputs[index]
        assert tensor is not None
        assert tensor.type is not None
        return tensor.type

    def y(self, index: int = 0) -> TensorType:
        """Return the type of an output."""
        found = self.outputs[index]
        assert found is not None
        return found

    def type_of(self, source: Source) -> TensorType:
        """Return the type of an input, or of a step's output."""
        return self.steps[source.step].outputs[source.output] if isinstance(source, Ref) else self.x(source)

    def constant(self, index: int) -> Constant | None:
        """Return the elements of an input; None if they are unknown."""
        self.reads_values = True
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return None if tensor is None else tensor.constant

    def stored(self, index: int) -> bool:
        """Return True if an input is stored in the file: an initializer or a Constant node's tensor."""
        self.reads_values = True
        tensor = self.inputs[index]
        return tensor is not None and bool(tensor.weight)

    def present(self, *indices: int) -> tuple[int, ...]:
        """Return the given positions that have an input; without arguments, all positions that have one."""
        return tuple(i for i in (indices or range(len(self.inputs))) if self.has(i))

    def step(self, kind: str, attrs: Attrs, inputs: Sequence[Source], *outputs: TensorType) -> Ref:
        """Append a step with the given output types, by default those of the op, and return its first output.

        Raises:
            ValueError: a size is negative, because attributes are invalid.
        """
        alias = kind == "layout" and attrs.get("copy") is False
        types = outputs or tuple(t for t in self.outputs if t is not None)
        if any(size < 0 for t in types for size in t.shape):
            raise ValueError(f"{self.type}: an output has a negative size")
        self.steps.append(Step(kind, attrs, tuple(inputs), types, alias))
        return Ref(len(self.steps) - 1)

    def lower_to(self, kind: str, attrs: Attrs, inputs: Sequence[Source] | None = None) -> Outputs:
        """Append the last step, which computes all of the op's outputs; returns where each output comes from.

        By default, its inputs are all inputs of the op.
        """
        at = self.step(kind, attrs, self.present() if inputs is None else inputs).step
        result: Outputs = []
        number = 0
        for output in self.outputs:
            result.append(None if output is None else Ref(at, number))
            number += output is not None
        return result

    def integers(self, x: int, w: int) -> Attrs:
        """If inputs `x` and `w` are both dequantized, replace them by their quantized tensors.

        Returns the product's additional attributes: {"integer": True} in this case, else {}.
        """
        sources = [tensor.deferred.source for i in (x, w) if (tensor := self.inputs[i]) is not None and tensor.deferred]
        if len(sources) < 2:
            return {}
        self.reads_values = True
        self.inputs[x], self.inputs[w] = sources
        return {"integer": True}

    # ---- steps that many ops share

    def pointwise(self, fn: str, inputs: Sequence[Source], shape: Shape | None = None) -> Ref:
        """Append an elementwise function; the result has the first input's shape, or `shape`.

        Constants are not inputs: α·x is a `mul` of one input.
        """
        first = self.type_of(inputs[0])
        return self.step("pointwise", {"fn": fn}, inputs, first if shape is None else TensorType(shape, first.dtype))

    def move(self, source: Source, moves: tuple[Any, ...] | None, to: TensorType, copy: bool = False) -> Ref:
        """Append a layout step; `moves` is None if it isn't tracked which element goes where."""
        return self.step("layout", {"copy": copy, "moves": moves}, (source,), to)

    def reshaped(self, source: Source, shape: Shape) -> Source:
        """Append a reshape, unless the shape is the same."""
        given = self.type_of(source)
        return source if given.shape == shape else self.move(source, (("reshape", shape),), given._replace(shape=shape))

    def permuted(self, source: Source, order: tuple[int, ...], copy: bool = True) -> Ref:
        """Append a permutation of the axes."""
        given = self.type_of(source)
        shape = tuple(given.shape[i] for i in order)
        return self.move(source, (("permute", order),), given._replace(shape=shape), copy)


Outputs: TypeAlias = "list[Ref | Source | None]"
"""Where each output of an op comes from: a step, or an input passed through; None for an output left out."""
Lowering: TypeAlias = "Callable[[Op], Outputs | None]"
Shaper: TypeAlias = "Callable[[Op], list[TensorType | None] | None]"
_LOWERINGS: dict[tuple[str, str], Lowering] = {}
_SHAPES: dict[tuple[str, str], Shaper] = {}
_WEIGHTS: dict[tuple[str, str], tuple[int, ...]] = {}
MICROSOFT = "com.microsoft"
BLOCKED = "com.microsoft.nchwc"


def lowers(*names: str, domain: str = "", weights: tuple[int, ...] = ()) -> Callable[[Lowering], Lowering]:
    """Register a lowering. At the input positions `weights`, an initializer is a parameter, whatever its dtype."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            _LOWERINGS[domain, name] = function
            _WEIGHTS[domain, name] = weights
        return function

    return register


def shapes(*names: str, domain: str = MICROSOFT) -> Callable[[Shaper], Shaper]:
    """Register a rule for output types, for ops that the onnx package does not know or infers differently."""

    def register(function: Shaper) -> Shaper:
        _SHAPES.update({(domain, name): function for name in names})
        return function

    return register


def lowering(domain: str, name: str) -> Lowering | None:
    """Return the lowering of an op, or None."""
    return _LOWERINGS.get((domain, name))


def shaper(domain: str, name: str) -> Shaper | None:
    """Return the rule for an op's output types, or None."""
    return _SHAPES.get((domain, name))


def weights(domain: str, name: str) -> tuple[int, ...]:
    """Return the positions at which an initializer is a parameter."""
    return _WEIGHTS.get((domain, name), ())
