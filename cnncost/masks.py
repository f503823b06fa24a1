"""Attention masks as data: which keys each query sees, and how many query-key pairs have to be computed.

A Graph stores masks with known values as framework-independent rows of bits. `Mask.pairs` counts visible query-key
pairs, either one by one or in whole tiles as block-sparse kernels compute them.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from cnncost.errors import GraphError

Tile: TypeAlias = tuple[int, int]
"""Numbers of queries and keys in a block of pairs that a kernel either computes completely or skips."""


class Mask(NamedTuple):
    """Which keys each query sees: one or more matrices, each broadcast over equally many of an op's score matrices.

    Attributes:
        matrices: number of matrices: the product of the leading axes (batch, heads) along which masks differ.
        queries, keys: rows and columns of each matrix; 1 if all rows, or all columns, are equal (broadcast).
        bits: one bit per pair, set if the query sees the key. A row's bits start at the least significant one and are
            padded to whole bytes; all rows together are compressed with zlib and encoded as base64.
    """

    matrices: int
    queries: int
    keys: int
    bits: str

    @property
    def row_bytes(self) -> int:
        """Number of bytes in a row."""
        return (self.keys + 7) // 8

    def rows(self) -> list[int]:
        """Return the rows of all matrices, each an int whose bit j is set if key j is visible.

        Raises:
            ValueError: the bits are damaged, or their number doesn't match the sizes.
        """
        try:
            data = zlib.decompress(b64decode(self.bits, validate=True))
        except zlib.error as error:
            raise ValueError(f"mask: damaged bits ({error})") from None
        step, count = self.row_bytes, self.matrices * self.queries
        if len(data) != step * count:
            raise ValueError(f"mask: {len(data)} bytes of bits; expected {count} rows of {step}")
        rows = [int.from_bytes(data[i * step : (i + 1) * step], "little") for i in range(count)]
        if any(row >> self.keys for row in rows):
            raise ValueError(f"mask: a row has bits beyond its {self.keys} keys")
        return rows

    def seen_by(self, queries: int, keys: int) -> tuple[tuple[int, ...], ...]:
        """Return the keys that each query sees in some matrix; rows and columns are broadcast as in `pairs`."""
        rows = self.rows()
        seen = [0] * self.queries
        for i, row in enumerate(rows):
            seen[i % self.queries] |= row
        if self.keys != keys:  # one column, broadcast
            seen = [(1 << keys) - 1 if row else 0 for row in seen]
        by_row = [tuple([k for k, bit in enumerate(f"{row:b}"[::-1]) if bit == "1"]) for row in seen]
        return tuple(by_row * (queries // self.queries))

    def pairs(self, queries: int, keys: int, tile: Tile | None = None) -> int:
        """Return the number of computed pairs, summed over all matrices.

        Args:
            queries: number of the op's queries; a mask with one row is broadcast over them.
            keys: number of the op's keys; a mask with one column is broadcast over them.
            tile: (queries, keys) per tile: all pairs of a tile with a visible pair are counted; tiles are clipped at
                the right and lower borders. If None, only visible pairs are counted.
        """
        rows = self.rows()
        if self.keys != keys:  # one column, broadcast
            all_keys = (1 << keys) - 1
            rows = [all_keys if row else 0 for row in rows]
        step, repeats = self.queries, queries // self.queries  # the one row of a broadcast mask counts for each query
        pairs = 0
        for first in range(0, len(rows), step):
            matrix = rows[first : first + step]
            if tile is None:
                pairs += sum(row.bit_count() for row in matrix) * repeats
            else:
                pairs += _pairs_in_tiles(matrix * repeats, keys, tile)
        return pairs


def mask_from_bits(matrices: int, queries: int, keys: int, data: bytes) -> Mask:
    """Create a mask from uncompressed rows of bits, `(keys + 7) // 8` bytes per row."""
    return Mask(matrices, queries, keys, b64encode(zlib.compress(data)).decode())


def check_masks(masks: tuple[tuple[int, Mask], ...], nodes: int) -> None:
    """Raise GraphError for a mask whose node does not exist or whose sizes are not positive."""
    for node, mask in masks:
        if not 0 <= node < nodes:
            raise GraphError(f"a mask belongs to node {node}, which does not exist (there are {nodes} nodes)")
        if min(mask[:3]) < 1:
            raise GraphError(
                f"node {node}: its mask has {mask.matrices} matrices of {mask.queries}x{mask.keys}; expected 1 or more"
            )


def causal_pairs(queries: int, keys: int, tile: Tile | None = None, lower_right: bool = False) -> int:
    """Return the number of computed pairs if `is_causal`: query i sees keys 0 to i (aligned to the upper left corner).

    With a `tile`, whole tiles are counted, as in `Mask.pairs`. With `lower_right`, the mask is aligned to the lower
    right corner instead, so the last query sees all keys.
    """
    shift = keys - queries if lower_right else 0
    height, width = tile or (1, 1)
    # each band of `height` queries sees the keys of its last query, rounded up to whole tiles: -(-a // b) is a ceiling
    return sum(
        (last - first) * min(keys, -(-max(0, last + shift) // width) * width)
        for first, last in ((i, min(i + height, queries)) for i in range(0, queries, height))
    )


def _pairs_in_tiles(rows: list[int], keys: int, tile: Tile) -> int:
    """Return the number of pairs in those tiles of one matrix that contain a visible pair."""
    height, width = tile
    pairs = 0
    for first in range(0, len(rows), height):
        band = rows[first : first + height]
        seen = 0
        for row in band:
            seen |= row
        pairs += len(band) * sum(_tile_widths(seen, keys, width))
    return pairs


def _tile_widths(seen: int, keys: int, width: int) -> Iterator[int]:
    """Yield the width of each tile that contains a visible key (a set bit of `seen`); the last tile may be narrower."""
    tile_bits = (1 << width) - 1
    for left in range(0, keys, width):
        if seen >> left & tile_bits:
            yield min(width, keys - left)
