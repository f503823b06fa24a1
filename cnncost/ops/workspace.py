"""Memory that CPU kernels allocate beyond tensors and free while they run, estimated from how torch calls oneDNN.

Unlike everything else in `ops`, it depends on the CPU's kernels, which `Kernels` describes. The rules follow ATen
(`native/Convolution.cpp`, `native/mkldnn/Conv.cpp`, `native/ConvolutionMM2d.cpp`) and oneDNN's `cpu/x64`; tests
compare them with the allocator's events for random settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cnncost.graph import OpSpec
from cnncost.ops.registry import contradiction


class Kernels(NamedTuple):
    """Properties of the CPU that determine which kernels run.

    Attributes:
        lanes: float32 numbers per vector register: 8 with AVX2, 16 with AVX-512; also oneDNN's channel block size.
        threads: number of threads that torch uses.
    """

    lanes: int = 8
    threads: int = 1


Workspace = Callable[[OpSpec, Kernels], int]
_RULES: dict[str, Workspace] = {}


def workspace(kind: str) -> Callable[[Workspace], Workspace]:
    """Register an op kind's rule for the most bytes that the kernel allocates at once, minus those of its outputs."""

    def register(function: Workspace) -> Workspace:
        _RULES[kind] = function
        return function

    return register


def workspace_of(spec: OpSpec, kernels: Kernels) -> int:
    """Return the most bytes that an op's kernel allocates at once beyond its inputs, outputs and scratch."""
    rule = _RULES.get(spec.kind)
    return max(rule(spec, kernels), 0) if rule is not None and contradiction(spec) is None else 0


def kinds() -> tuple[str, ...]:
    """Return the op kinds that have a rule; the kernels of all others allocate little or nothing."""
    return tuple(sorted(_RULES))
