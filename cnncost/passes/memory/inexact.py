"""Ops whose memory is counted only roughly.

Sparse tensors share indices and values with those they are converted from, and these are counted twice. Conversions,
coalescing, and sums and products of two sparse tensors allocate indices while they run, which are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnncost.graph import Graph

_CONVERSIONS = frozenset(f"aten._to_sparse_{layout}" for layout in ("csr", "csc", "bsr", "bsc"))
_KINDS = frozenset({"sparse::reduce", "sparse::extremes"})
"""Kinds of ops that allocate indices while they run, such as coalescing."""
_PRODUCTS = ("aten.prod", "aten.cumprod")
"""Beginnings of the names of ops whose backward divides by the elements, and takes another path if one is zero."""
_COMBINING = ("aten.add", "aten.sub", "aten.mul")
"""Beginnings of the names of elementwise ops whose result has the indices of both operands, or those in common."""


def inexact_ops(ops: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the names of ops with inexact memory, sorted.

    Args:
        ops: pairs of an op's name and its kind.
    """
    return tuple(
        sorted({name for name, kind in ops if kind in _KINDS or name in _CONVERSIONS or _combines(name, kind)})
    )


def zero_sensitive_ops(graph: Graph) -> tuple[str, ...]:
    """Return the names of a training step's ops whose backward needs more memory for values with zeros, sorted."""
    names = {node.name for node in graph.nodes if node.name.startswith(_PRODUCTS) and node.spec.inputs[0].floating}
    return tuple(sorted(names))


def _combines(name: str, kind: str) -> bool:
    return kind == "sparse::pointwise" and name.startswith(_COMBINING)
