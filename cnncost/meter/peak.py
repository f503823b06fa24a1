"""The peak FLOP/s that MFU is relative to, looked up by device name."""

from __future__ import annotations


def peak_of(device: str, dtype: str) -> float:
    """Return the peak FLOP/s of a device, built-in or measured by the user, for a dtype.

    Raises:
        CnncostError: the device is unknown, or has no figure for this dtype.
    """
    from cnncost.devices import find

    return find(device).peak(dtype)
