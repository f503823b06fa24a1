"""Runs the shell of action.yml's steps as GitHub does, on the project in examples/budget_in_ci, in two states of it.

`python tests/action.py` needs git, PyYAML (with the extra `docs`) and cnncost on the path; installing is left out.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
GIVEN = {"github.action_path": str(ROOT), "runner.temp": "", "inputs.compare-with": "main"}


def git(folder, *arguments):
    who = ["-c", "user.name=ci", "-c", "user.email=ci@localhost", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def put(text, values):
    """Text with the values of its expressions."""
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: values[found[1]], text)


def outcome(folder, temp):
    """The exit code of the last step that ran, what it printed, and outputs and summary of all."""
    values = {f"inputs.{name}": each.get("default", "") for name, each in ACTION["inputs"].items()}
    values |= GIVEN | {"runner.temp": str(temp)}
    files = {name: temp / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        file.write_text("")
    said = ""
    for step in ACTION["runs"]["steps"]:
        if "run" not in step or step["name"] == "install cnncost":
            continue
        outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        values |= {f"steps.check.outputs.{name}": value for name, value in outputs.items()}
        env = {name: put(value, values) for name, value in step["env"].items()}
        env |= {"GITHUB_ACTIONS": "true", **{name: str(file) for name, file in files.items()}}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        said += done.stdout + done.stderr
        if done.returncode:
            return done.returncode, said, outputs, files["GITHUB_STEP_SUMMARY"].read_text()
    outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    return 0, said, outputs, files["GITHUB_STEP_SUMMARY"].read_text()


def main():
    with tempfile.TemporaryDirectory() as name:
        temp, folder = Path(name), Path(name) / "project"
        shutil.copytree(ROOT / "examples" / "budget_in_ci", folder)
        git(folder, "init")
        git(folder, "add", ".")
        git(folder, "commit", "-m", "as it was")
        git(folder, "switch", "-c", "wider")

        code, said, outputs, summary = outcome(folder, temp)
        assert (code, outputs["exit-code"]) == (0, "0"), said
        assert "tinynet" in summary

        net = folder / "tinynet.py"
        assert "width: int = 32" in net.read_text()
        net.write_text(net.read_text().replace("width: int = 32", "width: int = 48"))
        git(folder, "commit", "-am", "wider")
        code, said, outputs, summary = outcome(folder, temp)
        assert (code, outputs["exit-code"]) == (1, "1"), said
        assert "::error file=cnncost.toml,line=" in said
        comment = Path(outputs["comment"]).read_text(encoding="utf-8")
        assert "tinynet" in comment
        assert comment in summary
    print("action.yml: a project within its budget passes, a wider network fails with the line of the limit")


if __name__ == "__main__":
    sys.exit(main())
