"""An analysis for a prediction; of a training step where the analyzer records one. The one place that knows whether."""

from __future__ import annotations

import inspect
from typing import Any

from cnncost.analysis import analyze
from cnncost.report.model import Report


def analyzed(spec: str, inputs: Any, arguments: dict[str, Any] | None, *, training: bool) -> Report:
    """The Report of a model, with its backward pass if that is asked for and can be recorded.

    Raises:
        CnncostError: as `analyze` does.
    """
    records = training and "training" in inspect.signature(analyze).parameters
    more: dict[str, Any] = {"training": True} if records else {}
    return analyze(spec, inputs, model_args=arguments, **more)
