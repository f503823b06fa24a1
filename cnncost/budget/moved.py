"""Finds moved modules: for a subtree of the old model, the subtree of the new model most similar to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeAlias

from cnncost.budget.snapshot import Part
from cnncost.budget.trees import MIN_SHARE, Subtree, Tree

_Places: TypeAlias = deque[tuple[int, str]]
"""(index, path) of modules, in the model's order."""
_SAME_NAME = 0.5
"""Score for an equal name; it is added to the share of equal modules, from 0 to 1."""
_MAX_COMPARISONS = 500_000
"""Number of comparisons of subtrees after which each further module is compared with at most `_FEW` near candidates."""
_FEW = 8


class _Group:
    """Modules of one class whose subtrees consist of the same modules, in any order; in order, and by name."""

    def __init__(self, subtree: Subtree) -> None:
        self.subtree = subtree
        self.all: _Places = deque()
        self.by_name: dict[str, _Places] = {}

    def add(self, order: int, part: Part) -> None:
        self.all.append((order, part.path))
        self.by_name.setdefault(part.name, deque()).append((order, part.path))


class Moved:
    """An index of the new model's unmatched modules by the modules in their subtrees.

    Args:
        tree: the new model.
        unmatched: the unmatched modules, in order.
        taken: paths of modules that have been matched; the caller may add paths at any time.
    """

    def __init__(self, tree: Tree, unmatched: Iterable[Part], taken: set[str]) -> None:
        self.tree, self.taken, self.compared = tree, taken, 0
        self.groups: dict[tuple[str, int], _Group] = {}
        self.groups_with: dict[tuple[str, int], dict[_Group, None]] = {}
        """Groups by (class of the module, a kind of module in its subtree)."""
        for order, part in enumerate(unmatched):
            subtree = tree.subtrees[part.path]
            key = (part.class_name, subtree.bag)
            if key not in self.groups:
                group = self.groups[key] = _Group(subtree)
                for kind in subtree.kinds:
                    self.groups_with.setdefault((part.class_name, kind), {})[group] = None
            self.groups[key].add(order, part)

    def best(self, part: Part, subtree: Subtree) -> str | None:
        """Return the path of the free module most similar to an old one, the first one on a tie; None: no match."""
        if not subtree.recognizable:
            return None  # one ReLU can't be distinguished from another
        best, first, best_path = 0.0, 0, None
        for group in self._candidates(subtree):
            share = self.tree.all_subtrees.share(subtree, group.subtree)
            candidate = self._free(group.by_name.get(part.name))
            score = share + (_SAME_NAME if candidate is not None else 0.0)
            candidate = candidate or self._free(group.all)
            if share >= MIN_SHARE and candidate and (score > best or (score == best and candidate[0] < first)):
                best, (first, best_path) = score, candidate
        return best_path

    def _free(self, places: _Places | None) -> tuple[int, str] | None:
        """Return the first module that is not taken; those before it are removed, because they stay taken."""
        while places and places[0][1] in self.taken:
            places.popleft()
        return places[0] if places else None

    def _candidates(self, subtree: Subtree) -> Iterator[_Group]:
        """Yield the groups that may be similar enough, starting with the group of equal subtrees."""
        equal = self.groups.get((subtree.class_name, subtree.bag))
        if equal and self._free(equal.all):
            yield equal
        near = self._near(subtree, equal)
        if self.compared > _MAX_COMPARISONS:
            near = islice(near, _FEW)
        for group in near:
            self.compared += 1
            yield group

    def _near(self, subtree: Subtree, equal: _Group | None) -> Iterator[_Group]:
        """Yield other groups of about the subtree's size that contain one of its rarer kinds of modules.

        Kinds are searched from the rarest on, and the most common ones can be skipped: two subtrees of s and t modules
        that are similar enough have c ≥ s/3 modules in common, because c is at least MIN_SHARE·(s + t)/2 and at most t.
        """
        postings = [(self.groups_with.get((subtree.class_name, kind), {}), n) for kind, n in subtree.kinds.items()]
        seen = {equal}
        remaining = subtree.size  # number of modules whose kinds have not been searched
        for groups, count in sorted(postings, key=lambda each: len(each[0])):
            if 3 * remaining < subtree.size:
                return
            remaining -= count
            for group in list(groups):
                if not self._free(group.all):
                    del groups[group]
                elif group not in seen:
                    seen.add(group)
                    sizes = subtree.size, group.subtree.size
                    if 2 * min(sizes) >= MIN_SHARE * sum(sizes):
                        yield group
