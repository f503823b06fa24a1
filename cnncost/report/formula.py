"""Formats a cost as an equation: names, numbers, result. Uses only the cost's terms."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from cnncost import units
from cnncost.ops import Cost, Term

WIDTH = 76
"""Maximum width of an equation's lines, which are indented more than the op above them."""


def formulas(cost: Cost, times: int = 1) -> Iterator[str]:
    """Yield `MACs = …` if there are any, and `FLOPs = …`; for an op that ran several times, with the total."""
    products = [term for term in cost.terms if term.mac]
    others = [term for term in cost.terms if not term.mac]
    if products:
        names = [_labelled(term) if len(products) > 1 else _product(term) for term in products]
        yield from _equation("MACs ", names, [_product(term, numbers=True) for term in products], cost.macs, times)
    twice = bool(products) and all(term.flops == 2 for term in products)
    if products and not twice:  # MACs of integers are no FLOPs
        others = [term._replace(mac=False) for term in cost.terms if term.flops]
        if not others:
            yield "FLOPs = 0"
            return
    names = (["2·MACs"] if twice else []) + [_labelled(term) for term in others]
    numbers = ([f"2·{cost.macs}"] if twice else []) + [_product(term, numbers=True) for term in others]
    yield from _equation("FLOPs", names, numbers, cost.flops, times)


def wrapped(text: str, start: str = "", width: int = WIDTH) -> list[str]:
    """Wrap at `width`; `start` prefixes the first line and sets the indent of the rest. Words stay whole."""
    indent = " " * len(start)
    return textwrap.wrap(
        text, width, initial_indent=start, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _equation(what: str, names: list[str], numbers: list[str], result: int, times: int) -> Iterator[str]:
    """Yield one line if it fits, else separate lines for names, numbers and result."""
    total = units.exact(result) + (f"; {times}× = {units.exact(times * result)}" if times > 1 else "")
    sides = [_sum(names), _sum(numbers), total]
    if sides[1] == str(result):
        del sides[1]  # a single number is the result itself
    line = f"{what} = {' = '.join(sides)}"
    if len(line) <= WIDTH:
        yield line
        return
    for i, side in enumerate(sides):
        yield from wrapped(side, f"{what if i == 0 else ' ' * len(what)} = ")


def _sum(parts: list[str]) -> str:
    """Join parts with plus signs, or minus signs before parts that start with one."""
    return " + ".join(parts).replace("+ −", "− ")


def _labelled(term: Term) -> str:
    """Return a term's label and product: `softmax 5·B·L·S`."""
    product = _product(term)
    return f"−{term.label} {product[1:]}" if product.startswith("−") else f"{term.label} {product}"


def _product(term: Term, numbers: bool = False) -> str:
    """Return the factors as names or numbers, preceded by the FLOPs per item if not 1."""
    each = abs(term.flops)
    parts = [str(number) if numbers else _factor(name) for name, number in term.factors]
    if not term.mac and each != 1:
        parts.insert(0, str(each))
    return ("−" if term.flops < 0 else "") + "·".join(parts)


def _factor(name: str) -> str:
    """Return a name, in parentheses if it is a sum, difference or quotient."""
    return f"({name})" if any(sign in name for sign in "+-/") else name
