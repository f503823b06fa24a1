"""Differences of all models of a budget file as data for the page's program: figures of all, and a tree of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cnncost.budget.diff import Diff
from cnncost.budget.quantities import QUANTITIES
from cnncost.budget.render import diff_page
from cnncost.budget.render.diffs import FIGURE_NAMES, PEAKS, differs, document, known
from cnncost.render.document import Document
from cnncost.report.columns import AT_LEAST, NEITHER
from cnncost.report.interactive.encoding import Json, number

SCHEMA = 1
"""Version of the data's layout; increment it with each change."""
_BOUNDED = frozenset({"macs", "flops", *PEAKS})
"""Figures that are lower bounds if ops without a rule are missing."""


def page(
    diffs: Mapping[str, Diff], missing: Mapping[str, str], names: tuple[str, str], most: int, headline: str
) -> Document:
    """Return the document of `diffs.document` with the data that the page's program draws."""
    return replace(document(diffs, missing, names, most, headline), program=program(diffs, missing, names))


def program(diffs: Mapping[str, Diff], missing: Mapping[str, str], names: tuple[str, str]) -> Json:
    """Return the figures and the tree of each model, changed models first."""
    order = sorted(diffs.items(), key=lambda item: not differs(item[1]))
    return {
        "schema": SCHEMA, "view": "diffs", "names": list(names),
        "missing": [f"{name}: {reason}" for name, reason in missing.items()],
        "models": [
            {"name": name, "same": not differs(diff), "figures": _figures(diff), "diff": diff_page.program(diff, names)}
            for name, diff in order
        ],
    }  # fmt: skip


def _figures(diff: Diff) -> Json:
    found = []
    for name, old, new in known(diff):
        unknown = diff.old.lower_bound, diff.new.lower_bound
        before, after, change = (
            (*(AT_LEAST if each else "" for each in unknown), NEITHER if any(unknown) else "")
            if name in _BOUNDED else ("", "", "")
        )  # fmt: skip
        found.append({
            "name": name, "heading": FIGURE_NAMES[name], "look": _look(name),
            "old": number(old), "new": number(new), "change": number(new - old),
            "marks": {"old": before, "new": after, "change": change},
        })  # fmt: skip
    return found


def _look(name: str) -> str:
    return "bytes" if QUANTITIES[name].unit == "bytes" else "count"
