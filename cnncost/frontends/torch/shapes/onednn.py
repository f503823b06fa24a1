"""Shape rules of oneDNN's LSTM, and the size of the workspace that its kernel saves for backward.

Ref: `set_offsets`, `init_conf` and `get_good_ld` in oneDNN's src/cpu/rnn/rnn_utils.
"""

from __future__ import annotations

from typing import Any

import torch

from cnncost.frontends.torch.compat import facts
from cnncost.frontends.torch.shapes.registry import Output, packed, shapes

_PAGE = 4096
"""Bytes of a memory page."""
_LINE = 64
"""Bytes of a cache line."""
_GATES = 4
"""Gates of an LSTM."""
_ACCUMULATED = 4
"""Bytes of a float32, the dtype of the gradients of states."""


def _leading(width: int, item: int) -> int:
    """Return the padded length of a row, in elements.

    A row takes whole cache lines, and one more line if its length would be a multiple of 256 (to avoid conflicts).
    """
    line = _LINE // item
    length = -(-width // line) * line
    return length + line if length % 256 == 0 else length


def workspace(steps: int, batch: int, inputs: int, hidden: int, item: int) -> int:
    """Return the bytes of the workspace for one layer and direction of an LSTM with `item` bytes per element.

    It consists of buffers, each rounded up to whole pages. Gates, and hidden states before a projection, have one row
    for each time step and example; the latter are reserved, but unused, because torch runs no LSTM with projections in
    this kernel. Outputs, cell states, and the gradients of outputs, hidden states and cell states have two rows for
    each time step and two for the initial state: for this layer and for its input. Hidden states are stored as
    outputs; older versions of oneDNN reserve two more buffers for them, which remain unused.
    """
    widest = max(inputs, hidden)
    steps_and_start = 2 * (steps + 1)
    parts = [
        steps * _leading(_GATES * hidden, item) * item,  # gates
        steps * _leading(hidden, item) * item,  # hidden states before a projection (unused)
        *[steps_and_start * _leading(widest, item) * item] * (1 if facts.ONEDNN_KEEPS_STATES_ONCE else 3),  # outputs
        steps_and_start * hidden * item,  # cell states
        *[steps_and_start * _leading(widest, _ACCUMULATED) * _ACCUMULATED] * 2,  # gradients: outputs, hidden states
        steps_and_start * hidden * _ACCUMULATED,  # gradients of cell states
    ]
    return sum(-(-batch * part // _PAGE) * _PAGE for part in parts)


@shapes("mkldnn_rnn_layer")
def _layer(a: dict[str, Any]) -> list[Output]:
    """x: T,N,I; hx, cx: N,H → T,N,H; N,H; N,H; the workspace (empty unless training)."""
    x, h, c = a["input"], a["hx_"], a["cx_"]
    steps, batch, inputs = x.shape
    nbytes = workspace(steps, batch, inputs, a["hidden_size"], x.element_size()) if a["train"] else 0
    return [
        packed((steps, batch, a["hidden_size"]), x.dtype), packed(tuple(h.shape), h.dtype),
        packed(tuple(c.shape), c.dtype), packed((nbytes,), torch.uint8),
    ]  # fmt: skip


@shapes("mkldnn_rnn_layer_backward")
def _layer_backward(a: dict[str, Any]) -> list[Output]:
    """Gradients of the input, both weights, both biases and both states, always in float32."""
    bias = (_GATES * a["hidden_size"],)
    x, w1, w2, h, c = [tuple(a[name].shape) for name in ("input", "weight1", "weight2", "hx_", "cx_tmp")]
    return [packed(size, torch.float32) for size in (x, w1, w2, bias, bias, h, c)]
