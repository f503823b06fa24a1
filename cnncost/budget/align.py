"""Matches modules of the old and the new model, including renamed or moved ones.

The trees are matched from the top down: the children of two matched modules are aligned, in order, such that the total
similarity of the pairs is greatest (`in_order`). The modules left over on both sides are then matched wherever they are
in the tree, each with the subtree that has the most in common with it (`moved`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

from cnncost.budget import in_order
from cnncost.budget.moved import Moved
from cnncost.budget.snapshot import Part, Snapshot
from cnncost.budget.trees import MIN_SHARE, Subtree, Subtrees, Tree, similarity

_Unnamed: TypeAlias = tuple[Subtree, tuple[int, ...]]
"""A module apart from its name: its subtree and all its figures."""


def align(old: Snapshot, new: Snapshot) -> dict[str, str]:
    """Return old path → new path of matched modules, each at most once.

    The two roots are matched, unless one model wraps the other.
    """
    subtrees = Subtrees()
    return _Alignment(Tree(old, subtrees), Tree(new, subtrees)).pairs


def _path_of_wrapped(model: Tree, other: Tree) -> str:
    """Return the path of the module in `other` that is most similar to `model` and has its class; "" if none is."""
    whole = model.subtrees[""]
    candidates = [
        (model.all_subtrees.share(whole, subtree), path)
        for path, subtree in other.subtrees.items()
        if path and subtree.class_name == whole.class_name
    ]
    common, path = max(candidates, default=(0.0, ""))
    return path if common >= MIN_SHARE else ""


class _Alignment:
    """Matches the modules of two models; `pairs` maps the old path of each matched module to its new path."""

    def __init__(self, old: Tree, new: Tree) -> None:
        self.old, self.new = old, new
        self.pairs: dict[str, str] = {}
        self._cached_similarity = cache(self._similarity_of_renamed)
        self._pair_descendants(*self._roots())
        self._pair_moved()

    def _roots(self) -> tuple[str, str]:
        """Return the paths of the first pair: the two models, or one model and its counterpart inside its wrapper."""
        if self.old.root.class_name != self.new.root.class_name:
            inner = _path_of_wrapped(self.old, self.new)
            if inner:
                return "", inner
            return _path_of_wrapped(self.new, self.old), ""
        return "", ""

    def _pair_descendants(self, old: str, new: str) -> None:
        """Pair two modules, and match their descendants."""
        pending = [(old, new)]
        while pending:
            a, b = pending.pop()
            self.pairs[a] = b
            pending += self._match_siblings(self.old.children(a), self.new.children(b))

    def _match_siblings(self, a: Sequence[Part], b: Sequence[Part]) -> list[tuple[str, str]]:
        """Match two lists of siblings in order.

        At either end, siblings with the same name and modules are paired without a search.
        """
        pairs = []
        start = 0
        while start < min(len(a), len(b)) and self._same_name_and_modules(a[start], b[start]):
            pairs.append((a[start].path, b[start].path))
            start += 1
        end = 0
        while end < min(len(a), len(b)) - start and self._same_name_and_modules(a[-1 - end], b[-1 - end]):
            pairs.append((a[-1 - end].path, b[-1 - end].path))
            end += 1
        return pairs + self._best_in_order(a[start : len(a) - end], b[start : len(b) - end])

    def _same_name_and_modules(self, a: Part, b: Part) -> bool:
        """Return whether two modules have the same name and consist of the same modules, in any order."""
        return a.name == b.name and self.old.subtrees[a.path].bag == self.new.subtrees[b.path].bag

    def _best_in_order(self, a: Sequence[Part], b: Sequence[Part]) -> list[tuple[str, str]]:
        """Return the matching with the greatest total similarity that keeps the order of siblings."""
        if not a or not b:
            return []
        old = [(self.old.subtrees[part.path], self.old.figures[part.path]) for part in a]
        new = [(self.new.subtrees[part.path], self.new.figures[part.path]) for part in b]
        index_in_b = {part.name: j for j, part in enumerate(b)}
        named = {
            i: (j, self._similarity(old[i], new[j], part.name))
            for i, part in enumerate(a)
            if (j := index_in_b.get(part.name)) is not None
        }
        pairs = in_order.match(in_order.Sequences(old, new, self._cached_similarity, named))
        return [(a[i].path, b[j].path) for i, j in pairs]

    def _similarity(self, a: _Unnamed, b: _Unnamed, name: str | None) -> float:
        return similarity(self.old.all_subtrees, a[0], b[0], a[1] == b[1], name)

    def _similarity_of_renamed(self, a: _Unnamed, b: _Unnamed) -> float:
        return self._similarity(a, b, None)

    def _pair_moved(self) -> None:
        """Pair each remaining old module, largest first, with the new one that has the most in common with it."""
        taken = set(self.pairs.values())
        unpaired_old = [part for part in self.old.snapshot.parts if part.path not in self.pairs]
        unpaired_new = [part for part in self.new.snapshot.parts if part.path not in taken]
        if not unpaired_old or not unpaired_new:
            return
        moved = Moved(self.new, unpaired_new, taken)
        for part in sorted(unpaired_old, key=lambda part: -self.old.subtrees[part.path].size):
            if part.path in self.pairs:  # paired meanwhile, as part of a larger subtree
                continue
            partner = moved.best(part, self.old.subtrees[part.path])
            if partner is not None:
                self._pair_unpaired(part.path, partner, taken)

    def _pair_unpaired(self, old: str, new: str, taken: set[str]) -> None:
        """Pair the modules of two moved subtrees, except those that are already paired."""
        pending = [(old, new)]
        while pending:
            a, b = pending.pop()
            self.pairs[a] = b
            taken.add(b)
            free_old = [p for p in self.old.children(a) if p.path not in self.pairs]
            free_new = [p for p in self.new.children(b) if p.path not in taken]
            pending += self._match_siblings(free_old, free_new)
