"""What oneDNN's recurrent kernel keeps for its backward.

Ref: `set_offsets`, `init_conf` and `get_good_ld` in oneDNN's src/cpu/rnn/rnn_utils: by size of the layer alone.
"""

from __future__ import annotations

from typing import Any

import torch

from cnncost.frontends.torch.compat import facts
from cnncost.frontends.torch.shapes.registry import Output, packed, shapes

_PAGE = 4096
_LINE = 64
_GATES = 4
_ACCUMULATED = 4
"""Bytes of a float32, in which gradients of states are summed."""


def _leading(width: int, item: int) -> int:
    """Elements of a row: whole cache lines, and no multiple of 256, which would compete for the same lines."""
    line = _LINE // item
    rows = -(-width // line) * line
    return rows + line if rows % 256 == 0 else rows


def workspace(steps: int, batch: int, inputs: int, hidden: int, item: int) -> int:
    """Bytes for one layer and direction of an LSTM, whose numbers have `item` bytes each.

    The gates and the hidden state of each step; the states and their gradients, of this layer and the one below it,
    each also before the first step. Every part begins on a page. The hidden states have their place among the outputs
    of steps; older versions of oneDNN set two more aside for them, and leave them empty.
    """
    widest = max(inputs, hidden)
    steps_and_start = 2 * (steps + 1)
    parts = [
        steps * _leading(_GATES * hidden, item) * item,
        steps * _leading(hidden, item) * item,
        *[steps_and_start * _leading(widest, item) * item] * (1 if facts.ONEDNN_KEEPS_STATES_ONCE else 3),
        steps_and_start * hidden * item,
        *[steps_and_start * _leading(widest, _ACCUMULATED) * _ACCUMULATED] * 2,
        steps_and_start * hidden * _ACCUMULATED,
    ]
    return sum(-(-batch * part // _PAGE) * _PAGE for part in parts)


@shapes("mkldnn_rnn_layer")
def _layer(a: dict[str, Any]) -> list[Output]:
    """x: T,N,I; hx, cx: N,H → T,N,H; N,H; N,H; the workspace, where it trains."""
    x, h, c = a["input"], a["hx_"], a["cx_"]
    steps, batch, inputs = x.shape
    kept = workspace(steps, batch, inputs, a["hidden_size"], x.element_size()) if a["train"] else 0
    return [
        packed((steps, batch, a["hidden_size"]), x.dtype), packed(tuple(h.shape), h.dtype),
        packed(tuple(c.shape), c.dtype), packed((kept,), torch.uint8),
    ]  # fmt: skip


@shapes("mkldnn_rnn_layer_backward")
def _layer_backward(a: dict[str, Any]) -> list[Output]:
    """The gradients of the input, both weights, both biases and both states: in float32, whatever the rest is in."""
    gates = (_GATES * a["hidden_size"],)
    like = [tuple(a[name].shape) for name in ("input", "weight1", "weight2", "hx_", "cx_tmp")]
    return [packed(size, torch.float32) for size in (*like[:3], gates, gates, *like[3:])]
