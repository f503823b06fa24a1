import csv
import io
import json
from collections import Counter

import pytest

from cnncost.lecture.document import COLUMNS, WIDE, document
from cnncost.lecture.findings import summary
from cnncost.render import markdown, text
from cnncost.render.csv import to_csv
from cnncost.render.json import to_json
from cnncost.render.layout import plain, text_width


def to_lines(findings, width):
    return text.to_lines(document(findings, wide=width >= WIDE), width)


def to_text(findings, width):
    return text.to_text(document(findings, wide=width >= WIDE), width)


def to_markdown(findings, *, whole):
    return markdown.to_markdown(document(findings, whole=whole))


@pytest.mark.parametrize("width", [60, 72, 80, 100, 119, 120, 160, 240])
def test_no_line_is_longer_than_the_terminal(findings, width):
    lines = [plain(line) for line in to_lines(findings, width)]
    assert max(text_width(line) for line in lines) <= width
    assert all(line == line.rstrip() for line in lines)


def test_narrow_terminals_get_the_minimum_width(findings):
    assert to_lines(findings, 1) == to_lines(findings, 60)


def test_a_wide_terminal_has_fewer_lines_and_the_same_claims(findings):
    narrow, wide = to_text(findings, 80), to_text(findings, 160)
    assert wide.count("\n") < narrow.count("\n")
    for shown in (narrow, wide):
        assert Counter(shown.split())["rounded"] == sum(f.verdict == "rounded" for f in findings)


def test_both_numbers_are_shown(findings):
    shown = to_text(findings, 80)
    for finding in findings:
        if finding.verdict == "differs":
            assert finding.claim.printed.split()[0] in shown
            assert finding.exact_text.split()[0] in shown


def test_the_last_line_is_the_summary(findings):
    assert to_text(findings, 80).splitlines()[-1] == summary(findings)


def test_verdicts_have_their_own_style(findings):
    verdicts = {"exact", "rounded", "differs", "stated"}
    words = {(word, style) for line in to_lines(findings, 80) for word, style in line if style != "heading"}
    styles = {word: style for word, style in words if word in verdicts}
    assert styles == {"exact": "within", "rounded": "uncertain", "differs": "over", "stated": "stated"}


def test_ascii_output_has_no_question_marks(findings):
    shown = text.to_text(document(findings), 80, encoding="ascii")
    assert shown.isascii()
    assert "?" not in shown
    assert "100*N^2 + 3,682" in shown


def test_csv_has_one_row_per_claim(findings):
    rows = list(csv.DictReader(io.StringIO(to_csv(document(findings)))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(findings)
    (conv10,) = [row for row in rows if row["what"] == "Conv-10"]
    assert (conv10["slide"], conv10["column"], conv10["row"]) == ("55", "conv", "2")
    assert (conv10["printed"], conv10["exact"], conv10["verdict"]) == ("16 * (5x5 +1) * 6 = 2496*", "2416", "differs")


def test_csv_numbers_are_plain(findings):
    rows = list(csv.DictReader(io.StringIO(to_csv(document(findings)))))
    (share,) = [row for row in rows if row["what"] == "share of the first FC layer"]
    assert (share["exact"], share["unit"]) == ("88.3546", "%")
    for row, finding in zip(rows, findings, strict=True):
        if finding.exact and type(finding.exact.value) is int:
            assert int(row["exact"]) == finding.exact.value


def test_json_has_counts_and_claims(findings):
    data = json.loads(to_json(document(findings)))
    assert (data["schema"], data["command"]) == (3, "lecture")
    counts = data["summary"]
    assert counts.pop("claims") == len(data["claims"]) == sum(counts.values())
    (conv10,) = [claim for claim in data["claims"] if claim["what"] == "Conv-10"]
    assert conv10["cell"] == {"side": "conv", "row": 2}
    assert conv10["exact"] == {"value": 2416, "unit": "", "text": "2,416"}
    (share,) = [claim for claim in data["claims"] if claim["what"] == "share of the first FC layer"]
    assert share["exact"] == {"value": 88.3546, "unit": "%", "text": "88.35 %"}
    assert all(claim["exact"] is None for claim in data["claims"] if claim["verdict"] == "stated")


def test_markdown_tables_have_cells_for_each_heading(findings):
    page = to_markdown(findings, whole=True)
    width = None
    for line in page.splitlines():
        if not line.startswith("|"):
            width = None
            continue
        cells = line.replace("\\|", "").count("|")
        assert width in {None, cells}, line
        width = cells


def test_markdown_lists_slips_first_and_only_for_all_slides(findings):
    assert to_markdown(findings, whole=True).index("## What differs") < 2000
    assert "## What differs" not in to_markdown(findings, whole=False)


def test_markdown_escapes_stars_and_tildes(findings):
    page = to_markdown(findings, whole=True)
    assert "16 \\* (5x5 +1) \\* 6 = 2496\\*" in page
    assert "\\~260k" in page
    assert "-\\> memory required" in page
