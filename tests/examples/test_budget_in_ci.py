"""The small project whose CI fails when its network grows."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cnncost.cli import main
from tests.versions import facts

PROJECT = Path(__file__).parent.parent.parent / "examples" / "budget_in_ci"
ROOT = PROJECT.parent.parent
MACS = (
    1024 * 32 * 27 + 2 * 1024 * 32 * 32 * 9 + 256 * 64 * 32 * 4 + 2 * 256 * 64 * 64 * 9 + 64 * 10
)  # stem, stage1, down, stage2, head: positions, filters, weights of each
"""Of TinyNet on 1x3x32x32, by hand."""


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "project"


def check(*arguments):
    """On another torch than the baselines': they are compared all the same, and the figures are to be the same."""
    at = json.loads((ROOT / "cnncost.lock.json").read_text())["torch"]
    if tuple(map(int, at.split(".")[:2])) != facts.AT:
        arguments = (*arguments, "--any-torch")
    with pytest.raises(SystemExit) as exited:
        main(["check", *arguments])
    return exited.value.code


def test_it_is_within_its_budget(project, capsys):
    assert check("--format", "json") == 0
    limits = json.loads(capsys.readouterr().out)["models"][0]["limits"]

    assert limits[0]["used"] == MACS
    assert [limit["outcome"] for limit in limits] == ["within"] * 4


def test_a_wider_network_is_over_and_the_stages_are_named(project, capsys):
    source = project / "tinynet.py"
    source.write_text(source.read_text().replace("width: int = 32", "width: int = 48"))

    assert check() == 1
    out = capsys.readouterr().out
    assert "stage2 +92.3 k, stage1 +23.1 k" in out
    assert "MACs of stage1: 42,467,328, limit ≤ 25.0 M: over by 70 %" in out


def test_its_own_tests_pass(project):
    """Also below a project whose configuration of pytest is another, as here."""
    from importlib.metadata import entry_points

    registered = any(entry.value == "cnncost.budget.pytest_plugin" for entry in entry_points(group="pytest11"))
    plugin = [] if registered else ["-p", "cnncost.budget.pytest_plugin"]
    (project.parent / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "--an-option-of-another-plugin"'
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *plugin]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_workflow_and_the_hook_run_commands_that_exist():
    workflow = yaml.safe_load((PROJECT / ".github" / "workflows" / "budget.yml").read_text())
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())
    commands = "\n".join(step.get("run", "") for step in workflow["jobs"]["budget"]["steps"])

    assert "cnncost check --format github" in commands
    assert "cnncost diff --rev" in commands
    assert hooks["repos"][0]["hooks"][0]["entry"] == "cnncost check"


def test_the_project_guards_itself(monkeypatch, capsys):
    """Its own budget file, as its own CI checks it."""
    monkeypatch.chdir(ROOT)

    assert check("--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["models"]) == 12
    assert all(not model["since_baseline"]["macs"]["delta"] for model in found["models"])
    assert "cnncost check" in (ROOT / ".ci" / "run").read_text()
