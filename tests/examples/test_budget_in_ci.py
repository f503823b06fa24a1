"""The small project whose CI fails when its network grows."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from document_examples import made_with_this_torch

from cnncost.cli import main
from tests.samples import sample

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
    if not made_with_this_torch(ROOT / "cnncost.lock.json"):
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


@pytest.mark.long
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


def git(folder, *arguments):
    subprocess.run([shutil.which("git") or "git", *arguments], cwd=folder, check=True)


GH = """#!/bin/bash
echo "$@" >> {log}
case "$*" in
  *--jq*) [ "$marker" = "$(cat {known})" ] && echo 77 ;;
esac
exit 0
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("known", "ends"), sample([(True, "comments/77 -F body=@diff.md"), (False, "--body-file diff.md")], 1)
)
def test_one_comment_is_edited_at_each_push(project, known, ends):
    """The workflow's own steps, in a repository with a branch that grows, and with a stand-in for GitHub's client."""
    workflow = yaml.safe_load((PROJECT / ".github" / "workflows" / "budget.yml").read_text())
    steps = {step.get("name"): step for step in workflow["jobs"]["budget"]["steps"]}
    tools = project.parent / "tools"
    tools.mkdir()
    (tools / "known").write_text("<!-- cnncost diff cnncost.toml -->" if known else "<!-- another -->")
    scripts = {
        "gh": GH.format(log=tools / "log", known=tools / "known"),
        "cnncost": f'#!/bin/bash\nexec "{sys.executable}" -m cnncost "$@"\n',
    }
    for name, text in scripts.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (("init", "-q", "-b", "main"), ("add", "."), (*identity, "commit", "-qm", "one"),
                      ("update-ref", "refs/remotes/origin/main", "HEAD"), ("checkout", "-qb", "wide")):  # fmt: skip
        git(project, *arguments)
    source = project / "tinynet.py"
    source.write_text(source.read_text().replace("width: int = 32", "width: int = 48"))
    git(project, *identity, "commit", "-qam", "wider")
    given = {
        "PATH": f"{tools}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "GITHUB_STEP_SUMMARY": str(tools / "summary"),
        "GITHUB_REPOSITORY": "me/net", "NUMBER": "5", "BASE": "origin/main", "HOME": str(tools),
    }  # fmt: skip
    for step in ("what changed", "comment"):
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-e", "-c", steps[step]["run"]], cwd=project, env=given, check=False
        )
        assert done.returncode == 0
    assert (project / "diff.md").read_text().startswith("<!-- cnncost diff cnncost.toml -->\n### origin/main → HEAD")
    assert "| tinynet | 1×3×32×32 | inference peak |" in (tools / "summary").read_text()
    last = (tools / "log").read_text().splitlines()[-1]
    assert last.endswith(ends)
    assert last.startswith("api --method PATCH" if known else "pr comment 5 ")


def test_the_project_guards_itself(monkeypatch, capsys):
    """Its own budget file, as its own CI checks it."""
    monkeypatch.chdir(ROOT)

    assert check("--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["models"]) == 12
    assert all(not model["since_baseline"]["macs"]["delta"] for model in found["models"])
    assert "cnncost check" in (ROOT / ".ci" / "run").read_text()
