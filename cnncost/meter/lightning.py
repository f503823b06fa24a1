"""A callback for PyTorch Lightning: throughput, FLOP/s and MFU by the Trainer's own loggers.

from cnncost.meter.lightning import MeterCallback
Trainer(callbacks=[MeterCallback(device="a100", dtype="bfloat16")])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from cnncost.errors import MissingPackageError
from cnncost.meter.meter import Meter, Rates

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


class MeterCallback(Callback):  # type: ignore[misc]  # Any to the type checker, which may lack the package
    """Logs rates at every so many batches, under `meter/`.

    Each batch counts by its own shapes, so that the last, smaller one does not falsify, and each is a forward
    and backward, also where the Trainer accumulates gradients. Validation is left out.

    Args:
        every: batches between two logs; by default the Trainer's `log_every_n_steps`.
        inputs: what forward takes of a batch.
        model: which part of the LightningModule forward is called on.
        options: as `cnncost.Meter` takes them: `device`, `dtype`, `peak_flops`, `cost`, `warmup`.

    Attributes:
        meter: of the current fit.
        last: the rates that were logged last.

    Raises:
        CnncostError: with the first batch, if the model can't be analyzed.
    """

    def __init__(
        self, *, every: int | None = None, inputs: Callable[[Any], Any] = first_of,
        model: Callable[[Any], nn.Module] = lambda module: module, **options: Any,
    ) -> None:  # fmt: skip
        self._every, self._inputs, self._model, self._options = every, inputs, model, options
        self.meter: Meter | None = None
        self.last: Rates | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A Meter for this fit."""
        del trainer
        self.meter = Meter(self._model(pl_module), **self._options)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Analyze before the first batch is trained, so that a failure is reported early."""
        del pl_module, batch_idx
        if self.meter is not None and trainer.global_step == 0:
            self.meter.try_out(self._inputs(batch))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and log when it is time."""
        del pl_module, outputs
        if self.meter is None:
            return
        self.meter.step(self._inputs(batch))
        if (batch_idx + 1) % (self._every or int(getattr(trainer, "log_every_n_steps", 50))) == 0:
            self._log(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the remaining steps of the epoch."""
        del pl_module
        self._log(trainer)

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

    def _log(self, trainer: Trainer) -> None:
        found = self.meter.lap() if self.meter is not None else None
        if found is None:
            return
        self.last = found
        for logger in trainer.loggers:
            logger.log_metrics(found.log_dict(), step=trainer.global_step)
