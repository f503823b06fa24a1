"""The module tree as displayed rows: own shares, folded runs of equal siblings, and a depth that fits.

The rows at any depth add up to the total: an expanded parent gets a separate row for the ops
that its own forward ran outside its children, and a folded run of equal siblings is their sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from cnncost.report.data import ReportData
from cnncost.report.naming import OWN
from cnncost.report.rows import Layer, Module, Status
from cnncost.report.schema import changed, names, times, total
from cnncost.report.tree import by_module, parents_in, windows_of

_VALUES = {kind: attrgetter(*[f.name for f in fields(kind) if f.name != "path"]) for kind in (Layer, Module)}
"""By row class, a function that returns a row's fields except its path; only rows with equal fields are folded."""
_WORTH_FOLDING = {True: 3, False: 2}
"""Minimum number of equal siblings to fold into one row, by whether they are leaves."""


@dataclass(frozen=True, slots=True)
class Item:
    """A row of the outline: a module, a folded run of equal siblings, or a module's own share.

    Attributes:
        name: the last part of the path; `1 … 5` for a folded run; `(own)` for an own share; the model's name for a
            model without children.
        paths: paths of the modules summed in the row; more than `siblings` if an ancestor is folded.
        row: the sum of their numbers.
        siblings: number of equal siblings that the row represents.
        own: whether the row is an own share: the ops that a module with children runs itself.
        children: items of the next level; empty for a leaf.
    """

    name: str
    paths: tuple[str, ...]
    row: Module
    siblings: int = 1
    own: bool = False
    children: tuple[Item, ...] = ()


class TreeRow(NamedTuple):
    """An item with its level, 0 for the model's children."""

    item: Item
    level: int


def outline(report: ReportData, fold: bool = True) -> tuple[Item, ...]:
    """Return the model's children and its own share, or one item for a model without children.

    With `fold`, a run of equal siblings is one item.
    """
    # cached in the report, whose outline can't change and is needed several times by a page; in its __dict__, because
    # a frozen dataclass takes no new attributes
    outlines: dict[bool, tuple[Item, ...]] = vars(report).setdefault("_outlines", {})
    if fold not in outlines:
        builder = _Outline(report, fold)
        outlines[fold] = builder.children_of(("",)) or (builder.item("", ("",), 1),)
    return outlines[fold]


def inside(report: ReportData, path: str) -> tuple[Item, ...]:
    """Return the items of a module's children, with equal siblings folded, and its own share; empty for a leaf."""
    return _Outline(report, fold=True).children_of((path,))


def visible(items: tuple[Item, ...], depth: int, level: int = 0) -> Iterator[TreeRow]:
    """Yield the items of the first `depth` levels of the tree, parents first; `items` are those of `level`."""
    for item in items if level < depth else ():
        yield TreeRow(item, level)
        yield from visible(item.children, depth, level + 1)


def depth_of(items: tuple[Item, ...]) -> int:
    """Return the number of levels."""
    return max((1 + depth_of(item.children) for item in items), default=0)


def fitting_depth(items: tuple[Item, ...], rows: int) -> int:
    """Return the greatest depth with at most `rows` rows; 1 if there is none."""
    deepest = depth_of(items)
    return max((d for d in range(1, deepest + 1) if sum(1 for _ in visible(items, d)) <= rows), default=1)


def layer_names(report: ReportData) -> list[str]:
    """Return the layers' displayed names: paths, with `#2` for a second call and `(own)` for a parent's own share."""
    parents = {"", *parents_in(report.tree)}
    return [f"{layer.label} {OWN}".strip() if layer.path in parents else layer.label for layer in report.layers]


def biggest_name(report: ReportData) -> str:
    """Return the displayed name of `report.biggest`, with its number of calls if several; empty if it is None."""
    biggest = report.biggest
    if biggest is None:
        return ""
    if not biggest.path and "" not in parents_in(report.tree):
        return biggest.class_name  # the model is a single layer, whose row has this name
    name = layer_names(report)[next(i for i, row in enumerate(report.layers) if row.path == biggest.path)]
    return name + (f" ({biggest.calls} calls)" if biggest.calls > 1 else "")


class _Outline:
    """Builds the items of one report."""

    def __init__(self, report: ReportData, fold: bool) -> None:
        self.report, self.fold = report, fold
        self.modules = {module.path: module for module in report.modules}
        self.child_paths: dict[str, list[str]] = {}
        self.layers = by_module(report.layers)
        self._ids: dict[object, int] = {}
        self._id_by_path: dict[str, int] = {}
        for path, _, _ in report.tree:
            if path:
                self.child_paths.setdefault(path.rpartition(".")[0], []).append(path)

    def item(self, name: str, paths: tuple[str, ...], siblings: int) -> Item:
        """Return the item of modules that are equal but for their paths; `paths[0]` represents them all."""
        module = self.modules[paths[0]]
        row = module if len(paths) == 1 else times(module, len(paths))
        status = self._status(paths[0])
        row = row if row.status == status else changed(row, status=status)
        return Item(name or self.report.model, paths, row, siblings, children=self.children_of(paths))

    def children_of(self, paths: tuple[str, ...]) -> tuple[Item, ...]:
        """Return the items of equal modules' children, and of their own share."""
        child_paths = self.child_paths.get(paths[0], [])
        items = []
        for run in self._runs(child_paths):
            names = [child.rpartition(".")[2] for child in run]
            all_paths = tuple(f"{path}.{name}" if path else name for path in paths for name in names)
            items.append(self.item(_run_name(names), all_paths, len(run)))
        own = self._own(paths) if child_paths else None
        return (*items, own) if own else tuple(items)

    def _runs(self, paths: list[str]) -> Iterator[list[str]]:
        """Yield runs of equal neighbours that are long enough to fold, and all other paths singly."""
        if not self.fold:
            yield from ([path] for path in paths)
            return
        for _, group in groupby(paths, key=self._displayed_id):
            run = list(group)
            if len(run) >= _WORTH_FOLDING[run[0] not in self.child_paths]:
                yield run
            else:
                yield from ([path] for path in run)

    def _displayed_id(self, path: str) -> int:
        """Return an id shared by all modules whose rows and descendants are equal."""
        if path not in self._id_by_path:
            child_paths = self.child_paths.get(path, ())
            children = tuple((child.rpartition(".")[2], self._displayed_id(child)) for child in child_paths)
            layers = tuple(map(_VALUES[Layer], self.layers.get(path, ())))
            key = (_VALUES[Module](self.modules[path]), layers, children)
            self._id_by_path[path] = self._ids.setdefault(key, len(self._ids))
        return self._id_by_path[path]

    def _own(self, paths: tuple[str, ...]) -> Item | None:
        """Return the own share of modules with children: the ops that they run themselves.

        None if all its sums are zero and no op is unknown.
        """
        layers = self.layers.get(paths[0], [])
        sums = total(layers, Layer)
        unknown = any(layer.unknown for layer in layers)
        if not unknown and not any(sums.values()):
            return None
        status: Status = "data" if any(layer.status == "data" for layer in layers) else "called"
        not_summed = dict.fromkeys(names(Module, "no"))  # None: an own share has no such values
        numbers: dict[str, Any] = sums | not_summed | windows_of(layers)
        row = changed(
            self.modules[paths[0]], class_name="", output_shapes=(), unknown=unknown, status=status, leaf=True,
            **numbers,
        )  # fmt: skip
        return Item(OWN, paths, times(row, len(paths)), own=True)

    def _status(self, path: str) -> Status:
        """Return a module's status; for a container that was never called, a status derived from its children."""
        module, child_paths = self.modules[path], self.child_paths.get(path, [])
        if module.calls or not child_paths or path in self.layers:
            return module.status
        statuses = {self._status(child) for child in child_paths}
        if "data" in statuses:
            return "data"
        if statuses & {"called", "failed"}:
            return "called"
        if "unreached" in statuses:
            return "unreached"
        return "used" if "used" in statuses else "unused"


def _run_name(names: list[str]) -> str:
    if len(names) < 3:
        return ", ".join(names)
    return f"{names[0]} … {names[-1]}"
