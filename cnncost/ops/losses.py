"""Losses that are not a reduction of an elementwise distance."""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.kinds import Types, kind, one, rest
from cnncost.ops.registry import Cost, cost, flops, macs

TRANSITION = 13
"""FLOPs of log(Σ exp(aᵢ − m)) + m + log p over three predecessors with maximum m.

Two comparisons, three differences, three exp, two sums; one log and two sums.
"""
JOIN = 8
"""FLOPs of m + log(exp(a − m) + exp(b − m)) with m the maximum of a and b."""


CTC: Types = {"sequences": int, "transitions": int, "steps": int, "classes": int}


@kind(
    "ctc",
    inputs=(one("log_probs", 3), rest("targets and lengths")),
    attributes=CTC,
)
def ctc(spec: OpSpec) -> Cost:
    """FLOPs = 13·Σ (Tₙ − 1)·(2Sₙ + 1) + 9·N: log α of each step and state from three of the previous step.

    Attributes: sequences N, of Tₙ steps and Sₙ labels; transitions: the sum Σ (Tₙ − 1)·(2Sₙ + 1). The states are the
    labels and the blanks around them; predecessors that a repeated label excludes count, too. At the end, two states
    are combined (8) and the result is negated (1).
    Ref: Graves et al. 2006, equations 6 to 8, in logarithms.
    """
    return cost(
        spec,
        flops("log α", TRANSITION, "Σ (T-1)·(2S+1)", spec["transitions"]),
        flops("likelihood", JOIN + 1, "N", spec["sequences"]),
    )


@kind(
    "ctc_backward",
    inputs=(one("∂y"), one("log_probs", 3), rest("targets, lengths, saved")),
    attributes=CTC,
)
def ctc_backward(spec: OpSpec) -> Cost:
    """FLOPs = (13 + 1 + 8)·Σ (Tₙ − 1)·(2Sₙ + 1) + 2·N + 6·C·Σ Tₙ: log β, log αβ, its sum by class, and the gradient.

    Attributes: as for the loss; steps Σ Tₙ; classes C. The last step's two states need only their αβ. A gradient is
    g·(exp(log p) − exp(Σαβ + l − log p)). Ref: Graves et al. 2006, equations 9 to 16, in logarithms.
    """
    return cost(
        spec,
        flops("log β, log αβ, sum", TRANSITION + 1 + JOIN, "Σ (T-1)·(2S+1)", spec["transitions"]),
        flops("last step", 2, "N", spec["sequences"]),
        flops("gradient", 6, "ΣT", spec["steps"], "C", spec["classes"]),
    )


@kind(
    "linear_cross_entropy",
    inputs=(one("x", 2), one("w", 2), rest("target, bias, weights")),
    attributes={"bias": bool, "of_input": bool, "of_weight": bool, "of_bias": bool},
)
def linear_cross_entropy(spec: OpSpec) -> Cost:
    """MACs = N·C·F for the logits; N·C·F each for the gradients of input and weight, if forward computes them.

    Attributes: bias, of_input, of_weight, of_bias. Shapes: x: N,F; w: C,F. Further FLOPs: 4 per logit (maximum, −, exp,
    sum), 5 with a bias; 5 per row (log, two weighted sums). For gradients: 1 per logit (its share of the row), 1 per
    row; the target's part, weighted and added, 2·N·F each; N·C sums for the bias.
    """
    (n, f), c = spec.inputs[0].shape, spec.inputs[1].shape[0]
    of_input, of_weight, of_bias = spec["of_input"], spec["of_weight"], spec["of_bias"]
    gradients = of_input or of_weight or of_bias
    terms = [
        macs("N", n, "C", c, "F", f, label="logits"),
        flops("softmax", 4 + spec["bias"] + gradients, "N", n, "C", c),
        flops("loss", 5 + gradients, "N", n),
    ]
    if of_input or of_weight:
        products = of_input + of_weight  # number of gradients that are matrix products
        terms.append(macs("gradients", products, "N", n, "C", c, "F", f, label="gradients of input and weight"))
        terms.append(flops("the target's part", 2, "gradients", products, "N", n, "F", f))
    if of_bias:
        terms.append(flops("gradient of the bias", 1, "N", n, "C", c))
    return cost(spec, *terms)
