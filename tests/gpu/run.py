"""What the project claims of GPUs, tried on one, within 25 minutes: tests, memory, autocast, the Meter, the benchmark.

    tests/gpu/run                        all parts
    tests/gpu/run tests memory casts     some of them
    tests/gpu/run --fetch                packages that a bare machine lacks, as wheels in build/gpu-wheels
    tests/gpu/run --device cpu memory    a rehearsal

A part that fails or takes too long doesn't keep the others from running; the exit status is 1 if one did. Output goes
to $OUT, or build/gpu: summary.txt, a log for each part, and bench_gpu.md with its pictures, which belongs in reports/.

The machine needs torch and what `import cnncost` takes; wheels are installed if they were fetched. It needs no network.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WHEELS = ROOT / "build" / "gpu-wheels"
LACKING = ("fvcore", "iopath", "yacs", "portalocker", "termcolor", "tabulate", "platformdirs")
"""Pure Python that images with torch mostly lack. `fvcore` and `iopath` are published as sources alone."""
GRACE = 30
"""Seconds that a part has to write down what it found once its time is over."""


class Part(NamedTuple):
    """A command and the most seconds that it may take."""

    seconds: int
    command: tuple[str, ...]


def parts(device: str, out: Path) -> dict[str, Part]:
    """The parts by name, in the order in which they run: the shortest first. Together they take 25 minutes at most."""
    python = (sys.executable, "-u")
    page = out / f"bench_{'gpu' if device == 'cuda' else device}.md"
    tests = ("tests/bench", "tests/meter", "tests/cli/test_bench.py", "tests/gpu")
    return {
        "tests": Part(180, (*python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cuda or device", *tests)),
        "casts": Part(100, (*python, str(HERE / "casts.py"), device)),
        "rates": Part(80, (*python, str(HERE / "rates.py"), device)),
        "memory": Part(220, (*python, str(HERE / "memory.py"), device)),
        "bench": Part(560, (
            *python, "-m", "cnncost", "bench", "--zoo", "--device", device, "--batch", "1,64",
            "--dtype", "float32,bf16", "--seconds", "1", "-o", str(page),
            "--picture", str(out / "pictures"),
        )),
    }  # fmt: skip


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(parts("cuda", ROOT))
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"Of {', '.join(names)}; all if none is named.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--fetch", action="store_true", help="Fetch wheels; runs nothing.")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.parts if name not in names]:
        parser.error(f"no part {unknown[0]!r}; expected some of {', '.join(names)}")
    return options


def fetch() -> int:
    """Wheels of what a bare machine lacks, without what they need in turn: all of it is listed."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(WHEELS)]
    return subprocess.run([*command, "-c", str(ROOT / "constraints.txt"), *LACKING], check=False).returncode


def around(out: Path) -> dict[str, str]:
    """The environment of the parts: this tree first, then the wheels' packages, on paths that hold nothing else."""
    paths = [str(ROOT)]
    if WHEELS.is_dir() and any(find_spec(name) is None for name in LACKING):
        site = out / "site"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(site)]
        subprocess.run([*pip, *map(str, sorted(WHEELS.glob("*.whl")))], check=True)
        paths.append(str(site))
    if before := os.environ.get("PYTHONPATH"):
        paths.append(before)
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "KINETO_LOG_LEVEL": "99", "COLUMNS": "120"}


def ran(name: str, part: Part, out: Path, environment: dict[str, str]) -> tuple[str, bool]:
    """Run a part; what it says is shown and logged. Returns a line for the summary, and whether all was well."""
    begun, over = time.monotonic(), False
    log = out / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            part.command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # a job may ignore it
        )  # fmt: skip
        try:
            status = process.wait(part.seconds - GRACE)
        except subprocess.TimeoutExpired:
            over = True
            process.send_signal(signal.SIGINT)  # the benchmark then shows what it has so far
            try:
                status = process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
    said = log.read_text(errors="replace")
    print(f"---- {name}\n{said}", flush=True)
    what = f"did not end within {part.seconds} s" if over else "ok" if status == 0 else f"exit status {status}"
    last = said.strip().splitlines()[-1:] or [""]
    return f"{name}: {what}, {time.monotonic() - begun:.0f} s; {last[0]}", not over and status == 0


def summary(options: argparse.Namespace, out: Path) -> Iterator[tuple[str, bool]]:
    found = parts(options.device, out)
    environment = around(out)
    for name in options.parts or found:
        yield ran(name, found[name], out, environment)


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    if options.fetch:
        return fetch()
    out = Path(os.environ.get("OUT", ROOT / "build" / "gpu"))
    out.mkdir(parents=True, exist_ok=True)
    well = True
    with (out / "summary.txt").open("a") as file:
        for line, good in summary(options, out):
            well &= good
            file.write(line + "\n")
            file.flush()
    print((out / "summary.txt").read_text())
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
