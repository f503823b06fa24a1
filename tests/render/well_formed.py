"""Whether a text is of its format: a parser for each, which fails where the text is not."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest


class Wellformed(HTMLParser):
    """Tags that are open, innermost last; one that closes another than the innermost fails."""

    VOID = frozenset({"meta", "br", "img", "hr", "link", "input", "col"})

    def __init__(self):
        super().__init__()
        self.open, self.closed = [], []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"<{tag}>: an attribute stands twice"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.closed.append(tag)


def html_is_well_formed(text):
    assert text.startswith("<!doctype html>\n<html")
    parser = Wellformed()
    parser.feed(text)
    parser.close()
    assert (parser.open, parser.closed.count("html"), parser.closed.count("body")) == ([], 1, 1)
    assert {"h1", "title"} <= set(parser.closed)
    assert {"table", "ul", "p"} & set(parser.closed)


def latex_is_balanced(text):
    text = re.sub(r"(?<!\\)%.*", "", text)
    waiting = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if kind == "begin":
            waiting.append(name)
        else:
            assert waiting.pop() == name
    assert waiting == []
    assert not re.search("[×≥≤±−→·²³…µ≈✓✗∞⌈⌉]", text), "a sign that LaTeX does not know"
    bare = re.sub(r"\\\\|\\[{}$&#%_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    kind = r">\{\\raggedright\\arraybackslash\}p\{[0-9.]+em\}"
    tables = re.findall(
        rf"\\begin\{{(tabular|longtable)\}}(?:\[l\])?\{{@\{{\}}((?:[lr]|{kind})+)@\{{\}}\}}(.*?)\\end\{{\1\}}",
        text,
        re.DOTALL,
    )
    assert len(tables) == len(re.findall(r"\\begin\{(?:tabular|longtable)\}", text))
    for _, columns, body in tables:
        rows = [line.replace(r"\&", "") for line in body.splitlines() if "&" in line.replace(r"\&", "")]
        assert rows
        assert {line.count("&") + 1 for line in rows} == {len(re.sub(kind, "p", columns))}


def markdown_tables_are_even(text):
    assert re.match(r"#+ \S|\| ", text)
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    for block in blocks:
        lines = block.splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1, block
        assert re.fullmatch(r"\|(?: :?-{2,}:? \|)+", lines[1])
    assert len(re.findall(r"^\|", text, re.MULTILINE)) == sum(len(block.splitlines()) for block in blocks)
    assert blocks or re.search(r"^- ", text, re.MULTILINE)


def csv_rows_are_even(text):
    heading, *rows = csv.reader(io.StringIO(text), strict=True)
    assert len(set(heading)) == len(heading)
    assert rows
    assert {len(row) for row in rows} == {len(heading)}


def json_is_one_object(text):
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert isinstance(data, dict)


def text_has_no_markup(text):
    lines = text.splitlines()
    assert len(lines) > 1
    assert all(line == line.rstrip() for line in lines)
    assert not re.search(r"\x1b|</[a-z]+>|\\[a-z]+\{", text)


PARSERS = {
    "text": text_has_no_markup, "markdown": markdown_tables_are_even, "csv": csv_rows_are_even,
    "json": json_is_one_object, "html": html_is_well_formed, "latex": latex_is_balanced,
}  # fmt: skip
