"""Time and memory of an analysis against the number of layers: 1,000 and 10,000.

python tests/benchmarks/scaling.py
"""

import statistics
import time
import tracemalloc

import torch
from torch import nn

import cnncost


def sequential(layers):
    with torch.device("meta"):
        return nn.Sequential(*(layer for _ in range(layers // 2) for layer in (nn.Linear(8, 8), nn.ReLU())))


def seconds(model):
    start = time.perf_counter()
    cnncost.analyze(model, (1, 8))
    return time.perf_counter() - start


def peak_bytes(model):
    tracemalloc.start()
    cnncost.analyze(model, (1, 8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main():
    small, large = sequential(1_000), sequential(10_000)
    seconds(small), seconds(large)
    times = [(seconds(small), seconds(large)) for _ in range(7)]
    few, many = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"time    1k {1e3 * few:8.1f} ms   10k {1e3 * many:8.1f} ms   ratio {many / few:5.2f}")
    few, many = peak_bytes(small), peak_bytes(large)
    print(f"memory  1k {few / 2**20:8.2f} MiB  10k {many / 2**20:8.2f} MiB  ratio {many / few:5.2f}")


if __name__ == "__main__":
    main()
