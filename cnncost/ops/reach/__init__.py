"""Reach rules: the inputs that each op's outputs depend on. Importing the package registers all rules."""

from cnncost.ops.reach import elements, mixing, moves, picks, space
from cnncost.ops.reach.registry import (
    All,
    Output,
    Pattern,
    Permute,
    Picked,
    Reach,
    Reshape,
    Route,
    Spread,
    Step,
    Window,
    alike,
    kinds,
    reach,
    reach_of,
    routes,
)

__all__ = [
    "All", "Output", "Pattern", "Permute", "Picked", "Reach", "Reshape", "Route", "Spread", "Step", "Window", "alike",
    "elements", "kinds", "mixing", "moves", "picks", "reach", "reach_of", "routes", "space",
]  # fmt: skip
