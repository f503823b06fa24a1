"""Hooks that run around an optimizer's step."""

from __future__ import annotations

import torch
from torch.optim import optimizer as of_torch


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """True if hooks run around this optimizer's step: its own, or those registered for all optimizers."""
    own = [getattr(optimizer, name, None) for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")]
    return any(map(bool, (*own, of_torch._global_optimizer_pre_hooks, of_torch._global_optimizer_post_hooks)))
