"""Collect the code that is found while a model is copied; a recording has to watch the globals of this code."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from cnncost.frontends.torch.kinds import is_system_module

_BARE = frozenset(
    {dict, list, set, deque, OrderedDict, defaultdict, FunctionType, MethodType, BuiltinFunctionType, ModuleType}
)
"""Classes of common objects, which have no user code."""


class FoundCode:
    """Functions, `lru_cache` wrappers, classes of objects and modules, except those of Python, torch and numpy.

    Attributes:
        all: each object once, in the order in which it was found.
    """

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._ids: set[int] = set()

    def add(self, code: Any) -> None:
        """Add a function, an `lru_cache` wrapper, a class or a Python module."""
        if id(code) not in self._ids:
            self._ids.add(id(code))
            name = code.__name__ if type(code) is ModuleType else getattr(code, "__module__", None)
            if not is_system_module(name):
                self.all.append(code)

    def add_class(self, kind: type) -> None:
        """Add the class of an object."""
        if kind not in _BARE:
            self.add(kind)

    def add_method(self, kind: type, method: MethodType) -> None:
        """Add a class, and a method that is bound to it."""
        self.add(kind)
        self.add(method.__func__)

    def clear(self) -> None:
        """Drop all references; nothing is added after this."""
        self.all.clear()


__all__ = ["FoundCode"]
