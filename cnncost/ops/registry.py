"""Cost rules: pure functions from an `OpSpec` to the cost of the op, looked up by the op's kind.

    @rule("my_lib::my_op")
    def my_op(spec: OpSpec) -> Cost:
        '''N·D multiply-accumulates. x: N,D.'''
        n, d = spec.inputs[0].shape
        return cost(spec, macs("N", n, "D", d))

A rule returns a `Cost` made of `Term`s: exact products of named factors. The terms are the only
source of the numbers: totals are their sums, and `explain` prints them with the values filled in.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import prod
from typing import NamedTuple, TypeAlias

from cnncost.errors import RuleError
from cnncost.graph import OpSpec, TensorType
from cnncost.session import SESSION

Rule: TypeAlias = "Callable[[OpSpec], Cost | None]"
Check: TypeAlias = "Callable[[OpSpec], str | None]"
"""Function that returns a message for a spec that contradicts the declaration of its kind."""


class Term(NamedTuple):
    """One product of named factors, and the label that `--explain` prints before it.

    `flops` is the number of FLOPs per item of the product: 2 for a multiply-accumulate (0 for one of integers),
    otherwise by the convention in `pointwise.py`. `mac` says whether the items are multiply-accumulates.
    """

    label: str
    factors: tuple[tuple[str, int], ...]
    flops: int
    mac: bool

    @property
    def items(self) -> int:
        """The product of the factors."""
        return prod(n for _, n in self.factors)


class Cost:
    """The cost of an op, in exact ints.

    Attributes:
        terms: products of factors, which `macs` and `flops` sum.
        macs: multiply-accumulates.
        flops: floating-point operations; a multiply-accumulate is two.
        read, written: bytes moved if every input is read once and every output written once.

    Raises:
        ValueError: the terms have a negative sum.
    """

    __slots__ = ("flops", "macs", "read", "terms", "written")

    def __init__(self, terms: tuple[Term, ...], read: int, written: int) -> None:
        self.terms = terms = tuple(terms)
        self.read = read
        self.written = written
        self.macs = self.flops = 0
        for _, pairs, each, mac in terms:
            items = prod([n for _, n in pairs])
            self.flops += items * each
            if mac:
                self.macs += items
        if self.flops < 0 or self.macs < 0:
            raise ValueError(f"cost: expected at least 0 MACs and FLOPs, got {self.macs} MACs and {self.flops} FLOPs")

    def __repr__(self) -> str:
        return f"Cost(macs={self.macs}, flops={self.flops}, read={self.read}, written={self.written})"


def factors(*pairs: str | int) -> tuple[tuple[str, int], ...]:
    """Return (name, number) pairs: `factors("N", 2, "K", 64)`. Raises TypeError unless names and ints alternate."""
    if len(pairs) % 2:
        raise TypeError(
            f"expected alternating names and ints, such as macs('N', n, 'K', k), got {len(pairs)} arguments: "
            f"{pairs!r}; to label a term of macs, pass label='…'"
        )
    names, numbers = pairs[::2], pairs[1::2]
    factors = tuple(zip(names, numbers, strict=True))
    if {*map(type, names)} - {str} or {*map(type, numbers)} - {int}:
        name, number = next(pair for pair in factors if [*map(type, pair)] != [str, int])
        raise TypeError(f"expected factors of a name and an int, got {name!r}, {number!r}")
    return factors  # type: ignore[return-value]  # checked above


def macs(*pairs: str | int, label: str = "multiply-accumulate", what: str | None = None) -> Term:
    """Return a term of multiply-accumulates: `macs("N", n, "K", k)`. `what` is the deprecated name of `label`."""
    if what is not None:
        warnings.warn("macs(what=…) is deprecated; pass label=…", DeprecationWarning, stacklevel=2)
        label = what
    return Term(label, factors(*pairs), 2, True)


def flops(label: str, each: int, *pairs: str | int) -> Term:
    """Return a term of other floating-point operations: `each` per item of the product."""
    if type(each) is not int:
        raise TypeError(f"flops({label!r}): expected a whole number of FLOPs each, got {each!r}")
    return Term(label, factors(*pairs), each, False)


def cost(spec: OpSpec, *terms: Term, read: int | None = None, written: int | None = None) -> Cost:
    """Return a Cost with these terms; by default all inputs are read once and all outputs written once.

    If no tensor has a floating-point dtype, multiply-accumulates and what is added to them are no FLOPs. An op of a
    library may compute in floats inside, so its terms stay as its rule gives them.
    """
    products = "::" not in spec.kind and any(each.mac and each.flops for each in terms)
    if products and not any(t.floating for t in spec.inputs + spec.outputs):
        terms = tuple([each._replace(flops=0) for each in terms])
    return Cost(
        terms,
        sum([t.nbytes for t in spec.inputs]) if read is None else read,
        sum([t.nbytes for t in spec.outputs]) if written is None else written,
    )


_RULES: dict[str, Rule] = {}
_COSTS: dict[OpSpec, Cost | None] = {}
SESSION.own_table("costs", _COSTS)
_CHECKS: dict[str, Check] = {}
_CONTRADICTIONS: dict[OpSpec, str | None] = {}
SESSION.own_table("contradictions", _CONTRADICTIONS)
_EPOCH = [object()]  # in a list, so that functions can replace it


def rule(kind: str, *, replace: bool = False) -> Callable[[Rule], Rule]:
    """Register the cost rule of an op kind; a custom op's kind is its name, `"my_lib::my_op"`.

    Args:
        kind: the op kind.
        replace: replace an existing rule.

    Raises:
        TypeError: kind is not a string.
        ValueError: the kind already has a rule and `replace` is false, or its name contains a dot.
    """
    if not isinstance(kind, str):
        raise TypeError(f"rule(kind): expected an op kind such as 'conv' or 'my_lib::my_op', got {kind!r}")
    if "." in kind:
        library, _, op = kind.partition(".")
        raise ValueError(f"rule({kind!r}): a custom op's kind is written {library}::{op.partition('.')[0]}")

    def register(function: Rule) -> Rule:
        if kind in _RULES and not replace:
            raise ValueError(f"rule({kind!r}): the kind already has a rule; pass replace=True to replace it")
        _RULES[kind] = function
        forget_costs()
        return function

    return register


def checked(kind: str) -> Callable[[Check], Check]:
    """Register the check of an op kind: no rule is applied to specs for which it returns a message."""

    def register(function: Check) -> Check:
        _CHECKS[kind] = function
        return function

    return register


def contradiction(spec: OpSpec) -> str | None:
    """Return how a spec contradicts the declaration of its kind (cached); None if it fits, or the kind has none."""
    check = _CHECKS.get(spec.kind)
    if check is None:
        return None
    try:
        return _CONTRADICTIONS[spec]
    except KeyError:
        message = _CONTRADICTIONS[spec] = check(spec)
        return message


def cost_of(spec: OpSpec) -> Cost | None:
    """Return the cost of a spec (cached).

    None if its kind has no rule, the rule returns None, or the spec contradicts the declaration of its kind: a rule
    that assumes other attributes or tensors would return a wrong number.
    """
    try:
        return _COSTS[spec]
    except KeyError:
        function = _RULES.get(spec.kind)
        applies = function is not None and contradiction(spec) is None
        result = _COSTS[spec] = _call_rule(function, spec) if function is not None and applies else None
        return result


def _call_rule(function: Rule, spec: OpSpec) -> Cost | None:
    """Call a rule and validate its result: a user's rule may raise, or return something other than a Cost."""
    try:
        result = function(spec)
    except Exception as error:
        shapes = ", ".join("x".join(map(str, t.shape)) or "a scalar" for t in spec.inputs)
        raise RuleError(f"rule {spec.kind!r} failed on inputs {shapes}: {type(error).__name__}: {error}") from error
    if result is not None and not isinstance(result, Cost):
        raise RuleError(
            f"rule {spec.kind!r}: expected a Cost or None, got {type(result).__name__}; return cost(spec, …)"
        )
    return result


def forget_costs() -> None:
    """Clear the cache of costs: a rule has changed, or a benchmark measures a cold start."""
    _COSTS.clear()
    _CONTRADICTIONS.clear()
    _EPOCH[0] = object()


def epoch() -> object:
    """Return a token that changes whenever rules change: results cached under an old token are stale."""
    return _EPOCH[0]


def kinds() -> tuple[str, ...]:
    """Return the op kinds that have a rule."""
    return tuple(sorted(_RULES))


def rule_doc(kind: str) -> str:
    """Return the first line of a rule's docstring, which states its formula; empty if there is no rule or docstring."""
    function = _RULES.get(kind)
    return (function.__doc__ or "").strip().splitlines()[0] if function is not None and function.__doc__ else ""


def complex_factor(spec: OpSpec) -> tuple[str | int, ...]:
    """Return a factor of 4 for complex products, each of which is four real multiply-accumulates; () for real ones."""
    return ("complex", 4) if any(t.complex for t in spec.outputs) else ()


def reals_per_element(spec: OpSpec) -> int:
    """Return the number of reals per element of the result: 2 if complex, else 1. An addition costs as many FLOPs."""
    return 2 if any(t.complex for t in spec.outputs) else 1


def elements(*types: TensorType) -> int:
    """Return the total number of elements."""
    return sum(t.numel for t in types)
