"""MODEL as a report saved as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from cnncost.errors import CnncostError, SourceError
from cnncost.report.model import Report
from cnncost.sources.source import ModelSource


def load(spec: str) -> ModelSource:
    """Return the source of a saved report; building it raises an error.

    Raises:
        SourceError: the file can't be read or is not a report.
    """
    _recognize(spec, _text(spec))

    def factory(**arguments: Any) -> NoReturn:  # noqa: ARG001  # the factory protocol
        raise SourceError(f"{spec}: a saved report has no graph; give the model itself")

    return ModelSource("saved", spec, factory)


def report_of(source: ModelSource) -> Report:
    """Return the report in a file.

    Raises:
        SourceError: the file can't be read or is not a report.
    """
    spec = source.text
    try:
        return Report.from_json(_text(spec))
    except CnncostError as error:
        raise error if isinstance(error, SourceError) else SourceError(f"{spec}: {error}") from None


def _text(spec: str) -> str:
    try:
        return Path(spec).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SourceError(f"{spec}: can't be read: {reason}; expected a report saved by cnncost") from None


def _recognize(spec: str, text: str) -> None:
    """Raise SourceError for a file that is not a report, before any error about options can be raised."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict) and "schema" in data:
        return
    if isinstance(data, dict) and {"model_type", "architectures"} & data.keys():
        raise SourceError(f"{spec}: is a Transformers configuration; give it as hf:{spec}")
    report_of(ModelSource("saved", spec, dict))  # raises the reader's error; the factory `dict` is not called
