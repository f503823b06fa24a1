"""Predicted peak memory, where the Report has it. The one place that knows how."""

from __future__ import annotations

from typing import Any

from cnncost.report.model import Report


def predicted_peak(report: Report, *, training: bool) -> int | None:
    """Bytes alive at the predicted peak, or None where the Report does not say."""
    memory: Any = getattr(report, "memory", None)
    found = getattr(memory, "training_peak" if training else "inference_peak", None)
    return found if isinstance(found, int) else None
