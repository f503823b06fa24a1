"""Costs of steps by input shapes and model state; each combination is analyzed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from cnncost.errors import CnncostError
from cnncost.meter.inputs import as_arguments, frozen

if TYPE_CHECKING:
    from cnncost.report.model import Report


class Cost(NamedTuple):
    """MACs and FLOPs of one step: forward, and in training backward too; whether ops without a rule are missing."""

    macs: int
    flops: int
    lower_bound: bool = False


class StepCosts:
    """Costs of a model's steps, cached by input shapes and by the model's state.

    A model may change during training: layers are unfrozen, enlarged or replaced. A step costs what the model cost when
    it ran, so a step is analyzed before the model changes, or not at all.

    Args:
        model: the model; it is not changed.
        training: whether a step includes backward.
        prepare: converts described inputs (see `described`) to the inputs to analyze.
    """

    def __init__(self, model: nn.Module, *, training: bool, prepare: Callable[[Any], Any] | None = None) -> None:
        self.model, self.training, self._prepare = model, training, prepare
        self._current_state: Callable[[], int] | None = None
        self._known: dict[Hashable, Cost] = {}
        self._failed: dict[Hashable, Exception] = {}
        self._single: set[Hashable] = set()  # keys of inputs that are one example, without a batch axis
        self.first: Report | None = None  # of the first analyzed step

    def state(self) -> int:
        """Return the number of the model's current state, on which a step's cost depends."""
        if self._current_state is None:
            from cnncost.analysis import states_of

            self._current_state = states_of(self.model).current
        return self._current_state()

    def is_known_single_example(self, inputs: Any, state: int) -> bool:
        """Return whether the analysis of these inputs found that they are one example, without a batch axis."""
        return (frozen(inputs), state) in self._single

    def is_single_example(self, inputs: Any, state: int) -> bool:
        """Return whether these inputs are one example, analyzing them if necessary; False if the analysis fails."""
        try:
            self.of(inputs, state)
        except CnncostError:
            return False
        return self.is_known_single_example(inputs, state)

    def has(self, inputs: Any, state: int) -> bool:
        """Return whether the cost of a step with these inputs, in this state of the model, is already known."""
        return (frozen(inputs), state) in self._known

    def of(self, inputs: Any, state: int) -> Cost:
        """Return the cost of a step with these described inputs, in this state of the model.

        Raises:
            CnncostError: the analysis fails, or the model has left this state without being analyzed in it.
        """
        key = (frozen(inputs), state)
        if key not in self._known:
            if state != self.state():
                raise self._failed.get(key) or CnncostError(
                    "Meter: the model changed before the cost of earlier steps was known; call meter.lap() or "
                    "meter.rates() before a change"
                )
            try:
                self._known[key] = self._analyzed(inputs, key)
            except Exception as error:
                self._failed[key] = error
                raise
        return self._known[key]

    def _analyzed(self, inputs: Any, key: Hashable) -> Cost:
        arguments = as_arguments(inputs) if self._prepare is None else self._prepare(inputs)
        report = _report_of(self.model, arguments, training=self.training)
        self.first = self.first or report
        if report.examples == 1:
            self._single.add(key)
        totals = report.totals
        return _training_cost(report) if self.training else Cost(totals.macs, totals.flops, totals.lower_bound)


def _report_of(model: nn.Module, inputs: Any, *, training: bool) -> Report:
    from cnncost.analysis import analyze

    return analyze(model, inputs, training=training)


def _training_cost(report: Report) -> Cost:
    totals = report.totals
    if totals.training_macs is None or totals.training_flops is None:
        raise CnncostError("Meter: the analysis has no figures for a training step")
    return Cost(totals.training_macs, totals.training_flops, totals.training_lower_bound)
