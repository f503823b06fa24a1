"""Attention masks as data: which keys each query sees, and how many pairs are left to compute.

A Graph carries the masks whose values are known, without a framework: rows of bits. What is counted of them are pairs
of a query and a key, alone or by tiles, which block-sparse kernels compute whole.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from cnncost.errors import GraphError

Tile: TypeAlias = tuple[int, int]
"""Queries and keys of a block that is computed whole or not at all."""


class Mask(NamedTuple):
    """Which keys each query sees, in matrices that serve equally many of an op's score matrices each.

    Attributes:
        matrices: how many there are: the leading axes (batch, heads) along which masks differ.
        queries, keys: rows and columns of each; 1 where all rows, or all columns, are alike.
        bits: a bit a pair, set where the query sees the key; each row from the least bit on, in whole bytes; all rows
            compressed by zlib, as base64.
    """

    matrices: int
    queries: int
    keys: int
    bits: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return (self.keys + 7) // 8

    def rows(self) -> list[int]:
        """The rows of all matrices, each as an int whose bit j says whether key j is seen.

        Raises:
            ValueError: the bits are damaged, or not as many as the sizes say.
        """
        try:
            data = zlib.decompress(b64decode(self.bits, validate=True))
        except zlib.error as error:
            raise ValueError(f"mask: damaged bits ({error})") from None
        step, count = self.row_bytes, self.matrices * self.queries
        if len(data) != step * count:
            raise ValueError(f"mask: {len(data)} bytes of bits; expected {count} rows of {step}")
        found = [int.from_bytes(data[i * step : (i + 1) * step], "little") for i in range(count)]
        if any(row >> self.keys for row in found):
            raise ValueError(f"mask: a row has bits beyond its {self.keys} keys")
        return found

    def pairs(self, queries: int, keys: int, tile: Tile | None = None) -> int:
        """Pairs that are computed in all matrices, of so many queries and keys each.

        Args:
            queries: of the op; a mask with one row is spread over them.
            keys: of the op; likewise.
            tile: pairs are computed in tiles of so many queries and keys, each tile with a visible pair whole; at the
                right and lower border as much of the tile as there is. None: visible pairs alone.
        """
        rows = self.rows()
        if self.keys != keys:
            everything = (1 << keys) - 1
            rows = [everything if row else 0 for row in rows]
        step = self.queries
        found = 0
        for first in range(0, len(rows), step):
            matrix = rows[first : first + step]
            if tile is None:
                found += sum(row.bit_count() for row in matrix) * (queries // step)
            else:
                found += _in_tiles(matrix * (queries // step), keys, tile)
        return found


def packed(matrices: int, queries: int, keys: int, data: bytes) -> Mask:
    """A mask of these rows of bits, `(keys + 7) // 8` bytes each."""
    return Mask(matrices, queries, keys, b64encode(zlib.compress(data)).decode())


def check(masks: tuple[tuple[int, Mask], ...], nodes: int) -> None:
    """Raise GraphError for a mask of a node that does not exist, or that has no sizes."""
    for node, mask in masks:
        if not 0 <= node < nodes:
            raise GraphError(f"a mask is of node {node}, which does not exist (there are {nodes})")
        if min(mask[:3]) < 1:
            raise GraphError(f"node {node}: its mask is of {mask.matrices} matrices of {mask.queries}x{mask.keys}")


def causal_pairs(queries: int, keys: int, tile: Tile | None = None, lower_right: bool = False) -> int:
    """Pairs that `is_causal` leaves: query i sees the keys up to i, counted from the upper left corner.

    `lower_right`: counted from that corner, so that the last query sees all keys.
    """
    shift = keys - queries if lower_right else 0
    height, width = tile or (1, 1)
    return sum(
        (last - first) * min(keys, -(-max(0, last + shift) // width) * width)
        for first, last in ((i, min(i + height, queries)) for i in range(0, queries, height))
    )


def _in_tiles(rows: list[int], keys: int, tile: Tile) -> int:
    height, width = tile
    found = 0
    for first in range(0, len(rows), height):
        band = rows[first : first + height]
        seen = 0
        for row in band:
            seen |= row
        found += len(band) * sum(_tile_widths(seen, keys, width))
    return found


def _tile_widths(seen: int, keys: int, width: int) -> Iterator[int]:
    """The widths of the tiles that hold a visible key."""
    whole = (1 << width) - 1
    for left in range(0, keys, width):
        if seen >> left & whole:
            yield min(width, keys - left)
