"""The columns for bytes that a module's ops allocate in forward, and for the part that outlives it."""

from __future__ import annotations

from dataclasses import replace

from cnncost.errors import CnncostError
from cnncost.passes.memory import memory
from cnncost.report.data import SomeReport
from cnncost.report.memory import check_whole


def with_memory(report: SomeReport) -> SomeReport:
    """The report with the columns allocated and saved; calls of a training step are matched by label."""
    graph = report.training or report.graph
    if graph is None:
        raise CnncostError(f"{report.model}: the report was read from a file and has no graph; analyze the model anew")
    check_whole(report.model, report.partial)
    by_call = memory(graph).by_call
    by_label = {graph.call_path(call): each for call, each in by_call.items()}
    layers = []
    for layer in report.layers:
        allocated, saved = by_label.pop(layer.label, (0, 0)) if layer.call else (0, 0)
        layers.append(replace(layer, allocated=allocated, saved=saved))
    sums = [sum(getattr(layer, name) for layer in layers) for name in ("allocated", "saved")]
    return replace(report, layers=tuple(layers), totals=replace(report.totals, allocated=sums[0], saved=sums[1]))
