"""Finds what a unit really depends on by poisoning the input: set some rows to NaN, and see which units become NaN.

Uses no formula and nothing from cnncost. NaN propagates through sums, products (also with zero), maxima, softmax and
all other arithmetic, so a unit is NaN exactly if it reads a poisoned row on some path. One kernel loses it: flash
attention on a CPU gives 0 for a query of NaN with fewer keys than a vector register holds. Attention runs as written.
"""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


class _Enough(Exception):  # noqa: N818  # not an error: stops forward, as later layers don't matter
    pass


class Probe:
    """Probes one layer of a model; sets the model to eval mode."""

    def __init__(self, model: nn.Module, layer: str, inputs: list[torch.Tensor], poisoned: int = 0) -> None:
        self.model = model.eval()
        self.layer = layer
        self.inputs = inputs
        self.poisoned = poisoned

    def output(self, axis: int, first: int, last: int) -> torch.Tensor:
        """Which elements of the layer's output are NaN if the rows first..last of the input are."""
        inputs = list(self.inputs)
        poisoned = inputs[self.poisoned].clone()
        poisoned.narrow(axis, first, last - first + 1).fill_(torch.nan)
        inputs[self.poisoned] = poisoned
        caught = []

        def catch(module: nn.Module, args: object, result: object) -> None:
            caught.append(result[0] if isinstance(result, (tuple, list)) else result)
            raise _Enough

        handle = self.model.get_submodule(self.layer).register_forward_hook(catch)
        try:
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), suppress(_Enough):
                self.model(*inputs)
        finally:
            handle.remove()
        return torch.isnan(caught[0])

    def hulls(self, axis: int, keep: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """First and last row that each unit depends on, for all units at once, by poisoning each row in turn.

        `keep` are the output axes that distinguish units. A unit that depends on nothing has n and -1.
        """
        n = self.inputs[self.poisoned].shape[axis]
        firsts = lasts = None
        for r in range(n):
            head = _any_but(self.output(axis, 0, r), keep)
            tail = _any_but(self.output(axis, n - 1 - r, n - 1), keep)
            if firsts is None:
                firsts, lasts = torch.full(head.shape, n), torch.full(head.shape, -1)
            firsts = torch.where(head & (firsts == n), r, firsts)
            lasts = torch.where(tail & (lasts == -1), n - 1 - r, lasts)
        return firsts, lasts

    def hull(self, axis: int, unit: dict[int, int]) -> tuple[int, int] | None:
        """First and last row that one unit depends on, by bisection; `unit` gives its index by output axis."""
        n = self.inputs[self.poisoned].shape[axis]

        def poisoned(first: int, last: int) -> bool:
            found = self.output(axis, first, last)
            for output_axis, index in unit.items():
                found = found.narrow(output_axis, index, 1)
            return bool(found.any())

        if not poisoned(0, n - 1):
            return None
        return _least(n, lambda r: poisoned(0, r)), n - 1 - _least(n, lambda r: poisoned(n - 1 - r, n - 1))


def _least(n: int, holds) -> int:
    """The smallest r < n for which a monotonic condition holds, by bisection."""
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _any_but(found: torch.Tensor, keep: tuple[int, ...]) -> torch.Tensor:
    rest = [axis for axis in range(found.dim()) if axis not in keep]
    return found.any(dim=rest) if rest else found
