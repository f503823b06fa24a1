"""MODEL as a report that was saved as JSON."""

from __future__ import annotations

from pathlib import Path

from cnncost.errors import CnncostError, SourceError
from cnncost.report.model import Report


def is_saved(spec: str) -> bool:
    """Whether a MODEL is meant as a saved report: Transformers' configurations end so, too, behind their prefix."""
    return spec.endswith(".json") and not spec.startswith("hf:")


def load(spec: str) -> Report:
    """The report of a file.

    Raises:
        SourceError: it can't be read, or is no report.
    """
    try:
        return Report.from_json(Path(spec).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SourceError(f"{spec}: can't be read: {reason}; expected a report saved by cnncost") from None
    except CnncostError as error:
        raise SourceError(f"{spec}: {error}") from None
