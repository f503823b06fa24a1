"""Tensors without data, on torch's meta device."""

from __future__ import annotations

import torch

from cnncost.frontends.torch.compat.tensors import is_meta

__all__ = ["META", "is_meta"]

META = torch.device("meta")
