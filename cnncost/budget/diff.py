"""Differences between two models, attributed to layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

from cnncost import units
from cnncost.budget.align import align
from cnncost.budget.settings import DEFAULTS
from cnncost.budget.snapshot import SUMMED, Part, Snapshot
from cnncost.garbage import gc_disabled
from cnncost.graph import Shape
from cnncost.reprs import line

Kind: TypeAlias = Literal["changed", "added", "removed"]
FIGURES = ("params", "macs", "flops")
"""Figures whose changes are attributed to modules."""
_MAIN_PART = (4, 5)
"""The fraction 4/5: a change is attributed to the smallest module that accounts for at least this share of it."""


class Change(NamedTuple):
    """A module that was changed, added or removed.

    `old` and `new` are the module without its children; `place` is its path in the new model or, for a removed module,
    the path that it would have there.
    """

    kind: Kind
    place: str
    old: Part | None
    new: Part | None

    def __repr__(self) -> str:
        steps = ", ".join(f"{self.delta(name):+,} {name}" for name in ("params", "macs"))
        return line(self, f"{self.place or 'the model'}: {self.what}{': ' if self.what else ''}{steps}")

    def delta(self, name: str) -> int:
        """Return by how much a figure of the module, without its children, has grown."""
        return (getattr(self.new, name) if self.new else 0) - (getattr(self.old, name) if self.old else 0)

    @property
    def what(self) -> str:
        """Description of the change: `kernel 3→5`, `added`, `output 1×8×4×4→1×8×2×2`."""
        return ", ".join(self.reasons)

    @property
    def reasons(self) -> tuple[str, ...]:
        """`added`, `removed`, or what changed: class, settings, bias and calls; if nothing, output or parameters."""
        if self.old is None or self.new is None:
            return (self.kind,)
        texts = []
        if self.old.class_name != self.new.class_name:
            texts.append(f"{self.old.class_name}→{self.new.class_name}")
        if self.old.settings != self.new.settings and self.old.settings and self.new.settings:
            texts += _changed_settings(dict(self.old.settings), dict(self.new.settings), same_class=not texts)
        if bias := _bias(self.old, self.new):
            texts.append(bias)
        if self.old.calls != self.new.calls:
            texts.append(f"calls {self.old.calls}→{self.new.calls}")
        if not texts and self.old.output != self.new.output:
            texts.append(f"output {_shape(self.old.output)}→{_shape(self.new.output)}")
        if not texts and self.delta("params"):
            texts.append(f"params {self.old.params:,}→{self.new.params:,}")
        return tuple(texts)


def _changed_settings(old: dict[str, str], new: dict[str, str], *, same_class: bool) -> Iterator[str]:
    """Yield `kernel 3→5` for each setting that differs; if the classes differ, only for settings that both have."""
    # a snapshot leaves out settings with their default value
    defaults = DEFAULTS if "kernel" in old and "kernel" in new else {}
    for key in dict.fromkeys((*old, *new)):
        before, after = (settings.get(key, defaults.get(key)) for settings in (old, new))
        if before != after and (same_class or (before and after)):
            yield f"{key} {before or 'none'}→{after or 'none'}"


def _shape(output: Shape | None) -> str:
    return "none" if output is None else units.shape(output)


def _bias(old: Part, new: Part) -> str:
    """Return `bias added` or `bias removed` if that is a layer's only change, else an empty string.

    A bias has one parameter for each output, and costs FLOPs but no MACs. Nothing else makes such a difference, because
    equal settings imply weights of equal shape.
    """
    outputs = dict(old.settings).get("out", "")
    same = old.settings == new.settings and (old.class_name, old.macs) == (new.class_name, new.macs)
    if not same or not outputs.isdecimal():
        return ""
    params, flops = new.params - old.params, new.flops - old.flops
    if abs(params) != int(outputs) or params * flops <= 0:
        return ""
    return "bias added" if params > 0 else "bias removed"


class Attribution(NamedTuple):
    """The module that accounts for most of a change.

    Attributes:
        path: the module's path; `""` if the change is spread over the model.
        part: the change inside this module, counting changes in the direction of the total only.
        whole: the sum over all modules that changed in the direction of the total.
        against: the sum over those that changed in the opposite direction: `whole + against` is the total change.
        reasons: what changed inside the module; the reason that explains most of `part` comes first.
    """

    path: str
    part: int
    whole: int
    reasons: tuple[str, ...]
    against: int = 0


@dataclass(frozen=True)
class Diff:
    """Two models and their differences, which are computed on first access."""

    old: Snapshot
    new: Snapshot

    def __repr__(self) -> str:
        deltas = [f"{name} {self.delta(name):+,}" for name in ("params", "macs") if name in self.new.totals]
        changed = units.counted(len(self.changes), "changed module")
        return f"<Diff of {self.old.model} and {self.new.model}: {', '.join([*deltas, changed])}>"

    @cached_property
    def pairs(self) -> dict[str, str]:
        """Old path → new path of matched modules."""
        with gc_disabled():
            return align(self.old, self.new)

    @cached_property
    def back(self) -> dict[str, str]:
        """New path → old path of matched modules."""
        return {new: old for old, new in self.pairs.items()}

    def delta(self, name: str) -> int:
        """Return by how much a figure of the whole model has grown."""
        return int(self.new.totals[name]) - int(self.old.totals[name])

    @cached_property
    @gc_disabled()
    def changes(self) -> tuple[Change, ...]:
        """All modules that changed: first those of the new model, in its order, then the removed ones."""
        changed, back, by_path = [], self.back, self.old.by_path
        for part in self.new.parts:
            old_path = back.get(part.path)
            if old_path is None:
                changed.append(Change("added", part.path, None, part))
                continue
            old = by_path[old_path]
            if old[1:] == part[1:]:
                continue  # everything but the path is equal, as for most modules
            change = Change("changed", part.path, old, part)
            if change.reasons or any(change.delta(name) for name in SUMMED):
                changed.append(change)
        removed = (part for part in self.old.parts if part.path not in self.pairs)
        return (*changed, *(Change("removed", self._place_in_new(part), part, None) for part in removed))

    def _place_in_new(self, part: Part) -> str:
        """Return the path that a removed module would have in the new model, below its nearest ancestor there."""
        above, names = part.above, [part.name]
        while above and above not in self.pairs:
            above, _, name = above.rpartition(".")
            names.insert(0, name)
        return ".".join(filter(None, (self.pairs.get(above, ""), *names)))

    @cached_property
    def moved(self) -> tuple[tuple[str, str], ...]:
        """(Old path, new path) of modules that were moved or renamed themselves: (`head`, `base.head`).

        Modules that only moved along with their parent are left out.
        """
        paths = []
        for part in self.new.parts:
            new = part.path
            old = self.back.get(new)
            if old is None or old == new:
                continue
            (old_above, _, old_name), (new_above, _, new_name) = old.rpartition("."), new.rpartition(".")
            if old_name != new_name or self.pairs.get(old_above) != new_above:
                paths.append((old, new))
        return tuple(paths)

    def attribution(self, name: str) -> Attribution | None:
        """Return where a figure changed: the smallest module with at least four fifths of the change.

        None if the total is unchanged. If some modules grew and others shrank, only those that changed in the direction
        of the total count.
        """
        # cached in __dict__, because the class is frozen; a page needs it many times
        cache: dict[str, Attribution | None] = vars(self).setdefault("_attributions", {})
        if name not in cache:
            with gc_disabled():
                cache[name] = self._attribution(name)
        return cache[name]

    def _attribution(self, name: str) -> Attribution | None:
        whole = self.delta(name)
        if not whole:
            return None
        steps = [(change, change.delta(name)) for change in self.changes]
        same_direction = [(change, step) for change, step in steps if step * whole > 0]
        total = sum(step for _, step in same_direction)
        path = _deepest_with_most([(change.place, abs(step)) for change, step in same_direction], abs(total))
        inside = [(c, step) for c, step in same_direction if _is_within(c.place, path)]
        return Attribution(path, sum(step for _, step in inside), total, _common_reasons(inside), whole - total)

    def contributors(self, name: str, number: int) -> tuple[Change, ...]:
        """Return at most `number` modules: those whose own figure, without children, changed the most."""
        ranked = sorted(self.changes, key=lambda change: -abs(change.delta(name)))
        return tuple(change for change in ranked[:number] if change.delta(name))


def _is_within(path: str, above: str) -> bool:
    return not above or path == above or path.startswith(above + ".")


def _deepest_with_most(steps: Sequence[tuple[str, int]], total: int) -> str:
    """Return the deepest path with at least four fifths of the total at or below it."""
    path = ""
    while True:
        below: Counter[str] = Counter()
        for place, step in steps:
            if place != path and _is_within(place, path):
                relative = place[len(path) + 1 :] if path else place
                below[".".join(filter(None, (path, relative.partition(".")[0])))] += step
        top = below.most_common(1)
        if not top or top[0][1] * _MAIN_PART[1] < total * _MAIN_PART[0]:
            return path
        path = top[0][0]


def _common_reasons(steps: Sequence[tuple[Change, int]], max_reasons: int = 2) -> tuple[str, ...]:
    """Return the reasons that explain most of the change, leaving out those that explain less than a fifth of it."""
    weights: Counter[str] = Counter()
    for change, step in steps:
        for reason in change.reasons or ("in its own forward",):
            weights[reason] += abs(step)
    whole = sum(abs(step) for _, step in steps)
    return tuple(reason for reason, weight in weights.most_common(max_reasons) if weight * 5 >= whole)
