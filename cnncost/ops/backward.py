"""Backward ops, as autograd runs them. Products are counted exactly, everything else by each rule's formula."""

from __future__ import annotations

from math import prod
from typing import Literal

from cnncost.graph import OpSpec
from cnncost.ops import conv_workspace, recurrent_workspace
from cnncost.ops.attention import ATTENTION, ATTENTION_FORMS
from cnncost.ops.cells import GATES
from cnncost.ops.conv import GEOMETRY
from cnncost.ops.kinds import LAYOUT, kind, maybe, one, rest, some
from cnncost.ops.pointwise import FLOPS
from cnncost.ops.pool import POOL, covered
from cnncost.ops.recurrent import RECURRENT
from cnncost.ops.registry import Cost, Term, cost, flops, macs


@kind(
    "conv_backward",
    inputs=(one("∂y", 2, 5), one("x", 2, 5), one("w", 3, 5)),
    outputs=(rest("gradient"),),
    attributes={**GEOMETRY, "of_input": bool, "of_weight": bool},
    optional={"layout": LAYOUT, "copied": bool},
    workspace=conv_workspace.conv_backward,
)
def conv_backward(spec: OpSpec) -> Cost:
    """MACs = forward's, once for ∂x and once for ∂w; the gradient of the bias sums the N·K·P elements of ∂y.

    Shapes: ∂y: N,K,*P; x: N,C,*X; w: K,C/g,*R, transposed C,K/g,*R. Attributes: of_input, of_weight, bias: which
    gradients are computed; copied: whether ∂y is first copied into the operands' memory layout. Each product uses each
    tap of each window once.
    """
    y, x, w = (tensor.shape for tensor in spec.inputs[:3])
    axes = len(w) - 2
    batch, kernel = (x[0] if len(x) == axes + 2 else 1), prod(w[2:])
    side, positions = ("X", x[-axes:]) if spec["transposed"] else ("P", y[-axes:])
    each: tuple[str | int, ...] = ("N", batch, side, prod(positions), "K·C/g", w[0] * w[1], "R", kernel)
    terms: list[Term] = []
    if spec["of_input"]:
        terms.append(macs(*each, label="gradient of the input"))
    if spec["of_weight"]:
        terms.append(macs(*each, label="gradient of the weight"))
    if spec["bias"]:
        terms.append(flops("gradient of the bias", 1, "N·K·P", spec.inputs[0].numel))
    return cost(spec, *terms)


@kind(
    "attention_backward",
    inputs=(one("∂y", 3, None), one("q", 3, None), one("k", 3, None), one("v", 3, None), rest("saved")),
    outputs=(rest("gradient"),),
    attributes=ATTENTION,
    optional=ATTENTION_FORMS,
)
def attention_backward(spec: OpSpec) -> Cost:
    """MACs = B·L·S·3·E + B'·L·S·2·V: the scores Z again, ∂V = Pᵀ∂O, ∂P = ∂O·Vᵀ, ∂Q = ∂Z·K, ∂K = ∂Zᵀ·Q.

    Attributes: as for attention. Ref: Dao et al. 2022, algorithm 4. Further FLOPs: 4 per score, for P = exp(Z − l) with
    the saved logsumexp l, and ∂Z = P∘(∂P − D); 2 per element of the output O, for the row sums D = Σ ∂O∘O; 1 per
    element of queries and keys, to scale their gradients.
    """
    scores: tuple[str | int, ...] = ("B", spec["batch"], "L", spec["queries"], "S", spec["keys"])
    values: tuple[str | int, ...] = ("B'", spec["value_batch"], "L", spec["queries"], "S", spec["keys"])
    return cost(
        spec,
        macs("3", 3, *scores, "E", spec["width"], label="scores, gradients of queries and keys"),
        macs("2", 2, *values, "V", spec["value_width"], label="gradients of weights and values"),
        flops("softmax", 4, *scores),
        flops("row sums", 2, "B'", spec["value_batch"], "L", spec["queries"], "V", spec["value_width"]),
        flops("scale", 1, "Q+K", spec["scaled"]),
    )


@kind(
    "recurrent_backward",
    inputs=(some("x, weights, states and gradients"),),
    outputs=(rest("gradient"),),
    attributes=RECURRENT,
    workspace=recurrent_workspace.recurrent_backward,
)
def recurrent_backward(spec: OpSpec) -> Cost:
    """MACs = 2·T·G·H·(I + R): forward's, once for the gradients of the inputs and once for those of the weights.

    Attributes: as for recurrent; the op is one LSTM layer. Further FLOPs per token and hidden unit: 1 for ∂h, to add
    the next step's gradient; tanh(c) again; 5 for ∂c, carried + ∂h·o·(1 − tanh²c); 4 each for ∂o, ∂i, ∂f and ∂g, such
    as ∂i = ∂c·g·i·(1 − i); 1 for the previous step's ∂c·f. The biases' gradient sums the T·G·H gradients of the gates.
    Ref: Hochreiter & Schmidhuber 1997, appendix; Gers et al. 2000.
    """
    tokens, hidden = spec["tokens"], spec["hidden"]
    gates: tuple[str | int, ...] = ("T", tokens, "G", GATES["lstm"], "H", hidden)
    terms: list[Term] = [
        macs("2", 2, *gates, "I+R", spec["input"] + spec["recurrent"], label="gradients of inputs and weights"),
        flops("gates", 1 + FLOPS["tanh"] + 5 + 4 * 4 + 1, "T", tokens, "H", hidden),
    ]
    if spec["bias"]:
        terms.append(flops("gradient of the biases", 1, *gates))
    return cost(spec, *terms)


@kind(
    "norm_backward",
    inputs=(one("∂y"), one("x"), rest("statistics, scale and shift")),
    outputs=(rest("gradient"),),
    attributes={
        "fn": Literal["batch", "group", "rms"],
        "affine": bool,
        "statistics": bool,
        "of_input": bool,
        "of_weight": bool,
        "of_bias": bool,
    },
)
def norm_backward(spec: OpSpec) -> Cost:
    """FLOPs per element: x̂ 2; Σg and Σg·x̂ 3; ∂x = r·(g − mean − x̂·mean) 4; ∂γ 2, ∂β 1 unless already summed.

    Attributes: fn, affine, statistics, of_input, of_weight, of_bias. g is ∂y, or γ·∂y (1 more) if γ varies along the
    normalized axes; r is 1/σ. Batch norm's sums already are ∂β and ∂γ. RMS norm has no mean: x̂ 1, sums 2, ∂x 3. Batch
    norm with fixed statistics: ∂x = ∂y·γr 1, ∂γ 4, ∂β 1. Ref: Ioffe & Szegedy 2015, section 3; Ba et al. 2016;
    Zhang & Sennrich 2019.
    """
    n = spec.inputs[0].numel
    of_input, of_weight, of_bias = spec["of_input"], spec["of_weight"], spec["of_bias"]
    if spec["fn"] == "batch" and not spec["statistics"]:
        each = of_input + (2 + 2) * of_weight + of_bias  # for the weight: x̂, and its product with ∂y summed
        return cost(spec, flops("batch norm with fixed statistics", each, "n", n)) if each else cost(spec)
    rms = spec["fn"] == "rms"
    normalised, sums, gradient = (1, 2, 3) if rms else (2, 3, 4)
    terms = [flops("x̂", normalised, "n", n)]
    if spec["fn"] == "batch":  # its sums are the gradients of γ and β
        terms.append(flops("sums", sums, "n", n))
    else:
        if of_weight or of_bias:
            terms.append(flops("gradients of scale and shift", 2 * of_weight + of_bias, "n", n))
        if of_input:
            terms.append(flops("sums", sums + bool(spec["affine"]), "n", n))
    if of_input:
        terms.append(flops("gradient of the input", gradient, "n", n))
    return cost(spec, *terms)


@kind(
    "pool_backward",
    inputs=(one("∂y"), one("x"), maybe("indices")),
    attributes=POOL,
)
def pool_backward(spec: OpSpec) -> Cost:
    """FLOPs = E additions for a maximum; E·(R + 1) for an average: each of E gradients is divided, and added R times.

    Attributes: as for pool; R is the number of kernel elements.
    """
    elements = spec.inputs[0].numel
    if spec["fn"] == "max":
        return cost(spec, flops("add", 1, "E", elements))
    return cost(spec, flops("divide and add", 1, "E", elements, "R+1", prod(spec["kernel"]) + 1))


@kind(
    "adaptive_pool_backward",
    inputs=(one("∂y"), one("x"), maybe("indices")),
    attributes={"fn": Literal["max", "avg"], "axes": int},
)
def adaptive_pool_backward(spec: OpSpec) -> Cost:
    """FLOPs = E additions for a maximum; N·C·(ΣR + P) for an average, ΣR sums the windows' actual sizes.

    Attributes: fn, axes. Shapes: ∂y: N,C,*P; x: N,C,*X.
    """
    y, x, axes = spec.inputs[0].shape, spec.inputs[1].shape, spec["axes"]
    if spec["fn"] == "max":
        return cost(spec, flops("add", 1, "E", prod(y)))
    reached = prod(covered(size, out) for size, out in zip(x[-axes:], y[-axes:], strict=True))
    return cost(spec, flops("divide and add", 1, "N·C", prod(y[:-axes]), "ΣR+P", reached + prod(y[-axes:])))


@kind(
    "resize_backward",
    inputs=(one("∂y", 3, None),),
    attributes={"taps": int, "axes": int},
)
def resize_backward(spec: OpSpec) -> Cost:
    """FLOPs = 2·E·tᵈ: each of E gradients is weighted and added to tᵈ inputs; E additions for nearest.

    Attributes: taps t, axes d.
    """
    elements, taps = spec.inputs[0].numel, spec["taps"] ** spec["axes"]
    if taps == 1:
        return cost(spec, flops("add", 1, "E", elements))
    return cost(spec, flops("weigh and add", 2, "E", elements, "t", taps))


@kind(
    "sample_backward",
    inputs=(one("∂y", 4, 5), one("x", 4, 5), one("grid", 4, 5)),
    outputs=(rest("gradient"),),
    attributes={"taps": int, "axes": int, "locations": int, "of_input": bool, "of_grid": bool},
)
def sample_backward(spec: OpSpec) -> Cost:
    """FLOPs = L·(4·d + tᵈ·(d − 1)) for coordinates, weights; 2·E·tᵈ for the input's gradient, 2·E·tᵈ·d for the grid's.

    Attributes: taps t, axes d, locations L, of_input, of_grid.
    """
    elements, d = spec.inputs[0].numel, spec["axes"]
    taps = spec["taps"] ** d
    terms = [flops("coordinates and weights", 1, "L", spec["locations"], "4d+t(d-1)", 4 * d + taps * (d - 1))]
    if spec["of_input"]:
        terms.append(flops("weigh and add", 2, "E", elements, "t", taps))
    if spec["of_grid"] and taps > 1:
        terms.append(flops("slopes", 2, "E", elements, "t", taps, "d", d))
    return cost(spec, *terms)


@kind(
    "softmax_backward",
    inputs=(one("∂y"), one("y")),
    attributes={"fn": Literal["softmax", "log_softmax"]},
)
def softmax_backward(spec: OpSpec) -> Cost:
    """FLOPs = 4·n: ∂x = y·(∂y − Σ ∂y·y): product, sum, difference, product; log: ∂y − exp(y)·Σ∂y, also 4.

    Attribute: fn.
    """
    return cost(spec, flops(f"gradient of {spec['fn']}", 4, "n", spec.inputs[0].numel))


@kind(
    "weight_norm_backward",
    inputs=(one("∂w"), one("v"), one("g"), one("norms")),
    outputs=(one("∂v"), one("∂g")),
)
def weight_norm_backward(spec: OpSpec) -> Cost:
    """FLOPs = 5·n + 4·K: Σ ∂w·v 2, ∂v = (g/‖v‖)·(∂w − v·s) 3 per element; ∂g and two factors per norm.

    Shapes: ∂w, v: n elements; g: K norms. Ref: Salimans & Kingma 2016, equation 3.
    """
    n, k = spec.inputs[0].numel, spec.inputs[2].numel
    return cost(spec, flops("sums and gradient", 5, "n", n), flops("factors", 4, "K", k))


@kind(
    "distance_backward",
    inputs=(some("∂y, the vectors, y"),),
    attributes={"pairs": int, "width": int},
)
def distance_backward(spec: OpSpec) -> Cost:
    """FLOPs = 3·P·D: difference, factor and sum for each of P pairs of vectors of width D.

    Attributes: pairs, width.
    """
    return cost(spec, flops("difference, factor, sum", 3, "P", spec["pairs"], "D", spec["width"]))


@kind(
    "bag_weights_backward",
    inputs=(one("∂y", 2), some("weight, indices, offsets")),
    attributes={"indices": int, "width": int},
)
def bag_weights_backward(spec: OpSpec) -> Cost:
    """FLOPs = I·(2D − 1): the dot product of each of I looked-up rows of width D and its bag's gradient.

    Attributes: indices I, width D. Forward's weighted sums of rows don't count as MACs either.
    """
    return cost(spec, flops("product and sum", 1, "I", spec["indices"], "2D-1", max(2 * spec["width"] - 1, 0)))
