"""The Meter in a training loop on a GPU (or the CPU): its seconds beside the device's own events, its FLOPs beside
torch's counter, and what it costs.

    python tests/gpu/rates.py cuda

Exit status 1 if they disagree.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1])]

import cnncost  # noqa: E402  # found by the line above

STEPS = 40
ALLOWED = 0.05
"""How far the seconds of a step may be from the events' (`loop` is one window of time for both)."""
OVERHEAD = 50e-6
"""Seconds that a call of `step()` may take; it makes no device wait."""


def loop(step: Callable[[], None], steps: int, device: str) -> float:
    """Seconds of that many steps: by CUDA events on a GPU, by the clock elsewhere."""
    if device == "cpu":
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        return time.perf_counter() - begun
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    for _ in range(steps):
        step()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / 1e3


def main(device: str) -> int:
    torch.manual_seed(0)
    batch, side = (64, 224) if device == "cuda" else (2, 64)
    model = cnncost.zoo.build("resnet18").to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x, target = torch.randn(batch, 3, side, side, device=device), torch.randint(0, 1000, (batch,), device=device)

    def train() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), target).backward()
        optimizer.step()

    train()
    with FlopCounterMode(display=False) as counter:
        train()
    meter = cnncost.Meter(model, (x,), warmup=0)
    spent = 0.0

    def metered() -> None:
        nonlocal spent
        train()
        begun = time.perf_counter()
        meter.step(batch)
        spent += time.perf_counter() - begun

    loop(metered, 3, device)  # the model is analyzed, the GPU is warm
    meter.reset()
    spent = 0.0
    seconds = loop(metered, STEPS, device)
    rates = meter.rates()
    print(rates)
    macs, torch_macs = rates.macs / rates.steps, counter.get_total_flops() / 2
    told = {
        f"seconds of {rates.steps} steps: {rates.seconds:.4f}, by events {seconds:.4f}":
            abs(rates.seconds / seconds - 1) <= ALLOWED,
        f"MACs of a step: {macs:,.0f}, by torch's counter {torch_macs:,.0f}": macs == torch_macs,
        f"a call of step(): {1e6 * spent / STEPS:.1f} µs": spent / STEPS <= OVERHEAD,
    }  # fmt: skip
    print(*(f"{'ok' if good else 'WRONG'}: {line}" for line, good in told.items()), sep="\n")
    return 0 if all(told.values()) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
