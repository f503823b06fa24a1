"""What receptive fields cost beside the analysis itself: ratios of times measured side by side, in one run.

python tests/benchmarks/receptive_field.py
"""

from __future__ import annotations

import time

import cnncost
from cnncost.ops.reach import registry
from cnncost.passes.receptive_field import receptive_fields

NETWORKS = ("lenet5", "alexnet", "vgg16", "resnet18", "resnet50", "resnet152")
REPEATS = 7


def best(function):
    """The shortest of several runs, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def cold(graph):
    """With no rule's answer at hand."""
    registry._REACHES.clear()
    receptive_fields(graph)


def main():
    print(f"{'network':<10} {'analyze':>9} {'fields, cold':>13} {'warm':>9} {'warm/analyze':>13}")
    for name in NETWORKS:
        report = cnncost.analyze(name)
        analysis = best(lambda name=name: cnncost.analyze(name))
        first = best(lambda graph=report.graph: cold(graph))
        again = best(lambda graph=report.graph: receptive_fields(graph))
        print(f"{name:<10} {analysis:>6.1f} ms {first:>10.1f} ms {again:>6.1f} ms {again / analysis:>12.2f}×")


if __name__ == "__main__":
    main()
