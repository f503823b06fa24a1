"""A plain training loop that tells its throughput, FLOP/s and MFU as it goes, by its own logger.

python examples/callback.py

The peak is measured here, as the fastest of some large matrix products, so that MFU is a part of what this machine
really reaches. The loop's logger may be anything that takes numbers by name: TensorBoard's `add_scalar`,
`wandb.log`, a CSV file; here it prints.
"""

import time

import torch
import torch.nn.functional as F

import cnncost
from cnncost import zoo

BATCH, STEPS, EVERY = 32, 24, 8


def measured_peak(size: int = 512) -> float:
    """FLOP/s of the fastest of ten products of square matrices: two FLOPs for each of size³ MACs."""
    a = torch.randn(size, size)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def log(step: int, numbers: dict[str, float]) -> None:
    """The loop's own logger."""
    told = (f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.4g}" for name, value in numbers.items())
    print(f"step {step:>3}  " + "  ".join(told))


def main() -> None:
    """Train LeNet-5 on noise, which costs as much as training it on digits."""
    model = zoo.build("lenet5_modern")
    report = cnncost.analyze(model, (BATCH, 1, 32, 32))
    log(0, report.log_dict())
    meter = cnncost.Meter(model, (BATCH, 1, 32, 32), peak_flops=measured_peak(), warmup=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(1, STEPS + 1):
        images, labels = torch.randn(BATCH, 1, 32, 32), torch.randint(0, 10, (BATCH,))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        meter.step(images)
        if step % EVERY == 0 and (rates := meter.lap()) is not None:
            log(step, {"loss": loss.item(), **rates.log_dict()})
    print(meter.rates())


if __name__ == "__main__":
    main()
