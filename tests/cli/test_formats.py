"""Every command that offers a format: what it writes as JSON, CSV and markdown has the same numbers, by one schema."""

import contextlib
import csv
import io
import json
import re

import pytest

from cnncost import units
from cnncost.render.formats import FORMATS
from cnncost.render.json import SCHEMA
from tests.cli.calls import exit_code
from tests.render.well_formed import PARSERS

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


class Written(dict):
    """A command runs when its file is asked for."""

    def __init__(self, folder):
        self.folder = folder

    def __missing__(self, asked):
        command, form = asked
        path = self.folder / f"{command}{ENDINGS[form]}"
        with contextlib.chdir(self.folder):
            assert exit_code(command.split()[0], *COMMANDS[command], "-o", str(path)) == 0, command
        text = self[asked] = path.read_text(encoding="utf-8")
        return text


ENDINGS = {form: ending for ending, form in FORMATS.endings.items()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What each command writes, by command and format; `text` as in a file."""
    folder = tmp_path_factory.mktemp("formats")
    (folder / "cnncost.toml").write_text(BUDGET)
    (folder / "lenet_kept.py").write_text(KEEPS)
    return Written(folder)


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
    named = {form for form in FORMATS.names if "lenet" in written[command, form].lower()}
    assert named >= {*FORMATS.names} - {"text", "csv"}  # a budget's text has its path, CSV rows alone
    assert rows_of(written[command, "csv"])


@pytest.mark.parametrize(
    ("command", "form"),
    [(name, form) for name in COMMANDS for form in FORMATS.names],
)
def test_what_is_written_is_of_its_format(written, command, form):
    text = written[command, form]
    PARSERS[form](text)
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
