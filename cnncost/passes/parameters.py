"""Parameters and buffers: unique by identity, each owned by the first module that holds it."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from cnncost.graph import ITEM_BYTES, Graph


class OwnedCount(NamedTuple):
    """What one module holds itself (not its children). Tied parameters count where they first appear."""

    params: int = 0
    trainable: int = 0
    buffers: int = 0


class Parameters(NamedTuple):
    """Parameters of a model.

    Attributes:
        params, trainable, buffers: numbers of elements.
        param_bytes, buffer_bytes: their bytes.
        by_dtype: parameter elements by dtype.
        by_scope: what each scope holds, by its index; scopes that hold nothing are missing.
    """

    params: int
    trainable: int
    buffers: int
    param_bytes: int
    buffer_bytes: int
    by_dtype: dict[str, int]
    by_scope: dict[int, OwnedCount]


def parameters(graph: Graph) -> Parameters:
    """Count parameters and buffers, tied ones once."""
    values, seen = graph.values, set[int]()
    by_scope: dict[int, OwnedCount] = {}
    by_dtype: dict[str, int] = {}
    param_bytes = buffer_bytes = 0
    for index, (_, _, owned_parameters, owned_buffers, _) in enumerate(graph.scopes):
        if not owned_parameters and not owned_buffers:
            continue
        params = trainable = buffers = 0
        for _, value, trains in owned_parameters:
            if value not in seen:
                seen.add(value)
                _, shape, dtype, _, _ = values[value]
                count = prod(shape)
                params += count
                trainable += count if trains else 0
                by_dtype[dtype] = by_dtype.get(dtype, 0) + count
                param_bytes += count * ITEM_BYTES[dtype]
        for _, value, _ in owned_buffers:
            if value not in seen:
                seen.add(value)
                _, shape, dtype, _, _ = values[value]
                buffers += prod(shape)
                buffer_bytes += prod(shape) * ITEM_BYTES[dtype]
        by_scope[index] = OwnedCount(params, trainable, buffers)
    owned = by_scope.values()
    return Parameters(
        sum(o.params for o in owned), sum(o.trainable for o in owned), sum(o.buffers for o in owned),
        param_bytes, buffer_bytes, by_dtype, by_scope,
    )  # fmt: skip
