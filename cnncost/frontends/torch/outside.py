"""A snapshot of the objects outside a model that its code uses: globals, classes and functions, including torch's.

A model need not run again if nothing that its recording depends on has changed. `skeleton_cache.py` and `repeats.py`
compare modules, parameters and inputs; this module compares everything else. It reads the code of the modules' methods
and of all functions and classes that the code names, and looks up each name. If code can reach something whose changes
can't be detected (a clock, an object of an unknown class, a Python module passed as a value), no snapshot is taken and
forward runs.
"""

from __future__ import annotations

import copy
import copyreg
import sys
from collections.abc import Collection, Iterable
from itertools import chain
from operator import attrgetter, is_
from types import CellType, FunctionType, ModuleType
from typing import Any

from torch import nn

from cnncost.frontends.torch.frozen import UnfitError, frozen
from cnncost.frontends.torch.reading import ABSENT, Reader
from cnncost.frontends.torch.torch_own import TABLES


class Outside:
    """A snapshot of everything that the code of modules names.

    Args:
        modules: all modules of a model.

    Raises:
        UndetectableError: the code reaches something whose changes can't be detected.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        reader = Reader()
        for module in modules:
            reader.module(module)
        reader.follow()
        tables: list[dict[Any, Any]] = _spaces(reader)
        for table in tables:
            reader.check_namespace(table)
        self._names = [(space, name, value) for (_, name), (space, value) in reader.names.items()]
        self._modules = list(reader.modules)
        kinds = reader.classes
        self._classes = [
            (kind, kind.__mro__, _NAMES(kind), list(vars(kind)), list(vars(kind).values())) for kind in kinds
        ]
        self._functions = [(function, _parts(function)) for function in reader.functions]
        self._cells = list(reader.cells.values())
        self._containers = [(value, frozen(value, set())) for value in reader.containers.values()]
        tables += [copyreg.dispatch_table, *[vars(copy)[name] for name in _DISPATCH]]
        self._tables = [(table, list(table), list(table.values())) for table in tables]
        values_held = [value for table in (*map(vars, kinds), *tables) for value in table.values()]
        self._torch_functions = list(dict.fromkeys(v for v in values_held if type(v) is FunctionType))
        self._torch_cells = [cell for function in self._torch_functions for cell in function.__closure__ or ()]
        self._codes = self._code()

    def same(self) -> bool:
        """Return True if nothing has changed. Objects are compared by identity, containers by their contents."""
        return (
            all(space.get(name, ABSENT) is value for space, name, value in self._names)
            and all(type(module) is ModuleType for module in self._modules)
            and all(_content(cell) is value for cell, value in self._cells)
            and all(_identical(_parts(function), parts) for function, parts in self._functions)
            and all(
                kind.__mro__ is mro
                and _NAMES(kind) == class_names
                and list(vars(kind)) == attributes
                and _identical(vars(kind).values(), values)
                for kind, mro, class_names, attributes, values in self._classes
            )
            and all(list(t) == names and _identical(t.values(), values) for t, names, values in self._tables)
            and _identical(self._code(), self._codes)
            and self._same_containers()
        )

    def _code(self) -> list[Any]:
        """Return the code, defaults, attributes and closure variables of torch's functions, as a flat list."""
        attributes = [table for table in map(_DICT, self._torch_functions) if table]
        return [
            *chain.from_iterable(map(_CODE, self._torch_functions)), *chain.from_iterable(attributes),
            *chain.from_iterable(map(dict.values, attributes)), *map(_content, self._torch_cells),
        ]  # fmt: skip

    def _same_containers(self) -> bool:
        try:
            return all(frozen(value, set()) == then for value, then in self._containers)
        except UnfitError:
            return False


def _identical(some: Collection[Any], others: Collection[Any]) -> bool:
    """Return True if both hold the same objects in the same order."""
    return len(some) == len(others) and all(map(is_, some, others))


def _parts(function: FunctionType) -> tuple[Any, ...]:
    """Everything in a function that its calls depend on. Names are interned because parts are compared by identity."""
    attributes = function.__dict__
    return (*_PARTS(function), *map(sys.intern, attributes), *attributes.values())


_CODE: Any = attrgetter("__code__", "__defaults__", "__kwdefaults__")
_DICT: Any = attrgetter("__dict__")
_DISPATCH = tuple(name for name in ("_copy_dispatch", "_deepcopy_dispatch") if hasattr(copy, name))
"""Tables in which `copy` looks up how to copy objects of a class. In Python 3.14 frozen sets replaced one of them."""
_NAMES: Any = attrgetter("__name__", "__qualname__")
_PARTS: Any = attrgetter(
    "__code__", "__defaults__", "__kwdefaults__", "__closure__", "__name__", "__qualname__", "__module__", "__doc__"
)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the variable was deleted or never set
        return ABSENT


def _spaces(reader: Reader) -> list[dict[Any, Any]]:
    """Return the namespaces of torch that code may depend on: a fixed list, and those of used classes and functions."""
    names = dict.fromkeys(kind.__module__ for kind in reader.classes if kind.__module__.startswith("torch."))
    homes = [vars(sys.modules[name]) for name in names if name in sys.modules]
    spaces: dict[int, dict[Any, Any]] = {id(space): space for space in (*TABLES, *homes, *reader.spaces)}
    return list(spaces.values())


__all__ = ["Outside"]
