"""Deep copies of the contents of modules and inputs: containers, functions and objects of any class.

Forward's changes to a copy don't reach the user's object. Objects are copied by their class's own protocol
(`__deepcopy__`, `__reduce_ex__`), containers by their base class, to bypass a frozen or validating `__setitem__`.
Copies of closures get their own cells. Objects compared by identity (a global compared by `is`) and objects that can't
be copied (locks, open files, handles of C libraries) are shared with the user's, and watched for changes.
"""

from __future__ import annotations

import copy as copying
import copyreg
import random
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from enum import Enum
from functools import _lru_cache_wrapper, partial
from threading import local
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.compat.distributed import STATES_OF_SPLIT_MODULES
from cnncost.frontends.torch.contents import generator_state, must_be_copied, tensors_and_modules
from cnncost.frontends.torch.found_code import FoundCode
from cnncost.frontends.torch.iterators import copy_warning_ignored
from cnncost.frontends.torch.kinds import (
    FIXED,
    LEAVES,
    RESOURCES,
    has_fixed_defaults,
    is_plain,
    is_shared,
    is_system_module,
    slots,
)
from cnncost.frontends.torch.rebuilt import rebuilt

_CONTAINERS = frozenset({list, set, deque})


class Copier:
    """Copies each object once, so shared and cyclic references are preserved.

    Subclasses define how modules and tensors are copied.

    Args:
        kept: objects that are shared instead of copied, by `id`.
        on_shared: called with each object that is shared because it can't be copied.
    """

    def __init__(self, kept: dict[int, Any] | None = None, on_shared: Callable[[Any], None] | None = None) -> None:
        self._copies: dict[int, Any] = {}
        self._originals: list[Any] = []  # kept alive so that their ids are not reused
        self._kept = kept if kept is not None else {}
        self._on_shared = on_shared
        self.code = FoundCode()  # code that forward may run, copied or not
        self._generators: list[tuple[Any, str]] = []

    def module(self, module: nn.Module) -> nn.Module:
        """The copy of a module."""
        raise NotImplementedError

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def copy_of(self, original: Any) -> Any:
        """The copy of an object, or None."""
        return self._copies.get(id(original))

    def has_drawn(self) -> bool:
        """True if forward has drawn from a copied random generator."""
        return any(generator_state(generator) != state for generator, state in self._generators)

    def value(self, value: Any) -> Any:
        """A copy of any value."""
        return self._value(value, type(value))

    def _value(self, value: Any, kind: type) -> Any:
        if kind in LEAVES:
            return value
        if kind is nn.Parameter or isinstance(value, torch.Tensor):
            return self._tensor(value)
        if kind is tuple:
            return value if LEAVES.issuperset(map(type, value)) else self._tuple(value, tuple)
        if isinstance(value, nn.Module):
            return self.module(value)
        if (found := self._copies.get(id(value))) is not None:
            return found
        if id(value) in self._kept:
            return value
        self.code.add_class(kind)
        if isinstance(value, dict) or kind in _CONTAINERS:
            return self._container(value, kind)
        return self._other(value, kind)

    def _register(self, value: Any, copy: Any) -> Any:
        """Store the copy of an object, and return it."""
        self._copies[id(value)] = copy
        self._originals.append(value)
        return copy

    def _tuple(self, value: tuple[Any, ...], make: Callable[[list[Any]], Any]) -> Any:
        """A new tuple if an item was copied, else the tuple itself."""
        items = [self._value(v, type(v)) for v in value]
        if (copy := self._copies.get(id(value))) is not None:  # in a cycle: copied while copying its items
            return copy
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else self._register(value, make(items))

    # ---- containers

    def _container(self, value: Any, kind: type) -> Any:
        """A copy with copied items. It is registered before they are copied, because it may contain itself."""
        if isinstance(value, dict):
            return self._table(value, kind)
        if kind is list:
            copy: Any = self._register(value, value.copy())
            if not LEAVES.issuperset(map(type, value)):
                copy[:] = [self._value(v, type(v)) for v in value]
            return copy
        copy = self._register(value, set() if kind is set else deque(maxlen=value.maxlen))
        items = [self._value(v, type(v)) for v in value]
        copy.update(items) if kind is set else copy.extend(items)
        return copy

    def _table(self, table: dict[Any, Any], kind: type) -> Any:
        if kind is dict:
            copy: Any = self._register(table, {})
        else:
            base: Any = next(b for b in (OrderedDict, defaultdict, dict) if isinstance(table, b))
            copy = self._register(table, base.__new__(kind))
            if isinstance(table, defaultdict):
                copy.default_factory = self._value(table.default_factory, type(table.default_factory))
            self._attributes(table, copy, kind)
        set_item = OrderedDict.__setitem__ if isinstance(table, OrderedDict) else dict.__setitem__
        for key, item in dict.items(table):
            new = key if type(key) in LEAVES else self._key(key)
            set_item(copy, new, item if type(item) in LEAVES else self._value(item, type(item)))
        return copy

    def _key(self, key: Any) -> Any:
        """A dict's key: copied only if it is a module or a tensor, because forward looks it up by the copy."""
        return self._value(key, type(key)) if isinstance(key, (nn.Module, torch.Tensor)) else key

    def _attributes(self, value: Any, copy: Any, kind: type) -> None:
        """Copy a value's `__dict__` and slots to `copy`, bypassing any `__setattr__`."""
        table = getattr(value, "__dict__", None) if kind.__dictoffset__ else None
        if type(table) is dict and table:
            copy.__dict__.update({k: self._value(v, type(v)) for k, v in table.items()})
        for name in slots(kind):
            try:
                attribute = object.__getattribute__(value, name)
            except AttributeError:
                continue
            object.__setattr__(copy, name, self._value(attribute, type(attribute)))

    # ---- functions

    def _function(self, function: FunctionType) -> Any:
        """A copy of a function with state (closure, attributes, mutable defaults); others and globals are shared."""
        if is_system_module(function.__module__) and not function.__closure__:
            return function
        has_state = bool(function.__closure__ or function.__dict__) or not has_fixed_defaults(function)
        self.code.add(function)
        if not has_state or is_shared(function):
            return function
        cells = tuple([self._cell(cell) for cell in function.__closure__ or ()])
        copy = FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
        self._register(function, copy)
        copy.__defaults__ = self.value(function.__defaults__)
        copy.__kwdefaults__ = self.value(function.__kwdefaults__)
        copy.__qualname__, copy.__module__, copy.__doc__ = function.__qualname__, function.__module__, function.__doc__
        copy.__dict__.update({name: self._value(item, type(item)) for name, item in function.__dict__.items()})
        return copy

    def _cell(self, cell: CellType) -> CellType:
        found: CellType | None = self._copies.get(id(cell))
        if found is not None or id(cell) in self._kept:
            return found if found is not None else cell
        copy: CellType = self._register(cell, CellType())
        try:
            content = cell.cell_contents
        except ValueError:  # empty cell: the function is still being defined
            return copy
        copy.cell_contents = self._value(content, type(content))
        return copy

    def _method(self, method: MethodType) -> Any:
        owner = method.__self__
        if isinstance(owner, type):
            self.code.add_method(owner, method)
            return method
        owner_copy, function = self.value(owner), self.value(method.__func__)
        unchanged = owner_copy is owner and function is method.__func__
        return method if unchanged else MethodType(function, owner_copy)

    def _built_in(self, method: Any) -> Any:
        """A copy of a bound built-in method such as `items.append`, bound to the copy of its owner."""
        owner = method.__self__
        if owner is None or isinstance(owner, (ModuleType, type)):
            return method
        owner_copy = self.value(owner)
        return method if owner_copy is owner else getattr(owner_copy, method.__name__, method)

    # ---- objects

    def _shared_object(self, value: Any) -> Any:
        """Report an object that can't be copied, and return it."""
        if self._on_shared is not None:
            self._on_shared(value)
        return value

    def _other(self, value: Any, kind: Any) -> Any:
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return handler(self, value)
        if isinstance(value, (type, ModuleType, _lru_cache_wrapper)):
            self.code.add(value)
            return value
        if kind in FIXED or isinstance(value, (Enum, BaseException, random.SystemRandom)):
            return value
        if isinstance(value, local):
            copy = self._register(value, kind.__new__(kind))
            copy.__dict__.update({k: self._value(v, type(v)) for k, v in value.__dict__.items()})
            return copy
        if kind.__module__ in RESOURCES:
            return self._shared_object(value)
        if kind.__module__.startswith(STATES_OF_SPLIT_MODULES) and kind.__dictoffset__:
            return self._attributes_of(value, kind)
        if kind.__module__.startswith("torch.distributed"):  # bound to the process group
            return self._shared_object(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self._tuple(value, lambda items: tuple.__new__(kind, items))
        if isinstance(value, random.Random) or kind.__module__.partition(".")[0] == "numpy":
            copy = self._register(value, copying.deepcopy(value))  # the user's generators must not advance
            if not hasattr(copy, "dtype"):  # not an array or a scalar
                self._generators.append((copy, generator_state(copy)))
            return copy
        if is_plain(kind) or isinstance(value, torch.optim.Optimizer):  # whose `__getstate__` omits attributes
            return self._attributes_of(value, kind)
        before = len(self._originals)
        try:
            with copy_warning_ignored(kind):
                return self._by_base(value, kind)
        except Exception:  # noqa: BLE001  # a class's own protocol may raise anything: not copyable
            for original in self._originals[before:]:
                self._copies.pop(id(original), None)
            del self._originals[before:]
            return self._attributes_of(value, kind) if must_be_copied(value) else self._shared_object(value)

    def _attributes_of(self, value: Any, kind: Any) -> Any:
        """A copy of an object that keeps all of its state in `__dict__` and slots."""
        copy = self._register(value, object.__new__(kind))
        self._attributes(value, copy, kind)
        return copy

    def _by_base(self, value: Any, kind: type) -> Any:
        """Copy by `__deepcopy__`, else a container by its base class, bypassing its own checks, else by protocol."""
        if hasattr(kind, "__deepcopy__"):
            return self._by_deepcopy(value)
        base: Any = next((b for b in (list, set, deque) if isinstance(value, b)), None)
        if base is None:
            return self._by_protocol(value, kind)
        copy = self._register(value, base.__new__(kind))
        if base is deque:
            deque.__init__(copy, (), value.maxlen)
        self._attributes(value, copy, kind)
        items = [self._value(v, type(v)) for v in base.__iter__(value)]
        base.update(copy, items) if base is set else base.extend(copy, items)
        return copy

    def _by_deepcopy(self, value: Any) -> Any:
        """Copy by the class's own `__deepcopy__`. Its memo holds our copies of the modules and tensors inside."""
        memo: dict[int, Any] = dict(self._copies)
        for item in tensors_and_modules(value):
            memo[id(item)] = self.value(item)
        return self._register(value, value.__deepcopy__(memo))

    def _by_protocol(self, value: Any, kind: Any) -> Any:
        """Copy by the protocol of `copy` and `pickle`: constructor, state, items."""
        if (copy := rebuilt(value, self.value)) is not None:
            return self._register(value, copy)
        if kind.__reduce_ex__ is object.__reduce_ex__ and (reducer := copyreg.dispatch_table.get(kind)) is not None:
            reduced: Any = reducer(value)
        else:
            reduced = value.__reduce_ex__(4)  # the protocol that `copy` uses
        if isinstance(reduced, str):
            return value  # pickled by name: a singleton
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]  # the last three are optional
        if make is copyreg.__newobj__ and len(arguments) == 1 and state is None and items is None and pairs is None:  # type: ignore[attr-defined]  # missing from the stubs
            return value  # no state: a sentinel compared by `is`
        copy = self._register(value, make(*[self._value(a, type(a)) for a in arguments]))
        if state is not None:
            self._set_state(copy, kind, self.value(state))
        for item in items or ():
            copy.append(self._value(item, type(item)))
        for key, item in pairs or ():
            copy[self._key(key)] = self._value(item, type(item))
        return copy

    def _set_state(self, copy: Any, kind: type, state: Any) -> None:
        if hasattr(kind, "__setstate__"):
            copy.__setstate__(state)
            return
        table, in_slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        if table:
            copy.__dict__.update(table)
        for name, attribute in (in_slots or {}).items():
            object.__setattr__(copy, name, attribute)  # the class may forbid it, as a frozen dataclass does

    def _partial(self, value: partial[Any]) -> Any:
        parts = [self._value(v, type(v)) for v in (value.func, value.args, value.keywords)]
        if all(new is old for new, old in zip(parts[:2], (value.func, value.args), strict=True)) and not value.keywords:
            return value
        return self._register(value, partial(parts[0], *parts[1], **parts[2]))

    def _weak(self, value: weakref.ref[Any]) -> Any:
        """A weak reference to the copy, if the referent has one or gets one."""
        target = value()
        if isinstance(target, (nn.Module, torch.Tensor)):
            return self._register(value, weakref.ref(self.value(target)))
        copy = self.copy_of(target)
        return value if copy is None else self._register(value, weakref.ref(copy))

    def _weak_table(self, table: Any) -> Any:
        """A weak table with copied keys and values; an entry lives as long as its copy."""
        copy = self._register(table, type(table)())
        copy.update({self._key(key): self.value(item) for key, item in list(table.items())})
        return copy

    def _weak_set(self, items: Any) -> Any:
        copy = self._register(items, type(items)())
        copy.update([self._key(item) for item in list(items)])
        return copy


_HANDLERS: dict[type, Callable[[Copier, Any], Any]] = {
    FunctionType: Copier._function,
    MethodType: Copier._method,
    BuiltinFunctionType: Copier._built_in,
    partial: Copier._partial,
    weakref.ref: Copier._weak,
    **dict.fromkeys((weakref.WeakKeyDictionary, weakref.WeakValueDictionary), Copier._weak_table),
    weakref.WeakSet: Copier._weak_set,
    torch.Generator: lambda copier, value: copier._register(value, value.clone_state()),
}
