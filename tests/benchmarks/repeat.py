"""Whether the same benchmark gives the same numbers twice.

    python tests/benchmarks/repeat.py [NETWORK …]

Each network is measured twice, in turns with the others, by the timer of `cnncost bench`; printed is by how much the
medians differ, and whether the timer called the machine noisy. On a quiet machine they differ by at most 5 %.
"""

import sys

from cnncost.bench.backend import Cpu
from cnncost.bench.result import Case
from cnncost.bench.run import measure
from cnncost.sources.resolve import resolve

NETWORKS = ("lenet5", "alexnet", "resnet18", "resnet50")
GOAL = 0.05


def main(names):
    rounds = [{}, {}]
    for found in rounds:
        for name in names:
            (found[name],) = measure(resolve(name), [Case(1)], Cpu())
    print(f"{'network':>16}{'first ms':>12}{'second ms':>12}{'differ by':>12}  noise")
    worst = 0.0
    for name in names:
        first, second = (found[name].timing for found in rounds)
        differ = second.median / first.median - 1
        noise = dict.fromkeys((*first.noise, *second.noise))
        worst = max(worst, 0.0 if noise else abs(differ))
        print(f"{name:>16}{1e3 * first.median:12.3f}{1e3 * second.median:12.3f}{differ:+12.1%}  {', '.join(noise)}")
    print(f"\nworst of those that were not noisy: {worst:.1%} (goal {GOAL:.0%})")


if __name__ == "__main__":
    main(sys.argv[1:] or NETWORKS)
