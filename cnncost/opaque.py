"""Rules for modules and autograd Functions whose kernels bypass torch's dispatcher.

    @cnncost.module_rule(NeighborhoodAttention)
    def neighborhood_attention(module, x):
        '''x: B,H,W,C. 2·B·H·W·K²·C multiply-accumulates: scores, and weighted sums.'''
        b, h, w, c = x.shape
        return cnncost.custom(x, cnncost.macs("2", 2, "B·H·W", b * h * w, "K²", module.kernel**2, "C", c))

A rule is called instead of forward, with forward's arguments, in which each tensor is replaced by its `TensorType`
(shape and dtype). It returns the types of the outputs and the cost of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from cnncost.errors import RuleError
from cnncost.graph import Attr
from cnncost.ops import Cost, Term
from cnncost.ops.registry import forget_costs

CustomRule: TypeAlias = "Callable[..., Any]"
Backward: TypeAlias = "Sequence[Term] | Callable[[bool, bool], Sequence[Term]] | None"
"""What `custom` accepts as the cost of backward."""


class Custom(NamedTuple):
    """A rule's answer for one call; built by `custom`."""

    outputs: Any
    terms: tuple[Term, ...]
    backward: Backward = None
    read: int | None = None
    written: int | None = None
    saved: int = 0
    saves_inputs: bool = True


class Registered(NamedTuple):
    """A rule, the op name shown in reports, and the class that the rule is registered for."""

    function: CustomRule
    name: str
    target: type

    def __str__(self) -> str:
        called = getattr(self.function, "__name__", repr(self.function))
        return f"rule {called!r} of {self.target.__name__}"


def custom(
    outputs: Any, *terms: Term, backward: Backward = None, read: int | None = None, written: int | None = None,
    saved: int = 0, saves_inputs: bool = True,
) -> Custom:  # fmt: skip
    """Create a rule's answer: the outputs of a call of a module or Function, and their cost.

    Args:
        outputs: what forward returns, with `(shape, dtype)` or a `TensorType` in place of each tensor, nested in
            tuples, lists, dicts and dataclasses like forward's result; a bare shape gets the dtype of the first
            floating-point input.
        terms: cost of forward, created by `cnncost.macs` and `cnncost.flops`.
        backward: terms of backward, or a function that takes two booleans, whether any input and whether any parameter
            gets a gradient, and returns the terms. By default, forward's terms twice, marked as assumed in reports.
        read: bytes read; by default, all inputs and parameters once.
        written: bytes written; by default, all outputs once.
        saved: bytes that forward saves for backward in addition to inputs and outputs.
        saves_inputs: whether forward saves its inputs for backward.
    """
    return Custom(outputs, terms, backward, read, written, saved, saves_inputs)


_RULES: dict[type, Registered] = {}


def module_rule(target: type, *, name: str | None = None, replace: bool = False) -> Callable[[CustomRule], CustomRule]:
    """Register a rule for a module class and those of its subclasses that have no rule of their own.

    The rule is called with the module and forward's arguments; it returns `custom(…)` or a pair (outputs, cost).

    Args:
        target: a subclass of `torch.nn.Module`.
        name: the op's name in reports; by default the class name.
        replace: replace an existing rule.

    Raises:
        TypeError: target is not a subclass of `torch.nn.Module`.
        ValueError: target already has a rule and `replace` is false.
    """
    return _decorator("module_rule", "torch.nn.Module", "torch.nn.modules.module.Module", target, name, replace)


def function_rule(
    target: type, *, name: str | None = None, replace: bool = False
) -> Callable[[CustomRule], CustomRule]:
    """Register a rule for a `torch.autograd.Function` and its subclasses, as `module_rule` does.

    The rule is called with the arguments of `apply`, without `ctx`.
    """
    base = "torch.autograd.function.Function"
    return _decorator("function_rule", "torch.autograd.Function", base, target, name, replace)


def forget_rule(target: type) -> None:
    """Remove the rule of a class. Raises ValueError if the class has no rule of its own."""
    if target not in _RULES:
        raise ValueError(f"forget_rule({getattr(target, '__name__', target)}): this class has no rule of its own")
    del _RULES[target]
    forget_costs()


@contextmanager
def custom_rules(rules: Mapping[type, CustomRule]) -> Iterator[None]:
    """Register rules for these classes while the context is active, replacing existing ones."""
    before = dict(_RULES)
    try:
        for target, function in rules.items():
            decorator = module_rule if _is_a(target, "torch.nn.modules.module.Module") else function_rule
            decorator(target, replace=True)(function)
        yield
    finally:
        _RULES.clear()
        _RULES.update(before)
        forget_costs()


def rule_of(target: type) -> Registered | None:
    """Return the rule of a class: its own, or that of the nearest base class in its MRO."""
    return next((_RULES[each] for each in target.__mro__ if each in _RULES), None)


def registered() -> tuple[Registered, ...]:
    """Return all rules, in the order in which they were registered."""
    return tuple(_RULES.values())


def _is_a(target: Any, base: str) -> bool:
    """Return whether a class derives from one named `base`; names, because registering a rule must not import torch."""
    return isinstance(target, type) and any(f"{each.__module__}.{each.__qualname__}" == base for each in target.__mro__)


def _decorator(
    decorator: str, public_base: str, base: str, target: Any, name: str | None, replace: bool
) -> Callable[[CustomRule], CustomRule]:
    """Return the decorator that registers a rule.

    Args:
        decorator: the decorator's name, for errors.
        public_base: name of the class that `target` must derive from, for errors.
        base: that class's module and qualified name, where it is defined.
        target: as for `module_rule`.
        name: likewise.
        replace: likewise.
    """
    if not _is_a(target, base):
        raise TypeError(f"{decorator}(target): expected a subclass of {public_base}, got {target!r}")

    def register(function: CustomRule) -> CustomRule:
        if not callable(function):
            raise TypeError(f"{decorator}({target.__name__}): expected a function as the rule, got {function!r}")
        if target in _RULES and not replace:
            raise ValueError(
                f"{decorator}({target.__name__}): the class already has a rule; pass replace=True to replace it"
            )
        _RULES[target] = Registered(function, name or target.__name__, target)
        forget_costs()
        return function

    return register


# ---- call a rule and validate its answer


def call_rule(rule: Registered, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Custom:
    """Call a rule and validate its answer.

    Raises:
        RuleError: the rule raised, or its answer is invalid; the message names the rule.
    """
    try:
        answer = rule.function(*args, **kwargs)
    except Exception as error:
        raise RuleError(f"{rule}: failed with {type(error).__name__}: {error}") from error
    # Cost and Term are tuples, too, but contain no outputs
    if (
        isinstance(answer, Cost | Term)
        or not isinstance(answer, Custom | tuple)
        or (not isinstance(answer, Custom) and len(answer) != 2)
    ):
        raise RuleError(
            f"{rule}: expected cnncost.custom(outputs, *terms) or a pair (outputs, cost), got {_shortened(answer)}"
        )
    if not isinstance(answer, Custom):
        outputs, costs = answer
        read, written = (costs.read, costs.written) if isinstance(costs, Cost) else (None, None)
        terms = costs.terms if isinstance(costs, Cost) else (costs,) if isinstance(costs, Term) else costs
        answer = Custom(outputs, _terms(rule, terms, "cost"), read=read, written=written)
    checked = answer._replace(terms=_terms(rule, answer.terms, "terms"))
    for what in ("read", "written", "saved"):
        number = getattr(checked, what)
        if number is None and what != "saved":
            continue
        if type(number) is not int or number < 0:
            raise RuleError(f"{rule}: {what}: expected a number of bytes, 0 or more, got {number!r}")
    return checked


def backward_terms(rule: Registered, answer: Custom, inputs: bool, parameters: bool) -> tuple[Term, ...]:
    """Return the terms of backward; by default those of forward, each twice, marked as assumed.

    Args:
        rule: the rule, named in errors.
        answer: the rule's answer.
        inputs: whether any input gets a gradient.
        parameters: whether any parameter gets a gradient.
    """
    if answer.backward is None:
        return tuple(
            t._replace(label=f"assumed for backward, 2× {t.label}", factors=(("2", 2), *t.factors))
            for t in answer.terms
        )
    backward: Any = answer.backward
    if callable(backward):
        try:
            backward = backward(inputs, parameters)
        except Exception as error:
            raise RuleError(f"{rule}: backward failed: {type(error).__name__}: {error}") from error
    return _terms(rule, backward, "backward")


def _terms(rule: Registered, part: Any, what: str) -> tuple[Term, ...]:
    """Return the validated terms in a part of a rule's answer; `what` names the part in errors."""
    if isinstance(part, Cost):
        part = part.terms
    terms = (part,) if isinstance(part, Term) else part
    if not isinstance(terms, list | tuple) or not all(isinstance(term, Term) for term in terms):
        made_by = "cnncost.macs and cnncost.flops"
        raise RuleError(f"{rule}: {what}: expected terms made by {made_by}, got {_shortened(part)}")
    for term in terms:
        numbers = [*(n for _, n in term.factors), term.flops]
        if wrong := [n for n in numbers if type(n) is not int or n < 0]:
            raise RuleError(f"{rule}: {what}: {term.label}: expected whole numbers, 0 or more, got {wrong[0]!r}")
    return tuple(terms)


def attributes(terms: tuple[Term, ...], read: int | None, written: int | None) -> tuple[tuple[str, Attr], ...]:
    """Return a rule's answer as attributes of an op of kind `custom`."""
    return (("terms", tuple(tuple(term) for term in terms)), ("read", read), ("written", written))


def _shortened(answer: Any) -> str:
    text = repr(answer)
    return f"{type(answer).__name__} {text if len(text) <= 80 else text[:77] + '...'}"
