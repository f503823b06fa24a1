"""Finds the outside state that a model's code reaches: globals, class attributes, closure cells, and their contents.

Code compares such objects by `is` and shares them with code outside the model, so they are not copied for a recording
but saved before it and restored afterwards. The variables are found in the byte code of the model's methods and of the
functions and classes that the methods name, once per set of classes.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import _lru_cache_wrapper, partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple
from weakref import ref

import torch

from cnncost.frontends.torch.code_names import Names, code_in, contents, is_own, names_of
from cnncost.frontends.torch.kinds import (
    ATOMS,
    LEAVES,
    is_analyzer_module,
    is_shared,
    is_system_module,
    is_test_runner,
)
from cnncost.frontends.torch.variables import Variable, value_of
from cnncost.session import SESSION

_MAX_LENGTH = 100
"""Maximum length of containers whose contents are read. Longer ones are tables of data, or of whole libraries."""
_MAX_DEPTH = 4
"""Maximum depth of nested containers and objects whose contents are read."""
_METHODS = frozenset({FunctionType, staticmethod, classmethod})
_ALWAYS = frozenset({"forward", "__call__", "__init__", "__new__", "__getattr__", "__getattribute__", "__setattr__"})
"""Methods that run without being named in code. All other special methods of the user's classes are treated alike."""
_MAX_READ = 5000
"""Maximum number of functions to read for one model."""


class Reach(NamedTuple):
    """Outside state that a model's code reaches.

    Attributes:
        variables: variables with mutable contents, and variables that the code itself sets.
        held: objects that functions hold: default arguments, attributes.
        classes: the user's classes, which may gain attributes.
        caches: functions wrapped by `functools.lru_cache`.
        code: variables that the user's own code names, each with weak references to the functions and classes in its
            value (not ids, because a new function may get the id of one that was freed).
    """

    variables: tuple[Variable, ...]
    held: tuple[Any, ...]
    classes: tuple[type, ...]
    caches: tuple[Any, ...]
    code: tuple[tuple[Variable, list[Callable[[], Any]]], ...]

    def is_current(self) -> bool:
        """True if no function or class in the variables of `code` has been replaced."""
        pairs = ((code_in(value_of(variable)), then) for variable, then in self.code)
        return all(
            len(code) == len(then) and all(a is b() for a, b in zip(code, then, strict=True)) for code, then in pairs
        )

    def is_empty(self) -> bool:
        """True if there is nothing to restore."""
        return not (self.variables or self.held or self.classes or self.caches)


class _Found(NamedTuple):
    """A variable, with a weak reference to its value if that is a function, class or module, else to its type."""

    variable: Variable
    is_code: bool
    reference: Callable[[], Any]

    def holds(self) -> bool:
        value = value_of(self.variable)
        return (value if self.is_code else type(value)) is self.reference()


def _weakly(value: Any) -> Callable[[], Any]:
    """Return a weak reference, or a strong one if the object doesn't support weak references (a property)."""
    try:
        return ref(value)
    except TypeError:
        return lambda: value


class _Cached(NamedTuple):
    """A cached Reach, and a check whether it is still valid.

    Attributes:
        roots: the classes from which `reach` was found. They are kept alive so that their ids are not reused.
        holds: calls `_same` with the explorer's findings. These are bound to a function because a `Watch` doesn't look
            into functions: otherwise a forward that itself analyzes a model would have all findings watched.
    """

    roots: tuple[Any, ...]
    reach: Reach
    holds: Callable[[], bool]


def _same(sizes: list[tuple[Any, int]], found: list[_Found]) -> bool:
    """True if no name was added or removed, and none was bound to other code or to data of another type.

    Args:
        sizes: namespaces and containers, with their earlier lengths.
        found: the variables that code names, with their earlier code or type.
    """
    return all(len(space) == size for space, size in sizes) and all(each.holds() for each in found)


_CACHE: dict[tuple[int, ...], _Cached] = {}
_MAX_CACHED = 64
SESSION.own_table("what classes reach", _CACHE)


def reach_of(kinds: Iterable[type], functions: Iterable[Any] = ()) -> Reach:
    """Return the outside state that functions and the methods of classes reach.

    It is cached if there are no functions, all classes are at module level, and no data had to be searched for code.
    """
    roots: tuple[Any, ...] = (*[k for k in dict.fromkeys(kinds) if not is_system_module(k.__module__)], *functions)
    if not all(isinstance(root, type) and "<locals>" not in root.__qualname__ for root in roots):
        return _Explorer(roots).explore()  # not cached: a closure may refer to the model and keep it alive
    key = tuple(map(id, roots))
    known = _CACHE.get(key)
    if known is not None and known.holds():
        return known.reach
    explorer = _Explorer(roots)
    reach = explorer.explore()
    _CACHE.pop(key, None)
    if not explorer.in_data:  # containers and objects may hold other code next time
        while len(_CACHE) >= _MAX_CACHED:
            _CACHE.pop(next(iter(_CACHE)), None)
        _CACHE[key] = _Cached(roots, reach, partial(_same, list(explorer.sizes(reach.classes)), explorer.found))
    return reach


class _Explorer:
    """Follows names from the roots to the variables that code can reach."""

    def __init__(self, roots: tuple[Any, ...]) -> None:
        self._copied = set(map(id, roots))
        """Ids of functions whose cells, defaults and attributes are copied with the model."""
        self._named: set[int] = set()
        """Ids in `_copied` of functions that code also reaches by name; it then calls the originals."""
        self._names: set[str] = set(_ALWAYS)
        """Names in the code that was read so far. Members of classes and modules may have these names."""
        self._assigned: set[str] = set()
        """Names of attributes that the code assigns."""
        self._classes: dict[type, set[tuple[str, bool]]] = {}
        """Each class that was reached, with the names of its members followed so far, and whether code assigns them."""
        self._modules: dict[int, tuple[ModuleType, set[tuple[str, bool]]]] = {}
        """The same for Python modules, by `id`."""
        self._pending: list[FunctionType] = []
        self._seen: dict[int, Any] = {}
        self._variables: dict[tuple[int, str], Variable] = {}
        self._own: dict[tuple[int, str], Variable] = {}
        """Variables that the user's own code names."""
        self._held: list[Any] = []
        self._caches: list[Any] = []
        self._spaces: dict[int, Any] = {}
        """Namespaces that were read, and empty containers, by `id`."""
        self.found: list[_Found] = []
        self.in_data = False
        """Whether contents of containers or attributes of objects were searched for code."""
        for root in roots:
            self.visit(root)

    def sizes(self, classes: Iterable[type]) -> Iterator[tuple[Any, int]]:
        """Yield the namespaces that were read and the containers that were empty, with their lengths."""
        for kind in classes:
            yield vars(kind), len(vars(kind))
        for space in self._spaces.values():
            yield space, len(space)

    def explore(self) -> Reach:
        """Follow names until no new ones appear, and return what was reached."""
        while True:
            while self._pending and len(self._seen) < _MAX_READ:
                self._read(self._pending.pop())
            before = self._progress()
            for kind, done in list(self._classes.items()):
                self._members(kind, vars(kind), done)
            for module, done in list(self._modules.values()):
                self._members(module, vars(module), done)
            if self._progress() == before:
                break
        code = tuple([(variable, [*map(_weakly, code_in(value_of(variable)))]) for variable in self._own.values()])
        held, classes, caches = tuple(self._held), tuple(self._classes), tuple(self._caches)
        return Reach(tuple(self._variables.values()), held, classes, caches, code)

    def _progress(self) -> tuple[int, ...]:
        return len(self._pending), len(self._variables), len(self._classes), len(self._assigned)

    def _members(self, owner: Any, table: Any, done: set[tuple[str, bool]]) -> None:
        """Follow the members of a class or module that code names, except those in `done`."""
        names, own = self._names & table.keys(), is_own(owner.__dict__)
        if isinstance(owner, type) and own:  # special methods, which Python calls even if code doesn't name them
            names |= {name for name, value in table.items() if name.startswith("__") and type(value) in _METHODS}
        for name in names:
            assigned = own and name in self._assigned
            if (name, assigned) not in done:
                done.add((name, assigned))
                space = vars(owner) if isinstance(owner, ModuleType) else owner
                self._variable(space, name, table[name], assigned, own)

    def visit(self, value: Any, named: bool = False) -> bool:
        """Follow a function, class or module; return False if the value is data instead.

        `named` means that code reaches the value by name.
        """
        kind = type(value)
        if kind in {staticmethod, classmethod, MethodType}:
            if isinstance(owner := getattr(value, "__self__", None), type):
                self.visit(owner)
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
            # a function that is copied with the model is read once more if code also calls the original
            again = named and id(value) in self._copied and id(value) not in self._named
            if again:
                self._named.add(id(value))
            if (again or id(value) not in self._seen) and not _is_outside(value.__module__):
                self._seen[id(value)] = value
                self._pending.append(value)
            return True
        if isinstance(value, type):
            for base in value.__mro__:
                if not is_system_module(base.__module__) and not is_test_runner(base.__module__):
                    self._classes.setdefault(base, set())
            if kind is not type and kind not in self._classes:
                self.visit(kind)  # a metaclass may keep a registry or singletons
            return True
        if kind is ModuleType:
            if not _is_outside(value.__name__):
                self._modules.setdefault(id(value), (value, set()))
            return True
        return False

    def _read(self, function: FunctionType) -> None:
        """Follow the names in a function's code, and the values in its closure, defaults and attributes."""
        names, space = names_of(function.__code__), function.__globals__
        self._spaces[id(space)] = space
        own = is_own(space)
        self._names.update(names.used)
        for name in names.used:
            if name in space:
                self._variable(space, name, space[name], name in names.stored, own)
            elif name in names.stored:
                self._variables.setdefault((id(space), name), Variable(space, name))
        if own:
            self._read_own(names, space)
        if id(function) in self._copied - self._named and not is_shared(function):
            for cell in function.__closure__ or ():
                self._visit_copied_cell(cell)
            return
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not yet assigned
                value = None
            if name != "__class__":  # the closure variable of `super()`
                self._variable(cell, name, value, True, own)
        self._held.append(function.__dict__)
        if own:
            self._visit_contents(function.__dict__)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            kind = type(value)
            if (kind not in ATOMS or kind is type) and not self.visit(value):
                self._held.append(value)
                if own:
                    self._visit_contents(value)

    def _read_own(self, names: Names, space: dict[str, Any]) -> None:
        """Follow names that the user's own code has as text, imports, or sets as attributes of modules."""
        self._names.update(names.computed)
        self._assigned.update(names.assigned, names.computed)
        for name in (names.used & names.assigned) | names.computed:
            if name in space:
                self._variable(space, name, space[name], True, True)
            elif name in names.computed:
                self._variables.setdefault((id(space), name), Variable(space, name))
        for name in names.used | names.computed:
            for imported in (name, f"{space.get('__package__')}.{name}"):
                if name not in space and type(module := sys.modules.get(imported)) is ModuleType:
                    self.visit(module)

    def _visit_copied_cell(self, cell: CellType) -> None:
        """Follow the classes, modules and caches in a copied cell: they themselves are not copied."""
        try:
            value = cell.cell_contents
        except ValueError:  # not yet assigned
            return
        kind = type(value)
        if not self.visit(value, True) and kind not in ATOMS:
            self.visit(kind)
            self._visit_contents(value)

    def _visit_contents(self, value: Any, depth: int = 0) -> None:
        """Follow functions, classes and objects in containers and attributes: registries, callbacks, helpers."""
        if id(value) in self._seen or depth > _MAX_DEPTH or len(self._seen) >= _MAX_READ:
            return
        items = contents(value)
        if not items and isinstance(value, (dict, list, set, deque)):
            self._spaces[id(value)] = value
        if not 0 < len(items) <= _MAX_LENGTH:
            return
        self._seen[id(value)] = value
        self.in_data = True
        for each in items:
            kind = type(each)
            if (kind in ATOMS and kind is not type) or isinstance(each, torch.Tensor) or self.visit(each, True):
                continue
            self.visit(kind)
            self._visit_contents(each, depth + 1)

    def _variable(self, owner: Any, name: str, value: Any, stored: bool, own: bool) -> None:
        """Follow a variable's value. `stored`: code sets the variable; `own`: the user's own code names it."""
        kind = type(value)
        followed = (kind is type or kind not in ATOMS) and self.visit(value, True)
        self.found.append(_Found(Variable(owner, name), followed, _weakly(value if followed else kind)))
        if not followed and kind not in ATOMS:
            self.visit(kind)  # methods of the held object may run, too
            if own:
                self._visit_contents(value)
        if own and kind not in LEAVES:
            self._own.setdefault((id(owner), name), Variable(owner, name))
        if stored or (not followed and (kind not in ATOMS or isinstance(owner, type))):
            self._variables.setdefault((id(owner), name), Variable(owner, name))


def _is_outside(module: object) -> bool:
    return is_system_module(module) or is_analyzer_module(module) or is_test_runner(module)


__all__ = ["Reach", "reach_of"]
