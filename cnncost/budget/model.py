"""MODEL as the commands that compare take it: a specification, or a report that was saved."""

from __future__ import annotations

from typing import Any

from cnncost.errors import InputError
from cnncost.report.model import Report
from cnncost.sources.saved import is_saved, load


def report_of(model: str, inputs: Any = None, model_args: dict[str, Any] | None = None) -> Report:
    """The Report of MODEL.

    Raises:
        InputError: a saved report, which can't be given inputs or arguments.
        CnncostError: what `analyze` raises.
    """
    if is_saved(model):
        if model_args:
            raise InputError(f"{model} is a saved report; it can't be given arguments")
        return load(model)
    from cnncost.analysis import analyze

    return analyze(model, inputs, model_args=model_args)
