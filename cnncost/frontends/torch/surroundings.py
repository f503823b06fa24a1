"""Finds the outside state that a model's code reaches: globals, class attributes, closure cells, and their contents.

Code compares such objects by `is` and shares them with code outside the model, so a recording can't work on copies of
them: they are saved before it and restored after it. The variables are found in the byte code of the model's methods
and of the functions and classes that these name, once for each set of classes.
"""

from __future__ import annotations

import dis
from collections.abc import Iterable
from functools import _lru_cache_wrapper, cache, partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from cnncost.frontends.torch.kinds import ATOMS, is_shared, of_system
from cnncost.session import SESSION

_STORES_GLOBAL = dis.opmap["STORE_GLOBAL"]
_ALWAYS = frozenset({"forward", "__call__", "__init__", "__new__", "__getattr__", "__getattribute__", "__setattr__"})
"""Methods that run without being named in code."""
_MAX_READ = 5000
"""Maximum number of functions to read for one model."""


class Variable(NamedTuple):
    """A name in a namespace (a module's globals), a class attribute, or a closure cell."""

    owner: Any
    name: str


class Reach(NamedTuple):
    """Outside state that a model's code reaches.

    Attributes:
        variables: those with mutable contents, or set by the code itself.
        held: objects that functions hold: default arguments, attributes.
        classes: the user's classes, which may gain attributes.
        caches: functions wrapped by `functools.lru_cache`.
    """

    variables: tuple[Variable, ...]
    held: tuple[Any, ...]
    classes: tuple[type, ...]
    caches: tuple[Any, ...]


_CACHE: dict[tuple[int, ...], tuple[tuple[Any, ...], Reach, list[int]]] = {}
_MAX_CACHED = 64
SESSION.own_table("what classes reach", _CACHE)


def reach_of(kinds: Iterable[type], functions: Iterable[Any] = ()) -> Reach:
    """Outside state that the methods of these classes, and these functions, reach. Cached for module-level classes."""
    roots: tuple[Any, ...] = (*[k for k in dict.fromkeys(kinds) if not of_system(k.__module__)], *functions)
    if not all(isinstance(root, type) and "<locals>" not in root.__qualname__ for root in roots):
        return _explore(roots)  # not cached, because a closure may refer to the model and would keep it alive
    key = tuple(map(id, roots))
    known = _CACHE.get(key)
    if known is None or known[2] != [len(vars(kind)) for kind in known[1].classes]:  # attributes were added or removed
        reach = _explore(roots)
        known = (roots, reach, [len(vars(kind)) for kind in reach.classes])
        while len(_CACHE) >= _MAX_CACHED:
            _CACHE.pop(next(iter(_CACHE)), None)
        _CACHE[key] = known
    return known[1]


def _explore(roots: tuple[Any, ...]) -> Reach:
    explorer = _Explorer(roots)
    for root in roots:
        explorer.visit(root)
    return explorer.explore()


class _Explorer:
    """Follows names from the roots to the variables that code can reach."""

    def __init__(self, roots: tuple[Any, ...]) -> None:
        self._copied = set(map(id, roots))
        """Identities of functions whose cells, defaults and attributes are copied with the model."""
        self._named: set[int] = set()
        """Those of `_copied` that code also reaches by name, so that it calls the originals."""
        self._names: set[str] = set(_ALWAYS)
        self._classes: dict[type, set[str]] = {}
        self._modules: dict[int, tuple[ModuleType, set[str]]] = {}
        self._pending: list[FunctionType] = []
        self._seen: dict[int, Any] = {}
        self._variables: dict[tuple[int, str], Variable] = {}
        self._held: list[Any] = []
        self._caches: list[Any] = []

    def explore(self) -> Reach:
        """Follow names until no new ones appear."""
        while True:
            while self._pending and len(self._seen) < _MAX_READ:
                self._read(self._pending.pop())
            before = len(self._pending), len(self._variables), len(self._classes)
            for kind, done in list(self._classes.items()):
                self._members(kind, vars(kind), done)
            for module, done in list(self._modules.values()):
                self._members(module, vars(module), done)
            if (len(self._pending), len(self._variables), len(self._classes)) == before:
                break
        return Reach(
            tuple(self._variables.values()), tuple(self._held), tuple(self._classes), tuple(self._caches)
        )  # fmt: skip

    def _members(self, owner: Any, table: Any, done: set[str]) -> None:
        for name in (self._names & table.keys()) - done:
            done.add(name)
            self._variable(vars(owner) if isinstance(owner, ModuleType) else owner, name, table[name], False)

    def visit(self, value: Any, named: bool = False) -> bool:
        """Follow a function, class or module. Returns False if the value is data instead.

        `named`: code reaches the value by name.
        """
        kind = type(value)
        if kind in {staticmethod, classmethod, MethodType}:
            return self.visit(value.__func__, named)
        if kind is property:
            for function in (value.fget, value.fset):
                self.visit(function)
            return True
        if kind is _lru_cache_wrapper:
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                self._caches.append(value)
            return self.visit(value.__wrapped__)
        if kind is FunctionType:
            again = named and id(value) in self._copied and id(value) not in self._named
            if again:
                self._named.add(id(value))
            if (again or id(value) not in self._seen) and not of_system(value.__module__):
                self._seen[id(value)] = value
                self._pending.append(value)
            return True
        if isinstance(value, type):
            for base in value.__mro__:
                if not of_system(base.__module__):
                    self._classes.setdefault(base, set())
            if kind is not type:
                self.visit(kind)  # a metaclass that keeps a registry or singletons
            return True
        if kind is ModuleType:
            if not of_system(value.__name__):
                self._modules.setdefault(id(value), (value, set()))
            return True
        return False

    def _read(self, function: FunctionType) -> None:
        names, stored = names_of(function.__code__)
        self._names.update(names)
        space = function.__globals__
        for name in names:
            if name in space:
                self._variable(space, name, space[name], name in stored)
            elif name in stored:
                self._variables.setdefault((id(space), name), Variable(space, name))
        if id(function) in self._copied - self._named and not is_shared(function):
            return
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not yet assigned
                value = None
            if name != "__class__":
                self._variable(cell, name, value, True)
        self._held.append(function.__dict__)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            kind = type(value)
            if (kind not in ATOMS or kind is type) and not self.visit(value):
                self._held.append(value)

    def _variable(self, owner: Any, name: str, value: Any, stored: bool) -> None:
        kind = type(value)
        if kind is partial:
            self.visit(value.func)
        followed = (kind is type or kind not in ATOMS) and self.visit(value, True)
        if not followed and kind not in ATOMS:
            self.visit(kind)  # methods of the held object may run, too
        if stored or (not followed and (kind not in ATOMS or isinstance(owner, type))):
            self._variables.setdefault((id(owner), name), Variable(owner, name))


@cache
def names_of(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Names used by a code object and by nested ones, and the globals among them that they set."""
    names, stored = set(code.co_names), set[str]()
    if _STORES_GLOBAL in code.co_code[::2]:  # opcodes are the even bytes; disassembling is slow
        stored = {i.argval for i in dis.get_instructions(code) if i.opcode == _STORES_GLOBAL}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner, also = names_of(constant)
            names |= inner
            stored |= also
    return frozenset(names), frozenset(stored)


def value_of(variable: Variable) -> Any:
    """A variable's value; ABSENT if it doesn't exist."""
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
    elif value is ABSENT:
        type.__delattr__(owner, name)
    else:
        type.__setattr__(owner, name, value)


def described(variable: Variable) -> str:
    """Description of a variable, such as `the global CACHE of net`, `the variable seen of a closure`."""
    owner, name = variable
    if type(owner) is dict:
        return f"the global {name} of {owner.get('__name__', '?')}"
    if type(owner) is CellType:
        return f"the variable {name} of a closure"
    return f"the class attribute {owner.__name__}.{name}"


ABSENT: Any = object()
"""Marks a variable that doesn't exist."""

__all__ = ["ABSENT", "Reach", "Variable", "described", "reach_of", "set_value", "value_of"]
