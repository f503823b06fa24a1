"""How many pairs of a query and a key attention computes, counted one by one."""

from __future__ import annotations

from collections.abc import Callable


def visible(queries: int, keys: int, sees: Callable[[int, int], bool]) -> int:
    """Pairs that a mask lets through."""
    return sum(1 for i in range(queries) for j in range(keys) if sees(i, j))


def in_tiles(queries: int, keys: int, sees: Callable[[int, int], bool], height: int, width: int) -> int:
    """Pairs in tiles that hold a visible one; at the borders tiles are as large as there is room."""
    count = 0
    for top in range(0, queries, height):
        for left in range(0, keys, width):
            rows = range(top, min(top + height, queries))
            columns = range(left, min(left + width, keys))
            if any(sees(i, j) for i in rows for j in columns):
                count += len(rows) * len(columns)
    return count
