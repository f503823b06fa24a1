"""The options of a recording: whether it runs a forward or a training step, and in which modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from cnncost.errors import InputError
from cnncost.frontends.torch.training import Training


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """What a recording runs, in one of four forms, and in which modes.

        RecordOptions()                                    forward, as under `torch.no_grad`
        RecordOptions(grad=True)                           forward with autograd on
        RecordOptions(training=Training(loss))             forward, loss and backward
        RecordOptions(training=Training(loss, "adamw"))    the same, and the optimizer's step

    Attributes:
        grad: run with autograd on, as training does; composite ops are then recorded as their parts.
        train: run in train mode (True) or eval mode (False); None: each module in the mode that the user set.
        training: record a training step: forward with autograd on, loss, backward and, if an optimizer is given, its
            step.
        autocast: run forward and loss under `torch.autocast`: "bf16", "fp16", a dtype, or with the device whose op
            lists apply, "cuda:bf16"; a device alone selects its default dtype. None: as set by the calling code and
            by forward itself.
        use_memo: look ops up in the process-wide memo.
        device: the device that tensors report; None: that of the model's parameters.
    """

    grad: bool = False
    train: bool | None = None
    training: Training | None = None
    autocast: Any = None
    use_memo: bool = True
    device: torch.device | str | None = None

    @property
    def differentiates(self) -> bool:
        """True if autograd is on."""
        return self.grad or self.training is not None

    @property
    def target(self) -> torch.device | None:
        """`device` as a `torch.device`."""
        return None if self.device is None else torch.device(self.device)


def choose_options(options: RecordOptions | None, single: RecordOptions) -> RecordOptions:
    """Return the options of a call that accepts them either as one object or as separate arguments (`single`).

    Raises:
        InputError: both were given.
    """
    if options is None:
        return single
    if single != RecordOptions():
        raise InputError(f"options: expected either options=… or separate arguments, got both; the latter: {single}")
    return options
