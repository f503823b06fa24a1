"""The peak FLOP/s that MFU is relative to, looked up by device name."""

from __future__ import annotations


def peak_of(device: str, dtype: str) -> float:
    """Peak FLOP/s of a device, built-in or measured by the user, in a number format.

    Raises:
        CnncostError: unknown device, or no figure for this format.
    """
    from cnncost.devices import find

    return find(device).peak(dtype)
