"""A callback for PyTorch Lightning: throughput, FLOP/s and MFU by the Trainer's own loggers.

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
from cnncost.meter.meter import Meter, Rates
from cnncost.meter.watched import MeterWarning, Watched

try:
    from lightning.pytorch import Callback
except ImportError:
    raise MissingPackageError(
        "cnncost.meter.lightning: lightning is not installed; pip install 'cnncost[lightning]'"
    ) from None

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


def first_of(batch: Any) -> Any:
    """What forward is most often given: the images of (images, labels)."""
    return batch[0] if isinstance(batch, (tuple, list)) else batch


_WAY_OUT = (
    "say what forward takes of a batch, MeterCallback(inputs=lambda batch: batch['image']), which module it is called "
    "on, MeterCallback(model=lambda module: module.net), or what one example costs, MeterCallback(cost=(macs, flops))"
)


class MeterCallback(Callback):  # type: ignore[misc]  # Any to the type checker, which may lack the package
    """Logs rates at every so many batches, under `meter/`.

    Each batch counts by its own shapes, so that the last, smaller one does not falsify, and each is a forward
    and backward, also where the Trainer accumulates gradients. Validation is left out. The model's totals are logged
    with the first batch, under `complexity/`.

    A training is never ended: where the model can't be analyzed with what a batch gives it, nor with the
    LightningModule's `example_input_array`, one warning says what to do, and rates are without FLOPs.

    Args:
        every: batches between two logs; by default the Trainer's `log_every_n_steps`.
        inputs: what forward takes of a batch.
        model: which part of the LightningModule forward is called on.
        options: as `cnncost.Meter` takes them: `device`, `dtype`, `peak_flops`, `cost`, `warmup`.

    Attributes:
        meter: of the current fit.
        last: the rates that were logged last.

    Raises:
        DeviceError: a device that is not known, when the callback is made.
    """

    def __init__(
        self, *, every: int | None = None, inputs: Callable[[Any], Any] = first_of,
        model: Callable[[Any], nn.Module] = lambda module: module, **options: Any,
    ) -> None:  # fmt: skip
        self._every, self._inputs, self._model, self._options = every, inputs, model, options
        if options.get("device") is not None:
            find(options["device"])
        self._watched: Watched | None = None
        self._told = False
        self.last: Rates | None = None

    @property
    def meter(self) -> Meter | None:
        """Of the current fit."""
        return None if self._watched is None else self._watched.meter

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A Meter for this fit."""
        del trainer
        self._told = False
        example = getattr(pl_module, "example_input_array", None)
        self._watched = Watched(self._chosen(pl_module), _WAY_OUT, example, **self._options)

    def _chosen(self, module: LightningModule) -> nn.Module:
        try:
            return self._model(module)
        except Exception as error:  # noqa: BLE001  # a training is worth more than its figures
            warnings.warn(f"cnncost: MeterCallback(model=…) failed: {error!r}; {_WAY_OUT}", MeterWarning, stacklevel=3)
            return module  # type: ignore[no-any-return]  # Any to the type checker, which may lack the package

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Analyze before the first batch is trained, so that a failure is reported early."""
        del pl_module, batch_idx
        if self._watched is None or self._told:
            return
        self._told = True
        self._watched.try_out(lambda: self._inputs(batch))
        if self._watched.report is not None:
            _log(trainer, self._watched.report.log_dict())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and log when it is time."""
        del pl_module, outputs
        if self._watched is None:
            return
        self._watched.step(lambda: self._inputs(batch))
        if (batch_idx + 1) % (self._every or int(getattr(trainer, "log_every_n_steps", 50))) == 0:
            self._log_rates(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the remaining steps of the epoch."""
        del pl_module
        self._log_rates(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """No part of the training."""
        del trainer, pl_module
        if self.meter is not None:
            self.meter.pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """On with the training."""
        del trainer, pl_module
        if self.meter is not None:
            self.meter.resume()

    def _log_rates(self, trainer: Trainer) -> None:
        found = self._watched.lap() if self._watched is not None else None
        if found is not None:
            self.last = found
            _log(trainer, found.log_dict())


def _log(trainer: Trainer, found: Mapping[str, float]) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(dict(found), step=trainer.global_step)
