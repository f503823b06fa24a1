"""The README is short, names all commands, and its two set-up commands use the constraints."""

import re

from document_examples import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_read_in_two_minutes():
    assert len(README.splitlines()) <= 200


def test_both_set_up_commands_use_the_constraints():
    commands = re.findall(r"<!-- (?:main|test) command -->\s*```sh\n(.*?)```", README, re.DOTALL)

    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)
    assert commands[0].endswith("cnncost summarize lenet5\n")


def test_every_page_of_documentation_is_one_link_away():
    """From the README or from the page that the site starts with."""
    start = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    jobs = [page for page in (ROOT / "docs" / "jobs").glob("*.md") if f"jobs/{page.name}" not in README + start]

    assert jobs == []
