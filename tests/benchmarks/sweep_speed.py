"""A sweep by two processes beside one, and the memory of a sweep of many rows.

    python tests/benchmarks/sweep_speed.py [--models 200] [--rows 100000]

The processes' start is told apart: each crew analyzes one model a process first. Needs timm and a quiet machine.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

from cnncost.sources.names import matching
from cnncost.sweeps import api
from cnncost.sweeps.crew import Crew
from cnncost.sweeps.figures import USUAL
from cnncost.sweeps.grid import Axis, Grid
from cnncost.sweeps.run import rows

sys.path.insert(0, str(Path(__file__).parent.parent))


def seconds(models: tuple[str, ...], jobs: int) -> tuple[float, float]:
    """Of the start, and of all rows after it."""
    with Crew("processes", None, jobs) as crew:
        begun = time.perf_counter()
        for _ in rows(Grid(models[: 2 * jobs], columns=USUAL), set(), crew):
            pass
        started = time.perf_counter()
        failed = sum("error" in row for _, row in rows(Grid(models, columns=USUAL), set(), crew))
        done = time.perf_counter()
    print(f"{jobs} process(es): {len(models)} models, {failed} failed, {started - begun:.1f} s, {done - started:.1f} s")
    return started - begun, done - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200, help="How many of timm's; 0: none.")
    parser.add_argument("--rows", type=int, default=100_000, help="Of the sweep whose memory is told; 0: none.")
    options = parser.parse_args()
    if options.models:
        names = matching("timm:*")
        chosen = tuple(names[:: max(len(names) // options.models, 1)][: options.models])
        one, two = seconds(chosen, 1)[1], seconds(chosen, 2)[1]
        print(f"two processes are {one / two:.2f} times as fast as one")
    if options.rows:
        grid = Grid(("lenet300",), (Axis(("batch",), tuple((n,) for n in range(1, options.rows + 1))),), columns=USUAL)
        begun = time.perf_counter()
        result = api.run(grid, jobs=1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"{len(result.rows):,} rows, {time.perf_counter() - begun:.0f} s, {peak / 2**20:.0f} MiB at most")


if __name__ == "__main__":
    main()
