"""Properties of the measured machine, which help to interpret the numbers."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from cnncost import units


@dataclass(frozen=True, slots=True)
class Host:
    """Properties of the machine; unknown strings are empty, unknown numbers None."""

    cpu: str
    cores: int
    memory_bytes: int | None
    gpu: str
    gpu_memory: int | None
    driver: str
    cuda: str
    cudnn: str
    torch: str
    python: str
    system: str
    threads: int
    interop_threads: int
    load: float | None

    def processor(self, on: str) -> str:
        """Return the name of the measured processor; `on` itself if unknown."""
        return (self.gpu if on == "cuda" else self.cpu) or on

    def memory(self, on: str) -> float | None:
        """Return the bytes of the measured processor's memory; None if unknown."""
        found = self.gpu_memory if on == "cuda" else self.memory_bytes
        return None if found is None else float(found)

    def summary(self, on: str) -> str:
        """Return a one-line summary such as `2 threads on 2 cores, Linux 6.8.0, torch 2.13.0`."""
        if on == "cuda":
            return f"driver {self.driver or 'unknown'}, CUDA {self.cuda}, torch {self.torch}"
        threads, cores = units.counted(self.threads, "thread"), units.counted(self.cores, "core")
        return f"{threads} on {cores}, {self.system}, torch {self.torch}"


def host_record(on: str = "cpu") -> Host:
    """Return the properties of this machine."""
    available = torch.cuda.is_available()
    cuda = on == "cuda" and available
    properties = torch.cuda.get_device_properties(torch.device("cuda")) if available else None
    version = torch.backends.cudnn.version() if cuda else None
    return Host(
        cpu=_cpu(), cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=_memory(), gpu=properties.name if properties else "",
        gpu_memory=properties.total_memory if properties else None, driver=_driver() if cuda else "",
        cuda=torch.version.cuda or "", cudnn=str(version or ""), torch=torch.__version__,
        python=platform.python_version(), system=f"{platform.system()} {platform.release().split('-')[0]}",
        threads=torch.get_num_threads(), interop_threads=torch.get_num_interop_threads(), load=_load(),
    )  # fmt: skip


def _cpu() -> str:
    """Return the processor's name and vector extensions, because the name alone is often vague in virtual machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = found.get("flags", "").split()
    extensions = {"amx_bf16": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}  # the best first
    present = [extension for flag, extension in extensions.items() if flag in flags]
    name = found.get("model name") or platform.machine()
    return f"{name} ({', '.join(present[:2])})" if present else name


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _driver() -> str:
    """Return the driver's version from nvidia-smi, because torch does not report it; empty if that fails."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603  # a fixed command
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""
