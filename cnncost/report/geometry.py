"""The columns that a network's description has: kernel, stride and input shapes of a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, get_args

from cnncost.errors import CnncostError
from cnncost.near import suggestion
from cnncost.passes.windows import Windows, windows
from cnncost.report.data import SomeReport
from cnncost.report.rows import Along, Asked, Layer, several

_UNKNOWN: Along = ("unknown",)
_OF_A_RUN = frozenset({"kernel", "stride", "input"})
"""Columns that are read from the recorded run."""


def with_columns(report: SomeReport, names: Sequence[str]) -> SomeReport:
    """Implementation of `Report.with_columns`."""
    columns: tuple[Asked, ...] = get_args(Asked)
    for name in names:
        if name not in columns:
            hint = suggestion(str(name), columns) or f"; there are {', '.join(columns)}"
            raise CnncostError(f"no further column named {name!r}{hint}")
    requested = tuple(name for name in columns if name in {*report.further, *names})
    missing = {*requested} - {*report.further}
    if not missing & _OF_A_RUN:
        return replace(report, further=requested)
    graph = report.graph
    if graph is None:
        raise CnncostError(f"{report.model}: the report was read from a file and has no graph; analyze the model anew")
    windows_by_label: dict[str, dict[str, Any]] = {}
    containers: dict[str, Any] = {}
    for index, own in windows(graph).items():
        for name in ("kernel", "stride"):
            if name in requested:
                windows_by_label.setdefault(graph.call_path(index), {})[name] = several(_sizes(own, name))
    if "input" in requested:
        rows = {layer.label for layer in report.layers if layer.call}
        for index, call in enumerate(graph.calls):
            shapes = tuple([graph.values[value].shape for value in call.inputs])
            label, path = graph.call_path(index), graph.scopes[call.scope].path
            windows_by_label.setdefault(label, {})["input_shapes"] = shapes
            if path and label not in rows and call.index + 1 == graph.scopes[call.scope].calls:
                containers[path] = shapes
        report = replace(
            report, container_inputs=containers,
            totals=replace(report.totals, input_shapes=tuple([shape for shape, _ in report.inputs])),
        )  # fmt: skip
    layers = tuple([_filled(layer, windows_by_label) for layer in report.layers])
    return replace(report, layers=layers, further=requested)


def _filled(layer: Layer, windows_by_label: dict[str, dict[str, Any]]) -> Layer:
    own = windows_by_label.get(layer.label, {}) if layer.call else {}
    return replace(layer, **own) if own else layer


def _sizes(own: Iterable[Windows], name: str) -> list[Along]:
    return [_UNKNOWN if (sizes := getattr(each, name)) is None else sizes for each in own]
