"""A Meter for callbacks: its failures never abort training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from cnncost.errors import CnncostError
from cnncost.meter.inputs import described
from cnncost.meter.meter import Meter
from cnncost.meter.rates import Rates

if TYPE_CHECKING:
    from cnncost.report.model import Report


class MeterWarning(UserWarning):
    """A callback reports rates without FLOPs or MFU, because the model can't be analyzed or the device is unknown."""


class SafeMeter:
    """A Meter whose failures become warnings.

    After a failed analysis, rates have no FLOPs; if the Meter can't be created with the device, they have no MFU.

    Args:
        model: the module whose forward is called.
        advice: what the user can do if the model can't be analyzed; a part of the warning.
        example: inputs that the model itself provides, used if those of a batch can't be analyzed.
        options: options of `cnncost.Meter`.

    Attributes:
        meter: the Meter.
        report: report of the first analyzed step; None before the first analysis, or if it failed.
    """

    def __init__(self, model: nn.Module, advice: str, example: Any = None, **options: Any) -> None:
        self._advice, self._tried = advice, False
        self._counts_only = False  # whether the Meter gets a batch's number of examples, not its inputs
        self._example = example
        self._model, self._options = model, options
        try:
            self.meter = Meter(model, **options)
        except CnncostError as error:
            self._warn(error, "MFU")
            self._options = {**options, "device": None}
            self.meter = Meter(model, **self._options)

    @property
    def report(self) -> Report | None:
        """Report of the first analyzed step; None before the first analysis, or if it failed."""
        return self.meter.report

    def try_out(self, inputs: Callable[[], Any]) -> None:
        """Analyze the first step with the loop's inputs or else with the model's own example; warn if both fail."""
        if self._tried:
            return
        self._tried = True
        try:
            self.meter.try_out(inputs())
        except Exception as error:  # noqa: BLE001  # no failure here may abort the user's training
            if not self._try_example():
                self._give_up(error)

    def step(self, inputs: Callable[[], Any]) -> None:
        """Count one finished step."""
        batch: Any = None
        try:
            batch = inputs()
            self.meter.step(number_of(batch) if self._counts_only else batch)
        except Exception as error:  # noqa: BLE001  # as above
            self._give_up(error)
            with suppress(Exception):  # `inputs` may have failed, and the number of examples may be unknown
                self.meter.step(number_of(batch))

    def lap(self) -> Rates | None:
        """Return rates since the last lap; None if no step was measured since."""
        try:
            return self.meter.lap()
        except Exception as error:  # noqa: BLE001  # as above: a batch with another structure
            self._give_up(error)
            try:
                return self.meter.lap()
            except Exception:  # noqa: BLE001  # as above: a step without examples
                return None

    def _try_example(self) -> bool:
        """Return whether the model's own example can be analyzed; if so, the Meter uses its cost from now on."""
        if self._example is None:
            return False
        try:
            description = described(self._example)
            meter = Meter(self._model, description, **self._options)
            meter.try_out()
        except Exception:  # noqa: BLE001  # the caller reports the error from the batch's inputs instead
            return False
        self.meter, self._counts_only = meter, True
        return True

    def _give_up(self, error: Exception) -> None:
        if not self.meter.without_cost:
            self._warn(error, "FLOPs")
        self._counts_only = True
        self.meter.leave_cost_out()

    def _warn(self, error: Exception, left_out: str) -> None:
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn(
            f"cnncost: rates have no {left_out}: {reason}; if the model can't be analyzed, {self._advice}",
            MeterWarning, stacklevel=4,
        )  # fmt: skip


def number_of(batch: Any) -> int:
    """Return a batch's number of examples: the size of its first tensor's first axis, or 1 if there is none."""
    if isinstance(batch, Tensor):
        return int(batch.shape[0]) if batch.dim() else 1
    if hasattr(batch, "shape") and batch.shape:
        return int(batch.shape[0])
    values = batch.values() if hasattr(batch, "values") else batch if isinstance(batch, (tuple, list)) else ()
    return next((number_of(value) for value in values if _may_have_tensors(value)), 1)


def _may_have_tensors(value: Any) -> bool:
    return hasattr(value, "shape") or hasattr(value, "values") or isinstance(value, (tuple, list))
