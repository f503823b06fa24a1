"""Ops whose memory is counted only roughly.

Sparse tensors share indices and values with those they are converted from, which is counted twice, and conversions,
sums and coalescing allocate indices while they run, which are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnncost.graph import Graph

_CONVERSIONS = frozenset(f"aten._to_sparse_{layout}" for layout in ("csr", "csc", "bsr", "bsc"))
_KINDS = frozenset({"sparse::reduce", "sparse::extremes"})
_PRODUCTS = ("aten.prod", "aten.cumprod")
_SUMS = ("aten.add", "aten.sub", "aten.mul")


def inexact_ops(ops: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the names of ops with inexact memory, sorted.

    Args:
        ops: pairs of an op's name and its kind.
    """
    return tuple(
        sorted({name for name, kind in ops if kind in _KINDS or name in _CONVERSIONS or _combines(name, kind)})
    )


def without_zeros(graph: Graph) -> tuple[str, ...]:
    """Return the names of a training step's ops whose backward needs more memory for values with zeros, sorted."""
    names = {node.name for node in graph.nodes if node.name.startswith(_PRODUCTS) and node.spec.inputs[0].floating}
    return tuple(sorted(names))


def _combines(name: str, kind: str) -> bool:
    return kind == "sparse::pointwise" and name.startswith(_SUMS)
