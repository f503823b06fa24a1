"""Numbers that count the operations performed on them.

A naive implementation run on such numbers yields a result, to compare with torch's, and a tally of the operations
that it took. A count is trusted because it comes from a computation whose result is right.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Tally(Counter[str]):
    """How often each operation was performed."""

    @property
    def multiplications(self) -> int:
        return self["*"]

    @property
    def flops(self) -> int:
        return sum(self.values())

    def number(self, value: float) -> Number:
        return Number(value, self)

    def numbers(self, tensor: torch.Tensor) -> np.ndarray:
        """The elements of a tensor as an array of counting numbers."""
        return self.filled(tuple(tensor.shape), iter(tensor.double().flatten().tolist()))

    def zeros(self, *shape: int) -> np.ndarray:
        return self.filled(shape, iter([0.0] * prod(shape)))

    def filled(self, shape: tuple[int, ...], values: Iterator[float]) -> np.ndarray:
        array = np.empty(shape, dtype=object)
        for index in product(*map(range, shape)):
            array[index] = Number(next(values), self)
        return array


class Number:
    """A real number; each operation on it is added to its tally."""

    __slots__ = ("tally", "value")
    __hash__ = None

    def __init__(self, value: float, tally: Tally) -> None:
        self.value = float(value)
        self.tally = tally

    def _done(self, operation: str, value: float) -> Number:
        self.tally[operation] += 1
        return Number(value, self.tally)

    def _is(self, truth: bool) -> bool:
        self.tally["compare"] += 1
        return truth

    def __float__(self) -> float:
        return self.value

    def __add__(self, other: Number | float) -> Number:
        return self._done("+", self.value + float(other))

    def __sub__(self, other: Number | float) -> Number:
        return self._done("-", self.value - float(other))

    def __rsub__(self, other: float) -> Number:
        return self._done("-", other - self.value)

    def __mul__(self, other: Number | float) -> Number:
        return self._done("*", self.value * float(other))

    def __truediv__(self, other: Number | float) -> Number:
        return self._done("/", self.value / float(other))

    def __rtruediv__(self, other: float) -> Number:
        return self._done("/", other / self.value)

    def __pow__(self, other: float) -> Number:
        return self._done("pow", self.value ** float(other))

    def __neg__(self) -> Number:
        return self._done("neg", -self.value)

    def __abs__(self) -> Number:
        return self._done("abs", abs(self.value))

    def __lt__(self, other: Number | float) -> bool:
        return self._is(self.value < float(other))

    def __le__(self, other: Number | float) -> bool:
        return self._is(self.value <= float(other))

    def __gt__(self, other: Number | float) -> bool:
        return self._is(self.value > float(other))

    def __ge__(self, other: Number | float) -> bool:
        return self._is(self.value >= float(other))

    __radd__ = __add__
    __rmul__ = __mul__

    def max(self, other: Number | float) -> Number:
        """The larger of two: one comparison."""
        return self._done("compare", max(self.value, float(other)))

    def min(self, other: Number | float) -> Number:
        """The smaller of two: one comparison."""
        return self._done("compare", min(self.value, float(other)))

    def function(self, name: str, *others: Number) -> Number:
        """An elementary function of `math`: one operation."""
        return self._done(name, getattr(math, name)(self.value, *map(float, others)))


def pick(condition: bool, yes: Number, no: Number) -> Number:
    """Select one of two numbers already computed: not an operation."""
    return yes if condition else no


def floats(array: np.ndarray | Number) -> torch.Tensor:
    """Convert counting numbers to a tensor of doubles."""
    return torch.tensor(np.vectorize(float, otypes=[float])(array))


def tallied(
    function: Callable[..., np.ndarray], *tensors: torch.Tensor, **settings: object
) -> tuple[torch.Tensor, Tally]:
    """Result of a naive implementation on these tensors, and the tally of its operations."""
    tally = Tally()
    result = function(tally, *(tally.numbers(t) for t in tensors), **settings)
    return floats(result), tally
