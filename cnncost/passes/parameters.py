"""Parameters and buffers: unique by identity, each owned by the first module that holds it."""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph, TensorType
from cnncost.owners import owned_tensors


class OwnedCount(NamedTuple):
    """Counts for one module without its children. Tied parameters count where they first appear."""

    params: int = 0
    trainable_params: int = 0
    buffers: int = 0


class Parameters(NamedTuple):
    """Parameters of a model.

    Attributes:
        params, trainable_params, buffers: numbers of elements.
        param_bytes, buffer_bytes: their bytes.
        by_dtype: parameter elements by dtype.
        by_scope: counts of each scope, by its index; scopes that hold nothing are missing.
    """

    params: int
    trainable_params: int
    buffers: int
    param_bytes: int
    buffer_bytes: int
    by_dtype: dict[str, int]
    by_scope: dict[int, OwnedCount]


def parameters(graph: Graph) -> Parameters:
    """Count parameters and buffers, tied ones once."""
    sizes: dict[TensorType, tuple[int, int]] = {}  # cache of numel and nbytes, which are computed properties
    by_scope: dict[int, list[int]] = {i: [0, 0, 0] for i, s in enumerate(graph.scopes) if s.parameters or s.buffers}
    by_dtype: dict[str, int] = {}
    param_bytes = buffer_bytes = 0
    for scope, tensor, buffer, trainable in owned_tensors(graph):
        count, nbytes = sizes.get(tensor) or sizes.setdefault(tensor, (tensor.numel, tensor.nbytes))
        counts = by_scope[scope]
        if buffer:
            counts[2] += count
            buffer_bytes += nbytes
            continue
        counts[0] += count
        counts[1] += count if trainable else 0
        param_bytes += nbytes
        by_dtype[tensor.dtype] = by_dtype.get(tensor.dtype, 0) + count
    owned = {scope: OwnedCount(*counts) for scope, counts in by_scope.items()}
    return Parameters(
        sum(o.params for o in owned.values()), sum(o.trainable_params for o in owned.values()),
        sum(o.buffers for o in owned.values()), param_bytes, buffer_bytes, by_dtype, owned,
    )  # fmt: skip
