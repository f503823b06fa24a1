"""Lowerings from torch ops to the Graph's op kinds, by family."""

from cnncost.frontends.torch.lowering import (
    backward,
    collectives,
    detection,
    linalg,
    losses,
    moves,
    optimizers,
    products,
    quantized,
    sparse,
    tables,
    views,
    windows,
)
from cnncost.frontends.torch.lowering.registry import OpCall, is_known, lower

__all__ = [
    "OpCall",
    "backward",
    "collectives",
    "detection",
    "is_known",
    "linalg",
    "losses",
    "lower",
    "moves",
    "optimizers",
    "products",
    "quantized",
    "sparse",
    "tables",
    "views",
    "windows",
]
