"""An analysis for a prediction, of a training step if one is predicted."""

from __future__ import annotations

from typing import Any

from cnncost.analysis import analyze
from cnncost.report.model import Report


def analyzed(spec: str, inputs: Any, arguments: dict[str, Any] | None, *, training: bool) -> Report:
    """The Report of a model, with its backward pass if that is asked for.

    Raises:
        CnncostError: as `analyze` does.
    """
    return analyze(spec, inputs, model_args=arguments, training=training)
