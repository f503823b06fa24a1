"""Fused optimizer steps: one op per parameter, as with `fused=True`.

Scalars that all elements share (bias corrections, a decaying learning rate) are computed once and not counted.
Ref: ATen's native/cpu/FusedAdamKernel.cpp, FusedSGDKernel.cpp, FusedAdagradKernel.cpp.
"""

from __future__ import annotations

from typing import Literal

from cnncost.graph import OpSpec
from cnncost.ops.kinds import kind, one, rest
from cnncost.ops.registry import Cost, cost, flops


@kind(
    "optimizer_step",
    inputs=(one("parameter"), one("gradient"), rest("state")),
    outputs=(rest("updated"),),
    attributes={
        "fn": Literal["adam", "adamw", "sgd", "adagrad"],
        "decay": bool,
        "maximize": bool,
        "amsgrad": bool,
        "averages": bool,
        "dampened": bool,
        "nesterov": bool,
        "unscales": bool,
    },
)
def optimizer_step(spec: OpSpec) -> Cost:
    """FLOPs = c·E for E elements, where c sums the FLOPs of the update's enabled terms.

    Shapes: inputs are the parameter, its gradient, and its state, each of E elements (a step count has one).
    Attributes: fn (adam, adamw, sgd, adagrad); decay, maximize, amsgrad, nesterov, unscales: whether that term is
    enabled; averages: whether momentum is used and this is not its first step; dampened: whether the gradient is
    scaled before it is averaged.
    Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; Duchi et al. 2011.
    """
    elements = spec.inputs[0].numel
    terms = [(label, each) for attribute, label, each in _TERMS[spec["fn"]] if not attribute or spec[attribute]]
    return cost(spec, *[flops(label, each, "E", elements) for label, each in terms])


_GRADIENT = (("unscales", "gradient / scale", 1), ("maximize", "−gradient", 1))
_DECAY = ("decay", "g + λ·p", 2)
_ADAM = (
    ("", "m + (1 − β₁)·(g − m)", 3),
    ("", "β₂·v + (1 − β₂)·g²", 4),
    ("amsgrad", "max(v)", 1),
    ("", "√v / c + ε", 3),
    ("", "p − γ·m / (√v / c + ε)", 3),
)
_TERMS = {
    "adam": (*_GRADIENT, _DECAY, *_ADAM),
    "adamw": (*_GRADIENT, ("decay", "p·(1 − γλ)", 1), *_ADAM),
    "sgd": (
        *_GRADIENT, _DECAY, ("averages", "μ·b + g", 2), ("dampened", "(1 − τ)·g", 1), ("nesterov", "g + μ·b", 2),
        ("", "p − γ·g", 2),
    ),
    "adagrad": (*_GRADIENT, _DECAY, ("", "s + g²", 2), ("", "√s + ε", 2), ("", "p − γ·g / (√s + ε)", 3)),
}  # fmt: skip
"""By algorithm: the attribute that enables a term ("" for always), the term, and its FLOPs per element."""
