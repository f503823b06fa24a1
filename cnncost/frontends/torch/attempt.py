"""One attempt at a recording: its options, which depend on earlier attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from cnncost.frontends.torch.autocast_setting import Autocast
from cnncost.frontends.torch.compat.facts import AUTOCAST_KEEPS_CASTS_OF_INFERENCE
from cnncost.frontends.torch.options import RecordOptions
from cnncost.frontends.torch.replicated import Replica
from cnncost.frontends.torch.training import Training


@dataclass(frozen=True, slots=True)
class Attempt:
    """The options of one attempt at a recording: the user's, and those that earlier attempts turned out to need."""

    grad: bool
    """Whether autograd is on."""
    train: bool | None
    """Whether the modules are in training mode; None: each in its own."""
    use_memo: bool
    """Whether specs may come from the memo."""
    training: Training | None = None
    autocast: Autocast | None = None
    casts: bool = False
    """Whether autocast may be on during the recording, around forward or in a region inside it."""
    shared: bool = True
    """Whether all modules share one empty hook table."""
    called: Callable[..., Any] | None = None
    """Callable to run instead of the model itself."""
    device: torch.device | None = None
    """Device that tensors report; None: the model's."""
    caller_grad: bool = True
    """Whether autograd is enabled in the caller."""
    keeps_casts: bool = False
    """Whether autocast caches casts of weights even with autograd off: under `torch.no_grad`, not in inference mode."""
    turned_off: bool = False
    """Whether forward, which uses autograd, runs with grad mode off, because the caller is under `torch.no_grad`."""
    floats: bool = False
    """Whether values of floating-point inputs are known."""
    split: bool = False
    """Whether any tensor is a DTensor, which has rules only for ops that autograd doesn't decompose further."""
    replica: Replica | None = None
    """Set if the model is replicated by `DistributedDataParallel`."""
    spread: bool = True
    """Whether a model that accelerate's hooks spread over several devices is recorded on all of them."""
    find_draws: bool = False
    """Whether to find the modules that draw Python's or numpy's random numbers."""
    returned: Callable[[Any], None] | None = None
    """Called with a copy of forward's return value, which becomes the input of another recording."""

    @property
    def caches_casts(self) -> bool:
        """Whether autocast caches casts of weights."""
        return self.grad or self.keeps_casts or AUTOCAST_KEEPS_CASTS_OF_INFERENCE

    def after(self, changes: Mapping[str, Any]) -> Attempt:
        """Return the next attempt, with changes that this one has shown to be needed."""
        off = self.turned_off or (changes.get("grad", False) and not self.grad and not self.caller_grad)
        return replace(self, **changes, turned_off=off)


def first_attempt(options: RecordOptions, autocast: Autocast | None, called: Callable[..., Any] | None) -> Attempt:
    """Return the options of the first attempt, under the caller's autograd mode.

    Args:
        options: as the user gave them.
        autocast: the setting that these options or the calling code request; None: autocast is off.
        called: callable to run instead of the model itself.
    """
    return Attempt(
        options.differentiates, options.train, options.use_memo, options.training, autocast, autocast is not None,
        called=called, device=options.target,
        caller_grad=torch.is_grad_enabled() and not torch.is_inference_mode_enabled(),
        keeps_casts=not torch.is_grad_enabled() and not torch.is_inference_mode_enabled(),
    )  # fmt: skip
