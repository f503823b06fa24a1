"""What a release states in several places agrees: package, citation, changelog, and the pages that show a tag."""

import re
from pathlib import Path

from cnncost import __version__

ROOT = Path(__file__).parent.parent


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_citation_has_the_version_and_its_date():
    version, date = re.search(r"^version: (\S+)\ndate-released: (\S+)$", read("CITATION.cff"), re.MULTILINE).groups()

    assert version == __version__
    assert f"\n## {version} - {date}\n" in read("CHANGELOG.md")


def test_pages_show_the_tag_of_this_version():
    shown = re.findall(r"(?:cnncost@v|rev: v|cnncost==)([\d.]+)", read("docs/jobs/ci.md") + read("action.yml"))

    assert shown == [__version__] * len(shown)
    assert len(shown) > 2


def test_inputs_of_the_action_are_told():
    action = read("action.yml")
    inputs = re.findall(r"^  ([\w-]+):$", action.partition("outputs:")[0].partition("inputs:")[2], re.MULTILINE)

    assert [each for each in inputs if f"| `{each}` |" not in read("docs/jobs/ci.md")] == []
    assert len(inputs) > 5


def test_the_release_is_checked_before_it_is_published():
    steps = read(".github/workflows/ci.yml").partition("\n  release:")[2]

    assert steps.index("python -m build") < steps.index("twine check --strict") < steps.index("pypi-publish")
    assert "id-token: write" in steps  # trusted publishing: no secret is stored
