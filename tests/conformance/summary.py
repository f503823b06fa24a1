"""The rows of a conformance run as a table and as a page."""

from __future__ import annotations

import csv
import io
import platform
from collections import Counter
from pathlib import Path
from typing import Any

COLUMNS = (
    "zoo", "model", "weights", "family", "input", "params", "activated_params", "macs", "flops", "ops", "unknown",
    "counter_macs", "counter_difference", "unexplained", "counter_failure", "published_params", "published_giga_macs",
    "trace", "build_seconds", "seconds", "counter_seconds", "error",
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


def write(rows: list[dict[str, Any]], versions: dict[str, str], code: str, folder: Path) -> None:
    """Both files."""
    (folder / "conformance.csv").write_text(table(rows), encoding="utf-8")
    (folder / "conformance.md").write_text(page(rows, versions, code), encoding="utf-8")


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


def page(rows: list[dict[str, Any]], versions: dict[str, str], code: str) -> str:
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
        + f" · Python {platform.python_version()}, {platform.machine()}, one thread a process, CPU seconds",
        "",
        *_totals(rows),
        "",
        *_differences(rows),
        "",
        *_speed(rows),
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


def _speed(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| zoo | models | building, s | analysis, s | FlopCounterMode, s | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for zoo in dict.fromkeys(row["zoo"] for row in rows):
        mine = [
            row for row in rows if row["zoo"] == zoo and row.get("counter_seconds") and not row.get("counter_failure")
        ]
        if not mine:
            continue
        build, ours, theirs = (
            sum(row[name] for row in mine) for name in ("build_seconds", "seconds", "counter_seconds")
        )
        lines.append(f"| {zoo} | {len(mine)} | {build:.0f} | {ours:.0f} | {theirs:.0f} | {theirs / ours:.1f}× |")
    return lines


def _exceptions(rows: list[dict[str, Any]]) -> list[str]:
    wrong = [(f"{row['model']} {row['weights']}".strip(), problem) for row in rows for problem in problems(row)]
    failed = [
        (f"{row['model']} {row['weights']}".strip(), row["counter_failure"])
        for row in rows
        if row.get("counter_failure")
    ]
    lines = ["Not analyzed, or not as expected:" if wrong else "All were analyzed, and all is as expected.", ""]
    lines += [f"- `{name}`: {problem}" for name, problem in wrong]
    if failed:
        lines += ["", f"`FlopCounterMode` itself could not count {len(failed)} models on tensors without data:", ""]
    for problem, count in Counter(problem for _, problem in failed).most_common():
        names = [f"`{name}`" for name, why in failed if why == problem]
        lines.append(f"- {count}× {problem}: {', '.join(names)}")
    return lines
