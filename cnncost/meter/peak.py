"""The ceiling that MFU is a part of: a device's, by name, or a number."""

from __future__ import annotations

from importlib.util import find_spec

from cnncost.errors import CnncostError


def peak_of(device: str, dtype: str) -> float:
    """FLOP/s that a device reaches at most in a number format; a named device may be one that was measured.

    Raises:
        CnncostError: no such device, or none for this format.
    """
    if find_spec("cnncost.devices") is None:
        raise CnncostError(f"Meter: device {device!r}: this version knows no devices; give peak_flops=… instead")
    from importlib import import_module

    return float(import_module("cnncost.devices").find(device).peak(dtype))
