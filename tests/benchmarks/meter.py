"""What the Meter costs, as a part of a step of ResNet-18 on one 64x64 image, the smallest step that makes sense.

    python tests/benchmarks/meter.py

A loop of bare calls of `Meter.step`, beside a real training step (forward, backward, SGD) in the same process.
"""

import statistics
import time

import torch

from cnncost import zoo
from cnncost.meter import Meter


def seconds_per_call(call, count):
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def main():
    torch.set_num_threads(1)
    model, images = zoo.build("resnet18"), torch.randn(1, 3, 64, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    meter = Meter(model.eval(), "1x3x64x64", training=False)

    def train():
        optimizer.zero_grad()
        model(images).sum().backward()
        optimizer.step()

    train()
    step = statistics.median(seconds_per_call(train, 3) for _ in range(7))
    for name, batch in (("a number", 1), ("a tensor", images)):
        cost = statistics.median(seconds_per_call(lambda batch=batch: meter.step(batch), 20_000) for _ in range(7))
        part = f"{100 * cost / step:.4f} % of a step of {1e3 * step:.1f} ms"
        print(f"Meter.step by {name:<10} {1e6 * cost:6.2f} µs, {part}")
    begin = time.perf_counter()
    meter.lap()
    first = time.perf_counter() - begin
    again = statistics.median(seconds_per_call(lambda: (meter.step(1), meter.lap()), 100) for _ in range(7))
    print(f"Meter.lap  the first time {1e3 * first:.1f} ms (one analysis a shape of inputs), then {1e6 * again:.1f} µs")


if __name__ == "__main__":
    main()
