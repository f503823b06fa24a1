"""The page of the sweep of laws: reports/formulas.md. Computes nothing but counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHORT = 160
"""Characters of a formula that a table bears."""


def page(models: Sequence[Any], rows: dict[str, Any], packages: dict[str, str]) -> str:
    """A line a model; those that were not run are named."""
    found = [rows[model.name] for model in models if model.name in rows]
    laws, compared = sum(bool(row.laws) for row in found), sum(row.compared for row in found)
    wrong, tried = sum(row.wrong for row in found), len(found)
    told = ", ".join(f"{name} {number}" for name, number in packages.items())
    lines = [
        "# Costs as formulas, held against direct analyses",
        "",
        f"{tried} of {len(models)} models ({told}): {laws} have laws. At {compared:,} random points, none of which was",
        f"used to find or check a law before, **{wrong}** figures of direct analyses contradict one. Where a law holds",
        "at all sizes, a third of the points are off the lattice. Inference alone: peaks are of a forward without",
        "autograd. Written by `python tests/laws/sweep.py`.",
        "",
        "| model | varied | laws | points | contradicted | analyses | MACs | where |",
        "|---|---|---:|---:|---:|---:|---|---|",
    ]
    for model in models:
        if (row := rows.get(model.name)) is None:
            lines.append(f"| {model.name} | {model.vary} | not run | | | | | |")
        elif row.error:
            lines.append(f"| {model.name} | {model.vary} | 0 | | | | {_cell(row.error)} | |")
        else:
            cells = [
                model.name, model.vary, f"{len(row.laws)}", f"{row.compared}", f"{row.wrong}", f"{row.analyses}",
                _cell(row.macs), _cell(row.domain),
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    without = [
        f"- {model.name}, {name}: {why}"
        for model in models if model.name in rows
        for name, why in rows[model.name].without.items()
    ]  # fmt: skip
    return "\n".join([*lines, "", "## Without a law", "", *(without or ["None."])]) + "\n"


def _cell(text: str) -> str:
    short = text if len(text) <= SHORT else f"{text[: SHORT - 2]} …"
    return short.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
