"""The ceiling that MFU is a part of: a device's, by name, or a number."""

from __future__ import annotations


def peak_of(device: str, dtype: str) -> float:
    """FLOP/s that a device reaches at most in a number format; a named device may be one that was measured.

    Raises:
        CnncostError: no such device, or none for this format.
    """
    from cnncost.devices import find

    return find(device).peak(dtype)
