"""Predicts each case of a network once, before it is measured, and joins it with the measurement afterwards."""

from __future__ import annotations

from cnncost.bench.result import Case, NetworkTiming
from cnncost.devices.model import Device
from cnncost.errors import CnncostError
from cnncost.evaluation.join import Joined, join, predicted
from cnncost.evaluation.memory import shortage
from cnncost.passes.roofline import Roofline
from cnncost.report.prediction import Prediction
from cnncost.sources.resolve import Resolved, Trace


class Predictions:
    """Caches the predictions of a network on a device by case; if a case can't be predicted, the error's message."""

    def __init__(self, resolved: Resolved, device: Device, trace: Trace = "static") -> None:
        self.resolved, self.device, self.trace = resolved, device, trace
        self._found: dict[Case, tuple[Prediction, Roofline | None] | str] = {}

    def shortage(self, case: Case) -> str:
        """Return a message if this machine lacks memory for a case; empty if memory suffices."""
        found = self._of(case)
        return "" if isinstance(found, str) else shortage(found[0].report, training=case.training)

    def joined(self, measured: NetworkTiming) -> Joined:
        """Join a measured case with its prediction."""
        found = self._of(measured.case)
        return join(measured, None, problem=found) if isinstance(found, str) else join(measured, *found)

    def _of(self, case: Case) -> tuple[Prediction, Roofline | None] | str:
        if case not in self._found:
            try:
                self._found[case] = predicted(self.resolved, case, self.device, self.trace)
            except CnncostError as error:
                self._found[case] = str(error)
        return self._found[case]
