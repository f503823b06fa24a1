"""What the rows of other people's models come to, and the page that says it."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

KINDS = ("equal", "explained", "refused", "unexplained", "changed", "died", "not run")


def verdict(row: dict[str, Any]) -> tuple[str, str]:
    """Which of KINDS a model is, and why. The worst that is true of any of its analyses."""
    if "died" in row:
        return "died", row["died"]
    if "not_built" in row or "not_run" in row:
        return "not run", row.get("not_built") or row["not_run"]
    analyses = [row, row["again"], row["by_real"]]
    changed = [change for one in analyses for change in one["changed"]]
    if changed:
        return "changed", f"{sum(one['changes'] for one in analyses)}: " + "; ".join(changed[:6])
    if "macs" not in row:
        return "refused", " | ".join(f"{way}: {why}" for way, why in row["refusals"].items())
    wrong = [_wrong(row, one) for one in analyses if "macs" in one]
    if any(wrong):
        which = next(i for i, one in enumerate(wrong) if one)
        told = f"{('first', 'again', 'real')[which]}: {wrong[which]}"
        why = _reason(row, analyses)
        return ("explained", f"{why} ({told})") if why else ("unexplained", told)
    missing = [f"{which}: {one['refusals']}" for which, one in (("again", row["again"]), ("real", row["by_real"])) if "macs" not in one]
    if missing:
        return "refused", "; ".join(missing)
    return "equal", ""


def _wrong(row: dict[str, Any], one: dict[str, Any]) -> str:
    """What differs from the real run; nothing if nothing does."""
    found = []
    if one["params"] != row["real_params"]:
        found.append(f"{one['params']} parameters for {row['real_params']}")
    if one["macs"] != row["real_macs"]:
        found.append(f"{one['macs']} MACs for {row['real_macs']} ({one['trace']}; {one['by_kind']} for {row['real_by_op']}, torch {row['torch_macs']}, unknown {one['unknown']})")
    return ", ".join(found)


def _reason(row: dict[str, Any], analyses: list[dict[str, Any]]) -> str:
    """Why a count may be another; empty if nothing says so."""
    params = all(one["params"] == row["real_params"] for one in analyses if "params" in one)
    if params and all(one["unknown"] and one["macs"] <= row["real_macs"] for one in analyses if "macs" in one and one["macs"] != row["real_macs"]):
        return f"a lower bound, as it says: {' '.join(row['unknown'])}"
    return row.get("why", "") if params else ""


def page(rows: list[dict[str, Any]], venv: Path, names: list[str]) -> str:
    """The report."""
    by_library: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_library[row["library"]].append(row)
    lines = ["# Models of other people's libraries", "", "| library | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    for name, of_it in by_library.items():
        tally = Counter(verdict(row)[0] for row in of_it)
        lines.append(f"| {name} | " + " | ".join(str(tally[kind] or "") for kind in KINDS) + " |")
    return "\n".join(lines) + "\n"
