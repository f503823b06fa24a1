"""A Meter for callbacks: it never ends the training that it watches."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from cnncost.errors import CnncostError
from cnncost.meter.cost import described
from cnncost.meter.meter import Meter, Rates

if TYPE_CHECKING:
    from cnncost.report.model import Report


class MeterWarning(UserWarning):
    """A callback gives rates without FLOPs, as the model could not be analyzed with what the loop gives it."""


class Watched:
    """A Meter and its first analysis; what fails is one warning, and from then on rates are without FLOPs.

    Args:
        model: what forward is called on.
        way_out: what the user can do about a model that can't be analyzed so.
        example: inputs of one step that the model itself states, where those of a batch can't be used.
        options: as `cnncost.Meter` takes them.

    Attributes:
        meter: the Meter.
        report: of the first step that was analyzed; None before it, and where that failed.
    """

    def __init__(self, model: nn.Module, way_out: str, example: Any = None, **options: Any) -> None:
        self._way_out, self._tried = way_out, False
        self._by_number = False
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
        """Of the first step that was analyzed."""
        return self.meter.report

    def try_out(self, inputs: Callable[[], Any]) -> None:
        """Analyze a first step, by what the loop gives or by the model's own example; what fails is a warning."""
        if self._tried:
            return
        self._tried = True
        try:
            self.meter.try_out(inputs())
        except Exception as error:  # noqa: BLE001  # a training is worth more than its figures, whatever failed
            if not self._tried_example():
                self._give_up(error)

    def step(self, inputs: Callable[[], Any]) -> None:
        """A step is done."""
        given: Any = None
        try:
            given = inputs()
            self.meter.step(number_of(given) if self._by_number else given)
        except Exception as error:  # noqa: BLE001  # as above
            self._give_up(error)
            with suppress(Exception):  # not even a number of examples
                self.meter.step(number_of(given))

    def lap(self) -> Rates | None:
        """Since the last lap; None if no step was measured since."""
        try:
            return self.meter.lap()
        except Exception as error:  # noqa: BLE001  # as above: a batch of another form
            self._give_up(error)
            try:
                return self.meter.lap()
            except Exception:  # noqa: BLE001  # as above: a step of no example
                return None

    def _tried_example(self) -> bool:
        if self._example is None:
            return False
        try:
            given = described(self._example)
            meter = Meter(self._model, given, **self._options)
            meter.try_out()
        except Exception:  # noqa: BLE001  # what the batch's own analysis said is told
            return False
        self.meter, self._by_number = meter, True
        return True

    def _give_up(self, error: Exception) -> None:
        if not self.meter.without_cost:
            self._warn(error, "FLOPs")
        self._by_number = True
        self.meter.leave_cost_out()

    def _warn(self, error: Exception, lacking: str) -> None:
        said = " ".join(str(error).split()) or type(error).__name__
        warnings.warn(
            f"cnncost: rates are without {lacking}, as the model could not be analyzed: {said}; {self._way_out}",
            MeterWarning, stacklevel=4,
        )  # fmt: skip


def number_of(batch: Any) -> int:
    """How many examples a batch of any form has: the first axis of the first tensor in it; 1 if there is none."""
    if isinstance(batch, Tensor):
        return int(batch.shape[0]) if batch.dim() else 1
    if hasattr(batch, "shape") and batch.shape:
        return int(batch.shape[0])
    each = batch.values() if hasattr(batch, "values") else batch if isinstance(batch, (tuple, list)) else ()
    return next((number_of(value) for value in each if _holds(value)), 1)


def _holds(value: Any) -> bool:
    return hasattr(value, "shape") or hasattr(value, "values") or isinstance(value, (tuple, list))
