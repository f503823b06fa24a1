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

It gives the roles of the tensors in order, with the ranks that each may have; the attributes with their Python types,
those that may be missing as `optional`; and the rules: cost, which inputs an output depends on (`reach`), temporary
bytes of the algorithm (`scratch`) and of a CPU's kernel (`workspace`), what else has to hold between shapes and
attributes (`check`), and to which families it belongs (`traits`). The passes look rules up by kind; no rule is applied
to a spec that contradicts its kind's declaration, and `verify_graph` checks whole Graphs. Front ends write kinds and
attributes and know no rules; all front ends lower to the same kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

from cnncost.errors import RuleError
from cnncost.graph import OpSpec, TensorType
from cnncost.near import suggestion
from cnncost.ops import registry
from cnncost.ops.scratch import Scratch
from cnncost.ops.scratch import scratch as scratch_rule
from cnncost.ops.workspace import Workspace
from cnncost.ops.workspace import workspace as workspace_rule
from cnncost.session import SESSION

Check: TypeAlias = "Callable[[OpSpec], str | None]"
"""Function that returns a message `expected …, got …` for a spec whose shapes and attributes contradict each other."""
Types: TypeAlias = "Mapping[str, object]"
"""Attribute names and their types: `int`, `int | None`, `tuple[int, ...]`, `Literal["max", "avg"]`, …"""

Trait: TypeAlias = Literal["product", "convolution", "weighted"]
"""What passes that treat several kinds alike need to know of a kind.

`product`: a matrix product of its first two inputs (with the attribute `addend`, of those after the first). Its larger
operand is packed by CPU libraries, zeros in its factors can be counted, and two of them may be attention.
`convolution`: a convolution with the attributes of `conv`, whose operands and output are copied by CPU libraries.
`weighted`: its second input is a weight, of *,O,I for a product; settings show its input and output channels.
"""

_OF_CONVOLUTIONS = ("kernel", "stride", "padding", "dilation", "groups", "transposed", "output_padding")
"""Attributes that passes read of convolutions."""

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
    reach_check: Check | None
    traits: frozenset[Trait]


ReachRule: TypeAlias = "str | Callable[[OpSpec], Any]"
REACHES: dict[str, ReachRule] = {}
"""Declared reach rules by kind; `ops.reach` looks them up. Rules given by name are imported on first use, because most
reports need none."""
_KINDS: dict[str, Kind] = {}
_HAVING: dict[Trait, set[str]] = {trait: set() for trait in get_args(Trait)}
"""Kinds by trait."""
NO_ATTRIBUTES: Types = MappingProxyType({})
ANY_OUTPUTS = (some("y"),)
ANY_KIND: Types = MappingProxyType({"scratch": int, "scratch_unknown": bool})
"""Attributes that ops of every kind may have: temporary bytes that a front end measured, or that it couldn't."""


def kind(
    name: str, *, inputs: Sequence[Role], outputs: Sequence[Role] = ANY_OUTPUTS, attributes: Types = NO_ATTRIBUTES,
    optional: Types = NO_ATTRIBUTES, reach: ReachRule | None = None, scratch: Scratch | None = None,
    workspace: Workspace | None = None, check: Check | None = None, reach_check: Check | None = None,
    traits: Sequence[Trait] = (),
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
        check: further check of shapes and attributes. It runs once per distinct spec of each analysis.
        reach_check: check of attributes that only the reach rule reads; it runs in `verify_graph`.
        traits: what else passes need to know; see `Trait`.

    Raises:
        ValueError: the kind is already declared or has a rule; a trait does not exist, or needs other attributes.
    """
    if unknown := [trait for trait in traits if trait not in _HAVING]:
        raise ValueError(f"kind({name!r}): trait {unknown[0]!r} does not exist; expected one of {', '.join(_HAVING)}")
    if "convolution" in traits and (lacking := [each for each in _OF_CONVOLUTIONS if each not in attributes]):
        raise ValueError(f"kind({name!r}): a convolution needs the attribute {lacking[0]!r}, as 'conv' has it")
    if name in _KINDS:
        raise ValueError(f"kind({name!r}): already declared; to replace only its rule, use rule(…, replace=True)")

    def declare(cost: registry.Rule) -> registry.Rule:
        declaration = Kind(
            name, tuple(inputs), tuple(outputs), dict(attributes), dict(optional), check, reach_check, frozenset(traits)
        )  # fmt: skip
        registry.rule(name)(cost)
        registry.checked(name)(_checker(declaration))
        if reach is not None:
            REACHES[name] = reach
        if scratch is not None:
            scratch_rule(name)(scratch)
        if workspace is not None:
            workspace_rule(name)(workspace)
        _KINDS[name] = declaration
        for trait in traits:
            _HAVING[trait].add(name)
        return cost

    return declare


def declaration(name: str) -> Kind | None:
    """Return the declaration of a kind, or None."""
    return _KINDS.get(name)


def having(*traits: Trait) -> frozenset[str]:
    """Return the kinds that have any of these traits."""
    return frozenset().union(*(_HAVING[trait] for trait in traits))


def has(name: str, trait: Trait) -> bool:
    """Return whether a kind has a trait."""
    return name in _HAVING[trait]


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


def _checker(kind: Kind) -> registry.Check:
    """Return a function that says how a spec contradicts a declaration, and returns None if it fits.

    It runs once per distinct spec of each analysis, so fitting specs take a short path.
    """
    tests = {name: _test(expected) for name, expected in {**ANY_KIND, **kind.optional, **kind.attributes}.items()}
    needed = kind.attributes.keys()

    def fits_declaration(spec: OpSpec) -> bool:
        attrs = dict(spec.attrs)
        if len(attrs) < len(spec.attrs) or not needed <= attrs.keys() or not attrs.keys() <= tests.keys():
            return False
        if not all([tests[name](value) for name, value in attrs.items()]):  # noqa: C419  # faster
            return False
        return _match(kind.inputs, _tensor_ranks(spec.inputs)) and _match(kind.outputs, _tensor_ranks(spec.outputs))

    def check(spec: OpSpec) -> str | None:
        if not fits_declaration(spec):
            return next(chain(attribute_faults(kind, spec), role_faults(kind, spec)))
        if kind.check is None:
            return None
        try:
            wrong = kind.check(spec)
        except Exception as error:
            raise RuleError(f"check of kind {kind.name!r}: it failed: {type(error).__name__}: {error}") from error
        return None if wrong is None else f"kind {kind.name!r}: {wrong}"

    return check


def _test(expected: object) -> Callable[[object], bool]:
    """Return a function that says whether a value has the declared type; faster than `fits` for common types."""
    if expected in (bool, str, int):
        return lambda value: type(value) is expected
    if expected == INTS:
        return lambda value: type(value) is tuple and {*map(type, value)} <= {int}
    if get_origin(expected) in (Union, UnionType):
        tests = [_test(each) for each in get_args(expected)]
        return lambda value: any([test(value) for test in tests])  # noqa: C419  # faster
    if get_origin(expected) is Literal:
        allowed = [(type(each), each) for each in get_args(expected)]
        return lambda value: (type(value), value) in allowed
    return lambda value: fits(value, expected)


def attribute_faults(kind: Kind, spec: OpSpec) -> Iterator[str]:
    """Yield messages for attributes that are missing, unknown, of another type or given twice."""
    attributes = dict(spec.attrs)
    if len(attributes) < len(spec.attrs):
        names = [name for name, _ in spec.attrs]
        twice = next(name for name in names if names.count(name) > 1)
        yield f"kind {kind.name!r} has the attribute {twice!r} twice; give it once"
    for name, expected in kind.attributes.items():
        if name not in attributes:
            missing = f"{name!r} ({type_text(expected)})"
            yield f"kind {kind.name!r} needs the attribute {missing}; it has {sorted(attributes)}"
    allowed = {**ANY_KIND, **kind.optional, **kind.attributes}
    for name, value in attributes.items():
        if name not in allowed:
            hint = suggestion(name, allowed) or ";"
            yield f"kind {kind.name!r} has no attribute {name!r}{hint} it may have {sorted(allowed)}"
        elif not fits(value, allowed[name]):
            yield f"attribute {name!r} of kind {kind.name!r}: expected {type_text(allowed[name])}, got {value!r}"


def role_faults(kind: Kind, spec: OpSpec) -> Iterator[str]:
    """Yield messages for inputs or outputs whose number or ranks don't fit the roles."""
    for side, roles, types in (("inputs", kind.inputs, spec.inputs), ("outputs", kind.outputs, spec.outputs)):
        if not _match(roles, _tensor_ranks(types)):
            shapes = ", ".join(map(shape_text, types)) or "none"
            expected = ", ".join(map(str, roles)) or "none"
            yield f"{side} of kind {kind.name!r}: expected {expected}; got {shapes}"


def _tensor_ranks(types: Sequence[TensorType]) -> tuple[int, ...]:
    return tuple([len(each.shape) for each in types])


@cache
def _match(roles: Sequence[Role], ranks: tuple[int, ...]) -> bool:
    """True if tensors of these ranks can be assigned to the roles in order.

    `used` holds the possible numbers of tensors that the roles so far have taken, `reached` those with the next role
    included. `front` holds the numbers added last: from each, a role for several tensors may take one more.
    """
    used = {0}
    for role in roles:
        reached = set() if role.needed else set(used)
        front = used
        while front := {n + 1 for n in front if n < len(ranks) and _rank_fits(role, ranks[n])} - reached:
            reached |= front
            if not role.many:
                break
        used = reached
    return len(ranks) in used


SESSION.own_results("ranks", _match)


def _rank_fits(role: Role, rank: int) -> bool:
    return role.least <= rank and (role.most is None or rank <= role.most)


def shape_text(tensor: TensorType) -> str:
    """Return a shape as messages show it: `2×3`."""
    return "×".join(map(str, tensor.shape)) or "a scalar"
