"""Converts the attributes of nodes to Python values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnncost.frontends.onnx.tensors import value_of


def attribute_of(proto: Any) -> Any:
    """Convert an AttributeProto to a number, a string, a list, a NumPy array, or the proto of a graph, type or tensor.

    None for a tensor that is large or stored in another file, and for an unknown attribute type.
    """
    reader = _READERS.get(proto.type)
    return None if reader is None else reader(proto)


_READERS: dict[int, Callable[[Any], Any]] = {
    1: lambda proto: proto.f,
    2: lambda proto: proto.i,
    3: lambda proto: proto.s.decode(errors="replace"),
    4: lambda proto: value_of(proto.t),
    5: lambda proto: proto.g,
    6: lambda proto: list(proto.floats),
    7: lambda proto: list(proto.ints),
    8: lambda proto: [each.decode(errors="replace") for each in proto.strings],
    9: lambda proto: list(proto.tensors),
    10: lambda proto: list(proto.graphs),
    11: lambda proto: proto.sparse_tensor,
    12: lambda proto: list(proto.sparse_tensors),
    13: lambda proto: proto.tp,
    14: lambda proto: list(proto.type_protos),
}
"""The reader for each type of attribute, by its number in AttributeProto.AttributeType."""
