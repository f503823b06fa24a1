"""Types of the tensors in a Graph: shape, dtype and, for sparse layouts, the number of stored elements."""

from __future__ import annotations

from math import prod
from typing import NamedTuple, Self, TypeAlias

Shape: TypeAlias = tuple[int, ...]

ITEM_BYTES: dict[str, int] = {
    "bool": 1, "uint8": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1,
    "float4_e2m1fn_x2": 1, "complex32": 4, "bcomplex32": 4, "complex64": 8, "complex128": 16,
    "quint8": 1, "qint8": 1, "qint32": 4, "quint4x2": 1, "quint2x4": 1,
}  # fmt: skip
"""Bytes per element, by dtype name."""
_FLOATS = ("float8_e4m3fn", "float16", "float32", "float64")
"""One dtype of each width, narrowest first."""


class TensorType(NamedTuple):
    """A tensor's shape and dtype: all that a cost may depend on, unless the tensor is sparse (`SparseType`)."""

    shape: Shape
    dtype: str

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements if stored contiguously."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def floating(self) -> bool:
        """Whether the dtype is a real or complex floating-point dtype."""
        return self.dtype.startswith(("float", "bfloat", "complex", "bcomplex"))

    @property
    def complex(self) -> bool:
        """Whether the dtype is complex."""
        return self.dtype.startswith(("complex", "bcomplex"))

    def cast(self, dtype: str) -> TensorType:
        """Return the same type with another dtype."""
        return TensorType(self.shape, dtype)

    def of_bits(self, bits: int) -> TensorType:
        """Return the type of as many floats of `bits` bits; they are packed if that is no dtype's width."""
        dtype = next((name for name in _FLOATS if 8 * ITEM_BYTES[name] >= bits), _FLOATS[-1])
        return self.cast(dtype) if 8 * ITEM_BYTES[dtype] == bits else self._packed(dtype, bits)

    def _packed(self, dtype: str, bits: int) -> TensorType:
        return PackedType(self.shape, dtype, (0, -(-self.numel * bits // 8)))


class SparseType(TensorType):
    """Shape and dtype of a tensor with a sparse layout, and what it stores.

    Attributes:
        stored: the number of stored elements, and the bytes of their indices.
    """

    stored: tuple[int, int]

    def __new__(cls, shape: Shape, dtype: str, stored: tuple[int, int]) -> Self:
        new = tuple.__new__(cls, (shape, dtype))
        new.stored = stored
        return new

    @property
    def nbytes(self) -> int:
        """Bytes of the stored elements and of their indices."""
        elements, indices = self.stored
        return elements * ITEM_BYTES[self.dtype] + indices

    def cast(self, dtype: str) -> SparseType:
        """Return the same type with another dtype."""
        return SparseType(self.shape, dtype, self.stored)

    def _packed(self, dtype: str, bits: int) -> TensorType:
        elements, indices = self.stored
        return PackedType(self.shape, dtype, (0, -(-elements * bits // 8) + indices))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SparseType) and tuple.__eq__(self, other) and self.stored == other.stored

    def __ne__(self, other: object) -> bool:  # tuple.__ne__ would ignore `stored`
        return not self == other

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.stored))

    def __repr__(self) -> str:
        return f"SparseType(shape={self.shape}, dtype={self.dtype!r}, stored={self.stored})"

    def __reduce__(self) -> tuple[type[SparseType], tuple[Shape, str, tuple[int, int]]]:
        return SparseType, (self.shape, self.dtype, self.stored)


class PackedType(SparseType):
    """Shape of a tensor whose elements are no whole bytes each; `stored` is 0 and the bytes of all."""
