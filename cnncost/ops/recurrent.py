"""LSTM (Hochreiter & Schmidhuber 1997; projections: Sak et al. 2014), GRU (Cho et al. 2014), Elman RNN."""

from __future__ import annotations

from typing import Literal

from cnncost.graph import OpSpec
from cnncost.ops import recurrent_workspace, scratch
from cnncost.ops.cells import GATES
from cnncost.ops.kinds import Types, kind, one, rest
from cnncost.ops.pointwise import FLOPS
from cnncost.ops.registry import Cost, Term, cost, flops, macs


def _gate_flops(cell: str) -> int:
    """Return the FLOPs of a cell per hidden unit, without its two matrix products and their biases."""
    sigmoid, tanh = FLOPS["sigmoid"], FLOPS["tanh"]
    if cell == "lstm":  # 4 sums; i, f, o; g; c = f·c + i·g; h = o·tanh(c)
        return 4 + 3 * sigmoid + tanh + 3 + tanh + 1
    if cell == "gru":  # 2 sums; r, z; n = tanh(x + r·h); h = (h − n)·z + n
        return 2 + 2 * sigmoid + 2 + tanh + 3
    return 1 + FLOPS[cell]  # 1 sum; the activation


RECURRENT: Types = {
    "cell": Literal["lstm", "gru", "tanh", "relu"], "tokens": int, "layers": int, "directions": int, "input": int,
    "hidden": int, "recurrent": int, "bias": bool, "steps_axis": int | None,
}  # fmt: skip


@kind(
    "recurrent",
    inputs=(one("x", 2, 3), rest("batch sizes, states and weights")),
    outputs=(one("y", 2, 3), rest("states")),
    attributes=RECURRENT,
    reach="mixing.recurrent",
    scratch=scratch.recurrent,
    workspace=recurrent_workspace.recurrent,
)
def recurrent(spec: OpSpec) -> Cost:
    """MACs = T·G·H·(I + R) per layer and direction; a projection adds T·H·R.

    Attributes: cell, tokens T (batch times steps; for packed sequences, their actual number), layers,
    directions, input I, hidden H, recurrent R (the width of the recurrent state, H without a
    projection), bias. G gates: LSTM 4, GRU 3, RNN 1. From the second layer on, I is R times directions.
    Further FLOPs: the biases (two per gate, both added), the gates' activations and products.
    """
    tokens, directions = spec["tokens"], spec["directions"]
    inner = spec["recurrent"] * directions
    terms: list[Term] = []
    for layer in range(spec["layers"]):
        terms += _layer(spec, layer, tokens, directions, inner if layer else spec["input"])
    return cost(spec, *terms)


def _layer(spec: OpSpec, layer: int, tokens: int, directions: int, width: int) -> list[Term]:
    """Terms of one layer whose input has `width` features."""
    gates, hidden, state = GATES[spec["cell"]], spec["hidden"], spec["recurrent"]
    base: tuple[str | int, ...] = ("D", directions, "T", tokens)
    terms = [macs(*base, "G", gates, "H", hidden, "I+R", width + state, label=f"layer {layer}")]
    if state != hidden:
        terms.append(macs(*base, "H", hidden, "R", state, label=f"layer {layer} projection"))
    if spec["bias"]:
        terms.append(flops("biases", 2, *base, "G", gates, "H", hidden))
    terms.append(flops("gates", _gate_flops(spec["cell"]), *base, "H", hidden))
    return terms
