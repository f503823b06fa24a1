"""`cnncost check` of twenty networks as a whole process, beside `python -c "import torch"`.

    python tests/benchmarks/check.py

In turns: the import, the check with a baseline in one process, and in as many as there are cores. Then what
the pytest plugin adds to a start of pytest, and what of it is the plugin's own import.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cnncost import zoo

NETWORKS = [
    name for name in zoo.names() if name not in {"fc10", "fc300", "conv6", "conv6_valid", "conv6_stride", "lenet1"}
]
IMPORT = [sys.executable, "-c", "import torch"]
CHECK = [sys.executable, "-m", "cnncost", "check"]
ROUNDS = 9


def seconds(command, folder):
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


def compared(commands, folder):
    """Median seconds of each, and the median of its ratio to the first in the same round."""
    times = {name: [] for name in commands}
    for name, command in commands.items():
        seconds(command, folder)
        del name
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command, folder))
    first = next(iter(times.values()))
    return {
        name: (statistics.median(each), statistics.median(a / b for a, b in zip(each, first, strict=True)))
        for name, each in times.items()
    }


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        budgets = [f'[[budget]]\nmodel = "{net}"\nparams = "+1%"\nmacs = "+1%"\nflops = "<= 1T"\n' for net in NETWORKS]
        (folder / "cnncost.toml").write_text("\n".join(budgets))
        seconds([*CHECK, "--update"], folder)
        cores = str(len(os.sched_getaffinity(0)))
        found = compared({
            "import torch": IMPORT,
            f"check of {len(NETWORKS)}": CHECK,
            f"check of {len(NETWORKS)}, 1 process": [*CHECK, "--jobs", "1"],
            f"check of {len(NETWORKS)}, {cores} processes": [*CHECK, "--jobs", cores],
        }, folder)  # fmt: skip
        for label, (middle, ratio) in found.items():
            print(f"{label:<28} {1e3 * middle:8.0f} ms   {ratio:5.2f} of the import")
        plugin(folder)


def plugin(folder):
    """What the plugin adds to a start of pytest that collects one test."""
    (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    start = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cnncost", "test_nothing.py"]
    commands = {"without": start, "with": [*start, "-p", "cnncost.budget.pytest_plugin"]}
    times = {name: [] for name in commands}
    for _ in range(4 * ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command, folder))
    added = statistics.median(b - a for a, b in zip(times["without"], times["with"], strict=True))
    middle = statistics.median(times["without"])
    print(f"pytest with one test         {1e3 * middle:8.0f} ms, the plugin adds {1e3 * added:.1f} ms")


if __name__ == "__main__":
    main()
