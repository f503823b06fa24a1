"""MODEL as a report saved as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from cnncost.errors import CnncostError, SourceError
from cnncost.report.model import Report
from cnncost.sources.source import ModelSource


def load(spec: str) -> ModelSource:
    """A saved report. Building it raises an error that asks for the model."""

    def factory(**arguments: Any) -> NoReturn:  # noqa: ARG001  # the factory protocol
        raise SourceError(f"{spec}: a saved report has no graph; name the model")

    return ModelSource("saved", spec, factory)


def report_of(source: ModelSource) -> Report:
    """The report in a file.

    Raises:
        SourceError: it can't be read, or is not a report.
    """
    spec = source.text
    try:
        return Report.from_json(Path(spec).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SourceError(f"{spec}: can't be read: {reason}; expected a report saved by cnncost") from None
    except CnncostError as error:
        raise SourceError(f"{spec}: {error}") from None
