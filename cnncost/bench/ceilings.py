"""Measures the ceilings of this machine: large matrix products, copies by size, launches, convolutions, pooling.

The shapes come from no particular network: round numbers of channels, square images. A ceiling is the best of several
runs, so that a busy moment does not lower it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import pairwise
from statistics import geometric_mean

import torch
from torch import nn

from cnncost.bench.backend import TORCH_DTYPES, Backend, backend, page_faults
from cnncost.bench.host import host_record
from cnncost.bench.timing import Budget, Clock, SystemClock, summary, timed
from cnncost.devices.model import NOISY, Device, Level, Rate

_MIB = 1 << 20
_WORKING_SETS = [_MIB // 4, _MIB, 4 * _MIB, 16 * _MIB, 64 * _MIB]
"""Bytes of copies that may fit into a cache: source and target together."""
_MAIN = 512 * _MIB
"""Bytes of a copy that measures a CPU's main memory: too large for its caches."""
_FASTER = 1.15
"""A working set counts as a cache level if copying it is faster by this factor than the next larger one and `_MAIN`."""
_QUICK = Budget(warm_up=0.1, seconds=0.8, least=5, most=200, narrow=0.005)
_LAUNCHES = 200
"""Number of launches that are timed together, enough to fill a GPU's queue."""
_BATCH = {"cuda": 128, "cpu": 8}
"""Batch sizes of the convolutions."""
_SIDES = {"cuda": (4096, 8192), "cpu": (256, 1024, 2048)}
"""Sides of the square matrices, smallest first."""
_IMAGES = {"cuda": (28,), "cpu": (7, 28)}
"""Image sides of the convolutions, smallest first: 28×28 takes ten seconds on a CPU that emulates the format."""
_LONG = 0.5
"""Seconds per run above which a size is skipped: its rate would hardly differ from that of the size before."""


def measure(
    on: str = "cpu", name: str = "", threads: int | None = None, on_step: Callable[[str], None] = lambda _: None
) -> Device:
    """Measure this machine's CPU or GPU, in about half a minute.

    Args:
        on: `cpu` or `cuda`.
        name: name of the Device; by default `this-cpu` or `this-cuda`.
        threads: number of CPU threads; by default as many as torch uses.
        on_step: called with a description of each measurement before it starts.

    Raises:
        BenchError: `on` is neither `cpu` nor `cuda`, or there is no CUDA device.
    """
    machine, clock = backend(on), SystemClock()
    start, others = clock.now(), clock.others()
    with _threads(threads), torch.inference_mode():
        host = host_record(on)
        on_step("matrix products")
        flops = _products(machine)
        on_step("copies")
        caches, bandwidth = _copies(machine)
        on_step("launches")
        # the layout op here is a view, which launches no kernel on a GPU
        launches = {kind: _launch(machine, *small) for kind, small in _SMALL.items() if on == "cpu" or kind != "layout"}
        on_step("convolutions and pools")
        rates = _rates(machine, launches, flops)
        on_step("new pages")
        fresh = _fresh(machine) if on == "cpu" else None
        copies = on == "cpu" and _copies_operands(machine, rates["conv"].flops["float32"], bandwidth)
        return Device(
            name=name or f"this-{on}", title=host.processor(on), kind="gpu" if on == "cuda" else "cpu", flops=flops,
            bandwidth=bandwidth, source=f"measured by cnncost with torch {torch.__version__}", memory=host.memory(on),
            launch=launches["pointwise"], caches=caches, rates=rates, copies=copies, fresh=fresh,
            threads=torch.get_num_threads() if on == "cpu" else None,
            measured=f"{datetime.now().astimezone():%Y-%m-%d}, {host.summary(on)}{_noise(clock, start, others)}",
        )  # fmt: skip


def _noise(clock: Clock, start: float, others: float | None) -> str:
    """Return a note if other programs kept the CPU busy meanwhile, which lowers the ceilings; else an empty string."""
    after = clock.others()
    if others is None or after is None:
        return ""
    # [1.0]: any time will do, because only the other programs' share matters
    noise = summary([1.0], clock.now() - start, max(0.0, after - others)).noise
    return f", {NOISY}: {noise[0]}" if noise else ""


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _best(machine: Backend, run: Callable[[], object], budget: Budget = _QUICK) -> float:
    """Return the seconds of the fastest of several runs."""
    return timed(run, machine.sync, budget).best


def _products(machine: Backend) -> dict[str, float]:
    """Return the FLOP/s of square matrix products by dtype; unsupported dtypes are left out."""
    reached = {}
    names = [name for name in TORCH_DTYPES if name != "tf32" or machine.name == "cuda"]
    for name in names:
        try:
            reached[name] = _by_size(lambda size: 2 * size**3, partial(_product, machine, name), _SIDES[machine.name])
        except RuntimeError:  # no kernel for this dtype
            continue
    return reached


def _by_size(flops: Callable[[int], float], measured: Callable[[int], float], sizes: Sequence[int]) -> float:
    """Return the best FLOP/s over the sizes; stop before one that would take too long, as with an emulated dtype."""
    reached = 0.0
    for size in sizes:
        if reached and flops(size) / reached > _LONG:
            break
        reached = max(reached, measured(size))
    return reached


def _product(machine: Backend, name: str, size: int) -> float:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    try:
        a, b = (torch.randn(size, size, device=machine.device).to(TORCH_DTYPES[name]) for _ in range(2))
        return 2 * size**3 / _best(machine, lambda: a @ b)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _copies(machine: Backend) -> tuple[tuple[Level, ...], float]:
    """Return a CPU's cache levels (none on a GPU) and main memory's bandwidth: bytes read plus written per second."""
    main = _copy(machine, _MAIN if machine.name == "cpu" else 4 * _MAIN)
    if machine.name != "cpu":
        return (), main
    levels = [Level(size, _copy(machine, size)) for size in _WORKING_SETS]
    kept: list[Level] = []
    for level, slower in [*pairwise(levels), (levels[-1], Level(_MAIN, main))]:
        if level.bandwidth > _FASTER * slower.bandwidth and level.bandwidth > _FASTER * main:
            kept.append(level)
    return tuple(kept), main


def _copy(machine: Backend, size: int) -> float:
    source = torch.randn(size // 8, device=machine.device)  # float32: source and target together have `size` bytes
    target = torch.empty_like(source)
    times = max(1, min(1000, 8 * _MIB // size))  # a single small copy is shorter than a clock tick
    return size * times / _best(machine, lambda: [target.copy_(source) for _ in range(times)])


_SMALL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "pointwise": (nn.ReLU, (1, 16)),
    "linear": (lambda: nn.Linear(16, 16), (1, 16)),
    "norm": (lambda: nn.BatchNorm2d(4).eval(), (1, 4, 4, 4)),
    "pool": (lambda: nn.MaxPool2d(2), (1, 4, 4, 4)),
    "adaptive_pool": (lambda: nn.AdaptiveAvgPool2d(2), (1, 4, 4, 4)),
    "conv": (lambda: nn.Conv2d(4, 4, 5, padding=2), (1, 4, 8, 8)),  # 3x3 on so small an image takes a shortcut
    "layout": (nn.Flatten, (1, 4, 4)),
}
"""By op kind, a module and an input shape with so little work that the time is the launch time."""


def _launch(machine: Backend, module: Callable[[], nn.Module], shape: tuple[int, ...]) -> float:
    """Return the seconds to launch an op: the time of many launches divided by their number."""
    layer, x = module().to(machine.device), torch.randn(shape, device=machine.device)
    return _best(machine, lambda: [layer(x) for _ in range(_LAUNCHES)]) / _LAUNCHES


def _rates(machine: Backend, launches: dict[str, float], flops: dict[str, float]) -> dict[str, Rate]:
    """Return launch times by op kind, with the FLOP/s of convolutions by dtype and, on a CPU, of pooling.

    The dtype doesn't matter for pooling on a CPU, because those kernels don't use vector instructions.
    """
    rates = {kind: Rate({}, seconds) for kind, seconds in launches.items() if kind != "pointwise"}
    reached = {}
    for name in flops:
        try:
            reached[name] = _convolution(machine, name)
        except RuntimeError:
            continue
    rates["conv"] = Rate(reached, launches["conv"])
    if machine.name == "cpu":
        # FLOPs per output: k² − 1 comparisons for max pooling, k² − 1 additions and a division for average pooling
        pools = [(nn.MaxPool2d(2), 3), (nn.MaxPool2d(3, 2, 1), 8), (nn.AvgPool2d(2), 4)]
        mean = geometric_mean([_pool(machine, module, flops_per_output) for module, flops_per_output in pools])
        rates["pool"] = Rate({"any": mean}, launches["pool"])
        rates["adaptive_pool"] = Rate(
            {"any": _pool(machine, nn.AdaptiveAvgPool2d(1), 56 * 56)}, launches["adaptive_pool"]
        )
    return rates


def _convolution(machine: Backend, name: str) -> float:
    """Return the FLOP/s of a compute-bound 3x3 convolution with 256 channels."""
    flops, measured = partial(_conv_flops, _BATCH[machine.name]), partial(_convolution_at, machine, name)
    return _by_size(flops, measured, _IMAGES[machine.name])


def _conv_flops(batch: int, side: int) -> int:
    return 2 * batch * 256 * 256 * 9 * side * side


def _convolution_at(machine: Backend, name: str, side: int) -> float:
    batch = _BATCH[machine.name] if side > 7 else 1  # 7x7 only shows whether the format is emulated
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        layer = nn.Conv2d(256, 256, 3, padding=1).to(machine.device, TORCH_DTYPES[name])
        x = torch.randn(batch, 256, side, side, device=machine.device).to(TORCH_DTYPES[name])
        return _conv_flops(batch, side) / _best(machine, lambda: layer(x))
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _pool(machine: Backend, module: nn.Module, flops_per_output: int) -> float:
    """Return the FLOP/s of a pooling module on a fixed input."""
    x = torch.randn(4, 64, 56, 56, device=machine.device)
    outputs: int = module(x).numel()
    return flops_per_output * outputs / _best(machine, lambda: module(x))


def _fresh(machine: Backend) -> Level | None:
    """Return the size in bytes above which each new tensor gets new pages, and the bandwidth of mapping them.

    None if none of the tried sizes does, or if mapping takes no measurable time.

    glibc allocates blocks above a threshold, which grows up to 32 MiB, by mmap; freeing such a block returns it to the
    system at once.
    """
    sizes = [4 * _MIB, 16 * _MIB, 31 * _MIB, 33 * _MIB, 64 * _MIB]
    faulting = [size for size in sizes if _faults(size) > size // 4096 // 2]  # on more than half of its 4 KiB pages
    if not faulting:
        return None
    largest_kept = max((size for size in sizes if size < faulting[0]), default=1)
    size = 64 * _MIB
    x = torch.randn(size // 4)
    output = torch.empty_like(x)
    extra = _best(machine, lambda: x + 1) - _best(machine, lambda: torch.add(x, 1, out=output))
    return Level(largest_kept, size / extra) if extra > 0 else None


def _faults(size: int) -> float:
    """Return the page faults per allocation of a tensor of this many bytes, after the allocator has warmed up."""
    x, times = torch.randn(size // 4), 4
    for _ in range(3):
        x + 1
    before = page_faults()
    for _ in range(times):
        x + 1
    return (page_faults() - before) / times


def _copies_operands(machine: Backend, flops: float, bandwidth: float) -> bool:
    """Return whether convolutions first copy their weights into another layout.

    On a small image such copies take most of the time, so they show as time that the FLOPs don't explain.
    """
    layer, x = nn.Conv2d(512, 512, 3, padding=1), torch.randn(1, 512, 7, 7)
    weights = 512 * 512 * 9 * 4
    beyond = _best(machine, lambda: layer(x)) - 2 * 512 * 512 * 9 * 49 / flops
    return beyond > weights / bandwidth  # reading them once takes this long anyway; copying, twice as long
