"""The claims as CSV and JSON: one per row, with exact numbers."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from cnncost.lecture import values
from cnncost.lecture.contents import LECTURE
from cnncost.lecture.findings import Finding, Findings
from cnncost.lecture.values import Measured
from cnncost.lecture.verdict import Verdict
from cnncost.render import csv, json

__all__ = ["COLUMNS", "to_csv", "to_json"]

COLUMNS = (
    "slide", "title", "table", "column", "row", "what", "printed", "exact", "unit", "verdict", "distance", "how",
    "beside", "reason", "source",
)  # fmt: skip
_PLACES = 4


def to_csv(findings: Findings) -> str:
    """One claim per line; numbers without separators, ratios with four decimals."""
    return csv.written(COLUMNS, map(_row, findings))


def _row(finding: Finding) -> tuple[str | int, ...]:
    claim = finding.claim
    column, row = (claim.cell.side, claim.cell.row or "total") if claim.cell else ("", "")
    exact, unit = (_plain(finding.exact, claim.right), finding.exact.unit) if finding.exact else ("", "")
    return (
        finding.slide.number, finding.slide.title, finding.table.caption, column, row,
        claim.what, finding.printed, exact, unit, finding.verdict.value, finding.judgement.distance, finding.how,
        finding.beside_text, claim.reason, claim.source,
    )  # fmt: skip


def _plain(measured: Measured, right: str = "") -> str:
    value = measured.value
    if isinstance(value, Fraction) and value.denominator != 1:
        return values.decimal(value, _PLACES).replace(",", "")
    if isinstance(value, int | Fraction) and not isinstance(value, bool):
        return str(int(value))
    return values.text(measured, right)


def to_json(findings: Findings, course: str = LECTURE) -> str:
    """All claims, and the number with each verdict."""
    counts = Counter(finding.verdict for finding in findings)
    document = {
        "schema": json.SCHEMA,
        "command": "lecture",
        "lecture": course,
        "summary": {"claims": len(findings), **{verdict.value: counts[verdict] for verdict in Verdict}},
        "claims": [_claim(finding) for finding in findings],
    }
    return json.written(document)


def _claim(finding: Finding) -> dict[str, object]:
    claim = finding.claim
    return {
        "slide": finding.slide.number,
        "title": finding.slide.title,
        "table": finding.table.caption,
        "cell": claim.cell._asdict() if claim.cell else None,
        "what": claim.what,
        "printed": finding.printed,
        "exact": _measured(finding.exact, claim.right) if finding.exact else None,
        "verdict": finding.verdict.value,
        "distance": finding.judgement.distance,
        "how": finding.how,
        "beside": [{"what": words, **_measured(measured)} for words, measured in finding.beside],
        "reason": claim.reason,
        "source": claim.source,
    }


def _measured(measured: Measured, right: str = "") -> dict[str, object]:
    value = measured.value
    plain = round(float(value), _PLACES) if isinstance(value, Fraction) and value.denominator != 1 else value
    if isinstance(plain, Fraction):
        plain = int(plain)
    return {"value": plain, "unit": measured.unit, "text": values.text(measured, right)}
