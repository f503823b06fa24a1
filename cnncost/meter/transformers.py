"""A callback for the Trainer of Hugging Face Transformers: throughput, FLOP/s and MFU in the Trainer's log.

from cnncost.meter.transformers import add_meter
add_meter(trainer, device="a100", dtype="bfloat16")
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnncost.errors import MissingPackageError
from cnncost.meter.inputs import described
from cnncost.meter.meter import Meter
from cnncost.meter.rates import Rates
from cnncost.meter.safe_meter import SafeMeter
from cnncost.shapes import TensorText

try:
    from transformers import TrainerCallback
except ImportError:
    raise MissingPackageError(
        "cnncost.meter.transformers: transformers is not installed; pip install 'cnncost[transformers]'"
    ) from None

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments


def add_meter(trainer: Trainer, **options: Any) -> MeterCallback:
    """Add the callback to a Trainer, which then logs `meter/…` whenever it logs its losses.

    Args:
        trainer: a Trainer that has not started training.
        options: options of `cnncost.Meter`: `device`, `dtype`, `peak_flops`, `cost`, `warmup`, `prepare`.
    """
    callback = MeterCallback(trainer, options)
    trainer.add_callback(callback)
    trainer.train = _with_end(trainer.train, callback)
    return callback


def _with_end(train: Callable[..., Any], callback: MeterCallback) -> Callable[..., Any]:
    """Wrap `Trainer.train` so that the callback ends even if training fails or is interrupted: that is no event."""

    @wraps(train)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return train(*args, **kwargs)
        finally:
            callback.end()

    return run


def with_masks(inputs: Any) -> Any:
    """Replace masks' shapes by masks of ones: models read their values; padding is computed like other positions."""
    if not isinstance(inputs, dict):
        return inputs
    return {
        key: torch.ones(value.shape, dtype=getattr(torch, value.dtype or "int64"))
        if isinstance(value, TensorText) and key.endswith("mask") else value
        for key, value in inputs.items()
    }  # fmt: skip


_ADVICE = (
    "say what one example costs, add_meter(trainer, cost=(macs, flops)), or give a function that turns shapes into the "
    "model's inputs, add_meter(trainer, prepare=function)"
)


def _identity(inputs: Any) -> Any:
    return inputs


class _Hook:
    """The hook that reads input shapes.

    If the model is copied or saved during training (to average its weights, by `torch.save(model)`), the copy has a
    no-op function of the standard library in its place, so it holds no Trainer and can be loaded without cnncost.
    """

    def __init__(self, note_shapes: Callable[..., None]) -> None:
        self._note_shapes = note_shapes

    def __call__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._note_shapes(model, args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")


class MeterCallback(TrainerCallback):  # type: ignore[misc]  # Any to the type checker, which may lack the package
    """Counts each forward pass in training, by its input shapes; with gradient accumulation, each micro-batch.

    The Trainer doesn't pass inputs to callbacks, so a temporary hook on the model reads their shapes. It is removed
    when training ends; if `add_meter` added the callback, also when it ends with an error. Evaluation is not measured.

    Attributes:
        meter: the Meter of the current training.
        last: the most recently logged rates.

    The model's totals are logged with the first step, under `complexity/`. A failing analysis never aborts training:
    one warning says what to do, and rates have no FLOPs.
    """

    def __init__(self, trainer: Trainer, options: dict[str, Any]) -> None:
        self._trainer, self._options = trainer, options
        self._hook: Any = None
        self._model: nn.Module | None = None
        self._seen: list[Any] = []
        self._safe: SafeMeter | None = None
        self._totals_logged = False
        self.last: Rates | None = None

    @property
    def meter(self) -> Meter | None:
        """The Meter of the current training; None before the first."""
        return None if self._safe is None else self._safe.meter

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Create a Meter for this training and register the hook that reads shapes."""
        del args, state, control
        self.end()  # an earlier training may have failed, or restarts with a smaller batch
        model: nn.Module = kwargs["model"]
        self._safe = SafeMeter(model, _ADVICE, **{"prepare": with_masks, **self._options})
        self._totals_logged = False
        self._seen, self._model = [], model
        self._hook = model.register_forward_pre_hook(_Hook(self._note_shapes), with_kwargs=True)

    def _note_shapes(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if model is self._model and model.training:  # not for copies that share the hook
            tensors = {key: value for key, value in kwargs.items() if hasattr(value, "shape")}
            self._seen.append(described(tensors or args))
            if self._safe is not None:
                self._safe.try_out(lambda: self._seen[-1])

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count a micro-batch."""
        del args, state, control, kwargs
        self._count()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Count a step; if the Trainer is about to log, log the rates too."""
        del args, state, kwargs
        self._count()
        if self._safe is not None and self._safe.report is not None and not self._totals_logged:
            self._totals_logged = True
            should_log = control.should_log
            self._trainer.log(self._safe.report.log_dict())
            control.should_log = should_log  # `Trainer.log` clears the flag, but the Trainer's own log is still to come
        rates = self._safe.lap() if self._safe is not None and control.should_log else None
        if rates is not None:
            self.last = rates
            self._trainer.log(rates.log_dict())
            control.should_log = True  # as above
        if self.meter is not None and (control.should_evaluate or control.should_save):
            self.meter.pause()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Resume the Meter after an evaluation or checkpoint."""
        del args, state, control, kwargs
        if self.meter is not None:
            self.meter.resume()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remove the hook from the model."""
        del args, state, control, kwargs
        self.end()

    def end(self) -> None:
        """Remove the hook from the model, if it is there."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = self._model = None
        self._seen = []

    def _count(self) -> None:
        for inputs in self._seen:
            if self._safe is not None:
                self._safe.step(partial(_identity, inputs))  # `step` takes a function that returns the inputs
        self._seen = []
