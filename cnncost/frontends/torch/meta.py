"""Tensors without data, on torch's meta device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_BASE: Any = torch._C.TensorBase
META = torch.device("meta")
is_meta: Callable[[torch.Tensor], bool] = _BASE.is_meta.__get__
"""Whether a tensor has no data, by torch's own getter, which is not affected by replaced attributes."""
