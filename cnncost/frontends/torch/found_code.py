"""The code that copying a model comes across, whose globals a recording then has to watch."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from cnncost.frontends.torch.kinds import of_system

_BARE = frozenset(
    {dict, list, set, deque, OrderedDict, defaultdict, FunctionType, MethodType, BuiltinFunctionType, ModuleType}
)
"""Classes of common objects, which have no code of the user's."""


class FoundCode:
    """Functions, caches of functions, classes of objects, and Python modules; none of torch's or Python's own.

    Attributes:
        all: each once, in the order in which they were found.
    """

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._ids: set[int] = set()

    def add(self, code: Any) -> None:
        """Note a piece of code."""
        if id(code) not in self._ids:
            self._ids.add(id(code))
            name = code.__name__ if type(code) is ModuleType else getattr(code, "__module__", None)
            if not of_system(name):
                self.all.append(code)

    def class_of(self, kind: type) -> None:
        """Note the class of an object."""
        if kind not in _BARE:
            self.add(kind)

    def clear(self) -> None:
        """Drop all references."""
        self.all.clear()


__all__ = ["FoundCode"]
