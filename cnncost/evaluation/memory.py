"""Predicted peak memory, if the Report has it."""

from __future__ import annotations

from cnncost import units
from cnncost.report.data import ReportData
from cnncost.verify.memory import available, needed


def predicted_peak(report: ReportData, *, training: bool) -> int | None:
    """Return the bytes alive at the predicted peak; None if the Report lacks it."""
    if report.graph is None and report.saved_memory is None:
        return None
    figures = report.memory.figures
    return figures.training_peak if training else figures.inference_peak


def shortage(report: ReportData, *, training: bool) -> str:
    """Return a message if this machine has too little memory for a run; empty if it suffices, or if that is unknown."""
    need = predicted_peak(report, training=training)
    if need is None:
        if report.graph is None:
            return ""
        need = needed(report.graph)  # that of forward, because no training step was analyzed
    free = available()
    if free is None or need <= free:
        return ""
    return f"needs about {units.data(need)}, but only {units.data(free)} are free"
