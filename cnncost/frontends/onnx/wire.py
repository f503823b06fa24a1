"""A file's bytes without the data of its large tensors: what is not read takes neither time nor memory.

Protocol buffers are fields: a number with a wire type, then a value or a length with so many bytes. Only messages that
are too large to have no large tensor are looked into; all others are copied as they are.
Ref: https://protobuf.dev/programming-guides/encoding, and onnx.proto for the numbers of fields.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

MOST = 1 << 16
"""Bytes of the largest field that is data and kept: 4,096 elements of 16 bytes, which may be looked into."""
SMALL_FILE = 1 << 20
"""Bytes of a file that is read as it is."""
DATA = ""
"""In place of a message's name: a tensor's elements."""
Bytes: TypeAlias = "bytes | mmap.mmap"
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
    """Return a file's bytes without the data of large tensors. Raises ValueError if they are invalid or cut off."""
    size = path.stat().st_size
    if size <= SMALL_FILE:
        return path.read_bytes()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return b"".join(_kept(data, 0, size, "Model"))


def _kept(data: Bytes, start: int, end: int, message: str) -> Iterator[bytes]:
    """Return the pieces of a message from `start` to `end` that stay."""
    fields = _MESSAGES[message]
    done = at = start  # what is before `done` has been copied or left out
    while at < end:
        first = at
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _number(data, at - 1, end)
        kind = tag & 7
        if kind == _LENGTH:
            length = data[at] if at < end else 0
            at += 1
            if length > 127:
                length, at = _number(data, at - 1, end)
            inner, at = at, at + length
            if length > MOST and at <= end and (within := fields.get(tag >> 3)) is not None:
                yield data[done:first]
                done = at
                if within:
                    content = b"".join(_kept(data, inner, at, within))
                    yield b"".join((_varint(tag), _varint(len(content)), content))
        elif kind == _VARINT:
            _, at = _number(data, at, end)
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"no field at byte {first:,}")
    if at != end:
        raise ValueError(f"cut off: a field goes on to byte {at:,} of {end:,}")
    yield data[done:end]


def _number(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read a varint (seven bits per byte, lowest first); returns it and the position behind it."""
    found = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
        shift += 7
    raise ValueError(f"cut off: a number at byte {at:,} does not end")


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
