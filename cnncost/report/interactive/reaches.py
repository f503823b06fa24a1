"""Encodes the receptive field of each unit of each layer for the page's viewer."""

from __future__ import annotations

from collections.abc import Sequence

from cnncost.errors import CnncostError
from cnncost.passes.receptive_field import Boxes, ReceptiveField
from cnncost.report.data import ReportData
from cnncost.report.fields import plain
from cnncost.report.interactive.encoding import Json, progressions
from cnncost.report.interactive.tables import TreeItem


def encode(report: ReportData, tree: Sequence[TreeItem]) -> tuple[Json, str]:
    """Return (data, ""), or (None, the reason in words) if there are no receptive fields.

    The data holds the distinct fields, the index of the field of each row's first call, and the distinct span tables.
    """
    if report.graph is None:
        return None, "the report was read from a file, which does not hold the run; analyze the model itself"
    try:
        receptive_fields = report.receptive_fields
    except CnncostError as error:
        return None, str(error)
    if not receptive_fields.images:
        return None, "none of the inputs has spatial axes"
    tables: dict[tuple[tuple[int, int] | None, ...], int] = {}
    index_of: dict[str, int] = {}
    fields: list[Json] = []
    field_of_path: dict[str, int] = {}
    for index, call in enumerate(report.graph.calls):
        field = receptive_fields.of(index) if call.index == 0 else None
        if field is None:
            continue
        units = list(receptive_fields.units(index).values())
        axes = [_table(each, tables) for each in receptive_fields.boxes(index) or ()]
        data = _field(field, units, axes)
        field_index = index_of.setdefault(repr(data), len(fields))  # repr, because a dict can't be a key
        if field_index == len(fields):
            fields.append(data)
        field_of_path[report.graph.scopes[call.scope].path] = field_index
    rows = {i: field_of_path[item.paths[0]] for i, (item, _) in enumerate(tree) if item.paths[0] in field_of_path}
    images = [{"input": image.number, "size": list(image.size)} for image in receptive_fields.images]
    return {"images": images, "fields": fields, "of": rows, "tables": [progressions(spans) for spans in tables]}, ""


def _field(field: ReceptiveField, units: list[int], axes: list[Json]) -> Json:
    return {
        "input": field.input, "size": list(plain(field.size)), "jump": list(plain(field.jump)),
        "start": list(plain(field.start)), "seen": list(plain(field.seen)), "notes": list(field.notes),
        "units": units, "axes": axes,
    }  # fmt: skip


def _table(boxes: Boxes | None, tables: dict[tuple[tuple[int, int] | None, ...], int]) -> Json:
    """Return the index of a span table and the layer's spatial axes that index it; None if there is no table.

    A table that is not in `tables` is added to it.
    """
    if boxes is None:
        return None
    return {"along": list(boxes.along), "table": tables.setdefault(boxes.spans, len(tables))}
