"""Reads and sets variables outside a model: globals, class attributes and closure cells."""

from __future__ import annotations

from types import CellType
from typing import Any, NamedTuple


class Variable(NamedTuple):
    """A name in a namespace (a module's globals) or class, or the variable of a closure cell.

    Attributes:
        owner: the namespace, class or cell.
        name: the variable's name.
    """

    owner: Any
    name: str


def value_of(variable: Variable) -> Any:
    """Return a variable's value; ABSENT if it doesn't exist."""
    owner, name = variable
    if type(owner) is dict:
        return owner.get(name, ABSENT)
    if type(owner) is CellType:
        try:
            return owner.cell_contents
        except ValueError:
            return ABSENT
    return vars(owner).get(name, ABSENT)


def set_value(variable: Variable, value: Any) -> None:
    """Set a variable, or delete it if `value` is ABSENT."""
    owner, name = variable
    if type(owner) is dict:
        if value is ABSENT:
            owner.pop(name, None)
        else:
            owner[name] = value
    elif type(owner) is CellType:
        if value is ABSENT:
            del owner.cell_contents
        else:
            owner.cell_contents = value
    elif value is ABSENT:  # through `type`, because the user's metaclass may define __setattr__ and __delattr__
        type.__delattr__(owner, name)
    else:
        type.__setattr__(owner, name, value)


def describe(variable: Variable) -> str:
    """Return a description: `the global CACHE of net`, `the variable count of a closure`, `the class attribute A.n`."""
    owner, name = variable
    if type(owner) is dict:
        return f"the global {name} of {owner.get('__name__', '?')}"
    if type(owner) is CellType:
        return f"the variable {name} of a closure"
    return f"the class attribute {owner.__name__}.{name}"


ABSENT: Any = object()
"""Marks a variable that doesn't exist."""

__all__ = ["ABSENT", "Variable", "describe", "set_value", "value_of"]
