"""Every example runs, and so does the typed program that mypy checks the public API with."""

import os
import runpy
from pathlib import Path

import pytest

import cnncost
from cnncost.opaque import registered

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


ARGUMENTS = {"train_mnist.py": ["--epochs", "1"]}
"""Of the examples that would take long."""


@pytest.fixture(autouse=True)
def _no_rules_left():
    """The rules of an example are those of its own classes, and go with them."""
    before = {rule.target for rule in registered()}
    yield
    for rule in registered():
        if rule.target not in before:
            cnncost.forget_rule(rule.target)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_an_example_runs_and_prints(path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", [str(path), *ARGUMENTS.get(path.name, [])])
    runpy.run_path(str(path), run_name="__main__")

    assert capsys.readouterr().out.strip()


def test_the_typed_program_runs():
    main = runpy.run_path(str(ROOT / "tests" / "typing" / "api.py"))["main"]
    assert main() is None  # to its end


def test_the_gate_is_executable_and_runs_what_the_readme_says():
    gate = ROOT / ".ci" / "run"

    assert os.access(gate, os.X_OK)
    assert "<!-- test command -->" in gate.read_text()
