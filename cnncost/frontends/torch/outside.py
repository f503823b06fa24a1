"""What modules' code takes from outside the modules: globals, classes, functions, torch's own.

A recording needs not be repeated if everything that it can depend on is as it was. Modules, parameters and inputs are
compared elsewhere; here is the rest. The code of the modules' methods is read, and that of all functions and classes
that it names, and each name is looked up. Where code can reach something whose changes can't be seen (a clock, an
object of a class that is not known, a module of Python passed as a value), there is no snapshot, and forward runs.
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
    """A snapshot of what modules' code names.

    Args:
        modules: all modules of a model.

    Raises:
        Unseen: there is something whose changes can't be seen.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        reader = Reader()
        for module in modules:
            reader.module(module)
        reader.follow()
        tables: list[dict[Any, Any]] = _spaces(reader)
        for table in tables:
            reader.replaced(table)
        self._names = [(space, name, value) for (_, name), (space, value) in reader.names.items()]
        self._modules = list(reader.modules)
        kinds = reader.classes
        self._classes = [
            (kind, kind.__mro__, _NAMES(kind), list(vars(kind)), list(vars(kind).values())) for kind in kinds
        ]
        self._functions = [(function, _parts(function)) for function in reader.functions]
        self._cells = list(reader.cells.values())
        self._nests = [(value, frozen(value, set())) for value in reader.nests.values()]
        tables += [copyreg.dispatch_table, *[vars(copy)[name] for name in _DISPATCH]]
        self._tables = [(table, list(table), list(table.values())) for table in tables]
        held = [value for table in (*map(vars, kinds), *tables) for value in table.values()]
        self._of_torch = list(dict.fromkeys(v for v in held if type(v) is FunctionType))
        self._within = [cell for function in self._of_torch for cell in function.__closure__ or ()]
        self._codes = self._code()

    def same(self) -> bool:
        """Whether all of it is as it was: objects by identity, containers by their contents."""
        return (
            all(space.get(name, ABSENT) is value for space, name, value in self._names)
            and all(type(module) is ModuleType for module in self._modules)
            and all(_content(cell) is value for cell, value in self._cells)
            and all(_are(_parts(function), parts) for function, parts in self._functions)
            and all(
                kind.__mro__ is above
                and _NAMES(kind) == called
                and list(vars(kind)) == names
                and _are(vars(kind).values(), values)
                for kind, above, called, names, values in self._classes
            )
            and all(list(t) == names and _are(t.values(), values) for t, names, values in self._tables)
            and _are(self._code(), self._codes)
            and self._same_nests()
        )

    def _code(self) -> list[Any]:
        """The code, default arguments, attributes and variables of torch's functions: there are two thousand."""
        named = [space for space in map(_DICT, self._of_torch) if space]
        return [
            *chain.from_iterable(map(_CODE, self._of_torch)), *chain.from_iterable(named),
            *chain.from_iterable(map(dict.values, named)), *map(_content, self._within),
        ]  # fmt: skip

    def _same_nests(self) -> bool:
        try:
            return all(frozen(value, set()) == then for value, then in self._nests)
        except UnfitError:
            return False


def _are(some: Collection[Any], others: Collection[Any]) -> bool:
    """Whether these are the same objects."""
    return len(some) == len(others) and all(map(is_, some, others))


def _parts(function: FunctionType) -> tuple[Any, ...]:
    named = function.__dict__
    return (*_PARTS(function), *map(sys.intern, named), *named.values())


_CODE: Any = attrgetter("__code__", "__defaults__", "__kwdefaults__")
_DICT: Any = attrgetter("__dict__")
_DISPATCH = ("_copy_dispatch", "_deepcopy_dispatch")
"""Tables by which `copy` finds how objects of a class are copied."""
_NAMES: Any = attrgetter("__name__", "__qualname__")
_PARTS: Any = attrgetter(
    "__code__", "__defaults__", "__kwdefaults__", "__closure__", "__name__", "__qualname__", "__module__", "__doc__"
)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it was deleted
        return ABSENT


def _spaces(reader: Reader) -> list[dict[Any, Any]]:
    """Torch's namespaces, those of the modules that define classes of torch, and those of functions that are named."""
    names = dict.fromkeys(kind.__module__ for kind in reader.classes if kind.__module__.startswith("torch."))
    homes = [vars(sys.modules[name]) for name in names if name in sys.modules]
    spaces: dict[int, dict[Any, Any]] = {id(space): space for space in (*TABLES, *homes, *reader.spaces)}
    return list(spaces.values())


__all__ = ["Outside"]
