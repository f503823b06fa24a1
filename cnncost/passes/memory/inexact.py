"""Ops whose memory is only counted approximately.

Sparse tensors share indices and values with the tensors that they are converted from, and both are counted.
Conversions, coalescing, and sums and products of two sparse tensors allocate indices while they run, which are not
counted.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnncost.graph import Graph

_CONVERSIONS = frozenset(f"aten._to_sparse_{layout}" for layout in ("csr", "csc", "bsr", "bsc"))
_KINDS = frozenset({"sparse::reduce", "sparse::extremes"})
"""Kinds of ops that allocate indices while they run, such as coalescing."""
_PRODUCTS = ("aten.prod", "aten.cumprod")
"""Name prefixes of ops whose backward divides by the elements, and takes another path if one is zero."""
_COMBINING = ("aten.add", "aten.sub", "aten.mul")
"""Name prefixes of elementwise ops whose result has the indices of either operand, or those that both have."""


def inexact_ops(ops: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the names of the ops whose memory is inexact, sorted.

    Args:
        ops: pairs of an op's name and its kind.
    """
    return tuple(
        sorted({name for name, kind in ops if kind in _KINDS or name in _CONVERSIONS or _combines(name, kind)})
    )


def zero_sensitive_ops(graph: Graph) -> tuple[str, ...]:
    """Return the names of a training step's ops whose backward needs more memory if an element is zero, sorted."""
    names = {node.name for node in graph.nodes if node.name.startswith(_PRODUCTS) and node.spec.inputs[0].floating}
    return tuple(sorted(names))


def _combines(name: str, kind: str) -> bool:
    return kind == "sparse::pointwise" and name.startswith(_COMBINING)
