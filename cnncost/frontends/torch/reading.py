"""Reads the code of functions and classes and, recursively, of everything that the code names."""

from __future__ import annotations

import copyreg
import sys
import typing
from abc import ABCMeta
from collections import OrderedDict
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any
from weakref import ReferenceType

import torch
from torch import nn

from cnncost.frontends.torch.byte_code import names_in
from cnncost.frontends.torch.code_names import names_of
from cnncost.frontends.torch.frozen import UnfitError, frozen
from cnncost.frontends.torch.kinds import ATOMS, is_hashed_by_identity
from cnncost.frontends.torch.known_code import (
    BY_NAME,
    OWN_CLASS,
    UNTRACEABLE,
    is_known_class,
    is_known_function,
    is_known_in_c,
    is_static,
    is_system_class,
    is_system_function,
    undecorated,
)
from cnncost.frontends.torch.torch_own import is_fixed, is_torch_own
from cnncost.opaque import rule_of

ABSENT: Any = object()
_CONTAINERS = frozenset({list, dict, tuple, set, frozenset, OrderedDict})
_MAX_READ = 500
"""Maximum number of functions and classes to read for one model."""


class UndetectableError(Exception):
    """Code can reach something whose changes can't be detected; the message names it."""


class Reader:
    """Reads code and follows the names in it until nothing new appears.

    Attributes:
        names: namespace and value of each name that was looked up, by the namespace's id and the name.
        classes, functions, modules: the classes, functions and Python modules found so far.
        cells: closure cells with their contents, by the cells' id.
        containers: containers in classes and in defaults of arguments, by id.
        spaces: the globals of torch's functions that code names.
    """

    def __init__(self) -> None:
        self.names: dict[tuple[int, str], tuple[dict[str, Any], Any]] = {}
        self.classes: dict[type, None] = {torch.Tensor: None, nn.Parameter: None}
        self.functions: dict[FunctionType, None] = {}
        self.cells: dict[int, tuple[CellType, Any]] = {}
        self.containers: dict[int, Any] = {}
        self.modules: list[ModuleType] = []
        self.spaces: list[dict[Any, Any]] = []
        self._attributes: set[str] = set()
        """Attribute names in the code that was read; `__class__` also if code gets an object's class in another way."""
        self._called: set[str] = set()
        """Names in the code of torch's methods, by which it may call members of the user's classes."""
        self._done: dict[type, set[str]] = {}
        """Torch's classes, each with the names of its methods that have been read."""
        self._pending: list[FunctionType] = []
        self._own: dict[type, set[str]] = {}
        """The user's classes, each with the names of its members that have been added."""
        self._checked: set[type] = set()
        for base in nn.Parameter.__mro__:
            self._base(base)

    def module(self, module: nn.Module) -> None:
        """Add a module's class and its attributes. `skeleton_cache.py` compares the attributes that are data."""
        kind = type(module)
        if rule_of(kind) is not None:
            raise UndetectableError(f"a rule for {kind.__name__}")
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
        elif kind is ReferenceType:  # recurrent layers have weak references to their own weights
            if all(value() is not parameter for parameter in module.parameters(recurse=False)):
                raise UndetectableError("a weak reference")
        elif kind is partial and not vars(value):
            for each in _items(value):
                self._attribute(each, module)
        elif not isinstance(value, torch.Tensor):
            self._value(value)

    def follow(self) -> None:
        """Read everything that was added, and everything that it names. Raises UndetectableError."""
        while True:
            while self._pending:
                self._read(self._pending.pop())
                if len(self.functions) + len(self.classes) > _MAX_READ:
                    raise UndetectableError("too much code to read")
            before = len(self.functions), len(self.classes), len(self._called)
            self._follow_torch()
            for kind, done in list(self._own.items()):
                self._members(kind, done)
            if not self._pending and (len(self.functions), len(self.classes), len(self._called)) == before:
                break
        self._check_torch_attributes()
        if odd := [kind.__name__ for kind in self._own if kind in copyreg.dispatch_table]:
            raise UndetectableError(f"how {odd[0]} is copied, for which a function is registered with copyreg")
        if untraceable := self._attributes & UNTRACEABLE:
            raise UndetectableError(f"the attribute {min(untraceable)}")
        if not self._attributes.isdisjoint(OWN_CLASS):
            raise UndetectableError("the class of an object, which code may create others of")
        if found := self._attributes & BY_NAME:
            raise UndetectableError(f"{min(found)}, which finds attributes by computed names")

    def _follow_torch(self) -> None:
        """Collect the names in those methods of torch's classes that run implicitly or that code names."""
        for kind in self.classes:
            if kind in self._own or kind.__module__ not in sys.modules:
                continue
            done = self._done.setdefault(kind, set())
            for name, value in vars(kind).items():
                runs = name == "forward" or (name.startswith("__") and name != "__init__")
                if name not in done and (runs or name in self._attributes or name in self._called):
                    done.add(name)
                    for function in (getattr(value, "__func__", value), getattr(value, "fget", None)):
                        if type(function) is FunctionType:
                            self._called |= names_of(function.__code__).used

    def _class(self, kind: type, is_value: bool = False) -> None:
        """Add a class of objects that code uses.

        `is_value` means that code refers to the class itself, and may create objects of it.
        """
        if type(kind) not in _METACLASSES and not is_known_class(kind):
            raise UndetectableError(f"the metaclass of {kind.__name__}")
        if kind is type:  # `type(x)` returns the class of an object
            self._attributes.add("__class__")
        own = not all(map(is_system_class, kind.__mro__))
        if own and (is_value or not issubclass(kind, nn.Module)):
            raise UndetectableError(f"the class {kind.__name__}, which code may create objects of")
        for base in kind.__mro__:
            self._base(base)

    def _base(self, base: type) -> None:
        if not is_system_class(base):
            self._own.setdefault(base, set())
        elif not is_known_class(base):
            raise UndetectableError(f"{base.__module__}.{base.__qualname__}")
        elif base not in self._checked:
            self._checked.add(base)
            self.check_namespace(vars(base))
            if not is_static(base):
                for name, value in vars(base).items():
                    if type(value) in _CONTAINERS and name not in _DATA:
                        self._container(value)
        self.classes.setdefault(base)

    def check_namespace(self, space: Any) -> None:
        """Raise UndetectableError if one of torch's namespaces has something that is not torch's own."""
        for name, value in space.items():
            if not is_torch_own(value):
                raise UndetectableError(f"{name}, which the program has put into a namespace of torch")

    def _check_torch_attributes(self) -> None:
        """Raise UndetectableError if code names a mutable object in a torch class, or an attribute of its functions."""
        for kind in self.classes:
            if kind in self._own:
                continue
            for name in self._attributes & vars(kind).keys():
                value = vars(kind)[name]
                if type(value) not in _CONTAINERS and not is_fixed(value):
                    raise UndetectableError(f"{name}, an object in {kind.__name__}")
                function = getattr(value, "__func__", value)
                if type(function) is FunctionType and not self._attributes.isdisjoint(function.__dict__):
                    raise UndetectableError(f"an attribute of {function.__qualname__}")

    def _members(self, kind: type, done: set[str]) -> None:
        """Add a class's members that code names or that Python and torch call implicitly; `done` has the added ones."""
        for name, value in list(vars(kind).items()):
            special = name.startswith("__") and name.endswith("__")
            called = name not in _DATA and name != "__init__" if special else name in self._called or name == "forward"
            if name not in done and (called or name in self._attributes):
                done.add(name)
                self._member(value)

    def _member(self, value: Any) -> None:
        kind = type(value)
        if kind is staticmethod or kind is classmethod:
            if kind is classmethod:  # its first argument is the class
                self._attributes.add("__class__")
            self._member(value.__func__)
        elif kind is not GetSetDescriptorType and kind is not MemberDescriptorType:
            self._value(value)

    def _function(self, function: Any) -> None:
        if function in self.functions:
            return
        self._add(function)
        if type(function.__globals__) is not dict or type(function.__builtins__) is not dict:
            raise UndetectableError(f"the globals of {function.__qualname__}")
        self._pending.append(function)

    def _add(self, function: FunctionType) -> None:
        """Add a function. It must have no attributes except those that torch's decorators set."""
        for name, value in function.__dict__.items():
            if name != "__wrapped__" and not (name.startswith("_torch") and type(value) in ATOMS):
                raise UndetectableError(f"the attribute {name} of {function.__qualname__}")
        self.functions[function] = None

    def _read(self, function: FunctionType) -> None:
        names = names_in(function.__code__)
        if names.unread is not None:
            raise UndetectableError(f"{names.unread} in {function.__qualname__}")
        self._attributes |= names.attributes
        for chain in names.globals:
            self._chain(function, chain)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._cell(name, cell)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._value(value)
        if function.__kwdefaults__:
            self._container(function.__kwdefaults__)

    def _cell(self, name: str, cell: CellType) -> None:
        """Add the closure cell of `super()`, which holds the class; no other closure variable is supported."""
        if name != "__class__":
            raise UndetectableError("a variable of a closure")
        self.cells[id(cell)] = cell, cell.cell_contents

    def _chain(self, function: Any, chain: tuple[str, ...]) -> None:
        """Look up a global name and follow its attributes; `chain` is (`torch`, `nn`) for `torch.nn`."""
        first = chain[0]
        value = self._looked_up(function.__globals__, first)
        if value is ABSENT:
            value = self._looked_up(function.__builtins__, first)
            if value is type:
                self._attributes.add("__class__")
                return
            if value in _BYTES:
                raise UndetectableError("bytes, which a registered codec may create from text")
            if value is ABSENT or (isinstance(value, type) and is_static(value)):
                return
        self._follow_attributes(value, chain[1:])

    def _follow_attributes(self, value: Any, names: tuple[str, ...]) -> None:
        """Follow attributes of Python modules. Attributes of other objects have already been collected by name."""
        for name in names:
            if type(value) is not ModuleType:
                break
            self.modules.append(value)
            value = self._looked_up(vars(value), name)
            if value is ABSENT:
                raise UndetectableError(f"the attribute {name} of a module, which its __getattr__ creates")
        self._value(value)

    def _looked_up(self, space: dict[str, Any], name: str) -> Any:
        value = space.get(name, ABSENT)
        self.names[id(space), name] = space, value
        return value

    def _value(self, value: Any) -> None:
        """Add a value that code refers to. Raises UndetectableError if its changes or effects can't be detected."""
        kind = type(value)
        if not is_hashed_by_identity(kind):
            raise UndetectableError("an object whose metaclass defines equality of classes")
        if issubclass(kind, type):
            self._class(value, is_value=True)
        elif kind in ATOMS or value is Ellipsis or value is NotImplemented:
            return
        elif kind is FunctionType:
            self._python_function(value)
        elif kind is BuiltinFunctionType:
            self._built_in(value)
        elif kind is tuple:
            for each in value:
                self._value(each)
        elif kind is _ALIAS:
            for each in (value.__origin__, *value.__args__):
                self._value(each)
        elif kind is not _SPECIAL_FORM:
            raise UndetectableError(f"{kind.__module__}.{kind.__qualname__}")

    def _python_function(self, function: FunctionType) -> None:
        if not is_system_function(function):
            self._function(function)
        elif (inner := undecorated(function)) is not None:
            self._add(function)
            for cell in function.__closure__ or ():
                self.cells[id(cell)] = cell, cell.cell_contents
            self._value(inner)
        elif not is_known_function(function):
            raise UndetectableError(f"{function.__module__}.{function.__qualname__}")
        else:
            self._add(function)
            self.spaces.append(function.__globals__)

    def _built_in(self, function: Any) -> None:
        if not is_known_in_c(function):
            raise UndetectableError(f"{function.__qualname__}()")
        if function.__name__ in BY_NAME:
            self._attributes.add(function.__name__)

    def _container(self, value: Any) -> None:
        """Add a container and its items. Its contents will be compared."""
        if id(value) in self.containers:
            return
        try:
            frozen(value, set())
        except UnfitError:
            raise UndetectableError(f"a {type(value).__name__} of objects") from None
        self.containers[id(value)] = value
        for item in _items(value):
            self._value(item)


_BYTES: tuple[Any, ...] = (bytes, bytearray, memoryview)
_METACLASSES = frozenset({type, ABCMeta})
_ALIAS, _SPECIAL_FORM = type(typing.List[int]), type(typing.Any)  # noqa: UP006  # `List[…]` and `list[…]` differ in class
_STANDARD = frozenset(vars(nn.Module()))
_DATA = frozenset(
    {
        "__abstractmethods__", "__all__", "__annotate__", "__annotate_func__", "__annotations__",
        "__annotations_cache__", "__constants__", "__dataclass_fields__", "__dataclass_params__", "__dict__",
        "__doc__", "__firstlineno__", "__jit_ignored_attributes__", "__jit_unused_properties__",
        "__match_args__", "__module__", "__orig_bases__", "__parameters__", "__qualname__", "__slots__",
        "__static_attributes__", "__type_params__", "__weakref__",
    }
)  # fmt: skip
"""Special attributes of classes that Python and torch don't call. They matter only if code names them."""


def _items(value: Any) -> list[Any]:
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    return [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)


__all__ = ["ABSENT", "Reader", "UndetectableError"]
