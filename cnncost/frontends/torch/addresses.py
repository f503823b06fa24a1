"""Data pointers of meta tensors: they can be compared, to detect shared memory, but not dereferenced."""

from __future__ import annotations

from functools import total_ordering
from typing import Any

_ALIGNMENT = 64
"""In bytes. Each storage starts at a multiple of this, so an address modulo a divisor of it follows from the offset."""


@total_ordering
class Address:
    """The address of a tensor without data: a storage, by its identity, and an offset in bytes.

    Not an `int`: a kernel that received one would write to it.
    """

    __slots__ = ("_base", "_offset")

    def __init__(self, base: int, offset: int = 0) -> None:
        self._base, self._offset = base, offset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and (self._base, self._offset) == (other._base, other._offset)

    def __lt__(self, other: Any) -> bool:
        if isinstance(other, Address):
            return (self._base, self._offset) < (other._base, other._offset)
        return False if isinstance(other, int) else NotImplemented  # greater than any real address

    def __hash__(self) -> int:
        return hash((self._base, self._offset))

    def __add__(self, nbytes: int) -> Address:
        return Address(self._base, self._offset + nbytes)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        if not isinstance(other, Address):
            return Address(self._base, self._offset - other)
        return self._base - other._base + self._offset - other._offset

    def __mod__(self, alignment: int) -> int:
        return self._offset % alignment if alignment <= _ALIGNMENT else self._raise()

    def __format__(self, form: str) -> str:
        return format(self._base + self._offset, form)

    def __repr__(self) -> str:
        return str(self._base + self._offset)

    def __int__(self) -> int:
        return self._raise()

    __index__ = __int__

    def _raise(self) -> int:
        """Raise RuntimeError: code that needs the number would access memory there."""
        raise RuntimeError("expected a tensor with data: the address of a tensor without data is only for comparisons")
