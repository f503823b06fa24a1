"""The rows of a conformance run as a table and as a page."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

COLUMNS = (
    "zoo", "model", "weights", "family", "input", "params", "activated_params", "macs", "flops", "ops", "unknown",
    "counter_macs", "counter_difference", "unexplained", "counter_failure", "published_params", "published_giga_macs",
    "trace", "build_seconds", "seconds", "plain_seconds", "counter_seconds", "plain_failure", "error",
)  # fmt: skip


def problems(row: dict[str, Any]) -> list[str]:
    """What is wrong with a row."""
    if "error" in row:
        return [row["error"]]
    found = []
    if row["unknown"]:
        found.append(f"unknown ops: {row['unknown']}")
    if row.get("unexplained"):
        found.append(f"unexplained: {row['unexplained']}")
    found.extend(published_differences(row))
    return found


def published_differences(row: dict[str, Any]) -> list[str]:
    """Figures that are not the published ones to the last digit printed."""
    if row["params"] is None:
        return []
    found = []
    if row["params"] != row["params_found"]:
        found.append(f"{row['params_found']} parameters, published {row['params']}")
    giga = row["macs"] / 1e9
    if row["giga_macs"] is not None and row.get("trace") != "real" and round(giga, 3) != row["giga_macs"]:
        found.append(f"{giga:.3f} G MACs, published {row['giga_macs']}")
    return found


def write(rows: list[dict[str, Any]], versions: dict[str, str], code: str, machine: str, folder: Path) -> None:
    """Both files."""
    (folder / "conformance.csv").write_text(table(rows), encoding="utf-8")
    (folder / "conformance.md").write_text(page(rows, versions, code, machine), encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    """A line a model."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        renamed = {"params": row.get("params_found"), "published_params": row["params"],
                   "published_giga_macs": row["giga_macs"]}  # fmt: skip
        writer.writerow({**row, **renamed})
    return out.getvalue()


def page(rows: list[dict[str, Any]], versions: dict[str, str], code: str, machine: str) -> str:
    """One page: what was run, how much agrees, and every exception by name."""
    lines = [
        "# Conformance",
        "",
        (
            "Every model of timm, every entry of torchvision and Transformers architectures in their default "
            "configurations, built without weights and analyzed. Beside each, what torch's `FlopCounterMode` counts on "
            "tensors without data, with each difference explained by op kind, and what torchvision publishes "
            "(`num_params`, `_ops`)."
        ),
        "",
        f"`python tests/conformance/run.py` · code {code} · "
        + ", ".join(f"{k} {v}" for k, v in versions.items())
        + f" · {machine}, one thread a process, CPU seconds",
        "",
        *_totals(rows),
        "",
        *_differences(rows),
        "",
        *speed(rows),
        "",
        *_exceptions(rows),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _totals(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        (
            "| zoo | models | analyzed | of them by a real forward | unknown ops | counted by torch | unexplained "
            "| published figures met |"
        ),
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for zoo in dict.fromkeys(row["zoo"] for row in rows):
        mine = [row for row in rows if row["zoo"] == zoo]
        done = [row for row in mine if "error" not in row]
        stated = [row for row in done if row["params"] is not None and row.get("trace") != "real"]
        met = sum(not published_differences(row) for row in stated)
        lines.append(
            f"| {zoo} | {len(mine)} | {len(done)} | {sum(row.get('trace') == 'real' for row in done)} "
            f"| {sum(bool(row['unknown']) for row in done)} | {sum('counter_macs' in row for row in done)} "
            f"| {sum(bool(row.get('unexplained')) for row in done)} "
            f"| {f'{met} of {len(stated)}' if stated else '–'} |"
        )
    return lines


def _differences(rows: list[dict[str, Any]]) -> list[str]:
    models: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    counted = [row for row in rows if "counter_macs" in row]
    for row in counted:
        for part in row["counter_difference"].split():
            op, _, macs = part.rpartition(":")
            models[op] += 1
            amounts[op] += int(macs)
    same = sum(row["counter_macs"] == row["macs"] for row in counted)
    lines = [f"`FlopCounterMode` counts the same MACs in {same} of {len(counted)} models."]
    if models:
        lines += [
            "In the others it leaves out (or, negative, counts beyond cnncost):",
            "",
            "| op kind | models | MACs |",
            "|---|---:|---:|",
            *(f"| {op} | {n} | {amounts[op]:,} |" for op, n in models.most_common()),
        ]
    untracked = sum(bool(row.get("counter_untracked")) for row in counted)
    if untracked:
        lines += [
            "",
            f"In {untracked} models its own module tracker fails with an AssertionError; it was left out there.",
        ]
    return lines


def speed(rows: list[dict[str, Any]]) -> list[str]:
    """Both ways to the same counts, from a name; of the models that both can count."""
    both = [row for row in rows if row.get("counter_seconds") and not row.get("counter_failure")]
    lines = [
        (
            "From a model's name to its counts. cnncost builds and analyzes it; by torch alone it is built under "
            '`torch.device("meta")` and counted by `FlopCounterMode`. CPU seconds, of the models that both can count.'
        ),
        "",
        (
            "| zoo | models | building | analysis | cnncost, whole | plain building | FlopCounterMode "
            "| torch alone, whole | ratio | analysis alone |"
        ),
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for zoo in dict.fromkeys(row["zoo"] for row in both):
        mine = [row for row in both if row["zoo"] == zoo]
        building, analysis, counting = (
            sum(row[name] for row in mine) for name in ("build_seconds", "seconds", "counter_seconds")
        )
        plain = sum(row["build_seconds" if row["plain_failure"] else "plain_seconds"] for row in mine)
        ours, theirs = building + analysis, plain + counting
        lines.append(
            f"| {zoo} | {len(mine)} | {building:.1f} | {analysis:.1f} | {ours:.1f} | {plain:.1f} | {counting:.1f} "
            f"| {theirs:.1f} | {theirs / ours:.1f}× | {counting / analysis:.1f}× |"
        )
    return [*lines, *_plain_failures(rows, both), *_earlier(rows)]


def _plain_failures(rows: list[dict[str, Any]], in_table: list[dict[str, Any]]) -> list[str]:
    failed = [row for row in rows if row.get("plain_failure")]
    if not failed:
        return []
    counted = sum(bool(row["plain_failure"]) for row in in_table)
    said = (
        f"Plain building fails for {len(failed)} models. For the {counted} of them that are in the table, the time "
        "that cnncost takes to build them stands in both places."
    )
    return ["", said, "", *_by_reason([(_name(row), row["plain_failure"]) for row in failed])]


def _earlier(rows: list[dict[str, Any]]) -> list[str]:
    kept = sum(bool(row.get("kept")) for row in rows)
    if not kept:
        return []
    return ["", f"The times of torch alone are of an earlier run on this machine for {kept} of {len(rows)} models."]


def _name(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['weights']}".strip()


def _by_reason(failed: list[tuple[str, str]]) -> list[str]:
    """A line for each reason, with the models."""
    lines = []
    for problem, count in Counter(problem for _, problem in failed).most_common():
        names = [f"`{name}`" for name, why in failed if why == problem]
        lines.append(f"- {count}× {problem}: {', '.join(names)}")
    return lines


def _exceptions(rows: list[dict[str, Any]]) -> list[str]:
    wrong = [(_name(row), problem) for row in rows for problem in problems(row)]
    failed = [(_name(row), row["counter_failure"]) for row in rows if row.get("counter_failure")]
    lines = ["Not analyzed, or not as expected:" if wrong else "All were analyzed, and all is as expected.", ""]
    lines += [f"- `{name}`: {problem}" for name, problem in wrong]
    if failed:
        lines += ["", f"`FlopCounterMode` itself could not count {len(failed)} models on tensors without data:", ""]
    return lines + _by_reason(failed)
