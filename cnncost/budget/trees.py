"""The similarity of modules of two models.

Equal subtrees are one object. Subtrees that consist of the same modules, in any order, have equal `bag`s (a bag is a
multiset of kinds of modules, represented by a number). `Subtrees.share` caches its results by the bags of the two
subtrees that it compares.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from cnncost.budget.snapshot import Part, Snapshot

MIN_SHARE = 0.5
"""Minimum share of equal modules for two subtrees to match in different places: for a moved module, or a model wrapped
by the other one. `_unrelated` applies it to containers with different names."""
_NAME, _INDEX, _CLASS, _SAME, _FIGURES = 3.0, 1.0, 2.0, 4.0, 1.0
"""Weights of what two modules may have in common: the name; a name that is an index in a Sequential, which shifts when
a layer is added; the class; the modules of their subtrees (times the share that is equal); and all figures."""


@dataclass(frozen=True, eq=False)
class Subtree:
    """A module and its descendants, without their names.

    Attributes:
        number: a number that identifies the subtree; equal subtrees of either model share it.
        class_name: class of the module.
        classes: classes of its children.
        kinds: how often each kind of module occurs, including the module itself. A kind (of module, not of op) is a
            number shared by modules with equal class, number of own parameters, and settings.
        bag: a number shared by subtrees with equal `kinds`.
        size: number of modules, including the module itself.
        recognizable: whether it has own parameters or children; ReLUs, which have neither, can't be told apart.
    """

    number: int
    class_name: str
    classes: tuple[str, ...]
    kinds: Counter[int]
    bag: int
    size: int
    recognizable: bool


class Subtrees:
    """All distinct subtrees of two models."""

    def __init__(self) -> None:
        # the number of each kind and bag, and each subtree, by all that makes two of them equal; see `subtree`
        self._kinds: dict[object, int] = {}
        self._bags: dict[object, int] = {}
        self._distinct: dict[object, Subtree] = {}
        self._shares: dict[tuple[int, int], float] = {}

    def subtree(self, part: Part, children: list[Subtree]) -> Subtree:
        """Return the subtree of a module with these children. It does not depend on the size of the input."""
        kind = self._kinds.setdefault((part.class_name, part.params, part.settings), len(self._kinds))
        key = (kind, *(child.number for child in children))
        subtree = self._distinct.get(key)
        if subtree is None:
            kinds = Counter([kind])
            for child in children:
                kinds.update(child.kinds)
            bag = self._bags.setdefault(frozenset(kinds.items()), len(self._bags))
            size, classes = kinds.total(), tuple(child.class_name for child in children)
            number, recognizable = len(self._distinct), bool(part.params) or size > 1
            subtree = Subtree(number, part.class_name, classes, kinds, bag, size, recognizable)
            self._distinct[key] = subtree
        return subtree

    def share(self, a: Subtree, b: Subtree) -> float:
        """Return the number of modules that two subtrees have in common, divided by their mean size: 0 to 1."""
        if a.bag == b.bag:
            return 1.0
        if a.size == b.size == 1:
            return 0.0
        key = (a.bag, b.bag)
        if key not in self._shares:
            few, many = (a.kinds, b.kinds) if len(a.kinds) < len(b.kinds) else (b.kinds, a.kinds)
            self._shares[key] = 2 * (few & many).total() / (a.size + b.size)
        return self._shares[key]


class Tree:
    """A snapshot, with the subtree of each of its modules.

    Attributes:
        snapshot: the model.
        all_subtrees: the distinct subtrees of both models.
        subtrees: the subtree of each module of this model, by path.
    """

    def __init__(self, snapshot: Snapshot, subtrees: Subtrees) -> None:
        self.snapshot, self.all_subtrees = snapshot, subtrees
        self.subtrees: dict[str, Subtree] = {}
        for part in reversed(snapshot.parts):  # children before parents
            children = [self.subtrees[child.path] for child in snapshot.children[part.path]]
            self.subtrees[part.path] = subtrees.subtree(part, children)

    @property
    def root(self) -> Part:
        """The model itself."""
        return self.snapshot.parts[0]

    def children(self, path: str) -> list[Part]:
        """Return the children of the module at a path, in order."""
        return self.snapshot.children[path]

    @cached_property
    def figures(self) -> dict[str, tuple[int, ...]]:
        """All figures of each module, descendants included, by path."""
        return {path: tuple(sums.values()) for path, sums in self.snapshot.sums.items()}


def similarity(subtrees: Subtrees, a: Subtree, b: Subtree, same_figures: bool, name: str | None) -> float:
    """Return the similarity of two modules, as a sum of the weights above; 0 if they can't be the same module.

    Args:
        subtrees: the subtrees of both models.
        a: the old module.
        b: the new module.
        same_figures: whether all their figures are equal, descendants included.
        name: their common name; None if their names differ.
    """
    name_weight = 0.0 if name is None else _INDEX if name.isdecimal() else _NAME
    same_class = a.class_name == b.class_name
    if not name_weight and not same_class:
        return 0.0
    common = subtrees.share(a, b)
    if not name_weight and _unrelated(a, b, common):
        return 0.0
    if not same_class and name_weight == _INDEX and not common:
        return name_weight / 2  # a different module at the same Sequential index: matched only if nothing fits better
    class_weight, figures_weight = (_CLASS, _FIGURES if same_figures else 0.0) if same_class else (0.0, 0.0)
    return name_weight + class_weight + _SAME * common + figures_weight


def _unrelated(a: Subtree, b: Subtree, common: float) -> bool:
    """Return whether two containers, such as two Sequentials, have little in common.

    That is the case if fewer than half of their modules, and fewer than half of their children's classes, are equal.
    Called only if their names differ.
    """
    if not a.classes or not b.classes or common >= MIN_SHARE:
        return False
    common_classes = Counter(a.classes) & Counter(b.classes)
    return 2 * common_classes.total() / (len(a.classes) + len(b.classes)) < MIN_SHARE
