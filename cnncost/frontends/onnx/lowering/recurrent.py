"""LSTM, GRU, RNN."""

from __future__ import annotations

from math import prod

from cnncost.frontends.onnx.lowering.registry import Attrs, Op, Outputs, Ref, Source, lowers
from cnncost.tensor_types import TensorType

_DEFAULTS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}
"""Default activations of one direction, by op."""


@lowers("LSTM", "GRU", "RNN", weights=(1, 2, 3))
def recurrent(op: Op) -> Outputs | None:
    """x: T,N,I (layout 1: N,T,I); w: D,G·H,I; r: D,G·H,H; b?: D,2·G·H; lengths?; states?. y: T,D,N,H.

    A reverse layer is lowered to a forward layer between two flips of the time axis. Unknown with peepholes, clipping,
    coupled input and forget gates, or activations other than the default ones and an RNN's ReLU.
    """
    if op.has(7) or "clip" in op.attributes or op.get("input_forget"):
        return None
    cell = _cell(op)
    if cell is None:
        return None
    x, hidden, directions = op.x(), op.x(2).shape[-1], op.x(1).shape[0]
    batch_first = bool(op.get("layout", 0))
    steps_axis = int(batch_first)
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    if op.has(4):
        op.notes.append(f"{op.type}: all steps of all sequences are counted, whatever `sequence_lens` says")
    attrs: Attrs = {
        "cell": cell, "tokens": prod(x.shape[:-1]), "layers": 1, "directions": directions, "input": x.shape[-1],
        "hidden": hidden, "recurrent": hidden, "bias": op.has(3), "steps_axis": steps_axis,
    }  # fmt: skip
    source: Source = 0
    flip = (("slice", steps_axis, steps - 1, steps, -1),)
    backwards = op.get("direction", "forward") == "reverse"
    if backwards:
        source = op.move(0, flip, x)
    y = x._replace(shape=(*x.shape[:-1], directions * hidden))
    state = TensorType((directions, batch, hidden), x.dtype)
    result = op.step(
        "recurrent", attrs, [source, *op.present(1, 2, 3, 5, 6)], y, *[state] * (2 if cell == "lstm" else 1)
    )
    out: Ref = op.move(result, flip, y) if backwards else result
    return _onnx_outputs(op, out, result, (steps, batch, directions, hidden), batch_first)


def _onnx_outputs(op: Op, out: Ref, result: Ref, sizes: tuple[int, int, int, int], batch_first: bool) -> Outputs:
    """Convert torch's layout to ONNX's: y to T,D,N,H or N,T,D,H; states to D,N,H or N,D,H."""
    steps, batch, directions, hidden = sizes
    found: Outputs = []
    for i, output in enumerate(op.outputs):
        if output is None:
            found.append(None)
        elif i == 0:
            lead = (batch, steps) if batch_first else (steps, batch)
            split = op.reshaped(out, (*lead, directions, hidden))
            found.append(split if batch_first else op.permuted(split, (0, 2, 1, 3), copy=False))
        else:
            state = Ref(result.step, i)
            found.append(op.permuted(state, (1, 0, 2), copy=False) if batch_first else state)
    return found


def _cell(op: Op) -> str | None:
    """Return the cell's name; None if no rule covers its activations."""
    directions = op.x(1).shape[0]
    defaults = _DEFAULTS[op.type] * directions
    given = [name.lower() for name in op.get("activations") or defaults]
    if op.type == "RNN" and set(given) == {"relu"}:
        return "relu"
    if given != defaults or op.get("activation_alpha") or op.get("activation_beta"):
        return None
    return {"LSTM": "lstm", "GRU": "gru", "RNN": "tanh"}[op.type]
