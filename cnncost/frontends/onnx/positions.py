"""Input positions of stored tensors that are not trained parameters, by op."""

from __future__ import annotations

STATISTICS = {"BatchNormalization": (3, 4)}
"""Input positions of running statistics, which are buffers."""
SETTINGS = {"Resize": (1, 2), "Upsample": (1,), "OneHot": (2,)}
"""Input positions of settings: not parameters, though they are floating-point tensors of several elements."""
STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}
"""Input positions of initial states; zeros there are not parameters."""
NEUTRAL = {"InstanceNormalization": {1: 1, 2: 0}}
"""Input positions of scales and shifts, each with the value that has no effect: for group norms and norms without scale
and shift, exporters write such tensors as Constant nodes, which are not parameters."""
