"""Which module is which, by definition: every pair of siblings, and every pair of moved modules, is weighed."""

from __future__ import annotations

from collections import Counter

from cnncost.budget.snapshot import Part, Snapshot

HALF = 0.5


class Side:
    """A model: the kinds of modules in each subtree, and its figures."""

    def __init__(self, model: Snapshot) -> None:
        self.model = model
        self.inside = {
            part.path: [each for each in model.parts if each.path == part.path or _below(each.path, part.path)]
            for part in model.parts
        }
        self.kinds = {path: Counter(map(_kind, parts)) for path, parts in self.inside.items()}
        self.figures = {path: tuple(model.sums[path].values()) for path in self.inside}

    def children(self, path: str) -> list[Part]:
        return [part for part in self.model.parts if part.path and part.path.rpartition(".")[0] == path]


def _below(path: str, above: str) -> bool:
    return path.startswith(f"{above}.") if above else True


def _kind(part: Part) -> object:
    return part.class_name, part.params, part.settings


def _share(a: Counter, b: Counter) -> float:
    return 2 * (a & b).total() / (a.total() + b.total())


def align(old: Snapshot, new: Snapshot) -> dict[str, str]:
    """Pairs of paths, as `cnncost.budget.align.align` gives them, for models of one class."""
    a, b = Side(old), Side(new)
    pairs: dict[str, str] = {}
    _down(a, b, "", "", pairs)
    left = sorted((part for part in old.parts if part.path not in pairs), key=lambda part: -len(a.inside[part.path]))
    for part in left:
        partner = _partner(a, b, part, pairs) if part.path not in pairs else None
        if partner is not None:
            _down(a, b, part.path, partner, pairs)
    return pairs


def _partner(a: Side, b: Side, part: Part, pairs: dict[str, str]) -> str | None:
    if not part.params and len(a.inside[part.path]) == 1:
        return None
    best, found = 0.0, None
    for other in b.model.parts:
        share = _share(a.kinds[part.path], b.kinds[other.path])
        score = share + 0.5 * (part.name == other.name)
        free = other.path not in pairs.values() and other.class_name == part.class_name
        if free and share >= HALF and score > best:
            best, found = score, other.path
    return found


def _down(a: Side, b: Side, old: str, new: str, pairs: dict[str, str]) -> None:
    pairs[old] = new
    taken = set(pairs.values())
    x = [part for part in a.children(old) if part.path not in pairs]
    y = [part for part in b.children(new) if part.path not in taken]
    for one, other in _ends(a, b, x, y):
        pairs[one.path] = other.path
    rest_x = [part for part in x if part.path not in pairs]
    rest_y = [part for part in y if part.path not in set(pairs.values())]
    both = _ends(a, b, x, y) + _heaviest(a, b, rest_x, rest_y)
    for one, other in both:
        _down(a, b, one.path, other.path, pairs)


def _ends(a: Side, b: Side, x: list[Part], y: list[Part]) -> list[tuple[Part, Part]]:
    """Siblings at both ends that have the same name and hold the same."""

    def equal(one: Part, other: Part) -> bool:
        return one.name == other.name and a.kinds[one.path] == b.kinds[other.path]

    if x and y and equal(x[0], y[0]):
        return [(x[0], y[0]), *_ends(a, b, x[1:], y[1:])]
    if x and y and equal(x[-1], y[-1]):
        return [(x[-1], y[-1]), *_ends(a, b, x[:-1], y[:-1])]
    return []


def _heaviest(a: Side, b: Side, x: list[Part], y: list[Part]) -> list[tuple[Part, Part]]:
    """The pairs in order with the most weight, by the whole table; of equal ones that with the first old module."""
    weights = [[_weight(a, b, one, other) for other in y] for one in x]
    best = [[0.0] * (len(y) + 1) for _ in range(len(x) + 1)]
    for i in reversed(range(len(x))):
        for j in reversed(range(len(y))):
            both = weights[i][j] + best[i + 1][j + 1] if weights[i][j] else 0.0
            best[i][j] = max(both, best[i + 1][j], best[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(x) and j < len(y):
        if weights[i][j] and best[i][j] == weights[i][j] + best[i + 1][j + 1]:
            found.append((x[i], y[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _weight(a: Side, b: Side, one: Part, other: Part) -> float:
    """Weights of an equal name (of a number less), class, contents and figures."""
    same = one.class_name == other.class_name
    share = _share(a.kinds[one.path], b.kinds[other.path])
    if one.name != other.name:
        if not same:
            return 0.0
        x, y = a.children(one.path), b.children(other.path)
        unlike = x and y and share < HALF
        if unlike and _share(Counter(p.class_name for p in x), Counter(p.class_name for p in y)) < HALF:
            return 0.0
    number = one.name == other.name and one.name.isdecimal()
    if number and not same and not share:
        return 0.5
    name = 0.0 if one.name != other.name else 1.0 if number else 3.0
    figures = same and a.figures[one.path] == b.figures[other.path]
    return name + 2.0 * same + 4.0 * share + 1.0 * figures
