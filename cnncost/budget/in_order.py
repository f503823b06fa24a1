"""The matching of two sequences with the greatest weight that keeps their order: a weighted longest common subsequence.

The table of all pairs is filled in a band around the diagonal first, then in wider ones, until no matching that leaves
the band can have as much weight. So sequences that differ little take time in proportion to their length, and the
result is that of the whole table.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, TypeAlias

Element: TypeAlias = Hashable
Pairs: TypeAlias = list[tuple[int, int]]
_MAX_DIFFERENT = 250_000
"""Most pairs of different elements to compute weights for: those of 500 old and 500 new elements."""
_MAX_CELLS = 1_000_000
"""Most cells of the table to fill: the whole table of two sequences of 1,000, or a band of a larger table."""
_FIRST_MARGIN, _WIDENING = 8, 4
"""How far the first band extends beyond the diagonals of the first and the last cell, and the factor by which it grows
if need be."""
_RUNS = (64, 24, 1)
"""Lengths of the runs (consecutive elements) at which long sequences are cut. A run must occur once in each of the two
sequences; long ones are tried first, as they rarely match by chance."""
_ROUNDING = 1e-6
"""Sums of weights that differ by less count as equal (rounding)."""
_MATCH, _SKIP_OLD, _SKIP_NEW = range(3)
"""Steps of a matching: both elements are a pair, or one of them is skipped."""


class Sequences(NamedTuple):
    """Two sequences and the similarity of their elements.

    Attributes:
        old, new: the elements; equal ones have equal weights with any other element.
        similarity: returns the weight of two elements with different names, 0 if they can't be matched; it is cached.
        named: by index in `old`, the index in `new` of the element with the same name, and the weight of this pair.
    """

    old: Sequence[Element]
    new: Sequence[Element]
    similarity: Callable[[Element, Element], float]
    named: dict[int, tuple[int, float]]

    def part(self, old: slice, new: slice) -> Sequences:
        """Return both sequences restricted to these slices."""
        named = {
            i - old.start: (j - new.start, weight)
            for i in range(old.start, old.stop)
            for j, weight in [self.named.get(i, (-1, 0.0))]
            if new.start <= j < new.stop
        }
        return Sequences(self.old[old], self.new[new], self.similarity, named)


def match(sequences: Sequences) -> Pairs:
    """Return the pairs of indices that match, in order.

    The matching has the greatest total weight; of several with that weight, it is the one that matches the earliest old
    element, then the earliest new one. Sequences that are too long and too different for the table (`_MAX_CELLS`) are
    first cut at a run of elements that occurs once in each; if there is none, elements are matched by name.
    """
    pairs: Pairs = []
    pending = [(sequences, 0, 0)]  # parts, with the index of their first old and new element
    while pending:
        piece, i, j = pending.pop()
        matched = _heaviest(piece)
        if matched is None:
            matched, between = _cut(piece)
            pending += [(piece.part(old, new), i + old.start, j + new.start) for old, new in between]
        pairs += [(i + a, j + b) for a, b in matched]
    return sorted(pairs)


def _heaviest(sequences: Sequences) -> Pairs | None:
    """Return the matching with the greatest weight; None if the table would be too large."""
    n, m = len(sequences.old), len(sequences.new)
    if not n or not m:
        return []
    if len(set(sequences.old)) * len(set(sequences.new)) > _MAX_DIFFERENT:
        return None
    table = _Table(sequences)
    margin = _FIRST_MARGIN
    while True:
        low, high = min(0, m - n) - margin, max(0, m - n) + margin
        # if the band is half the table, fill the whole table, which certainly has the best matching
        fills_table = 2 * (high - low + 1) >= m
        if fills_table:
            low, high = -n, m
        if n * min(m, high - low + 1) > _MAX_CELLS:
            return None
        weight, steps = table.fill(low, high)
        if fills_table or table.bound_outside(low, high) < weight - _ROUNDING:
            return _trace_back(steps, m, low)
        margin *= _WIDENING


class _Table:
    """The table of weights of all pairs, and an upper bound on the weight of a matching outside a band of it."""

    def __init__(self, sequences: Sequences) -> None:
        self.named = sequences.named
        codes: dict[Element, int] = {}  # a number for each distinct new element
        self.new = [codes.setdefault(element, len(codes)) for element in sequences.new]
        weights = {a: [sequences.similarity(a, b) for b in codes] for a in dict.fromkeys(sequences.old)}
        self.old = [weights[element] for element in sequences.old]  # the weights with each new element, by its code
        # the greatest weight of a pair with each element
        best_by_element = {a: max(row) for a, row in weights.items()}
        best_old = [best_by_element[element] for element in sequences.old]
        best_by_code = [max(column) for column in zip(*weights.values(), strict=True)]
        best_new = [best_by_code[code] for code in self.new]
        for i, (j, weight) in self.named.items():
            best_old[i], best_new[j] = max(best_old[i], weight), max(best_new[j], weight)
        # for each sequence, by number of skipped elements: the least weight that is lost, the sum of the smallest ones
        self._least_lost = [[0.0, *accumulate(sorted(best_old))], [0.0, *accumulate(sorted(best_new))]]

    def fill(self, low: int, high: int) -> tuple[float, list[bytearray]]:
        """Return the greatest weight of a matching within a band, and the best step at each cell of it, last row first.

        The band has the cells whose index in `new` minus index in `old` is from `low` to `high`. A cell outside it
        keeps the weight of the row below, which is a lower bound.
        """
        m = len(self.new)
        left = [0.0] * (m + 1)  # of the next row, by index in `new`: the greatest weight of what is left from there on
        steps = []
        for i in reversed(range(len(self.old))):
            first, last = max(0, i + low), min(m, i + high + 1)
            row = self.old[i]
            weights = [row[code] for code in self.new[first:last]]
            j, weight = self.named.get(i, (-1, 0.0))
            if first <= j < last:
                weights[j - first] = weight
            steps.append(_row(weights, left, first))
        return left[0], steps

    def bound_outside(self, low: int, high: int) -> float:
        """Return an upper bound on the weight of a matching that leaves the band, which has to skip elements."""
        old, new = self._least_lost
        shift = len(new) - len(old)
        bounds = [0.0]
        # beyond `high` a matching has skipped `high + 1` new elements, and to reach the last cell it has to skip
        # `high + 1 - shift` old ones; beyond `low`, likewise
        for skipped_old, skipped_new in ((high + 1 - shift, high + 1), (1 - low, shift - low + 1)):
            if skipped_old < len(old) and skipped_new < len(new):
                bounds.append(min(old[-1] - old[skipped_old], new[-1] - new[skipped_new]))
        return max(bounds)


def _row(weights: list[float], left: list[float], first: int) -> bytearray:
    """Update `left` in place from the next old element's row to this one's, and return the best steps.

    `weights` are those of this old element with each new element from index `first` on.
    """
    steps = bytearray(len(weights))
    # `below`, `right`, `both_skipped`: the weight left after skipping the old element, the new one, or both
    right = both_skipped = left[first + len(weights)]
    for k in range(len(weights) - 1, -1, -1):
        weight, below = weights[k], left[first + k]
        matched = weight + both_skipped if weight else -1.0
        both_skipped = below
        if matched >= below and matched >= right:
            right = matched
        elif below >= right:
            right, steps[k] = below, _SKIP_OLD
        else:
            steps[k] = _SKIP_NEW
        left[first + k] = right
    return steps


def _trace_back(steps: list[bytearray], m: int, low: int) -> Pairs:
    """Return the matched pairs on the path of best steps from the first cell; `steps` is as `fill` returns it."""
    pairs, i, j, n = [], 0, 0, len(steps)
    while i < n and j < m:
        step = steps[n - 1 - i][j - max(0, i + low)]
        if step == _MATCH:
            pairs.append((i, j))
        i += step != _SKIP_NEW  # a match moves on in both sequences, a skip in one
        j += step != _SKIP_OLD
    return pairs


def _cut(sequences: Sequences) -> tuple[Pairs, list[tuple[slice, slice]]]:
    """Return pairs that certainly match, and the slices between them that are still to be matched.

    If there is no certain pair, the pairs are those of equal names, and no slices are left.
    """
    old, new = sequences.old, sequences.new
    n, m = len(old), len(new)
    start = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(n, m))
    longest = min(n, m) - start  # of the equal elements at the end, which must not be those at the start again
    end = next(
        (k for k, (a, b) in enumerate(zip(old[::-1], new[::-1], strict=False)) if a != b or k == longest), longest
    )
    ends = [(k, k) for k in range(start)] + [(n - k, m - k) for k in range(end, 0, -1)]
    if ends:
        return ends, [(slice(start, n - end), slice(start, m - end))]
    anchors = next(filter(None, (_anchors(old, new, length) for length in _RUNS)), [])
    if not anchors:
        return _increasing(sorted((i, j) for i, (j, weight) in sequences.named.items() if weight)), []
    bounds = [(-1, -1), *anchors, (n, m)]
    return anchors, [
        (slice(i + 1, next_i), slice(j + 1, next_j)) for (i, j), (next_i, next_j) in pairwise(bounds)
    ]  # fmt: skip


def _anchors(old: Sequence[Element], new: Sequence[Element], length: int) -> Pairs:
    """Return the starts of the runs of this length that occur once in each sequence, where their order is the same."""
    starts = []
    for sequence in (old, new):
        runs = [tuple(sequence[i : i + length]) for i in range(len(sequence) - length + 1)]
        counts = Counter(runs)
        starts.append({run: i for i, run in enumerate(runs) if counts[run] == 1})
    return _increasing([(i, starts[1][run]) for run, i in starts[0].items() if run in starts[1]])


def _increasing(pairs: Pairs) -> Pairs:
    """Return a longest subsequence of pairs, sorted by their first index, whose second index increases."""
    ends: list[int] = []  # by length − 1, the smallest second index with which such a subsequence ends
    chosen: list[int] = []  # the index of the pair that ends it
    before: list[int] = []  # by index of a pair, that of the one before it in its subsequence; -1: none
    for k, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j)
        before.append(chosen[length - 1] if length else -1)
        ends[length : length + 1] = [j]
        chosen[length : length + 1] = [k]
    reversed_pairs, k = [], chosen[-1] if chosen else -1
    while k >= 0:
        reversed_pairs.append(pairs[k])
        k = before[k]
    return reversed_pairs[::-1]
