"""The files in reports/ are what the current code generates."""

from pathlib import Path

import pytest

from cnncost.lecture.render.document import document
from cnncost.lecture.render.markdown import to_markdown
from cnncost.lecture.reports import reports
from cnncost.render.csv import to_csv

FOLDER = Path(__file__).parents[2] / "reports"


@pytest.mark.parametrize("name", ["lecture.md", "lecture.csv"])
def test_reports_are_current(findings, name):
    made = {"lecture.md": to_markdown(findings, whole=True), "lecture.csv": to_csv(document(findings))}[name]
    assert (FOLDER / name).read_bytes() == made.encode(), (
        f"reports/{name} is not what the code makes; run: cnncost lecture --write-reports reports"
    )


def test_the_command_writes_these(findings):
    assert reports() == {"lecture.md": to_markdown(findings, whole=True), "lecture.csv": to_csv(document(findings))}
