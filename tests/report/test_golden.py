"""What the renderers write, kept as files, and the numbers in these files: rows add up to their total."""

import csv
import json
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cnncost.render import csv as csv_renderer
from cnncost.render import html, markdown
from cnncost.report.document import document, page, to_text
from cnncost.report.json_format import to_json
from cnncost.report.rows import Totals
from cnncost.report.schema import names


def to_markdown(report, **how):
    return markdown.to_markdown(document(report, **how))


def to_csv(report, **how):
    return csv_renderer.to_csv(document(report, **how))


def to_html(report):
    return html.to_html(page(report))


GOLDEN = Path(__file__).parent.parent / "golden"
RENDERED = {
    "module.txt": partial(to_text, width=80),
    "module.wide.txt": partial(to_text, width=160),
    "layer.txt": partial(to_text, by="layer", width=120),
    "op.txt": partial(to_text, by="op", width=100),
    "ascii.txt": partial(to_text, width=80, encoding="ascii"),
    "layer.md": to_markdown,
    "module.md": partial(to_markdown, by="module"),
    "op.md": partial(to_markdown, by="op"),
    "layer.csv": to_csv,
    "module.csv": partial(to_csv, by="module"),
    "op.csv": partial(to_csv, by="op"),
    "json": to_json,
    "html": to_html,
}
NAMES = ["lenet5", "odd"]


@pytest.mark.parametrize("ending", RENDERED)
@pytest.mark.parametrize("name", NAMES)
def test_rendered_as_before(name, ending, report, golden):
    made = replace(report(name), made_with={"cnncost": "1.2.3", "torch": "4.5.6"})  # whichever are at hand
    text = RENDERED[ending](made).rstrip("\n") + "\n"
    assert text == golden(f"{name}.{ending}", text)


@pytest.mark.parametrize("name", NAMES)
def test_no_golden_file_is_left_over(name):
    assert {path.name for path in GOLDEN.glob(f"{name}.*")} == {f"{name}.{ending}" for ending in RENDERED}


def read(name: str, ending: str) -> str:
    return (GOLDEN / f"{name}.{ending}").read_text(encoding="utf-8")


def number(text: str) -> int:
    return int(re.sub(r"[^0-9]", "", text) or 0)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_json_add_up(name):
    data = json.loads(read(name, "json"))
    for column in (
        "params",
        "trainable_params",
        "frozen_params",
        "buffers",
        "macs",
        "flops",
        "bytes_read",
        "bytes_written",
    ):
        assert sum(layer[column] for layer in data["layers"]) == data["totals"][column]
    for column in ("macs", "flops", "bytes_read", "bytes_written"):
        assert sum(op[column] for op in data["ops"]) == data["totals"][column]


@pytest.mark.parametrize("by", ["layer", "op"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_of_csv_add_up(name, by):
    totals = json.loads(read(name, "json"))["totals"]
    rows = list(csv.DictReader(read(name, f"{by}.csv").splitlines()))
    columns = totals.keys() & rows[0].keys()
    assert {"macs", "flops", "bytes_read", "bytes_written"} <= columns
    for column in columns & {*names(Totals, "sum")}:  # not ratios
        assert sum(int(row[column]) for row in rows) == totals[column]


@pytest.mark.parametrize("name", NAMES)
def test_first_row_of_modules_in_csv_is_the_total(name):
    totals = json.loads(read(name, "json"))["totals"]
    first = next(csv.DictReader(read(name, "module.csv").splitlines()))
    for column in totals.keys() & first.keys():
        assert first[column] == ("" if totals[column] is None else str(totals[column])), column


@pytest.mark.parametrize("by", ["layer", "op"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_of_markdown_add_up(name, by):
    lines = [line for line in read(name, f"{by}.md").splitlines() if line.startswith("|")]
    heading, _, *rows = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in lines]
    *rows, total = rows
    assert total[0] == "**total**"
    for i in (heading.index(column) for column in ("params", "MACs", "FLOPs") if column in heading):
        assert sum(number(row[i]) for row in rows) == number(total[i])


def table_of(text: str) -> tuple[list[str], list[list[str]], list[str]]:
    """Heading, rows and total line of a text table: cells by where the headings end."""
    head, _, body = text.partition("\n\n")[2].partition("\n\n")[0].partition("\n")
    rule, *lines = body.split("\n")
    assert set(rule) == {"─"}
    *rows, _, total = lines
    ends = {
        column: re.search(rf"\b{column}\b", head).end()
        for column in ("params", "MACs", "FLOPs")
        if f" {column}" in head
    }
    return list(ends), [cells_of(line, ends) for line in rows], cells_of(total, ends)


def cells_of(line: str, ends: dict[str, int]) -> list[str]:
    return [line, *(re.split(" {2,}", line[:end])[-1] for end in ends.values())]


@pytest.mark.parametrize("ending", ["layer.txt", "op.txt", "module.wide.txt"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_of_text_add_up(name, ending):
    columns, rows, total = table_of(read(name, ending).replace("線", "xx"))
    assert total[0].startswith("total")
    outermost = [row for row in rows if row[0][0] not in "├└│ "]
    for i in range(1, len(columns) + 1):
        assert sum(number(row[i]) for row in outermost) == number(total[i])


def test_branches_of_text_add_up():
    _, rows, _ = table_of(read("odd", "module.wide.txt").replace("線", "xx"))
    first = next(i for i, row in enumerate(rows) if row[0].startswith("blocks"))
    branches = [row for row in rows[first + 1 :] if row[0].startswith("└─ 0 … 3 ×4")]
    assert [number(cell) for cell in branches[0][1:]] == [number(cell) for cell in rows[first][1:]]


class Tables(HTMLParser):
    """Texts of the cells of each row of each table, and of the rows of the tree with their level."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tree: list[tuple[int, list[str]]] = []
        self.open: list[tuple[str, str]] = []
        self.level = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        css = dict(attrs).get("class") or ""
        if tag in {"meta", "br"}:
            return
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        elif tag == "details":
            self.level += 1
        elif css.startswith("row"):
            self.tree.append((self.level - (tag == "summary"), []))
        elif tag == "span" and self.open[-1][1].startswith("row"):
            self.tree[-1][1].append("")
        self.open.append((tag, css))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag
        self.level -= tag == "details"

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self.open]
        if "td" in tags or "th" in tags:
            self.tables[-1][-1][-1] += data
        elif any(css.startswith("row") for _, css in self.open) and "span" in tags:
            self.tree[-1][1][-1] += data


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_html_add_up(name):
    page = Tables()
    page.feed(read(name, "html"))
    assert page.open == []
    for heading, *rows, total in page.tables:
        for i in (heading.index(column) for column in ("params", "MACs", "FLOPs") if column in heading):
            assert sum(number(row[i]) for row in rows) == number(total[i])
    (_, heading), *tree, (_, total) = page.tree
    for i in (heading.index(column) for column in ("params", "MACs", "FLOPs")):
        assert sum(number(row[i]) for level, row in tree if level == 0) == number(total[i])
