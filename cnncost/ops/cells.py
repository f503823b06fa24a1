"""Recurrent cells."""

from __future__ import annotations

GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}
"""Gates by cell; an Elman RNN is called by its activation."""
