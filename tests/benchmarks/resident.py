"""Resident memory after each of 200 timm models that one process analyzes, beside one that only builds and runs them.

    python tests/benchmarks/resident.py [--models 200] [--rounds 2] [--limit ENTRIES] [-o rss.csv] [-o rss.png]

Models are of all families in turn, those that `reports/conformance.csv` has taken the least time for. Each is dropped
and collected before memory is read. A second round goes through the same models: what grows then is kept for no use.
Without cnncost, they are run on the meta device: what torch and timm keep themselves.
"""

import argparse
import csv
import gc
import json
import os
import subprocess
import sys
from contextlib import suppress
from itertools import chain, pairwise, zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SLOWEST = 1.0
"""Seconds to build and analyze of a model that is taken."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


def models(most):
    """Names of timm's models, one of each family in turn, quickest first."""
    families = {}
    with (ROOT / "reports" / "conformance.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["zoo"] == "timm" and row["seconds"]:
                seconds = float(row["seconds"]) + float(row["build_seconds"])
                if seconds < _SLOWEST:
                    families.setdefault(row["family"], []).append((seconds, row["model"]))
    in_turn = chain.from_iterable(zip_longest(*(sorted(each) for each in families.values())))
    return [each[1] for each in in_turn if each is not None][:most]


def resident():
    """MiB of this process that are in memory, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


def analyzed(name):
    import cnncost

    cnncost.analyze(name)


def run_alone(name):
    """Built and run on the meta device, as torch runs it."""
    import torch

    from cnncost.sources.resolve import resolve

    found = resolve(name)
    with torch.no_grad(), suppress(NotImplementedError, RuntimeError):  # a few read values in forward
        found.model.eval()(torch.empty(found.inputs, device="meta"))


def process(step, names, rounds, limit):
    """Take each model as many times as there are rounds; a line of JSON for each."""
    sys.path.insert(0, str(ROOT / "tests"))
    import torchvision_cpu  # beside these tests

    torchvision_cpu.install()
    import timm  # noqa: F401  # its modules are no model's

    import cnncost
    from cnncost.session import SESSION

    SESSION.limit = SESSION.limit if limit is None else limit
    cnncost.analyze("lenet5")
    for turn in range(1, rounds + 1):
        for name in names:
            step(name)
            gc.collect()
            told = {"round": turn, "model": name, "mib": resident(), "entries": sum(SESSION.entries().values())}
            print(json.dumps(told | {"objects": len(gc.get_objects())}), flush=True)


def measured(step, rest):
    """What a process of its own tells, while it goes on."""
    command = [sys.executable, __file__, "--only", step, *rest]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        rows = [json.loads(line) for line in child.stdout if line.startswith("{")]
    if child.returncode:
        raise SystemExit(f"resident.py --only {step}: exit {child.returncode}")
    return rows


def table(rows):
    """Every tenth model, and the first and last."""
    print(f"{'':5} {'model':45} {'MiB':>7} {'entries':>8} {'objects':>9} {'without, MiB':>13}")
    for i, row in enumerate(rows, 1):
        if i in (1, len(rows)) or not i % 10:
            print(
                f"{i:5} {row['model'][:45]:45} {row['mib']:7.0f} {row['entries']:8,} {row['objects']:9,} "
                f"{row['without_mib']:13.0f}"
            )


def save(rows, path):
    """As CSV, or as a picture of memory over models."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="models analyzed", ylabel="resident memory, MiB")
    axes.plot([row["mib"] for row in rows], label="analyzed by cnncost")
    axes.plot([row["without_mib"] for row in rows], label="built and run on the meta device")
    for i, (before, row) in enumerate(pairwise(rows), 1):
        if row["round"] != before["round"]:
            axes.axvline(i, color="gray", linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--limit", type=int, help="Of entries in the caches, instead of the default.")
    parser.add_argument("--only", choices=["analyze", "run"], help="In this process, lines of JSON.")
    parser.add_argument("-o", "--output", type=Path, action="append", default=[], metavar="FILE.csv or FILE.png")
    given = parser.parse_args()
    if given.only:
        step = analyzed if given.only == "analyze" else run_alone
        return process(step, models(given.models), given.rounds, given.limit)
    rest = ["--models", str(given.models), "--rounds", str(given.rounds)]
    rest += ["--limit", str(given.limit)] if given.limit is not None else []
    with_it, without = measured("analyze", rest), measured("run", rest)
    rows = [row | {"without_mib": alone["mib"]} for row, alone in zip(with_it, without, strict=True)]
    table(rows)
    for path in given.output:
        save(rows, path)
    return None


if __name__ == "__main__":
    main()
