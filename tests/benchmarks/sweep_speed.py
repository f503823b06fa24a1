"""A sweep by two processes beside one, and the memory of a sweep of many rows.

    python tests/benchmarks/sweep_speed.py [--models 200] [--rows 100000] [--minutes 4]

Both crews go through the same models in turns, a few models each, so that what else runs on the machine slows both;
their start is told apart. Needs timm and a quiet machine. Rows are those of a sweep that resumes: a few are analyzed
here, the others come from its journal, so that what is told is the memory of all rows and of the file made of them.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import torchvision_cpu  # beside these tests

from cnncost.sources.names import matching
from cnncost.sweeps import api
from cnncost.sweeps.figures import USUAL
from cnncost.sweeps.grid import Axis, Grid
from cnncost.sweeps.journal import Journal, journal_path
from cnncost.sweeps.run import rows
from cnncost.sweeps.stamp import stamp
from cnncost.sweeps.worker_pool import WorkerPool

_TURN = 50
"""Models of a turn."""
_ANALYZED = 1_000
"""Rows that are analyzed, not read."""


def seconds(models: tuple[str, ...], pool: WorkerPool) -> float:
    """Of the rows of these models."""
    begun = time.perf_counter()
    failed = sum("error" in row for _, row in rows(Grid(models, columns=USUAL), set(), pool))
    if failed:
        print(f"  {failed} of {len(models)} models failed")
    return time.perf_counter() - begun


def processors() -> list[float]:
    """Seconds of a processor that each process of the sweep has used: this one, and those of the pool of two."""
    own = Path("/proc/self/task").glob("*/children")
    found = [int(pid) for each in own for pid in each.read_text().split()]
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in found]
    ticks = [int(each[11]) + int(each[12]) for each in fields]
    return [time.process_time(), *sorted(each / os.sysconf("SC_CLK_TCK") for each in ticks)[-2:]]


def speed(models: tuple[str, ...], minutes: float) -> None:
    """Print how many times as fast two processes are as one."""
    end = time.monotonic() + 60 * minutes
    spent, done = [0.0, 0.0], 0
    with WorkerPool("processes", None, 1) as one, WorkerPool("processes", None, 2) as two:
        started = [seconds(models[: 2 * jobs], pool) for jobs, pool in ((1, one), (2, two))]
        before = processors()
        for at in range(0, len(models), _TURN):
            for i, pool in enumerate((one, two)):
                spent[i] += seconds(models[at : at + _TURN], pool)
            done = min(at + _TURN, len(models))
            if time.monotonic() > end:
                break
        used = [after - first for after, first in zip(processors(), before, strict=True)]
    told = ", ".join(f"{each:.1f} s by {jobs} (start {start:.1f} s)" for jobs, each, start in
                     zip((1, 2), spent, started, strict=True))  # fmt: skip
    print(f"{done} models: {told}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"two processes are {spent[0] / spent[1]:.2f} times as fast as one by the clock")
    print(f"of a processor: {used[0]:.1f} s by one; {used[1]:.1f} and {used[2]:.1f} s by two: "
          f"{used[0] / max(used[1:]):.2f} times as fast if each has a core of its own")  # fmt: skip


def also_in_processes(folder: Path) -> None:
    """Have this process, and those started from now on, load torchvision beside this torch (`torchvision_cpu`)."""
    torchvision_cpu.install()
    tests = Path(torchvision_cpu.__file__).parent
    (folder / "sitecustomize.py").write_text(
        f"import sys\nsys.path.append({str(tests)!r})\nimport torchvision_cpu\ntorchvision_cpu.install()\n"
    )
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def memory(count: int, ending: str) -> None:
    """Print the peak of this process over a sweep of so many rows."""
    grid = Grid(("lenet300",), (Axis(("batch",), tuple((n,) for n in range(1, count + 1))),), columns=USUAL)
    with WorkerPool("processes", None, 1) as pool, tempfile.TemporaryDirectory() as folder:
        (row,) = [row for _, row in rows(Grid(("lenet300",), columns=USUAL), set(), pool)]
        output = Path(folder) / f"rows{ending}"
        with Journal(journal_path(output), grid.digest(*stamp(grid.models))) as journal:
            for point in range(_ANALYZED, count):
                told = {name: row[name] * (point + 1) for name in ("macs", "flops")}
                journal.add(point, {**row, **told, "input": f"{point + 1}x1x28x28:float32"})
        begun = time.perf_counter()
        result = api.run(grid, jobs=1, output=output)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"{len(result.rows):,} rows as {ending}, {_ANALYZED:,} of them analyzed: "
            f"{time.perf_counter() - begun:.0f} s, {peak / 2**20:.0f} MiB at most"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200, help="How many of timm's; 0: none.")
    parser.add_argument("--rows", type=int, default=100_000, help="Of the sweep whose memory is told; 0: none.")
    parser.add_argument("--ending", default=".csv", help="Of the file that the rows are written to.")
    parser.add_argument("--minutes", type=float, default=30, help="Begin no further models after these.")
    options = parser.parse_args()
    if options.rows:
        memory(max(options.rows, _ANALYZED), options.ending)
        sys.stdout.flush()
    if options.models:
        with tempfile.TemporaryDirectory() as folder:
            also_in_processes(Path(folder))
            names = matching("timm:*")
            speed(tuple(names[:: max(len(names) // options.models, 1)][: options.models]), options.minutes)


if __name__ == "__main__":
    main()
