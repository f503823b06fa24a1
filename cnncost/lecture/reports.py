"""The files of reports/ that are generated from the lecture: `cnncost lecture --write-reports reports`."""

from __future__ import annotations

from cnncost.lecture.contents import SLIDES
from cnncost.lecture.document import document
from cnncost.lecture.findings import find
from cnncost.render.csv import to_csv
from cnncost.render.markdown import to_markdown

__all__ = ["reports"]


def reports() -> dict[str, str]:
    """Return the files' texts by name; identical on every run and machine."""
    whole = document(find(SLIDES), whole=True)
    return {"lecture.md": to_markdown(whole), "lecture.csv": to_csv(whole)}
