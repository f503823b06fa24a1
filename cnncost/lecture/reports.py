"""The files of reports/ that are generated from the lecture: `cnncost lecture --write-reports reports`."""

from __future__ import annotations

from cnncost.lecture.contents import SLIDES
from cnncost.lecture.findings import find
from cnncost.lecture.render.document import document
from cnncost.lecture.render.markdown import to_markdown
from cnncost.render.csv import to_csv

__all__ = ["reports"]


def reports() -> dict[str, str]:
    """Texts by file name; identical on every run and machine."""
    findings = find(SLIDES)
    return {"lecture.md": to_markdown(findings, whole=True), "lecture.csv": to_csv(document(findings))}
