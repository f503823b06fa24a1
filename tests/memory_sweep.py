"""The memory of three zoos, predicted beside what the allocator saw: inference and a training step of each model.

    python tests/memory_sweep.py                       what fits into --minutes; writes reports/memory_zoo.md
    python tests/memory_sweep.py --report              the page of what was measured; no model is run
    python tests/memory_sweep.py --sample              a few models, less than a minute; nothing is written
    python tests/memory_sweep.py --only swin           models with this in their name; nothing is written

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
import json
import os
import platform
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "conformance")]

KEPT = ROOT / "build" / "memory_sweep"
REPORT = ROOT / "reports" / "memory_zoo.md"
WORKER = ROOT / "tests" / "memory_zoo.py"
SAMPLE = (
    "timm:resnet18", "timm:mobilenetv3_small_050", "timm:vit_tiny_patch16_224", "timm:resnetblur18",
    "torchvision:squeezenet1_1", "hf:bert", "hf:llama",
)  # fmt: skip


class Kept:
    """Lines of JSON by key, added to as they come; a half-written last line is left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                key, value = json.loads(line)
            except ValueError:
                continue
            self.found[key] = value

    def add(self, key: str, value: dict[str, Any]) -> None:
        self.found[key] = value
        with self.path.open("a") as file:
            file.write(json.dumps([key, value]) + "\n")


class Worker:
    """A process that measures and predicts, replaced where it dies or takes too long."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None

    def ask(self, do: str, entry: dict[str, Any], choice: Any = None) -> dict[str, Any]:
        """The row, or why there is none."""
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": do, "entry": entry, "choice": choice}) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], self._timeout)
        line = process.stdout.readline() if ready else ""
        if line:
            row: dict[str, Any] = json.loads(line)
            return row
        self.end()
        return {"not_run": "its process died" if ready else f"not done in {self._timeout:g} s"}

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
        return process


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
    """All models: one of each family first, then a second of each, those with the least to compute before others."""
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
            placed.append((nth, macs[entry["model"]] / 10 if zoo == "transformers" else macs[entry["model"]], entry))
    return [entry for *_, entry in sorted(placed, key=lambda each: each[:2])]


def _arguments(model: str) -> dict[str, Any]:
    """What the conformance run gives the model's factory; of a cut configuration nothing that is about its width."""
    from entries import ARGUMENTS

    return {} if model.startswith("hf:") else {k: v for k, v in ARGUMENTS.get(model, {}).items() if k != "weights"}


def swept(chosen: list[dict[str, Any]], options: argparse.Namespace) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each entry and its row, as far as the time goes."""
    truth, said = measured(), predicted()
    worker, end = Worker(options.timeout), time.monotonic() + options.minutes * 60
    try:
        for entry in chosen:
            key = entry["model"]
            late = options.report or time.monotonic() > end
            if key not in truth.found:
                if late:
                    continue
                truth.add(key, worker.ask("measure", entry))
            found = truth.found[key]
            if "choice" in found and key not in said.found:
                if late and not options.report:
                    continue
                said.add(key, worker.ask("predict", entry, found["choice"]))
            yield entry, {"measured": found, "predicted": said.found.get(key, {})}
    finally:
        worker.end()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", action="store_true", help="a few models; writes no report")
    parser.add_argument("--report", action="store_true", help="write the report of what was measured")
    parser.add_argument("--only", default="", metavar="TEXT", help="models with this in their name; writes no report")
    parser.add_argument("--minutes", type=float, default=600, help="begin no model after these")
    parser.add_argument("--timeout", type=float, default=90, metavar="S", help="seconds for one model")
    return parser.parse_args()


def main() -> int:
    from memory_sweep_page import MODES, error, page, unexplained

    options = arguments()
    everything = entries()
    chosen = [e for e in everything if options.only in e["model"] and (not options.sample or e["model"] in SAMPLE)]
    rows = []
    for entry, row in swept(chosen, options):
        rows.append((entry, row))
        for line in unexplained(entry, row):
            print(line, flush=True)
    print(f"{len(rows)} models")
    if not (options.sample or options.only):
        REPORT.write_text(page(rows, everything), encoding="utf-8")
        print(f"written: {REPORT}")
    lacking = options.sample and any(error(row, mode) is None for _, row in rows for mode in MODES)
    return 1 if lacking or any(unexplained(entry, row) for entry, row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
