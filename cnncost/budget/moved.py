"""Modules that were moved: where in the new model the subtree is that has the most in common with one of the old."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeAlias

from cnncost.budget.snapshot import Part
from cnncost.budget.trees import ALIKE, Subtree, Tree

_Places: TypeAlias = deque[tuple[int, str]]
_NAMED = 0.5
"""What an equal name counts beside the share of equal modules."""
_COMPARED = 500_000
"""Pairs of different subtrees that are compared; after these only `_FEW` for each module."""
_FEW = 8


class _Group:
    """Modules of one class that hold the same, by order and path."""

    def __init__(self, subtree: Subtree) -> None:
        self.subtree = subtree
        self.all: _Places = deque()
        self.named: dict[str, _Places] = {}

    def add(self, order: int, part: Part) -> None:
        self.all.append((order, part.path))
        self.named.setdefault(part.name, deque()).append((order, part.path))


class Moved:
    """The modules of the new model that are left, to be found by what they hold.

    Args:
        tree: the new model.
        left: the modules to look among, in order.
        taken: paths of those that are no longer free; it may grow.
    """

    def __init__(self, tree: Tree, left: Iterable[Part], taken: set[str]) -> None:
        self.tree, self.taken, self.compared = tree, taken, 0
        self.groups: dict[tuple[str, int], _Group] = {}
        self.holding: dict[tuple[str, int], dict[_Group, None]] = {}
        """By class and a kind of module that is in it."""
        for order, part in enumerate(left):
            subtree = tree.subtrees[part.path]
            key = (part.class_name, subtree.bag)
            if key not in self.groups:
                group = self.groups[key] = _Group(subtree)
                for kind in subtree.kinds:
                    self.holding.setdefault((part.class_name, kind), {})[group] = None
            self.groups[key].add(order, part)

    def best(self, part: Part, subtree: Subtree) -> str | None:
        """The free module that is most like one of the old model; the first one on a tie."""
        if not subtree.has_weight:
            return None  # a moved ReLU can't be told from any other
        best, first, found = 0.0, 0, None
        for group in self._candidates(subtree):
            share = self.tree.all.share(subtree, group.subtree)
            place = self._free(group.named.get(part.name))
            score = share + _NAMED * (place is not None)
            place = place or self._free(group.all)
            if share >= ALIKE and place and (score > best or (score == best and place[0] < first)):
                best, (first, found) = score, place
        return found

    def _free(self, places: _Places | None) -> tuple[int, str] | None:
        while places and places[0][1] in self.taken:
            places.popleft()
        return places[0] if places else None

    def _candidates(self, subtree: Subtree) -> Iterator[_Group]:
        """The groups that can have enough in common, equal modules first."""
        equal = self.groups.get((subtree.class_name, subtree.bag))
        if equal and self._free(equal.all):
            yield equal
        near = self._near(subtree, equal)
        if self.compared > _COMPARED:
            near = islice(near, _FEW)
        for group in near:
            self.compared += 1
            yield group

    def _near(self, subtree: Subtree, equal: _Group | None) -> Iterator[_Group]:
        """Those of about its size that share one of its rarer kinds.

        Of two subtrees with s and t modules, of which half are equal, at least s/3 are: these are ALIKE·(s + t)/2 or
        more, and at most t.
        """
        postings = [(self.holding.get((subtree.class_name, kind), {}), n) for kind, n in subtree.kinds.items()]
        seen = {equal}
        rest = subtree.size
        for groups, count in sorted(postings, key=lambda each: len(each[0])):
            if 3 * rest < subtree.size:
                return
            rest -= count
            for group in list(groups):
                if not self._free(group.all):
                    del groups[group]
                elif group not in seen:
                    seen.add(group)
                    sizes = subtree.size, group.subtree.size
                    if 2 * min(sizes) >= ALIKE * sum(sizes):
                        yield group
