"""Ops that move, index or create data without arithmetic: explicit rules with a cost of 0 FLOPs.

They differ in bytes: a view moves none, a copy reads and writes the copied elements.
"""

from __future__ import annotations

from typing import Literal

from cnncost.graph import OpSpec
from cnncost.ops.kinds import INTS, fits, kind, one, rest, type_text
from cnncost.ops.registry import Cost, cost, flops, reals_per_element


def _moves_fault(spec: OpSpec) -> str | None:
    """Return a message about a move (`reach/moves.py`) whose name or arguments are wrong.

    `verify_graph` checks the shapes that moves lead to.
    """
    from cnncost.ops.reach import moves  # only verification needs them

    for name, *values in spec["moves"] or ():
        if not isinstance(name, str) or (expected := moves.argument_types(name)) is None:
            return f"expected moves of {sorted(moves.names())}, got {name!r}"
        if len(values) != len(expected) or not all(map(fits, values, expected)):
            return f"move {name!r}: expected the arguments {', '.join(map(type_text, expected))}, got {tuple(values)}"
    return None


@kind(
    "layout",
    inputs=(rest("x"),),
    outputs=(rest("y"),),
    attributes={"copy": bool, "moves": tuple[tuple[object, ...], ...] | None},
    optional={"zeroes": bool, "densifies": bool},
    reach="moves.layout",
    reach_check=_moves_fault,
)
def layout(spec: OpSpec) -> Cost:
    """0: shapes, strides and copies.

    Attributes: copy: whether elements are copied (a view reads and writes nothing); moves; zeroes: whether the op sets
    elements to zero or adds zeros other than by moves (`tril`, `diag_embed`); densifies: whether it stores a sparse
    tensor's zeros.
    """
    return cost(spec) if spec["copy"] else cost(spec, read=0, written=0)


@kind(
    "create",
    inputs=(rest("parameters, overwritten tensors"),),
    optional={"reads": INTS, "joint": bool},
    reach="elements.create",
)
def create(spec: OpSpec) -> Cost:
    """0: a tensor filled with constants, a range or random numbers; no bytes count as read.

    Attributes: reads: indices of the inputs that are parameters of the distributions from which elements are drawn;
    joint: whether all positions of the last axis are drawn together, as from a Dirichlet distribution.
    """
    return cost(spec, read=0)


@kind(
    "dropout",
    inputs=(one("x"), rest("mask")),
    attributes={"training": bool},
    reach="elements.dropout",
)
def dropout(spec: OpSpec) -> Cost:
    """0: in eval mode the identity; in train mode a random mask that is not part of the network's function.

    Srivastava et al. 2014, section 4. Both modes have the same FLOPs, so a model costs the same in both.
    """
    return cost(spec) if spec["training"] else cost(spec, read=0, written=0)


@kind(
    "gather",
    inputs=(one("x"), rest("indices")),
    attributes={"fn": Literal["embedding", "one_hot", "index_select", "gather", "take", "index", "other"]},
    optional={"dim": int, "axes": INTS, "positions": tuple[tuple[INTS, ...], ...], "picked": INTS},
    reach="picks.gather",
)
def gather(spec: OpSpec) -> Cost:
    """0: elements selected by index (embedding, index_select, gather); the selected ones are read and written.

    Attributes: fn: the torch function that interprets indices in the same way; dim or axes: the indexed axes;
    positions: known indices, for each index tensor as runs of (first, count, step); picked: the shape of the index. A
    lookup reads as many elements of the table as it returns, not the whole table.
    """
    indices = sum(t.nbytes for t in spec.inputs[1:] if not t.floating)
    selected = sum(t.nbytes for t in spec.outputs)
    return cost(spec, read=selected + indices)


@kind(
    "scatter",
    inputs=(one("x"), rest("indices and sources")),
    attributes={"accumulate": bool, "elements": int},
    optional={"kernel_size": INTS, "stride": INTS, "padding": INTS, "dilation": INTS},
    reach="space.scatter",
)
def scatter(spec: OpSpec) -> Cost:
    """0 if elements are overwritten, one FLOP per element if they are accumulated (index_add, scatter_add).

    Attributes: accumulate, elements (number of source elements); for `fold`, the geometry of its windows.
    """
    if not spec["accumulate"] or not spec.outputs[0].floating:
        return cost(spec)
    return cost(spec, flops("accumulate", reals_per_element(spec), "elements", spec["elements"]))


@kind(
    "bag",
    inputs=(one("weight", 2), one("indices", 1), rest("offsets and weights")),
    attributes={"indices": int, "bags": int, "width": int, "mean": bool, "weighted": bool},
)
def bag(spec: OpSpec) -> Cost:
    """FLOPs = (I − B)·D to add I looked-up rows of width D in B bags; means: B·D divisions; weights: I·D products.

    Attributes: indices I, bags B, width D, mean, weighted.
    """
    i, b, d = spec["indices"], spec["bags"], spec["width"]
    terms = [flops("sum", 1, "I-B", max(i - b, 0), "D", d)]
    if spec["mean"]:
        terms.append(flops("divide", 1, "B", b, "D", d))
    if spec["weighted"]:
        terms.append(flops("weigh", 1, "I", i, "D", d))
    return cost(spec, *terms)
