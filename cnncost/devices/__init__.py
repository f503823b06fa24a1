"""Devices: what they can do at most, where the figures are from, files of one's own. Knows no torch."""

from cnncost.devices.model import Device, Level, Rate
from cnncost.devices.registry import catalog, find

__all__ = ["Device", "Level", "Rate", "catalog", "find"]
