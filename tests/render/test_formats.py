"""Formats are declared once: what `--format` and a file's ending say, and what a new one needs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnncost.errors import OutputError
from cnncost.render.formats import FORMATS, Format, listed

PACKAGE = Path(__file__).resolve().parents[2] / "cnncost"
REFERENCE = PACKAGE.parent / "docs" / "reference" / "cli.md"


def test_every_ending_belongs_to_one_format():
    endings = [ending for form in FORMATS for ending in form.endings]
    assert len(endings) == len(set(endings)) == len(FORMATS.endings)


def test_the_reference_lists_every_format():
    (line,) = re.findall(r"^- \*\*Output\*\*: .*", REFERENCE.read_text(), re.MULTILINE)
    missing = {form.name for form in FORMATS} - set(re.findall(r"\w+", line.lower()))
    assert not missing, f"{REFERENCE}: expected the names that --format takes in {line!r}"


OWN = FORMATS.also(Format("junit", (".xml",), meaning="test results"), Format("comment"))


@pytest.mark.parametrize(
    ("form", "path", "expected"),
    [
        (None, None, "text"), ("csv", None, "csv"), (None, "a.MD", "markdown"), (None, "a.htm", "html"),
        ("json", "a.txt", "json"), ("markdown", "a.markdown", "markdown"), ("csv", "a.dat", "csv"),
        (None, "a.xml", "junit"), ("comment", "a.md", "comment"), ("comment", "a.csv", "comment"),
    ],
)  # fmt: skip
def test_the_format_that_is_written(form, path, expected):
    assert OWN.choose(form, path) == expected


@pytest.mark.parametrize(
    ("form", "path", "told"),
    [
        pytest.param("csv", "a.md", "the name says markdown, and --format says csv; .* ends in .csv", id="another"),
        pytest.param("text", "a.md", "says markdown, and --format says text; .* ends in .txt", id="text"),
        pytest.param("junit", "a.json", "says json, and --format says junit; .* ends in .xml", id="a command's own"),
        pytest.param(None, "a.png", r"ends in \.md, .*\.xml or \.txt, got \.png", id="none of them"),
        pytest.param(None, "a", r"or \.txt, got no ending", id="no ending"),
        pytest.param(None, ".", r"is a folder; name a file in it", id="a folder"),
    ],
)
def test_formats_and_endings_that_do_not_fit(form, path, told):
    with pytest.raises(OutputError, match=told):
        OWN.choose(form, path)


def test_files_of_a_format_without_endings_are_named_as_what_they_are_written_in():
    own = FORMATS.also(Format("trace", written_as="json"))
    assert [own.choose("trace", name) for name in ("a.json", "a.txt", "a.trace", "a")] == ["trace"] * 4
    with pytest.raises(OutputError, match=r"says csv, and --format says trace; .* ends in \.json"):
        own.choose("trace", "a.csv")


def test_a_name_that_is_no_format():
    with pytest.raises(ValueError, match="no format 'card'; there are text, markdown"):
        FORMATS["card"]


@pytest.mark.parametrize(
    ("names", "expected"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)  # fmt: skip
def test_names_in_a_sentence(names, expected):
    assert listed(names, "or") == expected


RENDERER = '''
"""A document as Org tables."""

from cnncost.render.document import Document
from cnncost.render.markdown import to_markdown


def to_org(document: Document) -> str:
    """Markdown with another rule below headings."""
    return to_markdown(document).replace(" | ", " + ")
'''
PROGRAM = """
from cnncost.cli import main

for line in (
    "summarize lenet5 --by module --depth 1 -o tree.org", "devices --format org", "check --help",
    "summarize lenet5 -o x.png", "summarize lenet5 --format csv --depth 1",
):
    try:
        main(line.split())
    except SystemExit as stopped:
        print(stopped.code, flush=True)

import cnncost
cnncost.analyze("lenet5").save("saved.org")
"""


@pytest.mark.long
def test_a_new_format_is_a_file_and_a_line(tmp_path):
    """Added to a copy of the package by CONTRIBUTING's recipe: every command offers it, messages name it."""
    shutil.copytree(PACKAGE, tmp_path / "cnncost", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "cnncost/render/org.py").write_text(RENDERER.lstrip())
    formats = tmp_path / "cnncost/render/formats.py"
    text = formats.read_text()
    last = text.index("\n))", text.index("FORMATS = "))
    formats.write_text(f'{text[:last]}\n    Format("org", (".org",), tree=True),{text[last:]}')
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not ran.returncode, ran.stderr
    assert re.findall(r"^\d$", ran.stdout, re.MULTILINE) == ["0", "0", "0", "2", "2"]
    assert "| `c1` + Conv2d" in (tmp_path / "tree.org").read_text()
    assert "| device + title + float32 + " in ran.stdout
    assert "|org|" in "".join(ran.stdout.split())
    assert f"ends in {FORMATS.usual_endings.replace(' or', ', .org or')}, got .png" in ran.stderr
    assert re.search(r"the module tree of text, markdown, .* or org", ran.stderr)
    assert (tmp_path / "saved.org").read_text().startswith("# lenet5")
