"""Reports of 10,000 and of 100,000 rows: seconds of each format, and what ten times the rows take.

python tests/benchmarks/rows.py
"""

import time

import torch
from torch import nn

import cnncost
from cnncost.budget.diff import Diff
from cnncost.budget.snapshot import of_report


def model(rows, width=8):
    """Modules in tens, as networks nest them: a tenth of the rows are containers."""
    with torch.device("meta"):
        return nn.Sequential(
            *(nn.Sequential(*(layer for _ in range(5) for layer in (nn.Linear(width, width), nn.ReLU())))
              for _ in range(rows // 10))
        )  # fmt: skip


def seconds(function):
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def measure(rows):
    net = model(rows)
    times = {}
    times["analyze"], report = seconds(lambda: cnncost.analyze(net, (1, 8)))
    for form in ("text", "markdown", "csv", "json", "html"):
        write = getattr(report, f"to_{form}") if form != "text" else lambda: str(report)
        times[form], text = seconds(write)
        times[form + " MB"] = len(text) / 1e6
    times["diff"], _ = seconds(lambda: list(Diff(of_report(report), of_report(report)).changes))
    times["read json"], _ = seconds(lambda: type(report).from_json(report.to_json()))
    return times


def main():
    measure(1_000)
    few, many = measure(10_000), measure(100_000)
    for name, large in many.items():
        ratio = large / few[name] if few[name] else 0.0
        print(f"{name:12} 10k {few[name]:8.2f}   100k {large:8.2f}   ratio {ratio:6.1f}")


if __name__ == "__main__":
    main()
