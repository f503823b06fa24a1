"""Recurrent cells."""

from __future__ import annotations

GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}
"""Number of gates by type of cell; an Elman RNN is listed by its activation function."""
