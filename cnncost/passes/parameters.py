"""Parameters and buffers: unique by identity, each owned by the first module that holds it."""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph, TensorType
from cnncost.owners import holdings


class OwnedCount(NamedTuple):
    """Counts for one module without its children. Tied parameters count in the first module that holds them."""

    params: int = 0
    trainable_params: int = 0
    buffers: int = 0


class Parameters(NamedTuple):
    """Parameters of a model.

    Attributes:
        params, trainable_params, buffers: numbers of elements.
        param_bytes, buffer_bytes: their bytes.
        by_dtype: parameter elements by dtype.
        by_scope: counts of each scope, by its index; scopes without parameters and buffers of their own are missing.
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
    values = graph.values
    sizes: dict[TensorType, tuple[int, int]] = {}  # cache of numel and nbytes, which are computed properties
    by_scope: dict[int, OwnedCount] = {}
    by_dtype: dict[str, int] = {}
    param_bytes = buffer_bytes = 0
    for scope, owned_parameters, owned_buffers in holdings(graph):
        params = trainable = buffers = 0
        for _, value, trains in owned_parameters:  # unpacking is faster than attribute access
            tensor = values[value].type
            count, nbytes = sizes.get(tensor) or sizes.setdefault(tensor, (tensor.numel, tensor.nbytes))
            params += count
            trainable += count if trains else 0
            param_bytes += nbytes
            by_dtype[tensor.dtype] = by_dtype.get(tensor.dtype, 0) + count
        for _, value, _ in owned_buffers:
            tensor = values[value].type
            count, nbytes = sizes.get(tensor) or sizes.setdefault(tensor, (tensor.numel, tensor.nbytes))
            buffers += count
            buffer_bytes += nbytes
        by_scope[scope] = OwnedCount(params, trainable, buffers)
    owned = by_scope.values()
    return Parameters(
        sum(o.params for o in owned), sum(o.trainable_params for o in owned), sum(o.buffers for o in owned),
        param_bytes, buffer_bytes, by_dtype, by_scope,
    )  # fmt: skip
