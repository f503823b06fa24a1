"""The README is true: its commands print what it shows, its Python gives what it says."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
CONSOLE = [text for kind, text in BLOCKS if kind == "console"]
PYTHON = [text for kind, text in BLOCKS if kind == "pycon"]


def run(command):
    """What a line of the console blocks prints, with this interpreter's `cnncost`."""
    program, _, pipe = command.partition(" | ")
    assert program.startswith("cnncost "), command
    env = {**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", *program.split()], capture_output=True, text=True, encoding="utf-8", check=True, env=env
    )
    lines = done.stdout.splitlines()
    if pipe:
        count = re.fullmatch(r"head -(\d+)", pipe)
        assert count, pipe
        lines = lines[: int(count[1])]
    return lines


@pytest.mark.parametrize("block", CONSOLE, ids=[block.splitlines()[0] for block in CONSOLE])
def test_a_command_prints_what_is_shown(block):
    command, *shown = block.rstrip("\n").splitlines()

    assert command.startswith("$ ")
    assert [line.rstrip() for line in run(command[2:])] == [line.rstrip() for line in shown]


def test_python_examples_give_what_they_say():
    """All blocks in a row, in one namespace, as a reader would type them."""
    test = doctest.DocTestParser().get_doctest("\n".join(PYTHON), {}, "README.md", str(ROOT / "README.md"), 0)
    failures = []
    doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(test, out=failures.append)

    assert "".join(failures) == ""
    assert len(test.examples) > 10


def test_every_command_of_the_program_is_told():
    from cnncost.cli import _COMMANDS

    assert [name for name in _COMMANDS if f"cnncost {name}" not in README] == []


def test_both_set_up_commands_use_the_constraints():
    commands = re.findall(r"<!-- (?:main|test) command -->\s*```sh\n(.*?)```", README, re.DOTALL)

    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)


def test_links_to_files_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]

    assert [link for link in links if not (ROOT / link).exists()] == []
