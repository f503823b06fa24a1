"""The modules of two models as one tree: those of the new one, and the removed ones where they stood.

Each module of either model is in it once, at its place in the new model, so that what is below a row adds up to it on
both sides, and the first row has the totals of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from cnncost.budget.diff import Change, Diff
from cnncost.budget.snapshot import SUMMED, Part

State: TypeAlias = Literal["same", "inside", "changed", "added", "removed"]
"""What became of a module: `inside` where only modules in it changed."""
_Node: TypeAlias = tuple[Literal["old", "new"], str]
"""A module by its path: in the new model, or of those that are only in the old one in that."""
_ROOT: _Node = ("new", "")


class Joint(NamedTuple):
    """A row of the tree.

    Attributes:
        level: from 0, the model.
        name: the last part of its path; of a module's own share empty.
        own: whether it is the share that a module with others in it has without them.
        old, new: the module in both models; None where it is not.
        state: what became of it.
        reasons: what changed of itself, in words.
        before, after: figures by name, with all that is below the row.
        unknown: whether an op without a rule is missing from them, before and after.
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
        """In the new model; of a removed module in the old one."""
        part = self.new or self.old
        return part.path if part else ""


def united(diff: Diff) -> tuple[Joint, ...]:
    """The rows, parents first."""
    return tuple(_Union(diff).rows(_ROOT, 0))


class _Union:
    def __init__(self, diff: Diff) -> None:
        self.diff = diff
        self.back = {new: old for old, new in diff.pairs.items()}
        self.changes: dict[tuple[str | None, str | None], Change] = {
            (each.old.path if each.old else None, each.new.path if each.new else None): each for each in diff.changes
        }
        self.below: dict[_Node, list[_Node]] = {
            ("new", path): [("new", part.path) for part in parts] for path, parts in diff.new.children.items()
        }
        for part in diff.old.parts:
            if part.path not in diff.pairs:
                self.below["old", part.path] = []
        if "" not in diff.pairs:
            self.below[_ROOT].append(("old", ""))
        for path, parts in diff.old.children.items():
            self._insert(self._node(path), [self._node(part.path) for part in parts])

    def _node(self, old: str) -> _Node:
        """Where a module of the old model is."""
        return ("new", self.diff.pairs[old]) if old in self.diff.pairs else ("old", old)

    def _insert(self, above: _Node, stood: list[_Node]) -> None:
        """Put the removed ones of what stood in a module behind what stood before them and is in it still."""
        kept = {*self.below[above]}
        behind: dict[_Node | None, list[_Node]] = {}
        last: _Node | None = None
        for node in stood:
            if node in kept:
                last = node
            elif node[0] == "old":
                behind.setdefault(last, []).append(node)
        first = behind.get(None, [])
        self.below[above] = first + [each for node in self.below[above] for each in (node, *behind.get(node, []))]

    def _sides(self, node: _Node) -> tuple[Part | None, Part | None]:
        which, path = node
        if which == "old":
            return self.diff.old.by_path[path], None
        old = self.back.get(path)
        return (None if old is None else self.diff.old.by_path[old]), self.diff.new.by_path[path]

    def rows(self, node: _Node, level: int) -> Iterator[Joint]:
        """A module and all that is in it."""
        old, new = self._sides(node)
        children = self.below[node]
        inner = [row for child in children for row in self.rows(child, level + 1)]
        share = self._own(old, new, level + 1) if children else None
        direct = [row for row in inner if row.level == level + 1]
        before, after = _with(old, [row.before for row in direct]), _with(new, [row.after for row in direct])
        unknown = tuple(
            (part is not None and part.unknown) or any(row.unknown[i] for row in direct)
            for i, part in enumerate((old, new))
        )
        state, reasons = self._became(old, new)
        if state == "same" and any(row.state != "same" for row in direct):
            state = "inside"
        name = node[1].rpartition(".")[2]
        if not name:
            models = (self.diff.old.model,) if node[0] == "old" else (self.diff.old.model, self.diff.new.model)
            name = " → ".join(dict.fromkeys(models))
        yield Joint(level, name, False, old, new, state, reasons, before, after, (unknown[0], unknown[1]))
        yield from inner
        if share is not None:
            yield share

    def _own(self, old: Part | None, new: Part | None, level: int) -> Joint | None:
        """A module's own share; None where it has none in either model."""
        before, after = _with(old, []), _with(new, [])
        unknown = (old is not None and old.unknown, new is not None and new.unknown)
        if not any((*before.values(), *after.values(), *unknown)):
            return None
        state, reasons = self._became(old, new)
        return Joint(level, "", True, old, new, state, reasons, before, after, unknown)

    def _became(self, old: Part | None, new: Part | None) -> tuple[State, tuple[str, ...]]:
        change = self.changes.get((old.path if old else None, new.path if new else None))
        return ("same", ()) if change is None else (change.kind, change.reasons)


def _with(part: Part | None, below: list[dict[str, int]]) -> dict[str, int]:
    """A module's own figures and those below it."""
    return {name: (getattr(part, name) if part else 0) + sum(each[name] for each in below) for name in SUMMED}
