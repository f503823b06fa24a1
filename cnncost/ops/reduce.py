"""Reductions, softmax, scans, sorting, distances. `n` is the number of input elements, `o` that of output elements."""

from __future__ import annotations

from typing import Literal

from cnncost.graph import OpSpec
from cnncost.ops import window_workspace
from cnncost.ops.complex_numbers import ADD, COMPLEX_FLOPS, COMPLEX_REDUCTION_FLOPS, MULTIPLY
from cnncost.ops.kinds import INTS, LAYOUT, kind, maybe, one, rest, some
from cnncost.ops.pointwise import FLOPS
from cnncost.ops.registry import Cost, cost, flops, reals_per_element

SOFTMAX_FLOPS = 5
"""FLOPs per element: maximum, subtraction, exp, sum, division (log-softmax: a second subtraction instead)."""

REDUCTION_FLOPS: dict[str, tuple[int, int]] = {  # a and b of the FLOPs a·n + b·o
    "sum": (1, -1),
    "nansum": (2, -1),
    "prod": (1, -1),
    "nanmean": (3, 0),  # a sum without NaNs, and the number of elements in it
    "mean": (1, 0),  # n − o sums, o divisions
    "max": (1, -1),
    "min": (1, -1),
    "aminmax": (2, -2),
    "argmax": (1, -1),
    "argmin": (1, -1),
    "median": (1, -1),
    "var": (4, 0),  # mean n; deviations n; squares n; their mean n
    "std": (4, 1),
    "norm": (2, 0),  # squares n, sums n − o, roots o
    "logsumexp": (4, 0),  # maximum n − o, subtraction n, exp n, sums n − o, log and sum o each
    "count_nonzero": (0, 0),
    "any": (0, 0),
    "all": (0, 0),
}


@kind(
    "reduce",
    inputs=(one("x"), rest("out")),
    attributes={"fn": str},
    optional={"dim": int | INTS, "keepdim": bool},
    reach="elements.reduce",
)
def reduce(spec: OpSpec) -> Cost | None:
    """FLOPs = a·n + b·o, by function: a sum is n − o additions, a mean n, a variance 4n.

    Attribute: fn. 0 on integers and booleans, and without elements: an empty sum has no additions. `out` is torch's
    argument of this name, whose tensors are overwritten.
    """
    x, y = spec.inputs[0], spec.outputs[0]
    table = COMPLEX_REDUCTION_FLOPS if x.complex else REDUCTION_FLOPS
    if spec["fn"] not in table:
        return None
    if not x.floating or not x.numel:
        return cost(spec)
    per_in, per_out = table[spec["fn"]]
    terms = [flops(spec["fn"], each, name, t.numel) for each, name, t in ((per_in, "n", x), (per_out, "o", y)) if each]
    return cost(spec, *terms)


@kind(
    "segment_reduce",
    inputs=(one("data", 1, None), rest("lengths")),
    attributes={"fn": Literal["sum", "mean", "max", "min", "prod"]},
)
def segment_reduce(spec: OpSpec) -> Cost:
    """FLOPs = n: each element is combined with its segment's result so far, initially a constant; o more for a mean.

    Attribute: fn. Empty segments don't change the count.
    """
    x, y = spec.inputs[0], spec.outputs[0]
    terms = [flops(spec["fn"], 1, "n", x.numel)]
    return cost(spec, *terms, flops("divide", 1, "o", y.numel)) if spec["fn"] == "mean" else cost(spec, *terms)


@kind(
    "segment_reduce_backward",
    inputs=(one("∂y"), one("y"), one("data"), rest("lengths")),
    attributes={"fn": Literal["sum", "mean", "max", "min", "prod"]},
)
def segment_reduce_backward(spec: OpSpec) -> Cost:
    """FLOPs: sum 0; mean o divisions; product 2·n, g·y/x; maximum or minimum n comparisons, o divisions.

    Attribute: fn. Shapes: g, y: o elements; x: n elements.
    """
    n, o = spec.outputs[0].numel, spec.inputs[0].numel
    each = {"prod": 2, "max": 1, "min": 1}.get(spec["fn"], 0)
    terms = [flops(f"gradient of {spec['fn']}", each, "n", n)] if each else []
    if spec["fn"] in {"mean", "max", "min"}:
        terms.append(flops("divide", 1, "o", o))
    return cost(spec, *terms)


@kind(
    "all_close",
    inputs=(one("x"), one("other")),
    outputs=(rest("y"),),
    attributes={"elements": int},
)
def all_close(spec: OpSpec) -> Cost:
    """FLOPs = 10·E (complex: 19·E), as for isclose, for E pairs of elements; the final `all` is logic.

    Attribute: elements E.
    """
    if not any(t.floating for t in spec.inputs):
        return cost(spec)
    table = COMPLEX_FLOPS if spec.inputs[0].complex else FLOPS
    return cost(spec, flops("isclose", table["isclose"], "E", spec["elements"]))


@kind(
    "trace",
    inputs=(one("x", 2),),
    outputs=(one("y", 0),),
    reach="space.trace",
)
def trace(spec: OpSpec) -> Cost:
    """FLOPs = D − 1: the sum of a diagonal of D elements."""
    x = spec.inputs[0]
    each = reals_per_element(spec)
    return cost(spec, flops("sum", each, "D-1", max(min(x.shape) - 1, 0))) if x.floating else cost(spec)


@kind(
    "search",
    inputs=(some("boundaries, values"),),
    attributes={"values": int, "boundaries": int},
)
def search(spec: OpSpec) -> Cost:
    """FLOPs = V·⌈log₂ D⌉ comparisons for V values among D sorted boundaries; 0 on integers.

    Attributes: values V, boundaries D.
    """
    if not any(t.floating for t in spec.inputs):
        return cost(spec)
    steps = max(spec["boundaries"] - 1, 0).bit_length()
    return cost(spec, flops("compare", 1, "V", spec["values"], "log2 D", steps))


@kind(
    "histogram",
    inputs=(one("x"), rest("bins and weights")),
    attributes={
        "points": int,
        "axes": int,
        "edges": INTS,
        "ranged": bool,
        "density": bool,
        "counts": bool,
    },
)
def histogram(spec: OpSpec) -> Cost:
    """FLOPs = d·V·c + V: each of V points is placed along d axes, at c FLOPs each, and added to its bin. 0 on integers.

    Attributes: points V, axes d; edges: their number along each axis, empty for equal bins; ranged: whether a range is
    given; density; counts: whether points are counted, not only edges computed. Placing a value among D edges takes
    ⌈log₂ D⌉ comparisons; among equal bins, two comparisons with the range and 3 for (x − a)·n/(b − a). If no range is
    given, finding it takes 2(V − 1) comparisons per axis. For a density, the bins are summed, and each is divided by
    its size and by the sum.
    """
    if not spec.inputs[0].floating:
        return cost(spec)
    v, d, bins = spec["points"], spec["axes"], spec.outputs[0].numel
    terms = []
    if not spec["edges"] and not spec["ranged"]:
        terms.append(flops("range", 2, "d", d, "V-1", max(v - 1, 0)))
    if spec["counts"]:
        steps = sum((edges - 1).bit_length() for edges in spec["edges"]) or 5 * d  # equal bins have no edges
        terms += [flops("place", 1, "V", v, "comparisons and steps", steps), flops("add", 1, "V", v)]
    if spec["density"] and spec["counts"]:
        terms += [flops("sum", 1, "bins-1", max(bins - 1, 0)), flops("divide", 2, "bins", bins)]
    return cost(spec, *terms)


@kind(
    "softmax",
    inputs=(one("x"),),
    outputs=(one("y"),),
    attributes={"fn": Literal["softmax", "log_softmax"], "axis": int},
    optional={"layout": LAYOUT},
    reach="elements.softmax",
    workspace=window_workspace.softmax,
)
def softmax(spec: OpSpec) -> Cost:
    """FLOPs = 5·n: maximum, subtraction, exp, sum, division; log-softmax likewise.

    Attribute: fn (softmax, log_softmax).
    """
    return cost(spec, flops(spec["fn"], SOFTMAX_FLOPS, "n", spec.inputs[0].numel))


@kind(
    "scan",
    inputs=(one("x"), rest("out")),
    attributes={"fn": str, "axis": int},
    reach="elements.scan",
)
def scan(spec: OpSpec) -> Cost:
    """FLOPs = n − n/D along an axis of D elements (cumsum, cumprod, cummax); four times that for logcumsumexp.

    Attributes: fn, axis.
    """
    x = spec.inputs[0]
    if not x.floating or not x.numel or not x.shape:
        return cost(spec)
    length = x.shape[spec["axis"]]
    each = 4 if spec["fn"] == "logcumsumexp" else 1
    if x.complex:
        each = {"cumsum": ADD, "cumprod": MULTIPLY, "logcumsumexp": COMPLEX_FLOPS["logaddexp"]}[spec["fn"]]
    return cost(spec, flops(spec["fn"], each, "rows", x.numel // length, "D-1", length - 1))


@kind(
    "sort",
    inputs=(one("x"),),
    attributes={"unique": bool, "axis": int | None},
    reach="elements.sort",
)
def sort(spec: OpSpec) -> Cost:
    """FLOPs = rows·D·⌈log₂ D⌉ comparisons for a sort (topk, argsort, kthvalue, unique likewise); 0 on integers.

    Attributes: unique; axis (None: over all elements).
    """
    x = spec.inputs[0]
    length = x.numel if spec["axis"] is None or not x.shape else x.shape[spec["axis"]]
    if not x.floating or length < 2:
        return cost(spec)
    return cost(spec, flops("compare", 1, "rows", x.numel // length, "D", length, "log2 D", (length - 1).bit_length()))


@kind(
    "distance",
    inputs=(one("x"), maybe("other")),
    attributes={"pairs": int, "width": int},
)
def distance(spec: OpSpec) -> Cost:
    """FLOPs = 3·P·D + P for P pairs of vectors of width D: difference, power, sum; one root per pair (cdist, pdist).

    Attributes: pairs, width.
    """
    pairs = spec["pairs"]
    return cost(spec, flops("difference, power, sum", 3, "P", pairs, "D", spec["width"]), flops("root", 1, "P", pairs))


@kind(
    "fft",
    inputs=(one("x", 1, None),),
    attributes={"points": int, "transforms": int, "real": bool, "dims": INTS},
    reach="elements.fft",
)
def fft(spec: OpSpec) -> Cost:
    """FLOPs = 5·N·⌈log₂ N⌉ per complex transform of N points, half of it for a real one.

    Attributes: points N (the product over the transformed axes), transforms, real. The radix-2 count
    of Cooley & Tukey 1965 that FFT benchmarks use.
    """
    n = spec["points"]
    steps = (n - 1).bit_length()
    if spec["real"]:
        return cost(spec, flops("butterflies", 5, "transforms", spec["transforms"], "N·log2 N / 2", n * steps // 2))
    return cost(spec, flops("butterflies", 5, "transforms", spec["transforms"], "N", n, "log2 N", steps))


@kind(
    "loss",
    inputs=(one("x"), one("target"), rest("weights")),
    attributes={"fn": str, "reduction": int},
    reach="elements.loss",
)
def loss(spec: OpSpec) -> Cost | None:
    """FLOPs = c·n + n − 1 + 1: an elementwise distance over n elements, their sum, and the mean's division.

    Attributes: fn, reduction (0 none, 1 mean, 2 sum). A negative log-likelihood selects one element per target
    and negates it.
    """
    picked = spec["fn"] == "nll"
    if not spec.inputs[0].numel:
        return cost(spec)
    n = spec.inputs[1].numel if picked else spec.inputs[0].numel
    table = COMPLEX_FLOPS if spec.inputs[0].complex else FLOPS
    if not picked and spec["fn"] not in table:
        return None
    terms = [flops(spec["fn"], 1 if picked else table[spec["fn"]], "n", n)]
    if spec["reduction"]:
        terms.append(flops("sum", 1, "n-1", max(n - 1, 0)))
    if spec["reduction"] == 1:
        terms.append(flops("mean", 1))
    return cost(spec, *terms)
