"""Devices: their ceilings, the sources of these figures, and users' device files. Does not import torch."""

from cnncost.devices.model import Device, Level, Rate
from cnncost.devices.registry import catalog, find

__all__ = ["Device", "Level", "Rate", "catalog", "find"]
