"""Detects which kernels this CPU would run, to estimate their workspaces. Does not import torch."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from cnncost.errors import InputError
from cnncost.ops.workspace import Kernels

_CPU = Path("/proc/cpuinfo")
LANES = {"avx2": 8, "avx512": 16}
"""float32 numbers per vector register, by the instruction sets for which oneDNN has kernels."""


def kernels(instructions: str | None = None, threads: int | None = None) -> Kernels:
    """Return the kernels for an instruction set (`avx2`, `avx512`) and thread count; by default those torch uses here.

    Raises:
        InputError: the instruction set is unknown, or there is less than one thread.
    """
    if instructions is not None and instructions not in LANES:
        raise InputError(f"kernels: expected {' or '.join(map(repr, LANES))}, got {instructions!r}")
    if threads is not None and threads < 1:
        raise InputError(f"kernels: expected one thread or more, got {threads}")
    lanes = LANES[instructions] if instructions is not None else _lanes()
    return Kernels(lanes, threads or _threads())


def in_words(found: Kernels) -> str:
    """Return a description of kernels, such as `oneDNN for AVX2, 2 threads`."""
    name = next(name for name, lanes in LANES.items() if lanes == found.lanes)
    shown = {"avx2": "AVX2", "avx512": "AVX-512"}[name]
    return f"oneDNN for {shown}, {found.threads} thread{'s' if found.threads > 1 else ''}"


@lru_cache(maxsize=1)
def _lanes() -> int:
    """Return the float32 lanes of this CPU; those of AVX2 if the system doesn't report the CPU's flags."""
    flags = _CPU.read_text(encoding="utf-8", errors="replace") if _CPU.exists() else ""
    return LANES["avx512" if " avx512bw" in flags else "avx2"]  # oneDNN's AVX-512 kernels need the extension BW


def _threads() -> int:
    """Return the number of threads that OpenMP would use: OMP_NUM_THREADS, else the cores available to this process."""
    variable = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if variable.isdigit() and int(variable) > 0:
        return int(variable)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
