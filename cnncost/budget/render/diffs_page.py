"""The differences of all models in a budget file, as data for the page's JavaScript: figures and trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cnncost.budget.diff import Diff
from cnncost.budget.quantities import QUANTITIES
from cnncost.budget.render import diff_page
from cnncost.budget.render.diffs import FIGURE_NAMES, differs, document, shared_figures
from cnncost.budget.render.words import change_mark, side_mark
from cnncost.render.document import Document
from cnncost.report.interactive.encoding import Json, number

SCHEMA = 1
"""Version of the data's layout; increment it with each change."""


def page(
    diffs: Mapping[str, Diff], missing: Mapping[str, str], names: tuple[str, str], max_layers: int, headline: str
) -> Document:
    """Return the document with the data that the page's JavaScript draws; arguments as for `diffs.document`."""
    return replace(document(diffs, missing, names, max_layers, headline), page_data=page_data(diffs, missing, names))


def page_data(diffs: Mapping[str, Diff], missing: Mapping[str, str], names: tuple[str, str]) -> Json:
    """Return the figures and the tree of each model, with the changed models first."""
    order = sorted(diffs.items(), key=lambda item: not differs(item[1]))
    return {
        "schema": SCHEMA, "view": "diffs", "names": list(names),
        "missing": [f"{name}: {reason}" for name, reason in missing.items()],
        "models": [
            {
                "name": name, "same": not differs(diff), "figures": _figures(diff),
                "diff": diff_page.page_data(diff, names),
            }
            for name, diff in order
        ],
    }  # fmt: skip


def _figures(diff: Diff) -> Json:
    figures = []
    for name, old, new in shared_figures(diff):
        figures.append({
            "name": name, "heading": FIGURE_NAMES[name], "look": _number_format(name),
            "old": number(old), "new": number(new), "change": number(new - old),
            "marks": {
                "old": side_mark(diff.old, name), "new": side_mark(diff.new, name), "change": change_mark(diff, name),
            },
        })  # fmt: skip
    return figures


def _number_format(name: str) -> str:
    return "bytes" if QUANTITIES[name].unit == "bytes" else "count"
