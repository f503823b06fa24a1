"""What analyses leave behind in a process: the forward of a network of small layers before and after many analyses.

    python tests/benchmarks/afterwards.py [ANALYSES]      by default 1,500

Prints the ratio of the two, each the least of ten rounds of processor time: 1.0 if nothing is left. It was 1.4 from
Python 3.13 on when each analysis replaced a method of `nn.Module` (see `cnncost/frontends/torch/module_calls.py`).
"""

from __future__ import annotations

import sys
import time

import torch
from torch import nn

import cnncost


class Block(nn.Module):
    """Two layers that compute next to nothing, so that the time is Python's."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.relu = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.linear(x))


def microseconds(model: nn.Module, x: torch.Tensor, calls: int = 500) -> float:
    """Least processor time of a forward, over ten rounds."""
    rounds = []
    with torch.inference_mode():
        for _ in range(10):
            start = time.process_time()
            for _ in range(calls):
                model(x)
            rounds.append(1e6 * (time.process_time() - start) / calls)
    return min(rounds)


def main() -> None:
    analyses = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    torch.set_num_threads(1)
    model, x = nn.Sequential(*(Block() for _ in range(6))).eval(), torch.ones(2, 4)
    before = microseconds(model, x)
    for _ in range(analyses):
        cnncost.analyze(model, (2, 4))
    after = microseconds(model, x)
    python = ".".join(map(str, sys.version_info[:2]))
    print(f"Python {python}, torch {torch.__version__}: {before:.0f} µs a forward before, {after:.0f} µs after")
    print(f"{analyses:,} analyses: ratio {after / before:.2f}")


if __name__ == "__main__":
    main()
