"""An optimizer's step for one parameter in one kernel, as `fused=True` asks for it.

What is the same for all elements (corrections of bias, a rate that decays) is computed once, and not counted.
Ref: ATen's native/cpu/FusedAdamKernel.cpp, FusedSGDKernel.cpp, FusedAdagradKernel.cpp.
"""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.registry import Cost, cost, flops, rule


@rule("optimizer_step")
def optimizer_step(spec: OpSpec) -> Cost:
    """FLOPs = c·E for E elements, c the terms of the update that are there.

    Shapes: inputs are the parameter, its gradient, and its state, each of E elements (a count of steps of one).
    Attributes: fn (adam, adamw, sgd, adagrad); decay, maximize, amsgrad, nesterov, unscales: whether there is such a
    term; averages: there is a momentum, which has begun; dampened: the gradient is scaled before it is averaged.
    Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; Duchi et al. 2011.
    """
    elements = spec.inputs[0].numel
    terms = [(what, each) for condition, what, each in _TERMS[spec["fn"]] if not condition or spec[condition]]
    return cost(spec, *[flops(what, each, "E", elements) for what, each in terms])


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
"""By algorithm: the attribute on which a term hangs ("" for none), the term, and its FLOPs for one element."""
