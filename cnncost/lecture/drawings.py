"""Data from which the page's JavaScript draws the slides' networks, as the feature maps of one layer after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from cnncost import units
from cnncost.lecture.claims import ModelFigure, Slide
from cnncost.lecture.compute import report_of
from cnncost.lecture.findings import Findings
from cnncost.report import heading
from cnncost.report.columns import AT_LEAST
from cnncost.report.data import ReportData
from cnncost.report.interactive.encoding import Json, number
from cnncost.report.outline import Item, fitting_depth, outline, visible

SCHEMA = 1
"""Version of the data's layout. Increment it with each change."""
_MOST_BOXES = 26
"""Maximum number of boxes in a drawing. In drawings of deeper networks, boxes are blocks of layers."""


def page_data(findings: Findings) -> Json:
    """Return the data that the page's JavaScript draws: each network in the claims, with its slides.

    A claim may name a network by a file or an importable package. Both are resolved from the current working directory,
    because this function analyzes the networks.
    """
    slides: dict[ModelFigure, dict[Slide, None]] = {}  # a dict of slides serves as an ordered set
    for finding in findings:
        for each in _networks(finding.claim):
            slides.setdefault(each, {})[finding.slide] = None
    return {
        "schema": SCHEMA, "view": "lecture", "replaces": [],
        "networks": [_network(*pair) for pair in sorted(slides.items(), key=lambda pair: _first(pair[1]))],
    }  # fmt: skip


def _first(slides: Iterable[Slide]) -> int:
    """Return the smallest slide number."""
    return min(slide.number for slide in slides)


def _networks(part: Any) -> Iterator[ModelFigure]:
    """Yield the networks in a claim or measure, reduced to name and options.

    Networks whose claim gives inputs, or that are placed on several devices, are left out.
    """
    if isinstance(part, ModelFigure):
        if not part.inputs and "placed" not in dict(part.options):
            yield ModelFigure(part.network, "", options=part.options)
    elif isinstance(part, tuple | list):
        for each in part:
            yield from _networks(each)
    elif is_dataclass(part):
        for each in fields(part):
            yield from _networks(getattr(part, each.name))


def _network(network: ModelFigure, slides: Iterable[Slide]) -> Json:
    report = report_of(network)
    options = ", ".join(f"{name}={value}" for name, value in network.options)
    mark = AT_LEAST if report.totals.lower_bound else ""
    return {
        "name": network.network + (f" ({options})" if options else ""), "inputs": heading.inputs(report),
        "params": number(report.totals.params), "macs": number(report.totals.macs), "mark": mark,
        "slides": [{"number": slide.number, "title": slide.title} for slide in slides],
        "boxes": [_input(report), *(_box(item) for item in _shown(report))],
    }  # fmt: skip


def _shown(report: ReportData) -> Iterator[Item]:
    """Yield the layers (or blocks of a deep network) that have MACs or change the shape."""
    items = outline(report)
    rows = [*visible(items, fitting_depth(items, _MOST_BOXES))]
    levels = [row.level for row in rows[1:]] + [0]
    last = report.inputs[0][0] if report.inputs else None
    for (item, level), after in zip(rows, levels, strict=True):
        shape = item.row.output_shape
        is_leaf = after <= level  # the next row is not its child
        if is_leaf and (item.row.macs or shape not in (last, None)):
            yield item
            last = shape or last


def _input(report: ReportData) -> Json:
    shape = report.inputs[0][0] if report.inputs else ()
    return {
        "name": "input", "path": "", "class": "", "siblings": 1, "shape": list(shape[1:]),
        "shape_text": units.shape(shape[1:]), "params": 0, "macs": 0, "mark": "",
    }  # fmt: skip


def _short(path: str) -> str:
    """Return the last name in a path; if that is a number, as in a Sequential, the last two: `features.0`."""
    above, _, name = path.rpartition(".")
    return ".".join(filter(None, (above.rpartition(".")[2], name))) if name.isdecimal() else name


def _box(item: Item) -> Json:
    row = item.row
    shape = row.output_shape or ()
    name = _short(item.paths[0]) + (f" … {item.paths[-1].rpartition('.')[2]}" if item.siblings > 1 else "")
    return {
        "name": item.name if item.own else name, "path": item.paths[0], "class": row.class_name,
        "siblings": item.siblings, "shape": list(shape[1:]), "shape_text": units.shape(shape[1:]) if shape else "",
        "params": number(row.params), "macs": number(row.macs), "mark": AT_LEAST if row.unknown else "",
    }  # fmt: skip
