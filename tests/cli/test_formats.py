"""Every command that offers a format: what it writes as JSON, CSV and markdown has the same numbers, by one schema."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from cnncost import units
from cnncost.cli import main
from cnncost.render.formats import ENDINGS, FORMATS
from cnncost.render.json import SCHEMA

LENET = ("lenet5",)
COMMANDS = {
    "summarize": LENET, "rf": LENET, "memory": (*LENET, "--inference", "--top", "50"),
    "roofline": (*LENET, "--device", "h100", "--all"), "compare": ("lenet5", "lenet300"), "diff": ("lenet1", "lenet5"),
    "verify": (*LENET, "--no-fvcore"), "check": (), "lecture": ("--slide", "55"),
    "lecture whole": (),
    "formula": (*LENET, "--vary", "batch"),
    "formula odd": ("lenet_kept.py:Odd", "--input", "1x1x16x16", "--vary", "batch,size", "--by", "layer"),
    "sweep": (*LENET, "lenet1", "--batch", "1,8", "--jobs", "1"),
    "serve": ("lenet_kept.py:Keeps", "--input", "1x1x4", "--context", "6"),
    "devices": (), "devices dsp32c": ("dsp32c",), "zoo": (), "zoo lenet5": LENET,
}  # fmt: skip


KEEPS = """
import torch
from torch import nn


class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def step(self, x, cache):
        seen = x if cache is None else torch.cat([cache, x], 1)
        return self.mix(seen).sum(1), seen


class Odd(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, 2, 1))
"""
BUDGET = '[[budget]]\nmodel = "lenet5"\nmacs = "<= 1M"\nparams = "<= 60k"\n'


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What each command writes, by command and format; `text` as in a file."""
    folder = tmp_path_factory.mktemp("formats")
    (folder / "cnncost.toml").write_text(BUDGET)
    (folder / "lenet_kept.py").write_text(KEEPS)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command, arguments in COMMANDS.items():
            for ending in dict.fromkeys([".txt", *ENDINGS]):
                form = ENDINGS[ending]
                path = folder / f"{command}{ending}"
                with pytest.raises(SystemExit) as stopped:
                    main([command.split()[0], *arguments, "-o", str(path)])
                assert stopped.value.code == 0, command
                found[command, form] = path.read_text(encoding="utf-8")
    return found


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def cells(text):
    """Texts of all cells of markdown tables, without markup."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return {cell.strip().strip("*`") for line in lines for cell in re.split(r"(?<!\\)\|", line)}


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_by_the_one_schema(written, command):
    data = json.loads(written[command, "json"])
    assert list(data)[:2] == ["schema", "command"]
    assert (data["schema"], data["command"]) == (SCHEMA, command.split()[0])
    words = {".claims.what", ".claims.printed", ".claims.exact.text", ".claims.beside.what", ".claims.beside.text"}
    assert set(keys_with_display_text(data)) <= words  # what a slide prints, and a text beside its value


def keys_with_display_text(value, path=""):
    """Where a shape stands as text: `1×3×32×32 float32`."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from keys_with_display_text(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from keys_with_display_text(each, path)
    elif isinstance(value, str) and re.fullmatch(r"\d+(×\d+)+( \w+)?", value):
        yield path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_format_is_offered_and_names_the_model(written, command):
    assert {form for form in FORMATS if "lenet" in written[command, form].lower()} >= {*FORMATS} - {"csv"}
    assert rows_of(written[command, "csv"])


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
    assert not re.search(r"\x1b|<[a-z]+>|\\[a-z]+\{", text)


PARSED = {
    "text": text_has_no_markup, "markdown": markdown_tables_are_even, "csv": csv_rows_are_even,
    "json": json_is_one_object, "html": html_is_well_formed, "latex": latex_is_balanced,
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "form"),
    [(name, form) for name in COMMANDS for form in ("text", *FORMATS)],
)
def test_what_is_written_is_of_its_format(written, command, form):
    text = written[command, form]
    PARSED[form](text)
    assert len(text.splitlines()) >= 2  # a heading, and something was there to be read


ROWS = {
    "zoo lenet5": "figures",
    "devices": "devices",
    "summarize": "layers",
    "rf": "layers",
    "roofline": "rows",
    "compare": "models",
    "diff": "changes",
}


@pytest.mark.parametrize("command", ROWS)
def test_csv_and_json_have_the_same_rows(written, command):
    table, data = rows_of(written[command, "csv"]), json.loads(written[command, "json"])[ROWS[command]]
    assert len(table) == len(data) > 1
    numbers = 0
    for row, exact in zip(table, data, strict=True):
        for name in row.keys() & exact.keys():
            value = exact[name]
            if type(value) in {int, float}:
                assert float(row[name]) == value, name
                numbers += 1
            elif isinstance(value, list) and value and all(type(each) is int for each in value):
                assert row[name] == "x".join(map(str, value)), name
                numbers += 1
    assert numbers >= 3 * len(table)


def test_csv_and_json_have_the_same_rows_where_these_are_nested(written):
    holders = json.loads(written["memory", "json"])["runs"]["inference"]["holders"]
    assert [(row["path"], row["use"], int(row["bytes"])) for row in rows_of(written["memory", "csv"])] == [
        (each["path"], each["use"], each["nbytes"]) for each in holders
    ]
    (model,) = json.loads(written["check", "json"])["models"]
    assert [int(row["used"]) for row in rows_of(written["check", "csv"])] == [each["used"] for each in model["limits"]]
    (peer,) = json.loads(written["verify", "json"])["peers"]
    assert [(row["op"], int(row["ours"]), int(row["theirs"])) for row in rows_of(written["verify", "csv"])] == [
        (each["op"], each["ours"], each["theirs"]) for each in peer["explanations"]
    ]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("summarize", lambda data: [units.exact(row["macs"]) for row in data["layers"]]),
        ("compare", lambda data: [units.exact(row[name]) for row in data["models"] for name in ("params", "flops")]),
        ("rf", lambda data: [str(row["jump"][0]) for row in data["layers"]]),
        ("roofline", lambda data: [units.duration(row["seconds"]) for row in data["rows"]]),
        ("memory", lambda data: [units.data(each["nbytes"]) for each in data["runs"]["inference"]["holders"]]),
        ("diff", lambda data: [units.exact(data["macs"][side]) for side in ("old", "new")]),
        ("verify", lambda data: [units.exact(row["theirs"]) for row in data["peers"][0]["explanations"]]),
        ("check", lambda data: [units.compact(each["used"]) for each in data["models"][0]["limits"]]),
        ("lecture", lambda data: [claim["exact"]["text"] for claim in data["claims"] if claim["exact"]]),
    ],
)  # fmt: skip
def test_markdown_shows_the_numbers_of_json(written, command, shown):
    expected = shown(json.loads(written[command, "json"]))
    assert expected
    assert set(expected) <= cells(written[command, "markdown"])
