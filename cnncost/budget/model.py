"""MODEL as the commands that compare take it: a specification, or a report that was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnncost.errors import CnncostError, InputError, SourceError
from cnncost.report.model import Report


def load(name: str) -> Report:
    """A saved report.

    Raises:
        SourceError: it can't be read, or is no report.
    """
    from cnncost.report.json_format import from_json

    try:
        return from_json(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SourceError(f"{name}: can't be read: {reason}; expected a report saved by cnncost") from None
    except CnncostError as error:
        raise SourceError(f"{name}: {error}") from None


def report_of(model: str, inputs: Any = None, model_args: dict[str, Any] | None = None) -> Report:
    """The Report of MODEL.

    Raises:
        InputError: a saved report, which can't be given inputs or arguments.
        CnncostError: what `analyze` raises.
    """
    if model.endswith(".json"):
        if model_args:
            raise InputError(f"{model} is a saved report; it can't be given arguments")
        return load(model)
    from cnncost.analysis import analyze

    return analyze(model, inputs, model_args=model_args)
