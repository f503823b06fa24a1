"""Evaluates arithmetic as slides and this package write it: `16·(5·5·6 + 1)`, `6 * (5x5 +1) x1`."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable

__all__ = ["evaluate", "is_formula"]

_ALLOWED = re.compile(r"[\d\s()+\-−*·×x²^]+")
_OPERATION = re.compile(r"\d\D*[+*·−-]\D*\d|\d[²^]")
_TO_PYTHON = str.maketrans({"·": "*", "×": "*", "x": "*", "−": "-", "²": "**2", "^": "**"})
_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
}


def is_formula(text: str) -> bool:
    """Return whether a text is arithmetic. A size such as 28x28 is not."""
    return bool(_ALLOWED.fullmatch(text)) and bool(_OPERATION.search(text))


def evaluate(text: str) -> int:
    """Return the value of a formula with sums, differences, products and powers of ints. `x`, `×`, `*`, `·` multiply.

    Raises:
        ValueError: the text is no such formula.
    """
    if not _ALLOWED.fullmatch(text):
        raise ValueError(f"formula: expected whole numbers and + - * · x ² ^ ( ), got {text!r}")
    try:
        return _value(ast.parse(text.translate(_TO_PYTHON).strip(), mode="eval").body)
    except SyntaxError:
        raise ValueError(f"formula: expected arithmetic such as 16·(5·5·6 + 1), got {text!r}") from None


def _value(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
    raise ValueError(f"formula: expected sums, products and powers of whole numbers, got {ast.unparse(node)}")
