"""Devices: their ceilings, the sources of the figures, and the user's device files. Does not import torch."""

from cnncost.devices.model import Device, Level, Rate
from cnncost.devices.registry import catalog, find

__all__ = ["Device", "Level", "Rate", "catalog", "find"]
