"""Reach rules, looked up by an op's kind: which input positions each output position depends on.

    @reach("my_lib::smooth")
    def smooth(spec: OpSpec) -> Reach | None:
        '''Output position j sees the inputs j - 1, j and j + 1 of the last axis.'''
        axis, size = len(spec.inputs[0].shape) - 1, spec.inputs[0].shape[-1]
        return routes(Route(0, (sliding(axis, size, size, kernel=3, padding=1),)))

For each output, a rule returns its `Route`s from the inputs: short lists of steps that turn the input's axes
into the output's. An output depends on everything that its routes reach. A rule that can't tell returns
None; everything that depends on the op is then reported as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from math import prod
from typing import NamedTuple, TypeAlias

from cnncost.errors import RuleError
from cnncost.graph import OpSpec, Shape
from cnncost.ops.kinds import REACHES
from cnncost.ops.registry import contradiction
from cnncost.session import SESSION

Positions: TypeAlias = "range | tuple[int, ...]"


class Pattern(NamedTuple):
    """Periodic dependence of output positions on input positions, far from any border.

    Output j = period·b + q sees the inputs shift·b + t for each t in `taps[q]`. A convolution of stride s has
    period 1 and shift s, a transposed one period s and shift 1.
    """

    period: int
    shift: int
    taps: tuple[tuple[int, ...], ...]


class Window(NamedTuple):
    """The axis gets `len(sees)` positions; position j sees the inputs `sees[j]` (empty: nothing, as in padding).

    `pattern` describes `sees` far from borders; None if it isn't periodic. `slides`: the axis is spatial for the op,
    which combines neighbors along it. `grows`: the window grows with the axis.
    """

    axis: int
    sees: tuple[Positions, ...]
    pattern: Pattern | None
    slides: bool = False
    grows: bool = False


class All(NamedTuple):
    """The axis is reduced to one position that sees all of it. `slides`: the op attends or recurs along it."""

    axis: int
    slides: bool = False


class Spread(NamedTuple):
    """An axis of one position is expanded to `size` positions that all see what it sees."""

    axis: int
    size: int


class DataDependentIndex(NamedTuple):
    """The axis gets `size` positions; each sees one input position that depends on tensor data."""

    axis: int
    size: int


class Reshape(NamedTuple):
    """The elements in the same order, with another shape."""

    shape: Shape


class Permute(NamedTuple):
    """Axis i of the result is axis `order[i]`."""

    order: tuple[int, ...]


Step: TypeAlias = "Window | All | Spread | DataDependentIndex | Reshape | Permute"


def shape_after(shape: Shape, steps: Sequence[Step]) -> Shape:
    """Return the shape that steps lead to from a shape."""
    for step in steps:
        match step:
            case Reshape():
                shape = step.shape
            case Permute():
                shape = tuple(shape[i] for i in step.order)
            case Window() | All() | Spread() | DataDependentIndex():
                size = len(step.sees) if isinstance(step, Window) else 1 if isinstance(step, All) else step.size
                shape = (*shape[: step.axis], size, *shape[step.axis + 1 :])
    return shape


def applies(step: Step, shape: Shape) -> bool:
    """True if a step can be applied to a shape."""
    match step:
        case Reshape():
            return prod(step.shape) == prod(shape)
        case Permute():
            return sorted(step.order) == list(range(len(shape)))
        case Spread():
            return 0 <= step.axis < len(shape) and shape[step.axis] == 1
        case Window():
            if not 0 <= step.axis < len(shape):
                return False
            axis = range(shape[step.axis])  # positions are sorted: checking the first and the last is enough
            return all(position in axis for sees in step.sees for position in (*sees[:1], *sees[-1:]))
        case All() | DataDependentIndex():
            return 0 <= step.axis < len(shape)


class Route(NamedTuple):
    """The steps from an input, given by its index, to an output."""

    input: int
    steps: tuple[Step, ...] = ()


class Output(NamedTuple):
    """The dependencies of an output: everything that its routes reach.

    `joined` is the axis along which the routes' results are concatenated, as in `cat`, and `sizes` has the length of
    each along it. An output without routes is a constant. Otherwise each input needs a route, unless it is in `ignored`
    (such as overwritten data): if the model's input reaches an input without a route, the output is reported as
    unknown. `constants` are inputs whose values the rule uses: if they depend on the model's inputs, the result depends
    on tensor data.
    """

    routes: tuple[Route, ...]
    joined: int | None = None
    sizes: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    constants: tuple[int, ...] = ()


Reach: TypeAlias = "tuple[Output | None, ...]"
"""An `Output` for each output; None for one whose dependencies the rule can't tell."""
Rule: TypeAlias = "Callable[[OpSpec], Reach | None]"


def routes(*paths: Route) -> Reach:
    """Return the reach of an op with one output."""
    return (Output(paths),)


def alike(spec: OpSpec, paths: Sequence[Route]) -> Reach:
    """Return the reach of an op whose outputs have the same routes, such as a maximum and its index.

    Outputs whose shape differs from the first one's are unknown.
    """
    first = spec.outputs[0].shape
    return tuple(Output(tuple(paths)) if each.shape == first else None for each in spec.outputs)


_RULES: dict[str, Rule] = {}
_REACHES: dict[OpSpec, Reach | None] = {}
SESSION.own_table("reaches", _REACHES)


def reach(*kinds: str, replace: bool = False) -> Callable[[Rule], Rule]:
    """Register the reach rule of op kinds; a custom op's kind is its name, `"my_lib::my_op"`.

    Raises:
        ValueError: a kind already has a rule and `replace` is false.
    """

    def register(function: Rule) -> Rule:
        for kind in kinds:
            if (kind in _RULES or kind in REACHES) and not replace:
                raise ValueError(f"reach({kind!r}): the kind already has a rule; pass replace=True to replace it")
            _RULES[kind] = function
        _REACHES.clear()  # results of the replaced rule
        return function

    return register


def reach_of(spec: OpSpec) -> Reach | None:
    """Return the dependencies of a spec's outputs (cached).

    None if there is no rule, it can't tell, or the spec contradicts the declaration of its kind.

    Raises:
        RuleError: the rule fails, or the declared one does not exist.
    """
    try:
        return _REACHES[spec]
    except KeyError:
        function = _rule_of(spec.kind)
        if function is None:
            return None
        result = _REACHES[spec] = _call_rule(function, spec) if contradiction(spec) is None else None
        return result


def _rule_of(kind: str) -> Rule | None:
    """Return the registered rule of a kind, or else the declared one, imported if given by name; None if neither."""
    if (function := _RULES.get(kind)) is None and (declared := REACHES.get(kind)) is not None:
        if isinstance(declared, str):
            module, _, name = declared.partition(".")
            try:
                declared = getattr(import_module(f"cnncost.ops.reach.{module}"), name)
            except (ImportError, AttributeError):
                raise RuleError(
                    f"kind({kind!r}): reach={declared!r} is not a rule in cnncost.ops.reach; expected a function, or "
                    "a name such as 'space.conv'"
                ) from None
        function = _RULES[kind] = declared
    return function


def _call_rule(function: Rule, spec: OpSpec) -> Reach | None:
    """Call a rule; an exception that it raises becomes a RuleError."""
    try:
        return function(spec)
    except Exception as error:
        shapes = ", ".join("x".join(map(str, t.shape)) or "a scalar" for t in spec.inputs)
        raise RuleError(
            f"reach rule {spec.kind!r} failed on inputs {shapes}: {type(error).__name__}: {error}"
        ) from error


def kinds() -> tuple[str, ...]:
    """Return the op kinds that have a reach rule."""
    return tuple(sorted({*_RULES, *REACHES}))
