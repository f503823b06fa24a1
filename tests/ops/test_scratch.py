"""Temporary bytes that an op allocates while it runs, derived by hand."""

from __future__ import annotations

import pytest

from cnncost.graph import OpSpec, TensorType
from cnncost.ops.scratch import scratch_is_known, scratch_of


def recurrent(shape, cell="lstm", dtype="float32", **settings):
    """x of (batch, steps, features) or, with `steps_axis` 0, (steps, batch, features)."""
    attrs = {"cell": cell, "layers": 1, "directions": 1, "hidden": 3, "recurrent": 3, "steps_axis": 1, **settings}
    attrs |= {"tokens": shape[0] * shape[1], "input": shape[2], "bias": False}
    given = (TensorType(shape, dtype), TensorType((12, 7), "float64"))  # x, and weights, whose type doesn't matter
    return OpSpec("recurrent", given, (TensorType((*shape[:2], 3), dtype),), tuple(sorted(attrs.items())))


def one(kind, outputs=1, dtype="float32", **attrs):
    t = TensorType((2, 3, 5), dtype)
    return OpSpec(kind, (t,), (t,) * outputs, tuple(sorted(attrs.items())))


ROWS = {
    # batch-first input is transposed by a copy of 2·5·4 numbers of 4 bytes
    "lstm, batch first": (recurrent((2, 5, 4)), 2 * 5 * 4 * 4),
    "lstm, batch first, two steps": (recurrent((5, 2, 4)), 2 * 5 * 4 * 4),
    "lstm, steps first": (recurrent((5, 2, 4), steps_axis=0), 0),
    "lstm of one feature": (recurrent((2, 5, 1)), 2 * 5 * 1 * 4),
    "lstm, a batch of one": (recurrent((1, 5, 4)), 0),
    "lstm, one step": (recurrent((5, 1, 4)), 0),
    "lstm in half precision": (recurrent((2, 5, 4), dtype="float16"), 2 * 5 * 4 * 2),
    # the previous layer's output: 3 numbers for each of 10 tokens, twice for two directions
    "lstm of two layers": (recurrent((5, 2, 4), steps_axis=0, layers=2), 10 * 3 * 4),
    "lstm of two layers, batch first": (recurrent((2, 5, 4), layers=2), 10 * 3 * 4 + 2 * 5 * 4 * 4),
    "lstm of two layers, both ways": (recurrent((5, 2, 4), steps_axis=0, layers=2, directions=2), 10 * 2 * 3 * 4),
    "lstm, projected": (recurrent((5, 2, 4), steps_axis=0, layers=3, recurrent=2), 10 * 2 * 4),
    # the gates of all steps, and the steps' outputs: (3 + 1)·3 numbers per token for a GRU, (1 + 1)·3 for an RNN
    "gru": (recurrent((2, 5, 4), "gru"), 10 * (3 + 1) * 3 * 4),
    "gru, both ways": (recurrent((2, 5, 4), "gru", directions=2), 10 * (3 + 2) * 3 * 4),
    "gru of two layers": (recurrent((2, 5, 4), "gru", layers=2), 10 * (3 + (3 + 1) * 3) * 4),
    "rnn": (recurrent((2, 5, 4), "tanh"), 10 * (1 + 1) * 3 * 4),
    "what a front end has seen": (one("norm", fn="rms", scratch=30 * 8), 30 * 8),
    "an LSTM of which it has seen more": (recurrent((2, 5, 4), scratch=7), 7),
    "layer norm": (one("norm", fn="layer"), 0),
    "log-sigmoid that gives its buffer back": (one("pointwise", 2, fn="logsigmoid"), 0),
    "relu": (one("pointwise", fn="relu"), 0),
    "what has none": (one("softmax", axis=1), 0),
}


@pytest.mark.parametrize("name", ROWS)
def test_temporary_bytes_by_hand(name):
    spec, expected = ROWS[name]
    assert scratch_of(spec) == expected


def test_temporary_bytes_are_known_unless_a_front_end_marks_them():
    assert scratch_is_known(one("softmax", axis=1))
    assert not scratch_is_known(one("softmax", axis=1, scratch_unknown="aten.softmax"))
