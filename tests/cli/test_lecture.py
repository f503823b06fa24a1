"""`cnncost lecture`: what is shown, formats, files, wrong usage."""

import io
import json
import subprocess
import sys

import pytest

from cnncost.render.formats import FORMATS
from tests.cli.calls import exit_code


def run(*arguments):
    return exit_code("lecture", *arguments)


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def test_one_slide(capsys):
    assert run("--slide", "55") == 0
    out = capsys.readouterr().out
    assert "Slide 55: More conv layers" in out
    assert "2  FC-100    30k   30,000  exact    Conv-10  2496*   2,416  differs" in out
    assert out.splitlines()[-1].endswith(" stated")
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_slides_repeat_in_the_lectures_order(capsys):
    assert run("--slide", "81", "--slide", "5") == 0
    out = capsys.readouterr().out
    assert out.index("Slide 5:") < out.index("Slide 81:")


def test_the_width_of_the_terminal_is_used(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert run("--slide", "55") == 0
    out = capsys.readouterr().out
    assert "how, and why" in out
    assert 120 < max(map(len, out.splitlines())) <= 160


def test_only_what_differs(capsys):
    assert run("--slide", "5", "--slide", "6", "--verdict", "differs", "--format", "json") == 0
    claims = json.loads(capsys.readouterr().out)["claims"]
    assert [(claim["slide"], claim["printed"]) for claim in claims] == [(5, "768 px"), (6, "larger images (larger m)")]


def test_nothing_of_that_verdict_is_told(capsys):
    assert run("--slide", "41", "--verdict", "differs") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 claims: 0 exact, 0 rounded, 0 differ, 0 stated"


def test_colors_only_where_they_are_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run("--slide", "5") == 0
    assert "\x1b[1;31mdiffers\x1b[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("--slide", "5") == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("58", "the nearest with claims are 56 and 57"),
        ("23", "the nearest with claims are 22 and 24"),
        ("0", "the nearest with claims are 3 and 4"),
        ("-1", "slide -1: has no claim"),
        ("200", "the nearest with claims are 94 and 95"),
    ],
)
def test_a_slide_without_claims_names_near_ones(capsys, number, words):
    assert run("--slide", number) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert words in caught.err
    assert "(slides with claims: 3-6, 17-22, 24-26, " in caught.err
    assert "Traceback" not in caught.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--slide", "five"], "'five' is not a valid integer"),
        (["--verdict", "wrong"], "'wrong' is not one of 'exact', 'rounded', 'differs', 'stated'"),
        (["--format", "rtf"], "'rtf' is not one of"),
        (["-o", "page.rtf"], f"page.rtf: expected a name that ends in {FORMATS.usual_endings}, got .rtf"),
        (["-o", "slides"], f"slides: expected a name that ends in {FORMATS.usual_endings}, got no ending"),
        (["--write-reports", "reports", "--slide", "5"], "give no other argument"),
        (["55"], "55: expected a file of claims; for a slide, use --slide 55"),
        (["nope.toml"], "nope.toml: can't be read: No such file or directory; expected claims in TOML"),
    ],
)
def test_wrong_usage(capsys, arguments, words):
    assert run(*arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("page.md", "# The lecture, checked: "),
        ("rows.csv", "slide,title,table,"),
        ("all.json", '{\n  "schema": 3,'),
        ("page.txt", "The lecture, checked: "),
    ],
)
def test_files_by_their_ending(tmp_path, capsys, name, beginning):
    target = tmp_path / name
    assert run("--slide", "5", "-o", str(target)) == 0
    assert capsys.readouterr().out == ""
    assert target.read_text(encoding="utf-8").startswith(beginning)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_format_wins_over_the_ending(tmp_path):
    assert run("--slide", "5", "--format", "csv", "-o", str(tmp_path / "rows.data")) == 0
    assert (tmp_path / "rows.data").read_text().startswith("slide,")


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert run("--slide", "5", "-o", str(tmp_path / "none" / "page.md")) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.long
def test_reports_are_written_into_a_folder(tmp_path):
    assert run("--write-reports", str(tmp_path)) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lecture.csv", "lecture.md"]


PROBE = """
import sys
from cnncost.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(sorted({"torch", "rich", "pandas"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        pytest.param(["lecture", "--help"], "[]", id="help waits for nothing"),
        pytest.param(["lecture", "--slide", "58"], "[]", id="a wrong slide is told at once"),
        pytest.param(["lecture", "--slide", "41"], "['torch']", id="piped output does without rich"),
    ],
)
def test_imports(arguments, loaded):
    command = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # our own code
    assert done.stderr.splitlines()[-1] == loaded


def test_a_terminal_without_unicode(monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    assert run("--slide", "32") == 0
    screen.flush()
    out = screen.buffer.getvalue().decode("ascii")
    assert '28 "px"' in out
    assert "28 + 2*1 - 3 + 1 = 28" in out
    assert "?" not in out


def test_help_keeps_its_examples_on_lines_of_their_own(capsys):
    assert run("--help") == 0
    assert "\n    cnncost lecture --slide 55\n" in capsys.readouterr().out


CLAIMS = """
course = "A. Teacher, Networks"
[[slide]]
number = 7
title = "Nets"
[[slide.claim]]
what = "parameters"
printed = "{printed}"
exact = {{ model = "net.py:Net", quantity = "params", input = "1x3x8x8" }}
"""
NET = """
from torch import nn

print("imported")


class Net(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 4, 3, bias=False)

    def forward(self, x):
        print("run")
        return super().forward(x)
"""


@pytest.fixture
def claims(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    path = tmp_path / "claims.toml"
    path.write_text(CLAIMS.format(printed="108"))
    return path


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json"])
def test_a_teachers_own_claims(capfd, claims, form):
    assert run(str(claims), "--slide", "7", "--format", form) == 0
    out = capfd.readouterr().out
    assert "108" in out
    assert "exact" in out
    assert "imported" not in out
    assert "run" not in out
    assert "MN909" not in out
    assert form == "csv" or "A. Teacher, Networks" in out


@pytest.mark.parametrize(("printed", "code"), [("108", 0), ("0.1k", 0), ("109", 1)])
def test_the_exit_code_says_that_a_claim_differs_if_it_is_asked_to(claims, printed, code):
    claims.write_text(CLAIMS.format(printed=printed))
    assert run(str(claims), "--exit-code") == code
    assert run(str(claims), "--exit-code", "--verdict", "exact") == code
    assert run(str(claims)) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("params", "parms"), "unknown quantity 'parms'; did you mean params"),
        (("net.py", "nett.py"), "nett.py"),
        (("7", '"7"'), "number: expected a slide's number, got '7'"),
        (("]]", "]"), "broken TOML"),
        (("108", "10,8k"), "expected a point for decimals"),
        (("1x3x8x8", "1x4x8x8"), "4"),
    ],
)
def test_bad_claims_are_one_line_and_write_nothing(capsys, claims, tmp_path, change, words):
    claims.write_text(CLAIMS.format(printed="108").replace(*change, 1))
    assert run(str(claims), "-o", str(tmp_path / "out.md")) == 2
    caught = capsys.readouterr()
    (line,) = [line for line in caught.err.splitlines() if line.startswith("cnncost: ")]
    assert words in line
    assert "claims.toml:" in line
    assert not caught.out
    assert not (tmp_path / "out.md").exists()


def test_a_slide_that_is_not_in_a_teachers_file(capsys, claims):
    assert run(str(claims), "--slide", "8") == 2
    assert "slide 8: has no claim to check; only 7 has (slides with claims: 7)" in capsys.readouterr().err
