"""Unites the modules of two models in one tree: the new model's tree, with removed modules inserted where they were.

A matched module has one row, at its place in the new model. So the figures of a module's children and its own share add
up to the module's figures, before and after, and the first row has the totals of both models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from cnncost.budget.diff import Change, Diff
from cnncost.budget.snapshot import SUMMED, Part

State: TypeAlias = Literal["same", "inside", "changed", "added", "removed"]
"""The state of a module relative to the old model. `inside`: only modules inside it changed."""
_Node: TypeAlias = tuple[Literal["old", "new"], str]
"""The model that a path belongs to, and the path: the old path for a removed module, else the new one."""
_ROOT: _Node = ("new", "")


class TreeRow(NamedTuple):
    """A row of the tree.

    Attributes:
        level: depth in the tree; 0 is the model.
        name: the last part of the module's path, or the names of the models for the root; empty if `own`.
        own: whether the row is a module's own share, without its children.
        old, new: the module in the old and in the new model; None in a model that lacks it.
        state: whether and how the module changed.
        reasons: what changed in the module itself.
        before, after: figures by name; descendants are included, unless `own`.
        unknown: whether ops without a rule are missing from the figures, before and after.
    """

    level: int
    name: str
    own: bool
    old: Part | None
    new: Part | None
    state: State
    reasons: tuple[str, ...]
    before: dict[str, int]
    after: dict[str, int]
    unknown: tuple[bool, bool]

    @property
    def path(self) -> str:
        """The module's path in the new model; a removed module's path in the old one."""
        part = self.new or self.old
        return part.path if part else ""


def united(diff: Diff) -> tuple[TreeRow, ...]:
    """Return the tree's rows, parents before children."""
    return tuple(_Union(diff).rows(_ROOT, 0))


class _Union:
    """The united tree of two models, built from their differences.

    Attributes:
        old_paths: new path → old path of each module that both models have.
        changes: the changed modules, by (old path, new path).
        children: the children of each module, in the order of the rows.
    """

    def __init__(self, diff: Diff) -> None:
        self.diff = diff
        self.old_paths = diff.back
        self.changes: dict[tuple[str | None, str | None], Change] = {
            (each.old.path if each.old else None, each.new.path if each.new else None): each for each in diff.changes
        }
        self.children: dict[_Node, list[_Node]] = {
            ("new", path): [("new", part.path) for part in parts] for path, parts in diff.new.children.items()
        }
        for part in diff.old.parts:
            if part.path not in diff.pairs:
                self.children["old", part.path] = []
        if "" not in diff.pairs:  # the old model wraps the new one
            self.children[_ROOT].append(("old", ""))
        for path, parts in diff.old.children.items():
            self._insert(self._node(path), [self._node(part.path) for part in parts])

    def _node(self, old: str) -> _Node:
        """Return the node of a module of the old model."""
        return ("new", self.diff.pairs[old]) if old in self.diff.pairs else ("old", old)

    def _insert(self, parent: _Node, old_children: list[_Node]) -> None:
        """Insert each removed child of a module after its nearest earlier sibling that is still in the module."""
        in_parent = {*self.children[parent]}
        behind: dict[_Node | None, list[_Node]] = {}
        last: _Node | None = None
        for node in old_children:
            if node in in_parent:
                last = node
            elif node[0] == "old":
                behind.setdefault(last, []).append(node)
        first = behind.get(None, [])
        self.children[parent] = first + [
            each for node in self.children[parent] for each in (node, *behind.get(node, []))
        ]

    def _sides(self, node: _Node) -> tuple[Part | None, Part | None]:
        """Return a node's module in the old and in the new model; None in a model that lacks it."""
        side, path = node
        if side == "old":
            return self.diff.old.by_path[path], None
        old = self.old_paths.get(path)
        return (None if old is None else self.diff.old.by_path[old]), self.diff.new.by_path[path]

    def rows(self, node: _Node, level: int) -> Iterator[TreeRow]:
        """Yield the rows of a module and of all modules inside it."""
        old, new = self._sides(node)
        children = self.children[node]
        inner = [row for child in children for row in self.rows(child, level + 1)]
        share = self._own(old, new, level + 1) if children else None
        direct = [row for row in inner if row.level == level + 1]
        before = _with_children(old, [row.before for row in direct])
        after = _with_children(new, [row.after for row in direct])
        unknown = tuple(
            (part is not None and part.unknown) or any(row.unknown[i] for row in direct)
            for i, part in enumerate((old, new))
        )
        state, reasons = self._state_of(old, new)
        if state == "same" and any(row.state != "same" for row in direct):
            state = "inside"
        name = node[1].rpartition(".")[2]
        if not name:
            models = (self.diff.old.model,) if node[0] == "old" else (self.diff.old.model, self.diff.new.model)
            name = " → ".join(dict.fromkeys(models))
        yield TreeRow(level, name, False, old, new, state, reasons, before, after, (unknown[0], unknown[1]))
        yield from inner
        if share is not None:
            yield share

    def _own(self, old: Part | None, new: Part | None, level: int) -> TreeRow | None:
        """Return the row of a module's own share; None if all of its figures are 0 in both models."""
        before, after = _with_children(old, []), _with_children(new, [])
        unknown = (old is not None and old.unknown, new is not None and new.unknown)
        if not any((*before.values(), *after.values(), *unknown)):
            return None
        state, reasons = self._state_of(old, new)
        return TreeRow(level, "", True, old, new, state, reasons, before, after, unknown)

    def _state_of(self, old: Part | None, new: Part | None) -> tuple[State, tuple[str, ...]]:
        change = self.changes.get((old.path if old else None, new.path if new else None))
        return ("same", ()) if change is None else (change.kind, change.reasons)


def _with_children(part: Part | None, children: list[dict[str, int]]) -> dict[str, int]:
    """Add up a module's own figures and its children's."""
    return {name: (getattr(part, name) if part else 0) + sum(each[name] for each in children) for name in SUMMED}
