"""The column of multiply-accumulates that remain if attention skips masked pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cnncost.errors import CnncostError
from cnncost.masks import Tile
from cnncost.passes.unmasked import NOTHING, Left, unmasked
from cnncost.report.data import SomeReport


def with_masks(report: SomeReport, tile: int | Tile | None) -> SomeReport:
    """The report with macs_unmasked in its rows and totals, including those of a training step."""
    blocks = _tile(tile)
    graph = report.graph
    if graph is None:
        raise CnncostError(f"{report.model}: the report was read from a file and has no graph; analyze the model anew")
    by_label = {graph.call_path(call): left for (_, call), left in unmasked(graph, blocks).items()}
    rows = [by_label.pop(layer.label, NOTHING) if layer.call else NOTHING for layer in report.layers]
    layers = [
        replace(layer, macs_unmasked=left.macs, mask_unknown=left.bound)
        for layer, left in zip(report.layers, rows, strict=True)
    ]
    total = _sum(rows)
    totals = replace(report.totals, macs_unmasked=total.macs, mask_unknown=total.bound)
    if report.training is not None:
        step = _sum(unmasked(report.training, blocks).values())
        totals = replace(totals, training_macs_unmasked=step.macs, training_mask_unknown=step.bound)
    return replace(report, layers=tuple(layers), totals=totals, mask_tile=blocks or ())


def _sum(parts: Iterable[Left]) -> Left:
    parts = list(parts)
    return Left(sum(left.macs for left in parts), any(left.bound for left in parts))


def _tile(tile: int | Tile | None) -> Tile | None:
    """Normalize a tile to (queries, keys). Raises CnncostError if it is invalid."""
    if tile is None:
        return None
    sizes = (tile, tile) if isinstance(tile, int) else tuple(tile)
    if len(sizes) != 2 or any(type(n) is not int or n < 1 for n in sizes):
        raise CnncostError(f"tile={tile!r}: expected queries and keys of a block, such as (128, 128), or one int")
    return sizes[0], sizes[1]
