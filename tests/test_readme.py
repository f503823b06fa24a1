"""The README is true: its commands print what it shows, its Python gives what it says."""

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnncost.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
CONSOLE = [text for kind, text in BLOCKS if kind == "console"]
PYTHON = [text for kind, text in BLOCKS if kind == "pycon"]


def run(command, capsys):
    """What a line of the console blocks prints into a pipe."""
    program, _, pipe = command.partition(" | ")
    name, *arguments = program.split()
    assert name == "cnncost"
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    lines = out.splitlines()
    if pipe:
        count = re.fullmatch(r"head -(\d+)", pipe)
        assert count, pipe
        lines = lines[: int(count[1])]
    return lines


@pytest.mark.parametrize("block", CONSOLE, ids=[block.splitlines()[0] for block in CONSOLE])
def test_a_command_prints_what_is_shown(block, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    command, *shown = block.rstrip("\n").splitlines()

    assert command.startswith("$ ")
    assert [line.rstrip() for line in run(command[2:], capsys)] == [line.rstrip() for line in shown]


def test_python_examples_give_what_they_say():
    """All blocks in a row, in one namespace, as a reader would type them."""
    test = doctest.DocTestParser().get_doctest("\n".join(PYTHON), {}, "README.md", str(ROOT / "README.md"), 0)
    failures = []  # verbose=False: left to itself, the runner looks for -v among pytest's own arguments
    doctest.DocTestRunner(verbose=False, optionflags=doctest.FAIL_FAST).run(test, out=failures.append)

    assert "".join(failures) == ""
    assert len(test.examples) > 10


def prose_code():
    """The Python that stands in sentences: what names cnncost or a report."""
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    found = {}
    for text in re.findall(r"`([^`]+)`", prose):
        code = " ".join(text.split()).replace("…", "...").lstrip("@")
        try:
            tree = ast.parse(code, mode="eval")
        except SyntaxError:
            continue
        is_file = code.endswith(".toml")
        if not is_file and any(isinstance(n, ast.Name) and n.id in {"cnncost", "report"} for n in ast.walk(tree)):
            found[code] = tree
    return found


PROSE = prose_code()


def test_what_sentences_name_is_there():
    """After `import cnncost` alone: a fresh program that comes as far as each name goes."""
    chains = {
        ast.unparse(node)
        for tree in PROSE.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.fullmatch(r"(cnncost|report)(\.\w+)+", ast.unparse(node))
    }
    assert len(chains) > 15
    code = ["import cnncost", "report = cnncost.analyze('lenet5', training=True)", "failed = []"]
    for chain in sorted(chains):  # an extra that is not installed says so itself, behind the name
        code += [f"try: {chain}", "except cnncost.errors.MissingPackageError: pass", "except AttributeError as e:"]
        code += ["    failed.append(str(e))"]
    code.append("print(failed)")
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("[]\n", "")


CALLS = {
    "cnncost.arguments((1, 3, 32, 32), scale=2)": lambda found: found is not None,
    "cnncost.clear_caches()": lambda found: found is None,
    "cnncost.literal((16, 16))": lambda found: found is not None,
    "report.log_dict()": lambda found: found["complexity/params"] == 11_689_512,
    "report.with_masks()": lambda found: found.totals.params == 11_689_512,
    "report.to_pandas()": lambda found: found["params"].sum() == 11_689_512,
}
"""Whole lines of the prose that run as they stand, and what comes of them; torchvision states 11,689,512 parameters."""
NOT_ALONE = ("Trainer(", "cnncost.meter.transformers.add_meter(trainer)", "cnncost.custom_rules({Correlation")
"""Lines that need a name of the reader's own, or a package that not everybody has: tests/callbacks runs those."""


@pytest.mark.parametrize("code", [code for code in PROSE if "..." not in code and "(" in code])
def test_whole_lines_in_sentences_run(code):
    if code.startswith(NOT_ALONE):
        return
    import cnncost

    assert CALLS[code](eval(code, {"cnncost": cnncost, "report": cnncost.analyze("resnet18")}))  # noqa: S307


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
