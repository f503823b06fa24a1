"""Optional columns: bytes of memory, MACs without masked pairs, and calls' kernels, strides and inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, get_args

from cnncost.errors import CnncostError
from cnncost.graph import Graph
from cnncost.masks import Tile
from cnncost.near import suggestion
from cnncost.passes.memory import memory
from cnncost.passes.unmasked import UnmaskedMacs, unmasked
from cnncost.passes.windows import Windows, windows
from cnncost.report.data import SomeReport
from cnncost.report.memory import require_whole_forward
from cnncost.report.rows import Along, FurtherColumn, Layer, several
from cnncost.report.schema import changed

_UNKNOWN: Along = ("unknown",)
_FROM_GRAPH = frozenset({"kernel", "stride", "input"})
"""Columns that need the Graph, which a report read from a file lacks."""


def with_memory(report: SomeReport) -> SomeReport:
    """Return the report with the columns `allocated` and `saved`.

    They cover forward in the training step if there is one, otherwise in the recorded forward pass.
    """
    graph = _recorded(report, report.training or report.graph)
    require_whole_forward(report.model, report.partial)
    by_call = {place(graph, call): each._asdict() for call, each in memory(graph).by_call.items()}
    return _with_sums(report, by_call, {"allocated": 0, "saved": 0})


def with_masks(report: SomeReport, tile: int | Tile | None) -> SomeReport:
    """Return the report with `macs_unmasked` in its rows and totals, including the totals of a training step."""
    tile_sizes = _tile(tile)
    graph = _recorded(report, report.graph)
    by_call = {place(graph, call): _mask_columns(count) for (_, call), count in unmasked(graph, tile_sizes).items()}
    report = replace(_with_sums(report, by_call, _mask_columns(UnmaskedMacs(0, False))), mask_tile=tile_sizes or ())
    if report.training is None:
        return report
    counts = unmasked(report.training, tile_sizes).values()
    totals = replace(
        report.totals, training_macs_unmasked=sum(count.macs for count in counts),
        training_mask_unknown=any(count.bound for count in counts),
    )  # fmt: skip
    return replace(report, totals=totals)


def _mask_columns(count: UnmaskedMacs) -> dict[str, Any]:
    return {"macs_unmasked": count.macs, "mask_unknown": count.bound}


def _tile(tile: int | Tile | None) -> Tile | None:
    """Return a tile as (queries, keys). Raises CnncostError if it is invalid."""
    if tile is None:
        return None
    sizes = (tile, tile) if isinstance(tile, int) else tuple(tile)
    if len(sizes) != 2 or any(type(n) is not int or n < 1 for n in sizes):
        raise CnncostError(f"tile={tile!r}: expected queries and keys of a block, such as (128, 128), or one int")
    return sizes[0], sizes[1]


def with_columns(report: SomeReport, names: Sequence[str]) -> SomeReport:
    """Implementation of `Report.with_columns`."""
    columns: tuple[FurtherColumn, ...] = get_args(FurtherColumn)
    for name in names:
        if name not in columns:
            hint = suggestion(str(name), columns) or f"; expected one of {', '.join(columns)}"
            raise CnncostError(f"no optional column is named {name!r}{hint}")
    requested = tuple(name for name in columns if name in {*report.further, *names})
    added = {*requested} - {*report.further}
    if not added & _FROM_GRAPH:
        return replace(report, further=requested)
    graph = _recorded(report, report.graph)
    by_call: dict[Place, dict[str, Any]] = {}
    for index, of_call in windows(graph).items():
        by_call[place(graph, index)] = {
            name: several(_sizes(of_call, name)) for name in ("kernel", "stride") if name in requested
        }
    containers: dict[str, Any] = {}
    if "input" in requested:
        rows = {(layer.path, layer.call) for layer in report.layers}
        for index, call in enumerate(graph.calls):
            shapes = tuple([graph.values[value].shape for value in call.inputs])
            path, nth = place(graph, index)
            by_call.setdefault((path, nth), {})["input_shapes"] = shapes
            # containers have no row; like `Report.container_shapes`, this has the shapes of their last call
            if path and (path, nth) not in rows and nth == graph.scopes[call.scope].calls:
                containers[path] = shapes
        report = replace(
            report, container_inputs=containers,
            totals=replace(report.totals, input_shapes=tuple([shape for shape, _ in report.inputs])),
        )  # fmt: skip
    return replace(report, layers=filled(report.layers, by_call), further=requested)


def _sizes(of_call: Iterable[Windows], name: str) -> list[Along]:
    """Return the kernel or the stride, by `name`, of each of a call's windows."""
    return [_UNKNOWN if (sizes := getattr(each, name)) is None else sizes for each in of_call]


def _recorded(report: SomeReport, graph: Graph | None) -> Graph:
    """Return the Graph. Raises CnncostError if it is None, as in a report read from a file."""
    if graph is None:
        raise CnncostError(f"{report.model}: the report was read from a file and has no graph; analyze the model again")
    return graph


Place: TypeAlias = tuple[str, int]
"""A module's path, and which call of it this is, from 1. Labels would be ambiguous: a module can be named `a#2`."""


def place(graph: Graph, call: int) -> Place:
    """Return the place of a call, by the call's index in the Graph."""
    return graph.scopes[graph.calls[call].scope].path, graph.calls[call].index + 1


def filled(
    layers: Sequence[Layer], by_call: Mapping[Place, Mapping[str, Any]], defaults: Mapping[str, Any] | None = None
) -> tuple[Layer, ...]:
    """Return rows with the fields of their calls; rows whose call is not in `by_call` get `defaults`, if given."""
    fields = [by_call.get((layer.path, layer.call), defaults) for layer in layers]
    return tuple([changed(layer, **each) if each else layer for layer, each in zip(layers, fields, strict=True)])


def _with_sums(
    report: SomeReport, by_call: Mapping[Place, Mapping[str, Any]], defaults: Mapping[str, Any]
) -> SomeReport:
    """Return the report with fields in rows and totals: numbers are summed, a flag is set if any row's is.

    `defaults` names the fields, with 0 for a number and False for a flag.
    """
    layers = filled(report.layers, by_call, defaults)
    # type(zero) is int for a number, and bool for a flag
    sums = {name: type(zero)(sum(getattr(layer, name) for layer in layers)) for name, zero in defaults.items()}
    return replace(report, layers=layers, totals=replace(report.totals, **sums))
