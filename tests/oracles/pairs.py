"""Number of query-key pairs that attention computes, counted one by one."""

from __future__ import annotations

from collections.abc import Callable


def visible(queries: int, keys: int, sees: Callable[[int, int], bool]) -> int:
    """Number of pairs that are visible under a mask."""
    return sum(1 for i in range(queries) for j in range(keys) if sees(i, j))


def in_tiles(queries: int, keys: int, sees: Callable[[int, int], bool], height: int, width: int) -> int:
    """Number of pairs in tiles that contain a visible one; tiles are clipped at the borders."""
    count = 0
    for top in range(0, queries, height):
        for left in range(0, keys, width):
            rows = range(top, min(top + height, queries))
            columns = range(left, min(left + width, keys))
            if any(sees(i, j) for i in rows for j in columns):
                count += len(rows) * len(columns)
    return count
