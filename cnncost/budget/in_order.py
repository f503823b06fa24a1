"""Matches two sequences in order, with the greatest total weight: a weighted longest common subsequence.

The table of all pairs is filled in a band around the diagonal first, then in wider bands, until no matching that leaves
the band can weigh as much. So sequences that differ little take time proportional to their length, and the result is
the same as with the whole table.
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
"""Maximum number of pairs of distinct elements to compute weights for: 500 distinct old and 500 distinct new ones."""
_MAX_CELLS = 1_000_000
"""Maximum number of cells to fill: the whole table for two sequences of 1,000, or a band of a larger table."""
_FIRST_MARGIN, _WIDENING = 8, 4
"""How far the first band extends beyond the diagonals of the first and the last cell, and the factor by which this
margin grows for each further band."""
_RUNS = (64, 24, 1)
"""Lengths of the runs (consecutive elements) at which long sequences are cut. A run must occur exactly once in each
sequence; long runs are tried first, because they rarely match by chance."""
_ROUNDING = 1e-6
"""Weights that differ by less than this count as equal, to allow for rounding."""
_MATCH, _SKIP_OLD, _SKIP_NEW = range(3)
"""Steps of a matching: pair the two elements, or skip one of them."""


class Sequences(NamedTuple):
    """Two sequences and the similarity of their elements.

    Attributes:
        old, new: the elements; equal elements have equal weights with every other element.
        similarity: a cached function that returns the weight of two elements with different names; 0: they can't match.
        named: index in `old` → index in `new` of the element with the same name, and the weight of this pair.
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
    """Return the matched pairs of indices, in order.

    The matching has the greatest total weight; among equals, it matches the earliest old element, then the earliest new
    one. Sequences that are too long and too different for the table (`_MAX_CELLS`, `_MAX_DIFFERENT`) are first cut at
    equal ends, or else at runs of elements that occur once in each; if there are none, elements are matched by name.
    """
    pairs: Pairs = []
    pending = [(sequences, 0, 0)]  # pieces, with the indices of their first old and new element
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
    """The table of the weights of all pairs, and an upper bound on the weight of a matching that leaves a band."""

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
        # for each sequence, by number of skipped elements: the least weight lost, which is the sum of the smallest ones
        self._least_lost = [[0.0, *accumulate(sorted(best_old))], [0.0, *accumulate(sorted(best_new))]]

    def fill(self, low: int, high: int) -> tuple[float, list[bytearray]]:
        """Return the greatest weight of a matching within a band, and the best step at each cell, last row first.

        The band consists of the cells whose index in `new` minus index in `old` is from `low` to `high`. A cell outside
        it retains the weight of the row below, which is a lower bound.
        """
        m = len(self.new)
        left = [0.0] * (m + 1)  # for the row below, by index in `new`: the greatest weight from there to the end
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
        """Return an upper bound on the weight of a matching that leaves the band: to do so, it has to skip elements."""
        old, new = self._least_lost
        shift = len(new) - len(old)
        bounds = [0.0]
        # beyond `high`, a matching has skipped `high + 1` new elements, and has to skip `high + 1 - shift` old ones to
        # reach the last cell; likewise beyond `low`
        for skipped_old, skipped_new in ((high + 1 - shift, high + 1), (1 - low, shift - low + 1)):
            if skipped_old < len(old) and skipped_new < len(new):
                bounds.append(min(old[-1] - old[skipped_old], new[-1] - new[skipped_new]))
        return max(bounds)


def _row(weights: list[float], left: list[float], first: int) -> bytearray:
    """Update `left` in place, from the row of the next old element to the row of this one, and return the best steps.

    `weights` holds the weights of this old element with the new elements from index `first` on.
    """
    steps = bytearray(len(weights))
    # `below`, `right`, `both_skipped`: the weight that remains after skipping the old element, the new one, or both
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
    """Return the matched pairs on the path of best steps from the first cell; `steps` comes from `fill`."""
    pairs, i, j, n = [], 0, 0, len(steps)
    while i < n and j < m:
        step = steps[n - 1 - i][j - max(0, i + low)]
        if step == _MATCH:
            pairs.append((i, j))
        i += step != _SKIP_NEW  # a match moves on in both sequences, a skip in one
        j += step != _SKIP_OLD
    return pairs


def _cut(sequences: Sequences) -> tuple[Pairs, list[tuple[slice, slice]]]:
    """Return pairs at which to cut, and the slices between them that are still to be matched.

    If there is no place to cut, the pairs are elements with equal names, and no slices are left.
    """
    old, new = sequences.old, sequences.new
    n, m = len(old), len(new)
    start = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(n, m))
    longest = min(n, m) - start  # the equal elements at the end must not include those at the start
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
    """Return the starts of runs of this length that occur once in each sequence, and in the same order in both."""
    starts = []
    for sequence in (old, new):
        runs = [tuple(sequence[i : i + length]) for i in range(len(sequence) - length + 1)]
        counts = Counter(runs)
        starts.append({run: i for i, run in enumerate(runs) if counts[run] == 1})
    return _increasing([(i, starts[1][run]) for run, i in starts[0].items() if run in starts[1]])


def _increasing(pairs: Pairs) -> Pairs:
    """Return a longest subsequence of pairs, sorted by their first index, whose second index increases."""
    ends: list[int] = []  # by length − 1: the smallest second index with which such a subsequence ends
    chosen: list[int] = []  # by length − 1: the index of the pair with which it ends
    before: list[int] = []  # by index of a pair: the index of the previous pair in its subsequence; -1: none
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
