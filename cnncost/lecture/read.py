"""Reads files of claims: the package's own course, or a teacher's. docs/claims.md describes the format.

A file is validated before anything is measured. Errors name the line.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from cnncost.errors import CnncostError
from cnncost.lecture.arithmetic import evaluate
from cnncost.lecture.claims import TOTAL, Below, Cell, Claim, Course, Experiment, Measure, Slide, Table
from cnncost.lecture.printed import ambiguity
from cnncost.lecture.read_measures import Measures
from cnncost.toml_file import Keys, parsed, text_of

__all__ = ["ClaimsError", "CourseFile", "read"]

# the keys that each kind of table may have
_TOP = ("course", "slide")
_SLIDE = ("number", "title", "topic", "claim")
_TEXTS = {
    "value": "the figure in it", "work": "a calculation", "formula": "a calculation", "right": "words",
    "reason": "a reason", "source": "a source",
}  # fmt: skip
"""Keys of a claim whose values are strings, and what each should contain."""
_CLAIM = ("what", "printed", "exact", *_TEXTS, "beside", "cell", "table", "where")
_BESIDE = ("what", "exact")
_EXAMPLE = 'add [[slide]] with number = 1, title = "…", and below it [[slide.claim]]'


class ClaimsError(CnncostError):
    """A file of claims that can't be used."""


class CourseFile(Measures):
    """A parsed file of claims: `course` has the claims, and `wrong` creates errors that name the line."""

    error = ClaimsError

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(path, text)
        self.course = self._course(parsed(path, text, ClaimsError))

    def _course(self, data: dict[str, Any]) -> Course:
        self.check_keys(data, (), _TOP, "a file of claims")
        title = self._text(data, (), "course", 'a title: course = "…"')
        tables = self.typed(data.get("slide", []), list, ("slide",), "[[slide]] tables")
        if not tables:
            raise self.wrong((), f"no slide; {_EXAMPLE}")
        slides = tuple(self._slide(table, ("slide", i)) for i, table in enumerate(tables))
        numbers = set[int]()
        for i, slide in enumerate(slides):
            if slide.number in numbers:
                raise self.wrong(
                    ("slide", i, "number"), f"a second slide {slide.number}; give all its claims under the first"
                )
            numbers.add(slide.number)
        return Course(title, slides)

    def _slide(self, table: Any, keys: Keys) -> Slide:
        self.check_keys(table, keys, _SLIDE, "a slide")
        if "number" not in table:
            raise self.wrong(keys, "a slide without a number; add number = 1")
        number = self.typed(table["number"], int, (*keys, "number"), "a slide's number")
        title = self._text(table, keys, "title", 'a title: title = "…"')
        topic = self.typed(table.get("topic", ""), str, (*keys, "topic"), "a heading")
        claims = self.typed(table.get("claim", []), list, (*keys, "claim"), "[[slide.claim]] tables")
        if not claims:
            raise self.wrong(keys, 'a slide without a claim; add [[slide.claim]] with what = "…" and printed = "…"')
        return Slide(number, title, self._tables(claims, (*keys, "claim")), topic)

    def _tables(self, claims: list[Any], keys: Keys) -> tuple[Table, ...]:
        """Group consecutive claims with the same `table` and `where` into one table."""
        built_claims = [((*keys, i), self._claim(claim, (*keys, i))) for i, claim in enumerate(claims)]
        headed = [
            (self._heading(claim, keys), built) for claim, (keys, built) in zip(claims, built_claims, strict=True)
        ]
        tables = []
        for (caption, where), group in groupby(headed, key=lambda pair: pair[0]):
            together = tuple(claim for _, claim in group)
            self._check_cells(together)
            tables.append(Table(together, caption, where))
        return tuple(tables)

    def _heading(self, claim: dict[str, Any], keys: Keys) -> tuple[str, str]:
        """Return the caption of a claim's table, and the heading of the table's column of printed figures."""
        caption = self.typed(claim.get("table", ""), str, (*keys, "table"), "a caption")
        return caption, self.typed(claim.get("where", "on the slide"), str, (*keys, "where"), "who printed it")

    def _claim(self, table: Any, keys: Keys) -> Claim:
        self.check_keys(table, keys, _CLAIM, "a claim")
        exact = self.measure(table["exact"], (*keys, "exact")) if "exact" in table else None
        texts = {
            name: self.typed(table.get(name, ""), str, (*keys, name), expected) for name, expected in _TEXTS.items()
        }
        claim = Claim(
            self._text(table, keys, "what", 'what it is about: what = "parameters"'),
            self._text(table, keys, "printed", 'what the slide prints: printed = "25.6M"'),
            exact, beside=self._beside(table, keys), cell=self._cell(table, keys), keys=keys, **texts,
        )  # fmt: skip
        self._check_figures(claim)
        return claim

    def _text(self, table: dict[str, Any], keys: Keys, name: str, expected: str) -> str:
        if name not in table:
            raise self.wrong(keys, f"{name}: missing; expected {expected}")
        text: str = self.typed(table[name], str, (*keys, name), expected)
        if not text.strip():
            raise self.wrong((*keys, name), f"{name}: is empty; expected {expected}")
        return text

    def _check_figures(self, claim: Claim) -> None:
        """Raise ClaimsError if the formula is invalid or the figure is ambiguous."""
        if claim.formula:
            try:
                evaluate(claim.formula)
            except ValueError as error:
                raise self.wrong((*claim.keys, "formula"), str(error)) from None
        if claim.exact is None or isinstance(claim.exact, (Below, Experiment)):
            return  # a statement, or nothing to compare with
        name = "value" if claim.value else "printed"
        if why := ambiguity(claim.value or claim.printed):
            raise self.wrong((*claim.keys, name), f"{name}: {why}")

    def _beside(self, table: dict[str, Any], keys: Keys) -> tuple[tuple[str, Measure], ...]:
        expected = 'further measures: beside = [{ what = "MACs", exact = { … } }]'
        entries = self.typed(table.get("beside", []), list, (*keys, "beside"), expected)
        measures = []
        for i, each in enumerate(entries):
            place = (*keys, "beside", i)
            self.check_keys(each, place, _BESIDE, "a further measure")
            what = self._text(each, place, "what", 'what it is: what = "MACs"')
            if "exact" not in each:
                raise self.wrong(place, f"exact: missing; expected {expected}")
            measures.append((what, self.measure(each["exact"], (*place, "exact"))))
        return tuple(measures)

    def _cell(self, table: dict[str, Any], keys: Keys) -> Cell | None:
        if "cell" not in table:
            return None
        place, cell = (*keys, "cell"), table["cell"]
        self.check_keys(cell, place, Cell._fields, "a cell")
        side, row = cell.get("side"), cell.get("row")
        if side not in {"fc", "conv"} or not (row == "total" or (type(row) is int and row > TOTAL)):
            raise self.wrong(
                place, f'cell: expected {{ side = "fc" or "conv", row = 1, 2, … or "total" }}, got {cell!r}'[:300]
            )
        return Cell("fc" if side == "fc" else "conv", TOTAL if row == "total" else row)

    def _check_cells(self, claims: tuple[Claim, ...]) -> None:
        """Raise ClaimsError if only some claims of a table have a cell, or two have the same cell."""
        cells = [claim.cell for claim in claims]
        cells_so_far = set[Cell]()
        for claim in claims if any(cells) else ():
            if claim.cell is None:
                raise self.wrong(
                    claim.keys, "a claim without a cell in a table with cells; give cells to all claims, or to none"
                )
            if claim.cell in cells_so_far:
                raise self.wrong((*claim.keys, "cell"), "cell: another claim has this cell; give each its own row")
            cells_so_far.add(claim.cell)


def read(path: Path) -> CourseFile:
    """Read and check a file of claims.

    Raises:
        ClaimsError: the file does not exist or is not valid TOML, a key or quantity is unknown (similar ones are
            suggested), a value has the wrong type, a figure can be read in two ways, or two slides have the same
            number. The message begins with file and line.
    """
    return CourseFile(path, text_of(path, ClaimsError, "claims"))
