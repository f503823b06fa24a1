"""One document in every format: what is in its cells can't break a table, and numbers are the same in all."""

import csv
import dataclasses
import io
import json
import re
from fractions import Fraction
from html.parser import HTMLParser

import pytest

from cnncost.render.document import (
    COMPACT,
    Cell,
    Column,
    Curve,
    Document,
    Heading,
    Narrowing,
    Note,
    Notes,
    Picture,
    Row,
    Table,
    notes,
    rows,
)
from cnncost.render.formats import FORMATS, rendered
from cnncost.render.layout import plain, text_width
from cnncost.render.text import STYLES, showable, to_lines, to_text
from cnncost.render.values import Tensor, csv_cell, show, tensors, tensors_text
from cnncost.render.values import plain as as_json
from tests.render.well_formed import PARSERS

ODD = [
    "a|b",
    "two\nlines",
    "one, two",
    '"quoted"',
    "線形層",
    "e\u0301",
    "*bold* _em_",
    "<b>&amp;",
    "\\$50 100%#",
    "\x1b[31mred",
    # what a line may begin with that is markup there
    "- a",
    "+ b",
    "-",
    "---",
    "* c",
    "1. x",
    "2) y",
    "3.",
    ":f: g",
    ":x:",
    ".. x",
    "====",
    "=A1",
    "> cited",
    "#1",
    "[x] y",
    "[1]: z",
    "*",
    "| p",
    "~~~",
    "@me",
    "% remark",
    "\\",
    # signs that make another of their neighbours
    "\\|",
    "a\\",
    "a\\|b",
    "`",
    "`a",
    "a``b",
    "a--b --c",
    "'' ?` ,,",
    "&copy; &#35;",
    "__init__",
    "~a~ ~~b~~",
    "a:",
    "b.",
    "a\rb",
    "{x} $y$ ^z",
]
NAN, INF = float("nan"), float("inf")
COLUMNS = (
    Column("path", "layer", "code", empty="(the model)", least=8),
    Column("class", "class", least=4),
    Column("shape", "output", "shape"),
    Column("macs", "MACs", "count"),
    Column("bytes", "bytes", "bytes", empty="–"),
    Column("share", "share", "share", empty="–"),
    Column("bar", kind="bar", shown="text", least=6, gap=1),
    Column("inputs", kind="tensors", shown="data"),
)


def row(path, macs=1_234_567, role="row", **more):
    given = {"class": "Conv2d", "shape": (1, 8, 4, 4), "bytes": 2048, "share": Fraction(1, 3), "bar": Fraction(1, 2),
             "inputs": tensors([((1, 3, 8, 8), "float32"), ((), "int64")])} | more  # fmt: skip
    return Row(tuple({"path": path, "macs": macs, **given}[column.name] for column in COLUMNS), role)


def document(*shown, **how):
    table = Table(COLUMNS, shown, "layers", narrowing=(COMPACT, Narrowing(("class",))), optional=("bar",), **how)
    return Document("test", "net", "input 1×3", "cost", facts={"model": "net"}, parts=(table,))


ALL = document(
    *[row(text, macs) for macs, text in enumerate(ODD, 10**6)],
    row("2 more", 7, "rest"),
    row("total", sum(range(10**6, 10**6 + len(ODD))) + 7, "total"),
)


PEOPLES = [form.name for form in FORMATS if form.tree]
"""Formats for people; data keeps names as they are."""


def digits(text):
    return int(re.sub(r"\D", "", text))


def markdown_rows(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


class Cells(HTMLParser):
    """Texts of the cells of each row."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.inside = [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in {"td", "th"}

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def test_every_format_has_the_same_numbers():
    """10⁶, 10⁶ + 1, …: one a row; sums are for people alone."""
    expected = [10**6 + i for i in range(len(ODD))]
    data = json.loads(rendered(ALL, "json"))["layers"]
    table = list(csv.DictReader(io.StringIO(rendered(ALL, "csv"))))
    assert [each["macs"] for each in data] == expected
    assert [int(each["macs"]) for each in table] == expected
    for found in (markdown_rows(rendered(ALL, "markdown"))[2:], Cells(rendered(ALL, "html")).rows[1:]):
        assert [digits(each[3]) for each in found] == [*expected, 7, sum(expected) + 7]
    latex = [line for line in rendered(ALL, "latex").splitlines() if "Conv2d" in line]
    assert [digits(re.split(r"(?<!\\)&", line)[3]) for line in latex] == [*expected, 7, sum(expected) + 7]
    text = [line for line in to_text(ALL, 200).splitlines() if "Conv2d" in line]
    assert [digits(re.search(r"[\d,]{7,}| 7 ", line)[0]) for line in text] == [*expected, 7, sum(expected) + 7]


def test_names_come_back_from_data_as_they_were():
    data = json.loads(rendered(ALL, "json"))["layers"]
    table = list(csv.DictReader(io.StringIO(rendered(ALL, "csv"))))
    assert [each["path"] for each in data] == ODD
    assert [each["path"] for each in table] == ODD


def test_names_do_not_break_what_people_read():
    assert {len(each) for each in markdown_rows(rendered(ALL, "markdown"))} == {6}
    cells = Cells(rendered(ALL, "html"))
    assert {len(each) for each in cells.rows} == {7}  # with the bar
    assert cells.rows[8][0] == "<b>&amp;"
    for form in PEOPLES:
        assert "\x1b" not in rendered(ALL, form)
        assert re.search(r"two\S+nlines", rendered(ALL, form)), f"{form}: a newline, which is no part of a name's line"
    latex = rendered(ALL, "latex")
    assert r"\textbackslash{}\$50 100\%\#" in latex
    assert {line.count("&") - line.count("\\&") for line in latex.splitlines() if line.endswith("\\\\")} == {5}


def test_shapes_are_lists_and_dtypes_words():
    (found,) = json.loads(rendered(document(row("")), "json"))["layers"]
    assert found["shape"] == [1, 8, 4, 4]
    assert found["inputs"] == [{"shape": [1, 3, 8, 8], "dtype": "float32"}, {"shape": [], "dtype": "int64"}]
    (found,) = csv.DictReader(io.StringIO(rendered(document(row("")), "csv")))
    assert (found["shape"], found["inputs"]) == ("1x8x4x4", "1x3x8x8:float32; scalar:int64")
    assert tensors_text(tensors([((1, 3), "float32")])) == "1×3 float32"


def test_json_says_its_schema_and_command():
    data = json.loads(rendered(ALL, "json"))
    assert list(data) == ["schema", "command", "model", "layers"]
    assert (data["schema"], data["command"]) == (3, "test")
    assert sum(line.startswith("    {") for line in rendered(ALL, "json").splitlines()) == len(ODD)


@pytest.mark.parametrize("value", [None, NAN])
def test_what_is_missing(value):
    """People see the column's sign, CSV an empty cell, JSON null."""
    shown = document(row("conv", None, bytes=value, share=value, shape=()))
    assert json.loads(rendered(shown, "json"))["layers"][0]["bytes"] is None
    assert next(csv.DictReader(io.StringIO(rendered(shown, "csv"))))["bytes"] == ""
    assert markdown_rows(rendered(shown, "markdown"))[2] == ["`conv`", "Conv2d", "", "", "–", "–"]
    assert to_text(shown, 80).splitlines()[-1].split()[:4] == ["conv", "Conv2d", "–", "–"]


def test_an_infinite_number_is_written_as_one():
    assert (show("ratio", INF), show("seconds", -INF), as_json(INF), as_json((1, NAN))) == ("∞", "−∞", "inf", [1, None])
    assert json.loads(rendered(document(row("a", share=None, bytes=INF)), "json"))["layers"][0]["bytes"] == "inf"


def test_the_empty_path_is_the_model():
    shown = document(row(""))
    assert "`(the model)`" in rendered(shown, "markdown")
    assert "(the model)" in to_text(shown, 80)
    assert next(csv.DictReader(io.StringIO(rendered(shown, "csv"))))["path"] == ""


@pytest.mark.parametrize("number", [0, 7, 9])
def test_rows_of_another_length_are_refused(number):
    with pytest.raises(ValueError, match=f"row 1 has {number} values, expected 8"):
        Table(COLUMNS, (row("a"), Row((1,) * number)))


@pytest.mark.parametrize("how", [{"optional": ("bars",)}, {"narrowing": (Narrowing(("no",)),)}])
def test_a_column_that_is_not_there_is_refused(how):
    with pytest.raises(ValueError, match=r"no column '(bars|no)'; there are path, class"):
        Table(COLUMNS, (), **how)


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(ValueError, match="a name occurs twice"):
        Table((Column("a"), Column("a")), ())


def test_a_document_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ALL.title = "x"


@pytest.mark.parametrize("width", [60, 70, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal(width):
    lines = to_text(ALL, width).splitlines()
    assert max(map(text_width, lines)) <= width


def test_a_table_takes_its_steps_in_order():
    """First the bar goes, then counts get short, then the class goes."""
    least = dataclasses.replace(ALL, least=20)
    found = {}
    for width in range(90, 20, -1):
        text = to_text(least, width)
        found[width] = ("█" in text, "1,000,000" in text, "class" in text)
    order = list(dict.fromkeys(found.values()))
    assert order[0] == (True, True, True)
    assert order.index((False, True, True)) < order.index((False, False, True)) < order.index((False, False, False))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_without_the_signs_get_ascii(encoding):
    text = showable(to_text(ALL, 80), encoding)
    assert text.isascii()
    assert [len(line) for line in text.splitlines()] == [len(line) for line in text.splitlines() if line.isprintable()]
    assert "1*8*4*4" not in text
    assert "1x8x4x4" in text
    assert showable(to_text(ALL, 80), "utf-8") == to_text(ALL, 80)


def test_notes_are_lists_or_paragraphs():
    given = Document("test", parts=(notes("one", "", "two", listed=True), notes("three", "four.", listed=False)))
    assert rendered(given, "markdown") == "- one\n- two\n\nthree. four.\n"
    assert rendered(given, "text") == "one\ntwo\n\nthree\nfour.\n"
    assert "<ul><li>one</li><li>two</li></ul>" in rendered(given, "html")
    assert "  \\item one\n  \\item two\n" in rendered(given, "latex")


def test_a_note_stands_in_for_a_column_that_has_no_room():
    table = Table((Column("a", "a"), Column("wide", "wide")), rows([("x", "y" * 50)]), optional=("wide",))
    given = Document("test", parts=(table, Notes((Note("it is y", without="wide"), Note("always")))), least=20)
    assert "it is y" in to_text(given, 40)
    assert "it is y" not in to_text(given, 80)
    assert "it is y" not in rendered(given, "markdown")
    assert all("always" in each for each in (to_text(given, 40), to_text(given, 80), rendered(given, "html")))


def test_what_stands_out():
    shown = Document(
        "test", parts=(Table(COLUMNS[:2], (Row((Cell("a", style="front"), "b")), Row(("total", "c"), "total"))),)
    )
    assert "| **`a`** | b |" in rendered(shown, "markdown")
    assert "| **total** | **c** |" in rendered(shown, "markdown")
    assert "<tfoot>" in rendered(shown, "html")
    assert ("a", "front") in [part for line in to_lines(shown, 80) for part in line]
    assert {style for line in to_lines(ALL, 80) for _, style in line} - set(STYLES) <= {""}


def test_marks_and_tails_are_for_people():
    shown = document(row("a", Cell(5, mark="≥", tail=" (2 calls)")))
    assert "≥5 (2 calls)" in to_text(shown, 120)
    assert "≥5 (2 calls)" in rendered(shown, "markdown")
    assert json.loads(rendered(shown, "json"))["layers"][0]["macs"] == 5
    assert next(csv.DictReader(io.StringIO(rendered(shown, "csv"))))["macs"] == "5"


def test_a_value_stands_once():
    table = Table(
        (Column("m", "m", once=True), Column("n", "n", "count")), rows([("a", 1), ("a", 2), ("b", 3), ("a", 4)])
    )
    lines = to_text(Document("test", parts=(table,)), 80).splitlines()[2:]
    assert lines == ["a  1", "   2", "b  3", "a  4"]
    assert [each[0] for each in markdown_rows(rendered(Document("t", parts=(table,)), "markdown"))[2:]] == list("aaba")


@pytest.mark.parametrize(
    ("values", "marks", "shown"),
    [
        pytest.param((), {}, [], id="nothing"),
        pytest.param((1, 8, 4), {}, ["▂█▅"], id="heights by eighths of the largest"),
        pytest.param((0, 0), {}, ["▁▁"], id="nothing at all"),
        pytest.param((8,) * 12, {"one": 0, "two": 6}, ["█" * 12, "one   two"], id="names below"),
        pytest.param((8,) * 4, {"forward": 0, "backward": 2}, ["████", "forward from op 1, backward from op 3"],
            id="names that do not fit"),
        pytest.param((1, 8, 1, 1), {}, ["█▂"], id="the largest of what shares a place"),
    ],
)  # fmt: skip
def test_curves(values, marks, shown):
    width = 2 if values == (1, 8, 1, 1) else 80
    lines = [plain(line) for line in to_lines(Document("t", parts=(Curve(values, marks, most=width),)), 80)]
    assert lines == shown
    assert rendered(Document("t", parts=(Curve(values, marks),)), "markdown").strip() == ""


def test_headings_and_pictures():
    given = Document("t", "net", parts=(Heading("part", level=1), Picture("a b.svg", "drawn")), level=2)
    assert rendered(given, "markdown") == "## net\n\n### part\n\n![drawn](<a b.svg>)\n"
    assert '<img src="a b.svg" alt="drawn">' in rendered(given, "html")
    assert r"\subsection*{part}" in rendered(given, "latex")
    assert to_text(given, 80) == "net\n\npart"


def test_csv_needs_a_table():
    with pytest.raises(ValueError, match="there is no table to write as CSV"):
        rendered(Document("t"), "csv")


@pytest.mark.parametrize("form", FORMATS.names)
def test_every_format_is_well_formed_whatever_is_in_its_cells(form):
    assert form in PARSERS, f"{form}: tests/render/well_formed.py has no parser that reads it back; add one"
    for shown in (ALL, document(row("conv", None, bytes=NAN, share=None, shape=())), document(row("", INF))):
        PARSERS[form](rendered(shown, form))


@pytest.mark.parametrize("form", FORMATS.names)
def test_every_format_has_every_number(form):
    """10⁶, 10⁶ + 1, …, with or without separators of thousands."""
    text = rendered(ALL, form)
    text = re.sub(r"(?<=\d)(?:,|\{,\})(?=\d{3})", "", text) if form in PEOPLES else text
    assert {str(10**6 + i) for i in range(len(ODD))} <= set(re.findall(r"\d+", text))


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("count", 1_234_567, "1,234,567"), ("compact", 1_234_567, "1.23 M"), ("signed", -1_200, "−1.20 k"),
        ("signed", 0, "±0"), ("difference", 0, "same"), ("difference", -8192, "-8,192"), ("bytes", 2**20, "1.00 MiB"),
        ("seconds", 0.00319, "3.19 ms"), ("duration", 2 * 86400, "2.00 days"), ("share", Fraction(1, 300), "<1 %"),
        ("part", Fraction(1), "all"), ("part", Fraction(1, 2), "50 %"), ("error", -0.128, "−13 %"),
        ("headroom", Fraction(-1, 5000), "−<0.1 %"), ("growth", (2, 3), "+50 %"), ("growth", (0, 3), "new"),
        ("growth", (0, 0), "±0 %"), ("growth", (7, 7), "±0 %"),
        ("along", (3, 3), "3"), ("along", (3, "global"), "3×global"), ("flag", False, "no"),
        ("shapes", ((1, 2), (3,)), "1×2 +1"), ("texts", ("a", "b"), "a; b"),
        ("tensors", (Tensor((1, 2), "int8"),), "1×2"),
    ],
)  # fmt: skip
def test_looks(kind, value, shown):
    assert show(kind, value) == shown


def test_cells_of_csv():
    assert csv_cell(((1, 2), (3, 4))) == "1x2; 3x4"
    assert csv_cell(Fraction(1, 4)) == 0.25
    assert csv_cell(("a", "b"), "texts") == "a; b"


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        pytest.param("on X: 34 FLOP/s, 1.98 PF/s int8", 30, ["on X: 34 FLOP/s,", "  1.98 PF/s int8"], id="a unit"),
        pytest.param(
            "a model (Net), batch size 64, computed in bf16", 40,
            ["a model (Net), batch size 64,", "  computed in bf16"], id="a phrase",
        ),
        pytest.param("of tensors; workspaces come on top", 24, ["of tensors; workspaces", "  come on top"], id="long"),
        pytest.param("takes 5.00 µs or 3 ms and so", 11, ["takes", "  5.00 µs", "  or 3 ms", "  and so"], id="narrow"),
        pytest.param("limit ≤ 25.0 M of a and of b", 16, ["limit ≤ 25.0 M", "  of a and of b"], id="a sign"),
        pytest.param("a long one without a comma in it", 20, ["a long one without a", "  comma in it"], id="no comma"),
    ],
)  # fmt: skip
def test_lines_end_where_a_phrase_does(text, width, lines):
    from cnncost.render.text import wrapped

    assert wrapped(text, width) == lines


@pytest.mark.parametrize("width", [1, 7, 20, 40, 80, 120, 160])
def test_wrapping_loses_nothing(width):
    from cnncost.render.text import wrapped

    text = "989 TFLOP/s bfloat16, 3.35 TB/s; launch 5.00 µs (assumed), input 1×3×224×224 float32; batch size 1, " * 3
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert width < 20 or max(map(len, lines)) <= width
