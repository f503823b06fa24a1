"""What a CPU's kernels take beyond tensors and give back while they run: an estimate, by how torch calls oneDNN.

It hangs on the kernels that a CPU has, unlike all else in here: `Kernels` says which. Rules are those of ATen
(`native/Convolution.cpp`, `native/mkldnn/Conv.cpp`, `native/ConvolutionMM2d.cpp`) and of oneDNN's `cpu/x64`; they are
held against the allocator's events over random settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cnncost.graph import OpSpec


class Kernels(NamedTuple):
    """What decides which kernels run.

    Attributes:
        lanes: float32 numbers of a register: 8 with AVX2, 16 with AVX-512. oneDNN's blocks of channels.
        threads: as torch is told to use.
    """

    lanes: int = 8
    threads: int = 1


Workspace = Callable[[OpSpec, Kernels], int]
_RULES: dict[str, Workspace] = {}


def workspace(kind: str) -> Callable[[Workspace], Workspace]:
    """Register the rule of an op kind: the most that its kernel has out, less what its outputs take."""

    def register(function: Workspace) -> Workspace:
        _RULES[kind] = function
        return function

    return register


def workspace_of(spec: OpSpec, kernels: Kernels) -> int:
    """Bytes that an op's kernel has out at once beyond its inputs, its outputs and its scratch."""
    found = _RULES.get(spec.kind)
    return max(found(spec, kernels), 0) if found is not None else 0


def kinds() -> tuple[str, ...]:
    """The op kinds that have a rule; kernels of others take nothing that is worth a rule."""
    return tuple(sorted(_RULES))
