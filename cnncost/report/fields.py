"""Receptive fields in a Report: of one layer, as columns in all tables, and as a list of layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from cnncost.errors import CnncostError
from cnncost.passes.receptive_field import Extent, ReceptiveField
from cnncost.report.data import ReportData, SomeReport
from cnncost.report.further import Place, filled, place
from cnncost.report.naming import resolve_path, shown, unknown_path
from cnncost.report.rows import Along, Spans


class Growth(NamedTuple):
    """A module call and its receptive field.

    Attributes:
        path: path of the module, with `#2` for a second call; empty for the model itself.
        class_name: class of the module.
        field: its receptive field.
        units: number of units along each of the layer's own spatial axes.
        grew: whether the field is larger along some axis than all fields before, or its jump, or the axes along which
            it is global or unknown, differ from the field before. True in a row that only `growth_of` returns.
    """

    path: str
    class_name: str
    field: ReceptiveField
    units: tuple[int, ...]
    grew: bool = True

    @property
    def name(self) -> str:
        """The path as displayed; a placeholder for the model itself."""
        return shown(self.path)


def receptive_field(
    report: ReportData, path: str, unit: Sequence[int] | None = None, image: int | None = None
) -> ReceptiveField:
    """Implementation of `Report.receptive_field`."""
    fields = report.receptive_fields
    graph = fields.graph
    # first calls come last and overwrite others: a module named `a#2` takes precedence over the second call of `a`
    first_calls_last = sorted(range(len(graph.calls)), key=lambda i: -graph.calls[i].index)
    labels = {graph.call_path(i): i for i in first_calls_last}
    paths = [each for each, _, _ in report.tree]
    path = path_of_name(report, path)
    if path not in labels:
        if path in paths:
            raise CnncostError(f"module {path!r}: it was never called, so it has no receptive field")
        raise CnncostError(unknown_path(path, list(dict.fromkeys([*paths, *labels]))))
    field = fields.of(labels[path], image, unit)
    if field is None:
        reason = (
            "none of the inputs has spatial axes" if not fields.images else "it depends on no input with spatial axes"
        )
        raise CnncostError(f"module {path!r}: no receptive field: {reason}")
    return field


def path_of_name(report: ReportData, name: str) -> str:
    """Return the path of the module that the user names; `""` for any name of the model itself."""
    _, class_name, _ = report.tree[0]
    return resolve_path(name, (report.model, class_name), [path for path, _, _ in report.tree])


def with_receptive_fields(report: SomeReport) -> SomeReport:
    """Return the report with the columns receptive_field, jump and start."""
    if report.fields:
        return report
    graph = report.receptive_fields.graph
    spans: dict[Place, Spans] = {}
    for call in range(len(graph.calls)):
        field = report.receptive_fields.of(call)
        if field is not None:
            spans[place(graph, call)] = Spans(*(plain(each) for each in (field.size, field.jump, field.start)))
    layers = filled(report.layers, {where: each._asdict() for where, each in spans.items()})
    return replace(report, layers=layers, fields={path: each for (path, nth), each in spans.items() if nth == 1})


def plain(values: Sequence[int | Fraction | Extent]) -> Along:
    """Return values as plain data: fractions, `global` and `unknown` become text."""
    return tuple(value if isinstance(value, int) else str(value) for value in values)


def growth(report: ReportData, image: int | None = None) -> tuple[Growth, ...]:
    """Return rows for leaves, and for other modules whose field grew (see `Growth.grew`).

    Rows are in the order in which calls end. If the model's own forward runs ops, the model is the last row.

    Raises:
        CnncostError: no input has spatial axes, or input `image` has none.
    """
    fields = report.receptive_fields
    if not fields.images:
        raise CnncostError(f"{report.model}: no receptive fields: none of the inputs has spatial axes")
    return tuple(_growth_rows(report, image))


def _growth_rows(report: ReportData, image: int | None) -> Iterator[Growth]:
    graph, fields = report.receptive_fields.graph, report.receptive_fields
    parents = {call.parent for call in graph.calls}
    calls_with_ops = {node.call for node in graph.nodes}
    largest = _LargestField()
    for call in _by_end(report):
        field = fields.of(call, image)
        if field is None:
            continue
        scope = graph.scopes[graph.calls[call].scope]
        if not scope.path and call not in calls_with_ops:
            continue
        grew = largest.update(field)
        if grew or call not in parents or not scope.path:
            yield Growth(
                graph.call_path(call), scope.class_name, field, tuple(fields.units(call, image).values()), grew
            )


class _LargestField:
    """The largest sizes so far along axes with a number; `words` has the last field's `global` and `unknown` axes."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.words: tuple[Extent | None, ...] = ()
        self.jump: tuple[int | Fraction | Extent, ...] = ()

    def update(self, field: ReceptiveField) -> bool:
        """Record a field; return whether it is larger along some axis, or its jump or its words changed."""
        words = tuple(n if isinstance(n, Extent) else None for n in field.size)
        larger = [i for i, n in enumerate(field.size) if isinstance(n, int) and n > self.sizes.get(i, 0)]
        if not larger and field.jump == self.jump and words == self.words:
            return False
        self.sizes.update({i: n for i in larger if isinstance(n := field.size[i], int)})
        self.words, self.jump = words, field.jump
        return True


def growth_of(report: ReportData, path: str, rows: Sequence[Growth], image: int | None = None) -> Growth:
    """Return the row of any module, even one that `growth` leaves out. Raises like `receptive_field`."""
    path = path_of_name(report, path)
    listed = next((row for row in rows if row.path == path), None)
    if listed is not None:
        return listed
    field = receptive_field(report, path, image=image)
    graph = report.receptive_fields.graph
    call = next(i for i in range(len(graph.calls)) if graph.call_path(i) == path)
    class_name = graph.scopes[graph.calls[call].scope].class_name
    return Growth(path, class_name, field, tuple(report.receptive_fields.units(call, image).values()))


def _by_end(report: ReportData) -> list[int]:
    """Return the calls in the order in which they end: children before their parent.

    This is the reverse of an order in which parents come first and the last child comes before its siblings.
    """
    calls = report.receptive_fields.graph.calls
    below: dict[int | None, list[int]] = {}
    for index, call in enumerate(calls):
        below.setdefault(call.parent, []).append(index)
    order: list[int] = []
    stack = list(below.get(None, ()))
    while stack:
        order.append(stack.pop())
        stack.extend(below.get(order[-1], ()))
    return order[::-1]
