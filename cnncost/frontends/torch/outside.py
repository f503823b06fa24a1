"""What modules' code takes from outside the modules: globals, classes, functions, torch's own.

A recording needs not be repeated if everything that it can depend on is as it was. Modules, parameters and inputs are
compared elsewhere; here is the rest. The code of the modules' methods is read, and that of all functions and classes
that it names, and each name is looked up. Where code can reach something whose changes can't be seen (a clock, an
object of a class that is not known, a module of Python passed as a value), there is no snapshot, and forward runs.
"""

from __future__ import annotations

import builtins
import sys
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from functools import partial
from logging import Logger
from operator import is_
from types import BuiltinFunctionType, CellType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any
from weakref import ReferenceType

import torch
from torch import nn

from cnncost.frontends.torch.byte_code import names_in
from cnncost.frontends.torch.frozen import UnfitError, frozen
from cnncost.frontends.torch.kinds import ATOMS, of_system
from cnncost.frontends.torch.known_code import (
    BY_NAME,
    HIDDEN,
    OWN_CLASS,
    is_known_class,
    is_known_function,
    is_known_in_c,
    is_of_system,
    within,
)
from cnncost.opaque import rule_of

_ABSENT: Any = object()
_CONTAINERS = frozenset({list, dict, tuple, set, frozenset, OrderedDict})
_TABLES: tuple[dict[str, Any], ...] = (vars(torch), vars(torch.nn.functional), vars(torch.functional), vars(nn))
"""Namespaces in which torch's own code looks its functions up; a program may have replaced some."""
_MOST = 500
"""Maximum number of functions and classes to read for one model."""


class Unseen(Exception):  # noqa: N818  # no error: the answer to a question
    """Code reaches something whose changes can't be seen; the message says what."""


class Outside:
    """A snapshot of what modules' code names.

    Args:
        modules: all modules of a model.

    Raises:
        Unseen: there is something whose changes can't be seen.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        reader = _Reader()
        for kind in reader.classes:
            reader.replaced(vars(kind))
        for module in modules:
            reader.module(module)
        reader.follow()
        tables = _spaces(reader.classes)
        for table in tables:
            reader.replaced(table)
        reader.follow()
        self._names = [(space, name, value) for (_, name), (space, value) in reader.names.items()]
        self._classes = [(kind, kind.__mro__, list(vars(kind)), list(vars(kind).values())) for kind in reader.classes]
        self._functions = [(function, _parts(function)) for function in reader.functions]
        self._cells = list(reader.cells.values())
        self._nests = [(value, frozen(value, set())) for value in reader.nests.values()]
        self._tables = [(table, list(table), list(table.values())) for table in tables]

    def same(self) -> bool:
        """Whether all of it is as it was: objects by identity, containers by their contents."""
        return (
            all(space.get(name, _ABSENT) is value for space, name, value in self._names)
            and all(cell.cell_contents is value for cell, value in self._cells)
            and all(_are(_parts(function), parts) for function, parts in self._functions)
            and all(
                kind.__mro__ is above and list(vars(kind)) == names and _are(vars(kind).values(), values)
                for kind, above, names, values in self._classes
            )
            and all(list(t) == names and _are(t.values(), values) for t, names, values in self._tables)
            and self._same_nests()
        )

    def _same_nests(self) -> bool:
        try:
            return all(frozen(value, set()) == then for value, then in self._nests)
        except UnfitError:
            return False


def _are(some: Collection[Any], others: Collection[Any]) -> bool:
    """Whether these are the same objects."""
    return len(some) == len(others) and all(map(is_, some, others))


def _parts(function: FunctionType) -> tuple[Any, ...]:
    parts = function.__code__, function.__defaults__, function.__kwdefaults__, function.__closure__
    return (*parts, *function.__dict__.values())


def _spaces(classes: Iterable[type]) -> list[dict[str, Any]]:
    """Torch's namespaces, and those of the modules that define classes of torch."""
    names = dict.fromkeys(kind.__module__ for kind in classes if kind.__module__.startswith("torch."))
    return [*_TABLES, *[vars(sys.modules[name]) for name in names if name in sys.modules]]


class _Reader:
    """Reads code, and follows what it names, until there is nothing new."""

    def __init__(self) -> None:
        self.names: dict[tuple[int, str], tuple[dict[str, Any], Any]] = {}
        self.classes: dict[type, None] = {torch.Tensor: None, nn.Parameter: None}
        self.functions: dict[FunctionType, None] = {}
        self.cells: dict[int, tuple[CellType, Any]] = {}
        self.nests: dict[int, Any] = {}
        self._attributes: set[str] = set()
        self._pending: list[FunctionType] = []
        self._own: dict[type, set[str]] = {}
        """The user's classes, with the names of members that have been followed."""
        self._whole: set[type] = set()
        """Those that code makes objects of."""

    # ---- where it begins

    def module(self, module: nn.Module) -> None:
        """A module's class, and functions among its attributes; its other attributes are compared elsewhere."""
        kind = type(module)
        if rule_of(kind) is not None:
            raise Unseen(f"a rule for {kind.__name__}")
        if kind not in self.classes:
            self._class(kind)
        for name, value in vars(module).items():
            if name not in _STANDARD:
                self._attribute(value, module)

    def _attribute(self, value: Any, module: nn.Module) -> None:
        kind = type(value)
        if kind in _CONTAINERS:
            for item in _items(value):
                self._attribute(item, module)
        elif kind is ReferenceType:  # recurrent layers have some of their own weights
            if all(value() is not parameter for parameter in module.parameters(recurse=False)):
                raise Unseen("a weak reference")
        elif not isinstance(value, torch.Tensor):
            self._value(value)

    def follow(self) -> None:
        """Read what was found."""
        while True:
            while self._pending:
                self._read(self._pending.pop())
                if len(self.functions) + len(self.classes) > _MOST:
                    raise Unseen("too much code to read")
            before = len(self.functions), len(self.classes)
            for kind, done in list(self._own.items()):
                self._members(kind, done)
            if not self._pending and (len(self.functions), len(self.classes)) == before:
                break
        if hidden := self._attributes & HIDDEN:
            raise Unseen(f"the attribute {min(hidden)}")

    # ---- classes

    def _class(self, kind: type, makes: bool = False) -> None:
        """A class that code has objects of, or makes objects of."""
        if type(kind).__module__ not in {"builtins", "abc", "enum"} and not is_known_class(kind):
            raise Unseen(f"the metaclass of {kind.__name__}")
        if issubclass(kind, Enum):
            self._enum(kind)
            return
        for base in kind.__mro__:
            if not of_system(base.__module__):
                self._own.setdefault(base, set())
                if makes:
                    self._whole.add(base)
            elif not is_known_class(base):
                raise Unseen(f"{base.__module__}.{base.__qualname__}")
            else:
                self.replaced(vars(base))
            self.classes.setdefault(base)

    def _enum(self, kind: type[Enum]) -> None:
        """Its members, whose values may be anything, and its own methods."""
        if kind in self.classes:
            return
        self.classes[kind] = None
        for member in kind.__members__.values():
            self._value(member.value)
        for value in vars(kind).values():
            if type(value) in _METHODS and not isinstance(value, FunctionType | staticmethod):
                self._member(value)
            elif isinstance(value, FunctionType) and not is_of_system(value):
                self._function(value)

    def replaced(self, space: Mapping[str, Any]) -> None:
        """Read functions that a program has put in the place of torch's."""
        for value in space.values():
            if type(value) is FunctionType and not is_of_system(value):
                self._function(value)

    def _members(self, kind: type, done: set[str]) -> None:
        """Members that code can reach: by their names, by what Python calls by itself, or by any name."""
        anything = not self._attributes.isdisjoint(OWN_CLASS) or kind in self._whole
        by_name = not self._attributes.isdisjoint(BY_NAME)
        for name, value in list(vars(kind).items()):
            if name in done:
                continue
            special = name.startswith("__") and name.endswith("__")
            if special and name not in self._attributes:
                if type(value) in _METHODS and (name != "__init__" or anything):
                    done.add(name)
                    self._member(value)
            elif name == "forward" or name in self._attributes or anything or by_name:
                done.add(name)
                self._member(value)

    def _member(self, value: Any) -> None:
        kind = type(value)
        if kind in {staticmethod, classmethod}:
            self._member(value.__func__)
        elif kind is property:
            for function in (value.fget, value.fset, value.fdel):
                if function is not None:
                    self._member(function)
        elif kind not in {GetSetDescriptorType, MemberDescriptorType}:
            self._value(value)

    # ---- functions

    def _function(self, function: FunctionType) -> None:
        if function in self.functions:
            return
        if odd := [name for name in function.__dict__ if name != "__wrapped__" and not name.startswith("_torch")]:
            raise Unseen(f"the attribute {odd[0]} of {function.__qualname__}")
        self.functions[function] = None
        self._pending.append(function)

    def _read(self, function: FunctionType) -> None:
        names = names_in(function.__code__)
        if names.unread is not None:
            raise Unseen(f"{names.unread} in {function.__qualname__}")
        self._attributes |= names.attributes
        for chain in names.globals:
            self._chain(function.__globals__, chain)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._cell(cell, [chain for chain in names.free if chain[0] == name])
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._value(value)

    def _cell(self, cell: CellType, chains: list[tuple[str, ...]]) -> None:
        try:
            value = cell.cell_contents
        except ValueError:
            raise Unseen("an empty variable of a closure") from None
        self.cells[id(cell)] = cell, value
        for chain in chains or [("",)]:
            self._along(value, chain[1:])

    def _chain(self, space: dict[str, Any], chain: tuple[str, ...]) -> None:
        first = chain[0]
        value = self._looked_up(space, first)
        if value is _ABSENT:
            value = self._looked_up(vars(builtins), first)
            if type(value) is BuiltinFunctionType:
                self._built_in(value)
                return
            if value is type:
                self._attributes.add("__class__")
                return
            if isinstance(value, type) or value is _ABSENT or value in {Ellipsis, NotImplemented}:
                return
        self._along(value, chain[1:])

    def _along(self, value: Any, rest: tuple[str, ...]) -> None:
        """Follow attributes of modules; those of other objects have been noted by name."""
        for name in rest:
            if type(value) is not ModuleType:
                break
            value = self._looked_up(vars(value), name)
            if value is _ABSENT:
                raise Unseen(f"the attribute {name} of a module, which it makes when asked")
        self._value(value)

    def _looked_up(self, space: dict[str, Any], name: str) -> Any:
        value = space.get(name, _ABSENT)
        self.names[id(space), name] = space, value
        return value

    # ---- what a name stands for

    def _value(self, value: Any) -> None:
        """Something that code holds. Raises Unseen if its changes, or what it does, can't be seen."""
        kind = type(value)
        if isinstance(value, type):
            self._class(value, makes=True)
        elif kind in ATOMS or value is Ellipsis or value is NotImplemented:
            return
        elif kind is FunctionType:
            if not is_of_system(value):
                self._function(value)
            elif (inner := within(value)) is not None:
                self.functions[value] = None
                self._value(inner)
            elif not is_known_function(value):
                raise Unseen(f"{value.__module__}.{value.__qualname__}")
        elif kind is BuiltinFunctionType:
            self._built_in(value)
        elif kind is partial and not vars(value):
            for each in (value.func, *value.args, *value.keywords.values()):
                self._value(each)
        elif kind in _CONTAINERS:
            self._nest(value)
        elif isinstance(value, Enum):
            self._class(kind)
        elif kind.__module__ != "typing" and kind is not Logger:
            raise Unseen(f"{kind.__module__}.{kind.__qualname__}")

    def _built_in(self, function: Any) -> None:
        if not is_known_in_c(function):
            raise Unseen(f"{function.__qualname__}()")
        if function.__name__ in BY_NAME:
            self._attributes.add(function.__name__)

    def _nest(self, value: Any) -> None:
        if id(value) in self.nests:
            return
        try:
            frozen(value, set())
        except UnfitError:
            raise Unseen(f"a {type(value).__name__} of objects") from None
        self.nests[id(value)] = value
        for item in _items(value):
            self._value(item)


_METHODS = frozenset({FunctionType, staticmethod, classmethod, property})
_STANDARD = frozenset(vars(nn.Module()))


def _items(value: Any) -> list[Any]:
    return [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)


__all__ = ["Outside", "Unseen"]
