"""A callback for PyTorch Lightning: logs throughput, FLOP/s and MFU to the Trainer's loggers.

from cnncost.meter.lightning import MeterCallback
Trainer(callbacks=[MeterCallback(device="a100", dtype="bfloat16")])
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from cnncost.devices import find
from cnncost.errors import MissingPackageError
from cnncost.meter.meter import Meter
from cnncost.meter.rates import Rates
from cnncost.meter.safe_meter import MeterWarning, SafeMeter

try:
    from lightning.pytorch import Callback
except ImportError:
    raise MissingPackageError(
        "cnncost.meter.lightning: lightning is not installed; pip install 'cnncost[lightning]'"
    ) from None

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


def first_of(batch: Any) -> Any:
    """Return forward's usual input: the first item of a batch such as (images, labels), or else the batch itself."""
    return batch[0] if isinstance(batch, (tuple, list)) else batch


_ADVICE = (
    "say what forward takes from a batch, MeterCallback(inputs=lambda batch: batch['image']), which module is called, "
    "MeterCallback(model=lambda module: module.net), or what one example costs, MeterCallback(cost=(macs, flops))"
)


class MeterCallback(Callback):  # type: ignore[misc]  # Any to the type checker, which may lack the package
    """Logs rates under `meter/` every few batches.

    The cost of each batch follows from its own shapes, so a smaller last batch is counted correctly. Each batch is one
    forward and backward, even if the Trainer accumulates gradients. Validation is not measured. The model's totals are
    logged with the first batch, under `complexity/`.

    A failing analysis never aborts training: if the model can be analyzed neither with the inputs from a batch nor
    with the LightningModule's `example_input_array`, one warning says what to do, and rates have no FLOPs.

    Args:
        every: log after every this many batches; by default the Trainer's `log_every_n_steps`.
        inputs: extracts forward's inputs from a batch.
        model: selects the part of the LightningModule whose forward is called.
        options: options of `cnncost.Meter`: `device`, `dtype`, `peak_flops`, `cost`, `warmup`.

    Attributes:
        meter: the Meter of the current fit.
        last: the most recently logged rates.

    Raises:
        DeviceError: the device is unknown; raised when the callback is created.
    """

    def __init__(
        self, *, every: int | None = None, inputs: Callable[[Any], Any] = first_of,
        model: Callable[[Any], nn.Module] = lambda module: module, **options: Any,
    ) -> None:  # fmt: skip
        self._every, self._inputs, self._model, self._options = every, inputs, model, options
        if options.get("device") is not None:
            find(options["device"])
        self._safe: SafeMeter | None = None
        self._totals_logged = False
        self.last: Rates | None = None

    @property
    def meter(self) -> Meter | None:
        """The Meter of the current fit; None before the first."""
        return None if self._safe is None else self._safe.meter

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Create a Meter for this fit."""
        del trainer
        self._totals_logged = False
        example = getattr(pl_module, "example_input_array", None)
        self._safe = SafeMeter(self._measured_module(pl_module), _ADVICE, example, **self._options)

    def _measured_module(self, module: LightningModule) -> nn.Module:
        try:
            return self._model(module)
        except Exception as error:  # noqa: BLE001  # no failure here may abort the user's training
            warnings.warn(f"cnncost: MeterCallback(model=…) failed: {error!r}; {_ADVICE}", MeterWarning, stacklevel=3)
            return module  # type: ignore[no-any-return]  # Any to the type checker, which may lack the package

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Analyze the model before training on the first batch, so that a failure is reported early."""
        del pl_module, batch_idx
        if self._safe is None or self._totals_logged:
            return
        self._totals_logged = True
        self._safe.try_out(lambda: self._inputs(batch))
        if self._safe.report is not None:
            _log(trainer, self._safe.report.log_dict())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch, and log the rates if they are due."""
        del pl_module, outputs
        if self._safe is None:
            return
        self._safe.step(lambda: self._inputs(batch))
        if (batch_idx + 1) % (self._every or int(getattr(trainer, "log_every_n_steps", 50))) == 0:
            self._log_rates(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the remaining steps of the epoch."""
        del pl_module
        self._log_rates(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pause the Meter: validation is not measured."""
        del trainer, pl_module
        if self.meter is not None:
            self.meter.pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resume the Meter."""
        del trainer, pl_module
        if self.meter is not None:
            self.meter.resume()

    def _log_rates(self, trainer: Trainer) -> None:
        rates = self._safe.lap() if self._safe is not None else None
        if rates is not None:
            self.last = rates
            _log(trainer, rates.log_dict())


def _log(trainer: Trainer, metrics: Mapping[str, float]) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(dict(metrics), step=trainer.global_step)
