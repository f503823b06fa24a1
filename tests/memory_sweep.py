"""The memory of three zoos, predicted beside what the allocator saw: inference and a training step of each model.

    python tests/memory_sweep.py                       what fits into --minutes; writes reports/memory_zoo.md
    python tests/memory_sweep.py --report              the page of what was measured; no model is run
    python tests/memory_sweep.py --sample              a few models, less than a minute; nothing is written
    python tests/memory_sweep.py --only swin           models with this in their name; nothing is written
    python tests/memory_sweep.py --rest                models that the page could not compare, again, with the limits of
                                                       tests/memory_zoo.py as they are now: reports/memory_zoo_rest.md

Models are taken with the smallest input that they run on (two images), Transformers with a configuration that is cut
down, one of each family first, those with the least to compute before others. What was measured is kept in
build/memory_sweep as long as the packages and the oracle are the same, and predictions as long as cnncost's code is: an
interrupted sweep goes on, and another one is on the page with how many models it has.
Exit code 1 if an error above 1 % has no explanation, or a model of the sample no figures.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "conformance")]

from kept import Kept  # noqa: E402  # it is beside the conformance run
from memory_zoo import both, grown, ready  # noqa: E402  # likewise

from cnncost.sweeps.processes import Ended, Processes  # noqa: E402  # found by the line above

KEPT = ROOT / "build" / "memory_sweep"
REPORT = ROOT / "reports" / "memory_zoo.md"
REST = ROOT / "reports" / "memory_zoo_rest.md"
SAMPLE = (
    "timm:resnet18", "timm:mobilenetv3_small_050", "timm:vit_tiny_patch16_224", "timm:resnetblur18",
    "torchvision:squeezenet1_1", "hf:bert", "hf:llama",
)  # fmt: skip


def digest(*paths: Path) -> str:
    """Of the text of files."""
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def measured() -> Kept:
    """What torch did: of these packages, as this code runs them, on this machine."""
    packages = "-".join(version(name) for name in ("torch", "timm", "torchvision", "transformers"))
    code = digest(ROOT / "tests" / "oracles" / "allocations.py")
    return Kept(KEPT / f"measured-{packages}-{code}-{platform.node()}.jsonl")


def predicted() -> Kept:
    return Kept(KEPT / f"predicted-{digest(*(ROOT / 'cnncost').rglob('*.py'))}.jsonl")


def entries() -> list[dict[str, Any]]:
    """All models: one of each family first, then a second of each, those with the least to compute before others.

    Transformers' come in the second round.
    """
    macs = {}
    with (ROOT / "reports" / "conformance.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            macs[row["model"]] = int(row["macs"] or 10**15)
    zoos: dict[str, dict[str, dict[str, Any]]] = {}
    with (ROOT / "reports" / "conformance.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            arguments = _arguments(row["model"])
            entry = {"zoo": row["zoo"], "model": row["model"], "family": row["family"], "arguments": arguments}
            zoos.setdefault(row["zoo"], {}).setdefault(row["model"], entry)
    placed = []
    for zoo, found in zoos.items():
        ordered = sorted(found.values(), key=lambda entry: macs[entry["model"]])
        kin: dict[str, int] = {}
        for entry in ordered:
            family = entry["model"] if zoo == "transformers" else entry["family"]
            kin[family] = nth = kin.get(family, -1) + 1
            placed.append((nth + (zoo == "transformers"), macs[entry["model"]], entry))  # they take longest
    return [entry for *_, entry in sorted(placed, key=lambda each: each[:2])]


def _arguments(model: str) -> dict[str, Any]:
    """What the conformance run gives the model's factory; of a cut configuration nothing that is about its width."""
    from entries import ARGUMENTS

    return {} if model.startswith("hf:") else {k: v for k, v in ARGUMENTS.get(model, {}).items() if k != "weights"}


def not_compared() -> set[str]:
    """Models that the page lists with the reason why there is no comparison."""
    _, _, listed = REPORT.read_text(encoding="utf-8").partition("## Not compared")
    return {cells[1].strip() for line in listed.splitlines() if len(cells := line.split("|")) == 4}


def swept(chosen: list[dict[str, Any]], options: argparse.Namespace) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each entry and its row, as far as the time goes: those that are kept, those to measure, and those to analyze."""
    truth, said = measured(), predicted()
    end = time.monotonic() + options.minutes * 60
    missing = []
    for entry in chosen:
        found = truth.found.get(key := entry["model"])
        if found is not None and ("choice" not in found or key in said.found):
            yield entry, {"measured": found, "predicted": said.found.get(key, {})}
        else:
            missing.append(entry)
    missing.sort(key=lambda entry: entry["model"] in truth.found)
    waiting = (
        [(entry, truth.found.get(entry["model"]))]
        for entry in missing
        if (entry["model"] in truth.found if options.report else time.monotonic() < end)
    )
    with Processes(options.jobs or os.cpu_count() or 1, options.timeout, ready, grown) as processes:
        for (entry, _), answer in processes.work(both, waiting):
            row = {"measured": {"not_run": str(answer)}, "predicted": {}} if isinstance(answer, Ended) else answer
            if entry["model"] not in truth.found:
                truth.add(entry["model"], row["measured"])
            if row["predicted"]:
                said.add(entry["model"], row["predicted"])
            yield entry, {"measured": truth.found[entry["model"]], "predicted": row["predicted"] or {}}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", action="store_true", help="a few models; writes no report")
    parser.add_argument("--report", action="store_true", help="write the report of what was measured")
    parser.add_argument("--only", default="", metavar="TEXT", help="models with this in their name; writes no report")
    parser.add_argument("--rest", action="store_true", help="what the page could not compare, on a page of its own")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes; 0: a core each")
    parser.add_argument("--minutes", type=float, default=600, help="begin no model after these")
    parser.add_argument("--timeout", type=float, default=900, metavar="S", help="seconds for one model, by the clock")
    return parser.parse_args()


def main() -> int:
    from memory_sweep_page import MODES, error, page, unexplained

    options = arguments()
    everything = entries()
    if options.rest:
        again = not_compared()
        everything = [entry for entry in everything if entry["model"] in again]
    chosen = [e for e in everything if options.only in e["model"] and (not options.sample or e["model"] in SAMPLE)]
    rows = []
    for entry, row in swept(chosen, options):
        rows.append((entry, row))
        for line in unexplained(entry, row):
            print(line, flush=True)
    print(f"{len(rows)} models")
    if not (options.sample or options.only):
        report = REST if options.rest else REPORT
        report.write_text(page(rows, everything, rest=options.rest), encoding="utf-8")
        print(f"written: {report}")
    lacking = options.sample and any(error(row, mode) is None for _, row in rows for mode in MODES)
    return 1 if lacking or any(unexplained(entry, row) for entry, row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
