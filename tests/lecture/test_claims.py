"""Properties of all claims."""

import re

import pytest

from cnncost.lecture import values
from cnncost.lecture.arithmetic import evaluate
from cnncost.lecture.contents import FILE, SLIDES, TOPICS, topic_of
from cnncost.lecture.findings import find, summary
from cnncost.lecture.verdict import Verdict


def test_each_formula_has_the_measured_value(findings):
    wrong = [
        (f.slide.number, f.claim.what, f.claim.formula, f.exact_text)
        for f in findings
        if f.claim.formula and evaluate(f.claim.formula) != f.exact.value
    ]
    assert wrong == []


def test_differing_claims_have_a_reason_and_a_right_figure(findings):
    for finding in findings:
        if finding.verdict is Verdict.DIFFERS:
            assert finding.claim.reason, finding.claim
            assert finding.exact_text not in {"", "does not hold"}, finding.claim


def test_stated_claims_have_a_source(findings):
    assert [f.claim for f in findings if f.verdict is Verdict.STATED and not f.claim.source] == []


def test_reasons_only_name_measured_or_printed_figures(findings):
    """Long numbers in reasons are exact figures of the same slide, or printed on it."""
    for finding in findings:
        told = re.findall(r"\d{1,3}(?:,\d{3})+", finding.claim.reason)
        known = {
            text
            for other in findings
            if other.slide is finding.slide
            for text in (other.exact_text, other.printed, *(values.text(m) for _, m in other.beside))
        }
        assert set(told) <= known | {"10,000"}, finding.claim  # MNIST's test images


def test_every_table_cell_is_used_once(findings):
    for each in SLIDES:
        for table in each.tables:
            cells = [claim.cell for claim in table.claims if claim.cell]
            assert len(cells) == len(set(cells)), each
            assert len(cells) in {0, len(table.claims)}, each


def test_slides_are_in_order_under_each_topic():
    numbers = [each.number for each in SLIDES]
    assert len(set(numbers)) == len(numbers)
    assert numbers == sorted(numbers)


def test_topics_of_slides():
    assert [topic_of(slides[0]) for slides in TOPICS.values()] == list(TOPICS)


def test_slides_by_number_come_in_the_lectures_order():
    assert [each.number for each in FILE.course.numbered([55, 6, 55])] == [6, 55]


def test_the_summary_counts_each_verdict_once(findings):
    text = summary(findings)
    counts = [int(number) for number in re.findall(r"\d+", text)]
    assert counts[0] == len(findings) == sum(counts[1:])
    assert re.fullmatch(r"\d+ claims: \d+ exact, \d+ rounded, \d+ differ, \d+ stated", text)


@pytest.mark.parametrize("number", [6, 55])
def test_findings_of_a_single_slide_match_those_of_all(findings, number):
    assert find(FILE.course.numbered([number])) == tuple(f for f in findings if f.slide.number == number)
