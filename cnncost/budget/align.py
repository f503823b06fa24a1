"""Matches modules of the old and the new model, including renamed or moved ones.

From the top down: the children of two modules that belong together are aligned in their order, by the
pairs that are alike the most (a longest common subsequence with weights). What is left over on both
sides is then looked for elsewhere in the tree: equal modules first, then those with most in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

from cnncost.budget.snapshot import Part, Snapshot

T = TypeVar("T")
ALIKE = 0.5
"""Minimum share of equal modules for two subtrees in different places to count as moved."""
_NAME, _INDEX, _CLASS, _SAME, _EXACT = 3.0, 1.0, 2.0, 4.0, 1.0
"""Weights: equal name (of a number in a Sequential less: it shifts), class, weights and settings, and all figures."""


class _Tree:
    """A snapshot with precomputed keys for comparing modules."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.kinds: dict[str, Counter[object]] = {}
        for part in reversed(snapshot.parts):  # children before parents
            kinds = Counter([_kind(part)])
            for child in snapshot.children[part.path]:
                kinds += self.kinds[child.path]
            self.kinds[part.path] = kinds

    @property
    def root(self) -> Part:
        return self.snapshot.parts[0]

    def size(self, path: str) -> int:
        return self.kinds[path].total()

    def children(self, path: str) -> list[Part]:
        return self.snapshot.children[path]

    @cached_property
    def exact(self) -> dict[str, tuple[int, ...]]:
        return {path: tuple(sums.values()) for path, sums in self.snapshot.sums.items()}


def _kind(part: Part) -> object:
    """Key of a module that does not depend on the input resolution."""
    return part.class_name, part.params, part.settings


def _wrapped(model: _Tree, other: _Tree) -> str:
    """Path of the other model's module that matches this model by class and most descendants; empty if none."""
    candidates = [
        (_overlap(model.kinds[""], other.kinds[part.path]), part.path)
        for part in other.snapshot.parts
        if part.path and part.class_name == model.root.class_name
    ]
    common, path = max(candidates, default=(0.0, ""))
    return path if common >= ALIKE else ""


def _overlap(a: Counter[T], b: Counter[T]) -> float:
    """The share of equal modules in two subtrees."""
    return 2 * (a & b).total() / (a.total() + b.total())


def align(old: Snapshot, new: Snapshot) -> dict[str, str]:
    """Old path → new path of matched modules, each at most once.

    The two models match each other, unless one wraps the other.
    """
    return _Alignment(_Tree(old), _Tree(new)).pairs


class _Alignment:
    def __init__(self, old: _Tree, new: _Tree) -> None:
        self.old, self.new = old, new
        self.pairs: dict[str, str] = {}
        self._down(*self._roots())
        self._moved()

    def _roots(self) -> tuple[str, str]:
        """The root paths: both models, or one model and the module that corresponds to it inside the other."""
        if self.old.root.class_name != self.new.root.class_name:
            inner = _wrapped(self.old, self.new)
            if inner:
                return "", inner
            return _wrapped(self.new, self.old), ""
        return "", ""

    def _down(self, old: str, new: str) -> None:
        """Pair two modules and their descendants."""
        waiting = [(old, new)]
        while waiting:
            a, b = waiting.pop()
            self.pairs[a] = b
            waiting += self._matched(self.old.children(a), self.new.children(b))

    def _matched(self, a: Sequence[Part], b: Sequence[Part]) -> list[tuple[str, str]]:
        """Match two lists of siblings in order; equal ends are matched before the search."""
        pairs = []
        start = 0
        while start < min(len(a), len(b)) and self._equal(a[start], b[start]):
            pairs.append((a[start].path, b[start].path))
            start += 1
        end = 0
        while end < min(len(a), len(b)) - start and self._equal(a[-1 - end], b[-1 - end]):
            pairs.append((a[-1 - end].path, b[-1 - end].path))
            end += 1
        return pairs + self._searched(a[start : len(a) - end], b[start : len(b) - end])

    def _equal(self, a: Part, b: Part) -> bool:
        return a.name == b.name and self.old.kinds[a.path] == self.new.kinds[b.path]

    def _searched(self, a: Sequence[Part], b: Sequence[Part]) -> list[tuple[str, str]]:
        """The order-preserving matching with the greatest total likeness."""
        if not a or not b:
            return []
        alike = [[self._likeness(x, y) for y in b] for x in a]
        best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i in reversed(range(len(a))):
            for j in reversed(range(len(b))):
                both = alike[i][j] + best[i + 1][j + 1] if alike[i][j] else 0.0
                best[i][j] = max(both, best[i + 1][j], best[i][j + 1])
        pairs, i, j = [], 0, 0
        while i < len(a) and j < len(b):
            if alike[i][j] and best[i][j] == alike[i][j] + best[i + 1][j + 1]:
                pairs.append((a[i].path, b[j].path))
                i, j = i + 1, j + 1
            elif best[i][j] == best[i + 1][j]:
                i += 1
            else:
                j += 1
        return pairs

    def _likeness(self, a: Part, b: Part) -> float:
        """0 if they can't be the same module; the more, the likelier they are."""
        name = (_INDEX if a.name.isdecimal() else _NAME) if a.name == b.name else 0.0
        same_class = a.class_name == b.class_name
        if not name and not same_class:
            return 0.0
        common = self._common(a.path, b.path)
        if not name and self._unrelated(a, b, common):
            return 0.0
        if not same_class and name == _INDEX and not common:
            return name / 2  # a different module at the same Sequential index: matched only if nothing fits better
        exact = self.old.exact[a.path] == self.new.exact[b.path]
        return name + _CLASS * same_class + _SAME * common + _EXACT * (exact and same_class)

    def _unrelated(self, a: Part, b: Part, common: float) -> bool:
        """Whether two containers of other names, such as two Sequentials, hold different things."""
        old, new = self.old.children(a.path), self.new.children(b.path)
        if not old or not new or common >= ALIKE:
            return False
        return _overlap(Counter(child.class_name for child in old), Counter(child.class_name for child in new)) < ALIKE

    def _common(self, old: str, new: str) -> float:
        """The share of equal modules in two subtrees."""
        a, b = self.old.kinds[old], self.new.kinds[new]
        if len(a) == len(b) == 1 and self.old.size(old) == self.new.size(new) == 1:
            return float(a == b)
        return _overlap(a, b)

    def _moved(self) -> None:
        """Pair the remaining modules: equal subtrees, then those with most in common, largest first."""
        paired = set(self.pairs.values())
        left_old = [p.path for p in self.old.snapshot.parts if p.path not in self.pairs]
        left_new = [p.path for p in self.new.snapshot.parts if p.path not in paired]
        if not left_old or not left_new:
            return
        for path in sorted(left_old, key=lambda p: -self.old.size(p)):
            if path in self.pairs:
                continue
            partner = self._best(path, [p for p in left_new if p not in paired])
            if partner is not None:
                self._down_free(path, partner, paired)

    def _best(self, old: str, candidates: list[str]) -> str | None:
        """The most similar candidate for a moved module; the first one on a tie."""
        part = self.old.snapshot.by_path[old]
        best, best_path = 0.0, None
        for path in candidates:
            other = self.new.snapshot.by_path[path]
            common = self._common(old, path)
            has_weight = part.params or self.old.size(old) > 1  # a moved ReLU can't be told from any other
            if not has_weight or common < ALIKE or other.class_name != part.class_name:
                continue
            score = common + 0.5 * (part.name == other.name)
            if score > best:
                best, best_path = score, path
        return best_path

    def _down_free(self, old: str, new: str, taken: set[str]) -> None:
        """Pair two moved subtrees, except modules that are already paired."""
        waiting = [(old, new)]
        while waiting:
            a, b = waiting.pop()
            self.pairs[a] = b
            taken.add(b)
            free_old = [p for p in self.old.children(a) if p.path not in self.pairs]
            free_new = [p for p in self.new.children(b) if p.path not in taken]
            waiting += self._matched(free_old, free_new)
