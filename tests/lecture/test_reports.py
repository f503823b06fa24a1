"""The files in reports/ are what the current code generates."""

from pathlib import Path

import pytest

from cnncost.lecture.document import document
from cnncost.lecture.reports import reports
from cnncost.render.csv import to_csv
from cnncost.render.markdown import to_markdown

FOLDER = Path(__file__).parents[2] / "reports"


@pytest.mark.parametrize("name", ["lecture.md", "lecture.csv"])
def test_reports_are_current(findings, name):
    whole = document(findings, whole=True)
    made = {"lecture.md": to_markdown, "lecture.csv": to_csv}[name](whole)
    assert (FOLDER / name).read_bytes() == made.encode(), (
        f"reports/{name} is not what the code makes; run: cnncost lecture --write-reports reports"
    )


def test_the_command_writes_these(findings):
    whole = document(findings, whole=True)
    assert reports() == {"lecture.md": to_markdown(whole), "lecture.csv": to_csv(whole)}
