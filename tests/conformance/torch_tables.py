"""Every op and module that torch itself tests, with torch's own samples: analyzed, and run for real beside it.

    python tests/conformance/torch_tables.py                    all tables, on all cores; writes reports/torch_tables.md
    python tests/conformance/torch_tables.py --table float32    one of them; nothing is written
    python tests/conformance/torch_tables.py --sample           a part of each, about a minute
    python tests/conformance/torch_tables.py --only linalg      ops whose name has this in it, with each sample's result

Compared are the shapes and dtypes of all outputs with the real run's, and multiply-accumulates with those that torch's
FlopCounterMode counts on the real tensors, as far as it knows the ops. What was found is kept in build/torch_tables as
long as cnncost's code is the same, so that an interrupted run goes on. Exit code 1 if a figure is wrong, an analysis
fails for another reason than data, or a table has no sample at all (a real run that fails leaves its sample out).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "torch_tables"
REPORT = ROOT / "reports" / "torch_tables.md"
OUTCOMES = ("right", "unknown", "refused", "wrong", "error")
MOST = 6
"""Samples an op: torch has up to hundreds, which differ in little."""

INTRODUCTION = """\
torch {version}'s own tables (`torch.testing._internal`), up to {most} samples an op, run for real and analyzed.
*Right*: shapes and dtypes of all outputs are the real run's, and multiply-accumulates those of torch's counter where it
counts. *Unknown*: an op has no cost rule, and the total is a lower bound that says so. *Refused*: the result's size, or
what is done, depends on values that a static analysis has not. *Error*: anything else."""

TABLES = (
    "float32", "bfloat16", "int64", "complex64", "real", "in place", "out", "training", "modules", "modules, training",
    "optimizers", "higher-order ops", "custom ops", "autograd functions",
)  # fmt: skip


def code_hash() -> str:
    """Of cnncost and of this script: a result holds as long as both are the same."""
    digest = hashlib.sha256()
    for path in [*sorted((ROOT / "cnncost").rglob("*.py")), *sorted(Path(__file__).parent.glob("torch_table*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="append", choices=TABLES, help="this table alone (may be repeated)")
    parser.add_argument("--only", default="", help="ops with this in their name")
    parser.add_argument("--sample", action="store_true", help="every 40th op of each table")
    parser.add_argument("--fresh", action="store_true", help="keep nothing of earlier runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--most", type=int, help=f"samples an op; by default {MOST}, of a part 1")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.most = options.most or (1 if options.sample else MOST)
    return options


def work(options: argparse.Namespace) -> None:
    """As a worker: one share of some tables' ops; a line of JSON for each op."""
    warnings.simplefilter("ignore")
    from torch_tables_cases import entries, judged

    tables, share, shares = json.loads(options.worker)
    every = 40 * shares if options.sample else shares
    for table in tables:
        for place, entry in enumerate(entries(table)):
            if place % every != share or options.only not in entry.name:
                continue
            found = list(judged(entry, options.most))
            print(json.dumps([table, entry.name, found]), flush=True)


def measure(tables: tuple[str, ...], options: argparse.Namespace) -> dict[str, dict[str, list[Any]]]:
    """The outcomes of each op's samples, by table and op."""
    KEPT.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, list[Any]]] = {}
    whole = not (options.sample or options.only or options.fresh)
    at_once = [] if whole else _run(tables, options)  # to import torch's tables takes longer than a few samples do
    for table in tables:
        kept = KEPT / f"{table.replace(' ', '_').replace(',', '')}-{code_hash()}-{options.most}.jsonl"
        if whole and kept.exists():
            rows = [json.loads(line) for line in kept.read_text().splitlines()]
        elif whole:
            rows = _run((table,), options)
            kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            rows = [row for row in at_once if row[0] == table]
        results[table] = {name: found for _, name, found in rows}
        counts = Counter(outcome for found in results[table].values() for outcome, _ in found)
        print(f"{table:20}", "  ".join(f"{name} {counts[name]:5}" for name in OUTCOMES), flush=True)
    return results


def _run(tables: tuple[str, ...], options: argparse.Namespace) -> list[Any]:
    """Share the tables' ops among processes: an op that kills its process (there are such) costs its share alone."""
    arguments = [*(["--sample"] if options.sample else []), "--only", options.only, "--most", str(options.most)]
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, "--worker", json.dumps([tables, share, options.jobs]), *arguments],
            stdout=subprocess.PIPE, stderr=None if options.only else subprocess.DEVNULL, text=True,
        )
        for share in range(options.jobs)
    ]  # fmt: skip
    rows: list[Any] = []
    for worker in workers:
        said, _ = worker.communicate()
        rows += [json.loads(line) for line in said.splitlines() if line.startswith("[")]
        if worker.returncode:
            rows.append([tables[0], f"(a process ended with {worker.returncode})", [["error", "the process died"]]])
    return rows


def page(results: dict[str, dict[str, list[Any]]], most: int) -> str:
    """The report."""
    import torch

    lines = [
        "# Every op that torch tests", "",
        INTRODUCTION.format(version=torch.__version__.partition("+")[0], most=most), "",
        "| table | samples | right | unknown | refused | wrong | error |", "|---|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for table, ops in results.items():
        counts = Counter(outcome for found in ops.values() for outcome, _ in found)
        row = [f"{counts[name]:,}" for name in OUTCOMES]
        lines.append(f"| {table} | {sum(counts.values()):,} | {' | '.join(row)} |")
    for outcome, title in (
        ("wrong", "Wrong"), ("error", "Errors"), ("unknown", "Unknown"), ("refused", "Refused, by reason"),
    ):  # fmt: skip
        lines += ["", f"## {title}", "", *_reasons(results, outcome)]
    return "\n".join(lines) + "\n"


def _reasons(results: dict[str, dict[str, list[Any]]], outcome: str) -> list[str]:
    reasons: dict[str, Counter[str]] = {}
    for ops in results.values():
        for name, found in ops.items():
            for got, why in found:
                if got == outcome:
                    reasons.setdefault(why, Counter())[name] += 1
    if not reasons:
        return ["None."]
    ranked = sorted(reasons.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return [
        f"- {sum(ops.values())}: {why} ({', '.join(sorted(ops)[:6])}{', …' if len(ops) > 6 else ''})"
        for why, ops in ranked
    ]


def main() -> int:
    """Run, print, and write the page where all of it was run."""
    options = parse()
    if options.worker:
        work(options)
        return 0
    tables = tuple(options.table or TABLES)
    results = measure(tables, options)
    if options.only or options.sample or options.table:
        text = page(results, options.most)
        print(text[text.index("## Wrong") :])
    else:
        REPORT.write_text(page(results, options.most))
    outcomes = {outcome for ops in results.values() for found in ops.values() for outcome, _ in found}
    empty = [table for table, ops in results.items() if not any(ops.values()) and not options.only]
    for table in empty:
        print(f"{table}: no sample was run", file=sys.stderr)
    return int(bool(outcomes & {"wrong", "error"} or empty))


if __name__ == "__main__":
    sys.exit(main())
