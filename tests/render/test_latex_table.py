"""How a LaTeX table fits a page: type, lines in cells, turned pages, tables longer than a page."""

import re

import pytest

from cnncost.render.document import Column, Document, Equation, Equations, Table, rows
from cnncost.render.latex import escaped, to_latex
from cnncost.render.latex_table import table_lines

LONG = "a reason of many words that an author would break into lines " * 4


def table(*columns, count=3):
    """Columns as (kind, value), each value in all of `count` rows."""
    made = [Column(f"c{i}", "h", kind) for i, (kind, _) in enumerate(columns)]
    return Table(tuple(made), rows([value for _, value in columns] for _ in range(count)))


@pytest.mark.parametrize(
    ("given", "size", "turned", "wraps"),
    [
        pytest.param(table(("text", "a"), ("count", 1)), "", False, 0, id="narrow"),
        pytest.param(
            table(("text", "x" * 30), ("count", 10**26)), r"\small", False, 0, id="30, a gap of 2 and 35: 67 of 67"
        ),
        pytest.param(
            table(*[("count", 10**8)] * 5), r"\small", False, 0, id="5 numbers of 11 and 4 gaps of 2: 63 of 67"
        ),
        pytest.param(table(*[("count", 10**8)] * 10), r"\footnotesize", True, 0, id="10 numbers: 128 of 131"),
        pytest.param(table(*[("count", 10**8)] * 14), r"\tiny", True, 0, id="14 numbers: 180 of 210"),
        pytest.param(table(("text", LONG), ("count", 1)), r"\small", False, 1, id="a long text is in lines"),
        pytest.param(table(("text", LONG), ("texts", (LONG, LONG))), r"\small", False, 2, id="two long texts"),
        pytest.param(table(("code", "a b " * 40), ("count", 1)), r"\tiny", True, 0, id="code is not broken"),
    ],
)
def test_what_is_wide_fits(given, size, turned, wraps):
    text = "\n".join(table_lines(given, escaped))
    assert re.match(r"(\\begin\{landscape\}\n)?\{(\\[a-z]+)?\\setlength", text)[2] == (size or None)
    assert (r"\begin{landscape}" in text) == (r"\end{landscape}" in text) == turned
    assert text.count(r"\arraybackslash") == wraps


def test_texts_in_lines_take_the_room_that_is_left():
    """9 pt: 61·10/9 = 67 digits, less 2 for a gap and 1 for the number: 64, half an em each."""
    text = "\n".join(table_lines(table(("text", LONG), ("count", 1)), escaped))
    assert r"p{32em}r@{}}" in text


@pytest.mark.parametrize(("count", "name"), [(32, "tabular"), (33, "longtable")])
def test_a_long_table_goes_over_pages(count, name):
    text = "\n".join(table_lines(table(("text", "a"), ("count", 1), count=count), escaped))
    assert rf"\begin{{{name}}}" in text
    assert rf"\end{{{name}}}}}" in text
    assert (r"\endhead" in text) == (name == "longtable")


def test_a_table_of_few_rows_with_many_lines_goes_over_pages():
    """Each row has 248 characters in lines of 64: 4 lines. 9 rows are 36 lines."""
    assert any(
        r"\begin{longtable}" in line for line in table_lines(table(("text", LONG), ("count", 1), count=9), escaped)
    )


@pytest.mark.parametrize(
    ("formula", "lines"),
    [
        pytest.param("2{,}048\\,B + 7", 1, id="short"),
        pytest.param(
            r"\max(" + ", ".join([r"446\,B\,N^{2} + 48{,}887{,}016"] * 4) + ")", 2, id="4 of 18 or 19 glyphs, 2 a line"
        ),
        pytest.param(" + ".join(["1234567890"] * 9), 3, id="9 of 11, the first of 10: 3 a line"),
        pytest.param(
            r"B\,\left(" + " + ".join(["1234567890"] * 9) + r"\right)", 1, id="brackets that grow are not broken"
        ),
        pytest.param(r"\frac{" + " + ".join(["1234567890"] * 9) + "}{2} + 1234567890", 2, id="nor are fractions"),
    ],
)
def test_a_long_formula_is_in_lines(formula, lines):
    """Each line is whole: braces and growing brackets open and close in it; together the lines are the formula."""
    text = to_latex(Document("formula", parts=(Equations((Equation(("n",), "", formula),), ("", "")),)))
    told = text.split("&= ")[1].split("\n\\end")[0].split(" \\\\\n    &\\quad ")
    assert len(told) == lines
    assert " ".join(told) == formula
    for line in told:
        assert line.count("{") == line.count("}")
        assert line.count(r"\left") == line.count(r"\right")
