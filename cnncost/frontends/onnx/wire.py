"""Strips the data of large tensors from an ONNX file before it is parsed, to save time and memory.

A protobuf message is a list of fields: a tag (field number and wire type), then a value, or a length and that many
bytes. Messages of at most MAX_DATA bytes can't hold a large tensor and are copied without being parsed.
Ref: https://protobuf.dev/programming-guides/encoding, and onnx.proto for the numbers of fields.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

MAX_DATA = 1 << 16
"""Most bytes of a data field that is kept: LARGEST_CONSTANT elements of 16 bytes, which constant folding may read."""
SMALL_FILE = 1 << 20
"""Most bytes of a file that is read whole."""
DATA = ""
"""Marks a field that holds a tensor's elements, in place of the name of the message in it."""
Bytes: TypeAlias = "bytes | mmap.mmap"
# for each message, the fields that may hold a large tensor: field number -> name of the message in it, or DATA
_MESSAGES: dict[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": dict.fromkeys((4, 5, 6, 7, 9, 10, 11), DATA),
}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def without_data(path: Path) -> bytes:
    """Return a file's bytes without the data of large tensors. Raises ValueError for a large file that is invalid."""
    size = path.stat().st_size
    if size <= SMALL_FILE:
        return path.read_bytes()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return b"".join(_pieces(data, 0, size, "Model"))


def _pieces(data: Bytes, start: int, end: int, message: str) -> Iterator[bytes]:
    """Yield the parts of a message, from `start` to `end`, that are kept."""
    fields = _MESSAGES[message]
    done = at = start  # all bytes before `done` have been yielded or dropped
    while at < end:
        first = at
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _read_varint(data, at - 1, end)  # most tags are one byte, and a call would cost time
        wire_type = tag & 7  # the other bits are the field's number
        if wire_type == _LENGTH:
            length = data[at] if at < end else 0
            at += 1
            if length > 127:
                length, at = _read_varint(data, at - 1, end)
            inner, at = at, at + length
            if length > MAX_DATA and at <= end and (inner_message := fields.get(tag >> 3)) is not None:
                yield data[done:first]
                done = at
                if inner_message:
                    content = b"".join(_pieces(data, inner, at, inner_message))
                    yield b"".join((_write_varint(tag), _write_varint(len(content)), content))
        elif wire_type == _VARINT:
            _, at = _read_varint(data, at, end)
        elif wire_type in {_FIXED64, _FIXED32}:
            at += 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"invalid field at byte {first:,}")
    if at != end:
        raise ValueError(f"cut off: a field goes on to byte {at:,} of {end:,}")
    yield data[done:end]


def _read_varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read a varint (seven bits per byte, lowest first); returns it and the position after it."""
    found = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
        shift += 7
    raise ValueError(f"cut off: a number at byte {at:,} does not end")


def _write_varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
