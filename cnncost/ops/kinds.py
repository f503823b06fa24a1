"""Declarations of op kinds: everything that is known about a kind, in one place.

A kind is the Graph's name for what an op does, whatever a framework calls it. A declaration decorates the cost rule:

    @kind(
        "my_kind",
        inputs=(one("x", 2), one("w", 2), maybe("bias", 1)),
        attributes={"groups": int},
        reach=my_reach,
    )
    def my_kind(spec: OpSpec) -> Cost:
        '''MACs = N·K·C/g. Shapes: x: N,C; w: K,C/g.'''

It lists the roles of the tensors in order, with the ranks allowed for each; the attributes with their Python types
(`optional` for those that may be missing); and the rules: the cost, which inputs an output depends on (`reach`),
temporary bytes of the algorithm (`scratch`) and of a CPU kernel (`workspace`), and what else has to hold between shapes
and attributes (`check`). Passes look up rules by kind; `verify_graph` checks Graphs against declarations. All front
ends lower to the same kinds and attributes, and know no rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

from cnncost.graph import OpSpec
from cnncost.ops import registry
from cnncost.ops.scratch import Scratch
from cnncost.ops.scratch import scratch as scratch_rule
from cnncost.ops.workspace import Workspace
from cnncost.ops.workspace import workspace as workspace_rule

Check: TypeAlias = "Callable[[OpSpec], str | None]"
"""Function that returns a message `expected …, got …` for a spec whose shapes and attributes contradict each other."""
Types: TypeAlias = "Mapping[str, object]"
"""Attribute names and their types: `int`, `int | None`, `tuple[int, ...]`, `Literal["max", "avg"]`, …"""

INTS = tuple[int, ...]
LAYOUT = Literal["channels_last", "strided", "strided_last"]
"""Memory layout of an operand that isn't contiguous; it determines which kernel runs.

`strided` has gaps or another order of axes; `strided_last` has gaps, and strides in channels-last order.
"""


class Role(NamedTuple):
    """A place among the inputs or outputs of a kind.

    Attributes:
        name: what the tensor is.
        least, most: smallest and largest rank allowed; `most` is None if there is no maximum.
        needed: whether at least one tensor is required.
        many: whether several are allowed.
    """

    name: str
    least: int = 0
    most: int | None = None
    needed: bool = True
    many: bool = False

    def __str__(self) -> str:
        if self.most is None:
            rank = f"of rank {self.least} or more" if self.least else ""
        else:
            rank = f"of rank {self.least}" if self.least == self.most else f"of rank {self.least} to {self.most}"
        number = {(False, False): "may be missing", (True, True): "one or more", (False, True): "any number"}
        details = ", ".join(each for each in (rank, number.get((self.needed, self.many), "")) if each)
        return f"{self.name} ({details})" if details else self.name


def one(name: str, *ranks: int | None) -> Role:
    """Declare exactly one tensor: of any rank, of the given rank, or of a rank in a range (None: no maximum)."""
    return Role(name, *_ranks(ranks))


def maybe(name: str, *ranks: int | None) -> Role:
    """Declare a tensor that may be missing; ranks as for `one`."""
    return Role(name, *_ranks(ranks), needed=False)


def some(name: str, *ranks: int | None) -> Role:
    """Declare one or more tensors; ranks as for `one`."""
    return Role(name, *_ranks(ranks), many=True)


def rest(name: str, *ranks: int | None) -> Role:
    """Declare any number of tensors, or none; ranks as for `one`."""
    return Role(name, *_ranks(ranks), needed=False, many=True)


def _ranks(ranks: tuple[int | None, ...]) -> tuple[int, int | None]:
    return (ranks[0] or 0, ranks[-1]) if ranks else (0, None)


class Kind(NamedTuple):
    """A declared kind. Its rules are in the registries that passes look them up in; a user's rule may replace one."""

    name: str
    inputs: tuple[Role, ...]
    outputs: tuple[Role, ...]
    attributes: Types
    optional: Types
    check: Check | None


ReachRule: TypeAlias = "str | Callable[[OpSpec], Any]"
REACHES: dict[str, ReachRule] = {}
"""Declared reach rules by kind; `ops.reach` looks them up. Rules given by name are imported on first use, because most
reports need none."""
_KINDS: dict[str, Kind] = {}
NO_ATTRIBUTES: Types = MappingProxyType({})
ANY_OUTPUTS = (some("y"),)
ANY_KIND: Types = MappingProxyType({"scratch": int, "scratch_unknown": bool})
"""Attributes that ops of every kind may have: temporary bytes that a front end measured, or that it couldn't."""


def kind(
    name: str, *, inputs: Sequence[Role], outputs: Sequence[Role] = ANY_OUTPUTS, attributes: Types = NO_ATTRIBUTES,
    optional: Types = NO_ATTRIBUTES, reach: ReachRule | None = None, scratch: Scratch | None = None,
    workspace: Workspace | None = None, check: Check | None = None,
) -> Callable[[registry.Rule], registry.Rule]:  # fmt: skip
    """Declare a kind, by decorating its cost rule. A custom op's kind is its name, `"my_lib::my_op"`.

    Args:
        name: the kind.
        inputs: roles of its input tensors, in order.
        outputs: roles of its outputs.
        attributes: the attributes that each of its ops has, and their types.
        optional: the attributes that may be missing, and their types.
        reach: rule for which input positions each output position depends on: a function, or the name of one in
            `ops.reach`, such as `"space.conv"`. If None, receptive fields after the op are unknown.
        scratch: rule for the temporary bytes that the algorithm allocates; if None, there are none.
        workspace: rule that estimates the bytes that the CPU kernel allocates; if None, there are none.
        check: further check of shapes and attributes.

    Raises:
        ValueError: the kind is already declared or has a rule.
    """
    if name in _KINDS:
        raise ValueError(f"kind({name!r}): already declared; to replace only its rule, use rule(…, replace=True)")

    def declare(cost: registry.Rule) -> registry.Rule:
        registry.rule(name)(cost)
        if reach is not None:
            REACHES[name] = reach
        if scratch is not None:
            scratch_rule(name)(scratch)
        if workspace is not None:
            workspace_rule(name)(workspace)
        _KINDS[name] = Kind(name, tuple(inputs), tuple(outputs), dict(attributes), dict(optional), check)
        return cost

    return declare


def declaration(name: str) -> Kind | None:
    """Return the declaration of a kind, or None."""
    return _KINDS.get(name)


def declared() -> tuple[str, ...]:
    """Return the names of the declared kinds."""
    return tuple(sorted(_KINDS))


def fits(value: object, expected: object) -> bool:
    """True if an attribute's value has the declared type. An int counts as a float; a bool doesn't count as an int."""
    origin, arguments = get_origin(expected), get_args(expected)
    if expected is object:
        return True
    if expected is None or expected is NoneType:
        return value is None
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in arguments)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(fits(each, arguments[0]) for each in value)
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    return type(value) is expected or (expected is float and type(value) is int)


def type_text(expected: object) -> str:
    """Return a type as messages show it: `tuple[int, ...]`."""
    if get_origin(expected) is Literal:
        return "one of " + ", ".join(map(repr, get_args(expected)))
    if get_origin(expected) in (Union, UnionType):
        return " or ".join(map(type_text, get_args(expected)))
    if expected is NoneType:
        return "None"
    return expected.__name__ if isinstance(expected, type) and not get_args(expected) else str(expected)
