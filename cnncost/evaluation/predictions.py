"""Predicts each case of a network once, and joins the prediction with the measurement."""

from __future__ import annotations

from cnncost.bench.result import Case, NetworkTiming
from cnncost.devices.model import Device
from cnncost.errors import CnncostError
from cnncost.evaluation.join import Joined, join, predict
from cnncost.evaluation.memory import shortage
from cnncost.passes.roofline import Roofline
from cnncost.report.prediction import Prediction
from cnncost.sources.resolve import Resolved, Trace


class Predictions:
    """Caches the predictions of a network on a device, by case.

    If a case can't be predicted, the error's message is cached instead.
    """

    def __init__(self, resolved: Resolved, device: Device, trace: Trace = "static") -> None:
        self.resolved, self.device, self.trace = resolved, device, trace
        self._cache: dict[Case, tuple[Prediction, Roofline | None] | str] = {}

    def shortage(self, case: Case) -> str:
        """Return a message if this machine has too little memory for a case; empty if it suffices or if unknown."""
        prediction = self._predicted(case)
        return "" if isinstance(prediction, str) else shortage(prediction[0].report, training=case.training)

    def joined(self, measured: NetworkTiming) -> Joined:
        """Join a measured case with its prediction."""
        prediction = self._predicted(measured.case)
        if isinstance(prediction, str):
            return join(measured, None, problem=prediction)
        return join(measured, *prediction)

    def _predicted(self, case: Case) -> tuple[Prediction, Roofline | None] | str:
        if case not in self._cache:
            try:
                self._cache[case] = predict(self.resolved, case, self.device, self.trace)
            except CnncostError as error:
                self._cache[case] = str(error)
        return self._cache[case]
