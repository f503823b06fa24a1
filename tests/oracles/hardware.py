"""What this machine's CPU can run: tests whose oracle is a real run are skipped where torch refuses to run it."""

from functools import cache

import pytest
import torch
from torch import nn


@cache
def runs_lstm_in_bfloat16() -> bool:
    """Whether oneDNN has a fused bfloat16 LSTM for this CPU (it needs AVX-512)."""
    lstm, x = nn.LSTM(5, 7), torch.rand(4, 3, 5)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            lstm(x)[0].sum().backward()
    except RuntimeError as error:
        if "could not create a primitive" not in str(error):
            raise
        return False
    return True


def needs_lstm_in_bfloat16():
    """Skip marker for tests whose oracle is a real LSTM under autocast."""
    reason = "oneDNN has no LSTM in bfloat16 for this CPU, so that there is no real run to compare with"
    return pytest.mark.skipif(not runs_lstm_in_bfloat16(), reason=reason)
