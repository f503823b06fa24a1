"""Models of other people's libraries: analyzed, run for real under an independent counter, looked at before and after.

    python tests/conformance/libraries.py --venv PATH --install    makes the environment if there is none, installs
    python tests/conformance/libraries.py --venv PATH              all libraries; writes reports/libraries.md
    python tests/conformance/libraries.py --venv PATH --only kornia --only monai

Each library runs in a process of its own, which is replaced if one model takes too long or ends it. What was found is
kept in build/libraries and not found again as long as cnncost's code, the library's cases and the packages are the
same; `--fresh` finds it again. No weights are fetched: models are small and random, and a run that opens a connection
fails. Exit code 1 if a count is not that of the real run without a reason, or if anything given was changed.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from library_report import page, verdict, versions_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CASES = HERE / "library_cases"
KEPT = ROOT / "build" / "libraries"
BASE = ("torch==2.13.0", "torchvision==0.28.0", "numpy", "click", "rich")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, required=True, help="An environment; made by --install if there is none.")
    parser.add_argument("--install", action="store_true", help="Install the libraries into it first.")
    parser.add_argument("--only", metavar="NAME", action="append", help="Only this library; writes no report.")
    parser.add_argument("--model", metavar="TEXT", help="Only models with this in their name; with --only.")
    parser.add_argument("--code", type=Path, default=ROOT, help="A tree with another cnncost; writes no report.")
    parser.add_argument("--timeout", type=float, default=300, metavar="S", help="Seconds for one model.")
    parser.add_argument("--report", action="store_true", help="Write the report of what is kept; run nothing.")
    parser.add_argument("--fresh", action="store_true", help="Find again what is kept.")
    parser.add_argument("-v", "--verbose", action="store_true", help="Say what was found of each model.")
    return parser.parse_args()


def libraries() -> list[str]:
    return sorted(path.stem for path in CASES.glob("*.py") if path.stem not in {"__init__", "case"})


def packages(library: str) -> tuple[str, ...]:
    """What pip installs for it, read from the source: the library may not be there yet."""
    for node in ast.parse((CASES / f"{library}.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PACKAGES":
            return tuple(ast.literal_eval(node.value))
    return ()


def install(venv: Path, names: list[str]) -> None:
    """All of the libraries; one that can't be installed is told and left out."""
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *BASE], check=True)
    subprocess.run([*pip, "--no-deps", "-e", str(ROOT)], check=True)
    for name in names:
        alone = [p[1:] for p in packages(name) if p.startswith("!")]
        whole = [p for p in packages(name) if not p.startswith("!")]
        for wanted, options in ((alone, ["--no-deps"]), (whole, [])):
            if wanted and subprocess.run([*pip, *options, *wanted], check=False).returncode:
                print(f"{name}: can't install {' '.join(wanted)}")
    for site in venv.glob("lib/python*/site-packages/torchaudio/lib"):
        shutil.rmtree(site)  # compiled for CUDA, it does not load beside a CPU-only torch; torchaudio does without


def code_digest(code: Path = ROOT) -> str:
    """Of cnncost's own code."""
    found = hashlib.sha256()
    for path in sorted((code / "cnncost").rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def digest(venv: Path, library: str, code: Path) -> str:
    """Names all that a library's rows depend on."""
    found = hashlib.sha256(code_digest(code).encode())
    work = [HERE / "library_work.py", CASES / "case.py", CASES / f"{library}.py",
            *(ROOT / "tests" / "oracles" / name for name in ("products.py", "snapshot.py"))]  # fmt: skip
    for path in sorted(work):
        found.update(path.read_bytes())
    site = next((venv / "lib").glob("python*/site-packages"))
    found.update(" ".join(sorted(p.name for p in site.glob("*.dist-info"))).encode())
    return found.hexdigest()[:12]


class Worker:
    """A process at one library, and the model that it is at."""

    def __init__(self, venv: Path, library: str, models: list[str], code: Path) -> None:
        self.process = subprocess.Popen(
            [str(venv / "bin" / "python"), str(HERE / "library_work.py"), library, *models],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE,
            env={**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
                 "TRANSFORMERS_OFFLINE": "1", "PYTHONHASHSEED": "0"},
        )  # fmt: skip

    def lines(self, timeout: float) -> Iterator[dict[str, Any] | None]:
        """What it says, as it comes; None when it took too long, after which there is no more."""
        assert self.process.stdout is not None
        while True:
            if not select.select([self.process.stdout], [], [], timeout)[0]:
                yield None
                return
            line = self.process.stdout.readline()
            if not line:
                return
            yield json.loads(line)

    def end(self) -> str:
        self.process.kill()
        _, said = self.process.communicate()
        return " ".join(said.split())[-400:]


def listed(venv: Path, library: str, code: Path) -> list[str] | str:
    """The names of its models, or why there are none."""
    worker = Worker(venv, library, ["--list"], code)
    names: Any = next(worker.lines(300), None)
    said = worker.end()
    return names or said or "no answer in 300 s"


def rows(venv: Path, library: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each model, kept or found now."""
    path = KEPT / f"{library}-{digest(venv, library, options.code)}.jsonl"
    kept: dict[str, dict[str, Any]] = {}
    if path.exists() and not options.fresh:
        kept = {row["model"]: row for row in map(json.loads, path.read_text().splitlines())}
    if options.report:
        yield from kept.values()
        return
    names = listed(venv, library, options.code)
    if isinstance(names, str):
        yield {"library": library, "model": "", "not_built": names}
        return
    if options.model:
        names = [name for name in names if options.model in name]
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = [name for name in names if name not in kept]
    while waiting:
        worker, at, begun = Worker(venv, library, waiting, options.code), "", time.monotonic()
        for line in worker.lines(options.timeout):
            if line is None:
                break
            if "at" in line:
                at, begun = line["at"], time.monotonic()
                continue
            _keep(path, kept, line)
            waiting.remove(at)
            at = ""
        said = worker.end()
        if waiting:  # it ended within one, or before the first
            at = at or waiting[0]
            late = time.monotonic() - begun > options.timeout - 1
            why = f"not done in {options.timeout:g} s" if late else f"the process ended: {said}"
            _keep(path, kept, {"library": library, "model": at, "died": why})
            waiting.remove(at)
    yield from (kept[name] for name in names)


def _keep(path: Path, kept: dict[str, dict[str, Any]], row: dict[str, Any]) -> None:
    kept[row["model"]] = row
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def main() -> int:
    options = arguments()
    names = options.only or libraries()
    if options.install:
        install(options.venv, names)
    found: list[dict[str, Any]] = []
    for library in names:
        begun = time.monotonic()
        of_it = list(rows(options.venv, library, options))
        found += of_it
        tally: dict[str, int] = {}
        for row in of_it:
            kind, why = verdict(row)
            tally[kind] = tally.get(kind, 0) + 1
            if options.verbose or kind not in {"equal", "explained"}:
                print(f"{library}: {row['model']}: {kind}: {why}"[:900], flush=True)
        print(f"{library}: {tally}, {time.monotonic() - begun:.0f} s", flush=True)
    if not options.only and options.code == ROOT:
        versions = versions_of(options.venv, {name: packages(name) for name in names})
        command = "python tests/conformance/libraries.py --venv PATH --install"
        done = f"By `{command}`, with {BASE[0]} for CPUs, of cnncost's code {code_digest()}."
        (ROOT / "reports" / "libraries.md").write_text(page(found, versions, done), encoding="utf-8")
    return 1 if any(verdict(row)[0] in {"unexplained", "changed", "died"} for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
