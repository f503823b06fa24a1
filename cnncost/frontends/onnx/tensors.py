"""ONNX tensors: element types, declared shapes, and the values of small tensors. Large data is never read."""

from __future__ import annotations

import sys
from math import prod
from typing import Any, TypeAlias

import numpy as np

from cnncost.tensor_types import TensorType

Constant: TypeAlias = "np.ndarray[Any, Any]"
"""The values of a small tensor."""
LARGEST_CONSTANT = 4096
"""Maximum number of elements of a tensor whose values are read: enough for shapes, indices and scalars. Values of
weights are not needed."""
_RAW_TYPES = {
    number: (np.dtype(name), field)
    for number, name, field in ((1, "float32", "float_data"), (6, "int32", "int32_data"), (7, "int64", "int64_data"),
                                (11, "float64", "double_data"))
} if sys.byteorder == "little" else {}  # fmt: skip
"""Element types whose raw bytes NumPy reads directly: the dtype, and the field that holds numbers that aren't raw."""
_MAX_SCANNED = 1 << 16
"""Maximum number of bytes that are checked for being all zero."""

DTYPES: dict[int, str] = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8_e4m3fn",
    18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 24: "float8_e8m0fnu",
}  # fmt: skip
"""Dtypes by number of TensorProto.DataType, except strings, which have no fixed size, and the types in PACKED."""
PACKED: dict[int, str] = {21: "uint8", 22: "int8", 23: "uint8", 25: "uint8", 26: "int8"}
"""Dtypes that stand for 4-bit and 2-bit types: elements are counted as one byte each, and a note says so."""
NUMBERS = {name: number for number, name in DTYPES.items()}


_DTYPE_NAMES = {np.dtype(name): name for name in ("float32", "int64", "int32", "bool", "float64")}
"""Names of the most frequent dtypes: NumPy builds the string on each access of `dtype.name`."""


def dtype_of(elem_type: int) -> str | None:
    """Return the dtype's name; None for strings and unsupported types."""
    return DTYPES.get(elem_type) or PACKED.get(elem_type)


def declared(proto: Any) -> TensorType | None:
    """Return the type that a TensorProto declares; None if its dtype is unsupported or a size negative."""
    dtype = dtype_of(proto.data_type)
    shape = tuple(proto.dims)
    return None if dtype is None or any(n < 0 for n in shape) else TensorType(shape, dtype)


def type_of(proto: Any) -> TensorType | None:
    """Return the tensor type of a TypeProto; None unless it is a tensor and all its sizes are known."""
    if not proto.HasField("tensor_type") or not proto.tensor_type.HasField("shape"):
        return None
    dtype = dtype_of(proto.tensor_type.elem_type)
    sizes = [d.dim_value if d.HasField("dim_value") else -1 for d in proto.tensor_type.shape.dim]
    return None if dtype is None or any(n < 0 for n in sizes) else TensorType(tuple(sizes), dtype)


def value_of(proto: Any) -> Constant | None:
    """Return the values of a small tensor; None if it is large, external, packed, not numeric or of a wrong size."""
    size = prod(proto.dims)
    if not 0 <= size <= LARGEST_CONSTANT or proto.data_location == 1 or proto.data_type not in DTYPES:
        return None
    if min(proto.dims, default=0) < 0:
        return None
    if (known := _RAW_TYPES.get(proto.data_type)) is not None and not proto.HasField("segment"):
        dtype, numbers = known
        if raw := proto.raw_data:
            return np.frombuffer(raw, dtype).reshape(proto.dims) if len(raw) == size * dtype.itemsize else None
        if not proto.HasField("raw_data"):
            data = np.asarray(getattr(proto, numbers), dtype)
            return data.reshape(proto.dims) if data.size == size else None
    from onnx import numpy_helper

    try:
        return np.asarray(numpy_helper.to_array(proto))
    except (ValueError, TypeError):  # the data's length differs from the declared one
        return None


def initializers(graph: Any) -> list[Any]:
    """Return the initializers of a graph as TensorProtos; sparse ones are dense, as runtimes read them."""
    return [*graph.initializer, *map(dense, graph.sparse_initializer)]


def dense(sparse: Any) -> Any:
    """Return the header of the dense TensorProto that a SparseTensorProto stands for: its values are not read."""
    values = sparse.values
    return type(values)(
        name=values.name, data_type=values.data_type, dims=sparse.dims, data_location=values.EXTERNAL
    )  # fmt: skip


def is_zeros(proto: Any, value: Constant | None) -> bool:
    """Return True if a tensor is known to be all zeros; False if it is external or too large to check.

    Args:
        proto: a TensorProto.
        value: its values, as returned by `value_of`.
    """
    if raw := proto.raw_data:
        return len(raw) <= _MAX_SCANNED and raw.count(0) == len(raw)
    return value is not None and value.size > 0 and not value.any()


def number(value: int, kind: TensorType) -> Constant:
    """Return an integer as a tensor of the type `kind`, which has one element."""
    return np.full(kind.shape, value, kind.dtype)


def proto_of(value: Constant) -> Any:
    """Return a constant as a TensorProto."""
    from onnx import numpy_helper

    return numpy_helper.from_array(value)


def type_of_constant(value: Constant) -> TensorType | None:
    """Return the type of a constant; None if ONNX has no such dtype."""
    name = _DTYPE_NAMES.get(value.dtype) or value.dtype.name
    return TensorType(value.shape, name) if name in NUMBERS else None
