"""Tensors without data, on torch's meta device."""

from __future__ import annotations

import torch

from cnncost.frontends.torch.compat.tensors import is_meta

__all__ = ["META", "is_accelerator", "is_meta"]

META = torch.device("meta")


def is_accelerator(device: torch.device) -> bool:
    """True for a GPU or another accelerator; False for the CPU, and for `meta`, where models are built without data."""
    return device.type not in {"cpu", "meta"}
