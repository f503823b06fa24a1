"""The conformance run: every model of three zoos analyzed, and counted by torch's own counter.

    python tests/conformance/run.py                     all, on all cores; writes reports/conformance.csv and .md
    python tests/conformance/run.py --sample            one of each family, some minutes; nothing is written
    python tests/conformance/run.py --zoo timm --jobs 2

What was measured is kept in build/conformance and not measured again, so that an interrupted run goes on: rows as
long as the code of cnncost is the same, what torch does alone as long as the packages and the code that runs them are.
Nothing is taken over from another machine, and the page says how much is of an earlier run; `--fresh` measures all of
it now. One model's failure is a row. Exit code 1 if a model could not be analyzed, has an unknown op, an unexplained
difference, or another figure than the published one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from entries import ZOOS, Entry, entries, sample
from kept import Kept
from measure import measured, prepare, quiet
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from summary import problems, speed, write

from cnncost.bench.host import host_record
from cnncost.sweeps.processes import Ended, Processes

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "conformance"
REPORTS = ROOT / "reports"
_RUNS_TORCH = ("cnncost/verify/torch_counter.py", "cnncost/verify/copies.py")
"""What runs torch's counter. Not all of cnncost: else each change would have torch measured again, for minutes."""


def code_digest() -> str:
    """Of cnncost's code, and of what is measured here and how."""
    digest = hashlib.sha256()
    for path in sorted(
        [*(ROOT / "cnncost").rglob("*.py"), *map(Path(__file__).with_name, ("entries.py", "measure.py"))]
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def torch_alone() -> str:
    """Names all that what is measured of torch alone depends on: packages, the code that runs them, the machine."""
    digest = hashlib.sha256()
    for name in ("tests/conformance/entries.py", "tests/conformance/measure.py", *_RUNS_TORCH):
        digest.update((ROOT / name).read_bytes())
    return "-".join([*versions().values(), digest.hexdigest()[:12], machine_digest()])


def machine() -> str:
    """Where times were taken."""
    host = host_record()
    return f"{host.cpu}, {host.cores} cores, {host.system}, Python {host.python}"


def machine_digest() -> str:
    """Of the machine's description, and of its name: two may be alike."""
    return hashlib.sha256(f"{machine()} {platform.node()}".encode()).hexdigest()[:8]


def versions() -> dict[str, str]:
    """Of all that decides what the counter finds."""
    return {name: version(name) for name in ("torch", "timm", "torchvision", "transformers")}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", choices=ZOOS, action="append", help="Only this zoo; repeatable.")
    parser.add_argument("--sample", action="store_true", help="One model of each family; writes no report.")
    parser.add_argument("--only", metavar="TEXT", help="Only models with this in their name; writes no report.")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="Processes; by default a core each.")
    parser.add_argument("--timeout", type=float, default=600, metavar="S", help="Seconds for one model.")
    parser.add_argument("--fresh", action="store_true", help="Measure again what is kept.")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Entry]:
    found = [entry for zoo in options.zoo or ZOOS for entry in entries(zoo)]
    if options.only:
        found = [entry for entry in found if options.only in entry.key]
    return sample(found) if options.sample else found


def rows(found: list[Entry], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each entry, in their order; measured unless kept."""
    kept = Kept(KEPT / f"rows-{code_digest()}-{machine_digest()}.jsonl")
    counter = Kept(KEPT / f"counter-{torch_alone()}.jsonl")
    known, counted_before = ({}, {}) if options.fresh else ({**kept.found}, {**counter.found})
    missing = [entry for entry in found if entry.key not in known]
    asked = ([(entry, counted_before.get(entry.key))] for entry in missing)
    columns = (TextColumn("{task.description:40.40}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    jobs = options.jobs or os.cpu_count() or 1
    with Processes(jobs, options.timeout, quiet) as processes, Progress(*columns) as progress:
        task = progress.add_task("models", total=len(found), completed=len(found) - len(missing))
        for (entry, _), answer in processes.work(measured, asked):
            progress.update(task, description=entry.key, advance=1)
            ended = isinstance(answer, Ended)
            row, counted = ({**entry._asdict(), "error": str(answer)}, None) if ended else answer
            if counted is not None and counted != counter.found.get(entry.key):
                counter.add(entry.key, counted)
            kept.add(entry.key, row)
            for problem in problems(row):
                progress.console.print(f"{entry.key}: {problem}", markup=False, highlight=False)
    for entry in found:
        yield kept.found[entry.key]


def main() -> int:
    options = arguments()
    prepare()
    done = list(rows(chosen(options), options))
    wrong = sum(bool(problems(row)) for row in done)
    print(f"{len(done)} models, {wrong} with a problem")
    print("\n".join(speed(done)))
    if not (options.sample or options.only or options.zoo):
        write(done, versions(), code_digest(), machine(), REPORTS)
        print(f"written: {REPORTS / 'conformance.csv'}, {REPORTS / 'conformance.md'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
