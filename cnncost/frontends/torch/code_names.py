"""Names that byte code uses to reach state outside the model, and the contents of objects that have such names."""

from __future__ import annotations

import dis
import sys
from collections import deque
from functools import _lru_cache_wrapper, cache, cached_property, partial, partialmethod
from pathlib import PurePath
from types import CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from cnncost.frontends.torch.kinds import LEAVES, is_system_module

_STORES_GLOBAL, _STORES_ATTRIBUTE = dis.opmap["STORE_GLOBAL"], dis.opmap["STORE_ATTR"]
_EXTENDED = dis.opmap["EXTENDED_ARG"]
_BY_TEXT = frozenset("globals vars setattr delattr modules import_module f_globals __dict__ exec eval".split())
"""Names used by code that accesses variables by name, as text: its string constants may be names, too."""
_WRAPPERS = frozenset({cached_property, partialmethod})


class Names(NamedTuple):
    """Names in a code object, including nested code.

    Attributes:
        used: globals and attributes that it uses.
        stored: globals that it sets.
        assigned: attributes that it sets on any object, such as a module.
        computed: string constants that may be names, if it looks names up by text (`globals()`, `setattr`).
    """

    used: frozenset[str]
    stored: frozenset[str]
    assigned: frozenset[str]
    computed: frozenset[str]


@cache
def names_of(code: CodeType) -> Names:
    """Return the names in a code object; cached."""
    used, computed = set(code.co_names), set[str]()
    stored, assigned = _stored(code)
    if not _BY_TEXT.isdisjoint(used):
        computed = {text for text in code.co_consts if isinstance(text, str) and text.replace(".", "_").isidentifier()}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = names_of(constant)
            used |= inner.used
            stored |= inner.stored
            assigned |= inner.assigned
            computed |= inner.computed
    return Names(frozenset(used), frozenset(stored), frozenset(assigned), frozenset(computed))


def _stored(code: CodeType) -> tuple[set[str], set[str]]:
    """Return the globals and the attributes that code sets. `dis` would take ten times as long."""
    found: dict[int, set[str]] = {_STORES_GLOBAL: set(), _STORES_ATTRIBUTE: set()}
    extension, instructions = 0, code.co_code
    opcodes = instructions[::2]
    if _STORES_GLOBAL in opcodes or _STORES_ATTRIBUTE in opcodes:
        for opcode, argument in zip(opcodes, instructions[1::2], strict=True):
            if opcode in found:
                found[opcode].add(code.co_names[extension | argument])
            extension = (extension | argument) << 8 if opcode == _EXTENDED else 0
    return found[_STORES_GLOBAL], found[_STORES_ATTRIBUTE]


def is_own(namespace: Any) -> bool:
    """True if a namespace belongs to the user's code, which is read completely, and not to an installed package.

    Packages are large, and their code rarely changes state other than the variables that it names.
    """
    name = namespace.get("__module__", namespace.get("__name__"))  # a class has the former, a Python module the latter
    return not isinstance(name, str) or not _is_installed(name.partition(".")[0])


@cache
def _is_installed(package: str) -> bool:
    module = sys.modules.get(package)
    where = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
    return not _INSTALLED.isdisjoint(PurePath(where or "").parts)


_INSTALLED = frozenset({"site-packages", "dist-packages"})


def contents(value: Any) -> list[Any]:
    """Return the objects that a container, an object of a user's class, or a wrapper of a function refers to."""
    if isinstance(value, dict):
        return list(dict.values(value))
    if isinstance(value, MappingProxyType):
        return list(value.values())
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return list(value)
    kind = type(value)
    if kind is partial or kind in _WRAPPERS:
        return [getattr(value, "func", None), *getattr(value, "args", ()), *getattr(value, "keywords", {}).values()]
    table = getattr(value, "__dict__", None)
    return list(table.values()) if type(table) is dict and not is_system_module(kind.__module__) else []


_MAX_FOLLOWED = 100
"""Maximum number of containers and objects to search in a variable, and of items in each of them."""


def code_in(value: Any) -> list[Any]:
    """Return the functions, classes and Python modules in a variable and its contents, and the classes of objects."""
    found: list[Any] = []
    pending, seen = [value], set[int]()
    while pending and len(seen) < _MAX_FOLLOWED:
        item = pending.pop()
        kind = type(item)
        if kind in LEAVES or isinstance(item, (torch.Tensor, nn.Module)):
            continue
        if isinstance(item, type) or kind in {FunctionType, ModuleType, _lru_cache_wrapper}:
            found.append(item)
        elif kind in {staticmethod, classmethod, MethodType}:
            found.append(item.__func__)
        elif id(item) not in seen:
            seen.add(id(item))
            found.append(kind)
            items = contents(item)
            pending.extend(items if len(items) <= _MAX_FOLLOWED else ())
    return found


__all__ = ["Names", "code_in", "contents", "is_own", "names_of"]
