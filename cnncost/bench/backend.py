"""Backends of the benchmark: one small class for the CPU and one for CUDA hold everything that differs between them."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

from cnncost.errors import BenchError

TORCH_DTYPES: dict[str, torch.dtype] = {
    "float64": torch.float64, "float32": torch.float32, "tf32": torch.float32, "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}  # fmt: skip
"""The torch dtype of each number format that networks can run in."""
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
"""Parts of the CPU allocator's messages, in lower case."""


class Mark(Protocol):
    """A point in time on the device's timeline."""

    def until(self, later: Any) -> float:
        """Return the seconds until a later mark of the same backend; call `sync` before."""


class Backend(Protocol):
    """Operations that the benchmark needs from a device."""

    name: str
    device: torch.device

    def sync(self) -> None:
        """Wait until all submitted work has finished."""

    def mark(self) -> Mark:
        """Return a mark for the time at which all work submitted so far has finished."""

    def peak_memory(self, run: Callable[[], object], allocated: int) -> int | None:
        """Return the most bytes alive during `run`; `allocated` bytes are alive before it. None if unknown."""

    def forget(self) -> None:
        """Collect garbage, and release memory that the allocator caches."""


class Cpu:
    """The CPU. Nothing runs asynchronously, so a mark is a clock reading."""

    name = "cpu"

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def sync(self) -> None:
        return

    def mark(self) -> CpuMark:
        return CpuMark(time.perf_counter())

    def peak_memory(self, run: Callable[[], object], allocated: int) -> int | None:
        """Return the peak from the profiler's allocation events: torch's allocations, without libraries' workspaces."""
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise Kineto logs its start and stop to stderr
        from torch.profiler import ProfilerActivity, profile

        # some versions of torch warn if acc_events is not given
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
            run()
        alive = peak = 0
        for event in profiler.profiler.kineto_results.events():
            if event.name() == "[memory]":
                alive += event.nbytes()
                peak = max(peak, alive)
        return allocated + peak

    def forget(self) -> None:
        gc.collect()


class CpuMark:
    """A clock reading."""

    def __init__(self, at: float) -> None:
        self.at = at

    def until(self, later: CpuMark) -> float:
        return later.at - self.at


class Cuda:
    """A CUDA device: kernels are launched asynchronously, so times are measured with events.

    Raises:
        BenchError: torch sees no CUDA device, or was built without CUDA.
    """

    name = "cuda"

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            built = "" if torch.version.cuda else f" (torch {torch.__version__} was built without)"
            raise BenchError(f"cuda: torch sees no CUDA device{built}; use --device cpu, or predict with `roofline`")
        self.device = torch.device("cuda")

    def sync(self) -> None:
        torch.cuda.synchronize()

    def mark(self) -> CudaMark:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return CudaMark(event)

    def peak_memory(self, run: Callable[[], object], allocated: int) -> int | None:
        """Return the peak that the caching allocator reports; it already includes `allocated`."""
        del allocated
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated())

    def forget(self) -> None:
        gc.collect()
        torch.cuda.empty_cache()


class CudaMark:
    """An event on the current stream."""

    def __init__(self, event: Any) -> None:
        self.event = event

    def until(self, later: CudaMark) -> float:
        return float(self.event.elapsed_time(later.event)) / 1e3


def backend(name: str) -> Backend:
    """Return the backend of this name. Raises BenchError if there is none, or if it isn't available here."""
    if name == "cpu":
        return Cpu()
    if name == "cuda":
        return Cuda()
    raise BenchError(f"device {name!r}: expected cpu or cuda")


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means out of memory. The CPU allocator raises a plain RuntimeError with a known text."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _OUT_OF_MEMORY)


def page_faults() -> int:
    """Return this process's minor page faults so far; the first access to a new page causes one."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
