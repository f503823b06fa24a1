"""All budgets at two revisions of a repository: as the baseline of a check, as a diff, as a comment."""

import json
import re
import subprocess
import textwrap
from copy import deepcopy
from pathlib import Path

import pytest

from cnncost.budget import diffs, revisions
from cnncost.budget.render.comment import MAX_LENGTH, marker, to_comment
from cnncost.cli import main
from cnncost.render.document import Document, notes

pytestmark = pytest.mark.usefixtures("warm_revisions")
BUDGETS = """
[[budget]]
name = "net"
model = "net.py:Net"
input = "2x3x8x8"
model_args = { width = 4 }
params = "+10%"
training_peak = "<= 1GB"

[[budget]]
name = "calm"
model = "lenet5"
macs = "<= 1M"
"""
NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Conv2d(3, width, KERNEL, padding=KERNEL // 2), nn.ReLU())
"""
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b")


def git(folder, *arguments):
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder, message, **files):
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(textwrap.dedent(text))
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """`main` has 3×3 kernels: 4·(27 + 1) = 112 parameters; `wide` 5×5: 4·(75 + 1) = 304; `none` lacks the network."""
    folder = tmp_path_factory.mktemp("repository") / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "none")
    commit(folder, "no network", README_md="about")
    git(folder, "checkout", "-qb", "main")
    commit(folder, "first", cnncost_toml=BUDGETS, net_py=NET.replace("KERNEL", "3"))
    git(folder, "checkout", "-qb", "wide")
    commit(folder, "wider", net_py=NET.replace("KERNEL", "5"))
    return folder


@pytest.fixture
def afresh(repository, monkeypatch, capsysbinary):
    """Exit code, stdout and stderr of a command, with a process for each revision."""
    monkeypatch.chdir(repository)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([*arguments])
        out, err = capsysbinary.readouterr()
        return int(left.value.code or 0), out.decode(), err.decode()

    return call


@pytest.fixture(scope="module")
def figures():
    """`budgets_at` that analyzes a revision once: each time is a process, which imports torch."""
    known, real = {}, revisions.budgets_at

    def found(repository, commits, file, chosen, names):
        keys = [(commit, file.text, tuple(chosen), name) for commit, name in zip(commits, names, strict=True)]
        for key in keys:
            if key not in known:
                (known[key],) = real(repository, key[:1], file, chosen, key[-1:])
        return [deepcopy(known[key]) for key in keys]

    return found


@pytest.fixture
def run(afresh, figures, monkeypatch):
    """As `afresh`, but that tests share what a revision's process has found."""
    for place in (revisions, diffs):
        monkeypatch.setattr(place, "budgets_at", figures)
    return afresh


def test_the_base_branch_as_the_baseline(afresh):
    code, out, _ = afresh("check", "--baseline-rev", "main", "--format", "json")
    data = json.loads(out)
    limits = {(model["name"], each["quantity"]): each for model in data["models"] for each in model["limits"]}
    assert (code, data["baseline"]) == (1, "main")
    params = limits["net", "params"]
    assert (params["baseline"], params["used"], params["outcome"]) == (112, 304, "over")
    assert limits["net", "training_peak"]["baseline"] < limits["net", "training_peak"]["used"]
    assert limits["calm", "macs"]["baseline"] == limits["calm", "macs"]["used"]
    assert data["models"][0]["since_baseline"]["macs"]["delta"] == 2 * 64 * 4 * 3 * (25 - 9)


def test_the_same_revision_is_within(run, repository):
    code, out, _ = run("check", "--baseline-rev", "HEAD", "net")
    assert code == 0
    assert "cnncost.toml: 1 model, baseline HEAD" in out
    assert not (repository / "cnncost.lock.json").exists()


def test_what_the_base_lacks_is_said(run):
    """A limit in numbers is judged; one against a baseline that there is not is an error."""
    code, _, err = run("check", "--baseline-rev", "none", "net")
    assert code == 2
    assert "cnncost: none has no figures for net: " in err
    assert "neither none nor cnncost.lock.json has figures for 'net'; give it an absolute limit first" in err
    assert run("check", "--baseline-rev", "none", "calm")[0] == 0


def test_the_baselines_file_stands_in_for_what_the_base_lacks_and_that_is_said(run, repository):
    lock = repository / "cnncost.lock.json"
    try:
        assert run("check", "--update")[0] == 0
        code, out, err = run("check", "--baseline-rev", "none", "--format", "json")
        net, calm = json.loads(out)["models"]
        assert (code, net["limits"][0]["baseline"], net["limits"][0]["used"]) == (0, 304, 304)
        assert net["against"].startswith("cnncost.lock.json, because none has no figures for it: net.py:Net: ")
        assert "cnncost: none has no figures for net: " in err
        assert "against" not in calm
        told = "net: against cnncost.lock.json, because none has no figures for it"
        for form in ("text", "markdown", "html", "latex", "comment"):
            text = " ".join(run("check", "--baseline-rev", "none", "--format", form)[1].split())
            assert told in text.replace("\\_", "_"), form
        measured = lock.read_text()
        lock.write_text(measured.replace("[2, 3, 8, 8]", "[4, 3, 8, 8]"))
        code, _, err = run("check", "--baseline-rev", "none", "net")  # the file's figures, not the revision's
        assert code == 2
        assert "cnncost.lock.json: net was measured with 4×3×8×8 float32, and the budget now has 2×3×8×8 float32" in err
        assert err.endswith("; recreate it with cnncost check --update\n")
        lock.write_text(re.sub(r'"torch": "[^"]+"', '"torch": "1.0.0"', measured))
        code, _, err = run("check", "--baseline-rev", "none", "net")  # of another torch, which may run other ops
        assert (code, "neither none nor cnncost.lock.json has figures for 'net'" in err) == (2, True)
        assert run("check", "--baseline-rev", "none", "net", "--any-torch")[0] == 0
    finally:
        lock.unlink()


@pytest.mark.parametrize("rev", ["main...wide", "main"])
def test_all_budgets_at_two_revisions(run, rev):
    code, out, err = run("diff", "--rev", rev, "--format", "json")
    data = json.loads(out)
    net, calm = data["models"]
    assert (code, err, data["old"], data["missing"]) == (0, "", "main", {})
    assert (net["name"], net["inputs"]["new"]) == ("net", [{"shape": [2, 3, 8, 8], "dtype": "float32"}])
    assert net["params"] == {
        "old": 112, "new": 304, "delta": 192,
        "attribution": {
                "path": "0", "part": 192, "of": 192, "against": 0, "reasons": ["kernel 3→5", "padding 1→2"],
            },
    }  # fmt: skip
    assert net["training_peak"]["delta"] > 0
    assert net["inference_peak"]["delta"] == 192 * 4
    assert calm["macs"]["delta"] == calm["inference_peak"]["delta"] == 0
    assert "training_peak" not in calm  # its budget limits none
    assert [change["model"] for change in data["changes"]] == ["net"]


def test_text_and_exit_code(afresh):
    code, out, _ = afresh("diff", "--rev", "main..wide", "--exit-code")
    assert code == 1
    assert "the same, module by module: calm (1×1×32×32 float32)" in out
    assert re.search(r"net +2×3×8×8 +params +112 +304 +\+192 +\+171 %", out)
    assert re.search(r"inference peak +[\d.]+ KiB +[\d.]+ KiB +\+768 B", out)


def test_a_model_that_is_not_there(run):
    code, out, _ = run("diff", "--rev", "none..wide", "--format", "json")
    data = json.loads(out)
    assert (code, [model["name"] for model in data["models"]]) == (0, ["calm"])
    assert data["missing"]["net"].startswith("has no figures at none: ")
    assert "cnncost-" not in data["missing"]["net"]  # the temporary folder
    code, out, _ = run("diff", "--rev", "main..none", "--format", "json")
    assert code == 2  # the new side is broken
    assert json.loads(out)["missing"]["net"].startswith("can't be analyzed at none: ")
    for form in (
        "csv",
        "text",
        "markdown",
        "html",
        "latex",
        "comment",
    ):  # CSV has the changed layers, of which there are none
        code, out, err = run("diff", "--rev", "main..none", "--format", form)
        assert (code, "net: can't be analyzed at none" in " ".join((out + err).split())) == (2, True), form


@pytest.mark.parametrize("command", [("diff", "--rev", "main..wide"), ("check", "--baseline-rev", "main")])
def test_a_comment_begins_with_the_same_line(run, command, tmp_path):
    run(*command, "--format", "comment", "-o", str(tmp_path / "c.md"))
    first = (tmp_path / "c.md").read_text()
    assert first.splitlines()[0] == f"<!-- cnncost {command[0]} cnncost.toml -->"
    assert first.splitlines()[1].startswith("### ")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("cnncost.toml", "<!-- cnncost check cnncost.toml -->"),
        ("a/b/pyproject.toml", "<!-- cnncost check a/b/pyproject.toml -->"),
        ("a--b>c\nd.toml", "<!-- cnncost check a- -bc d.toml -->"),
    ],
)
def test_marker(name, line):
    assert marker("check", Path(name)) == line


def test_a_comment_has_room_for_so_much(tmp_path):
    document = Document("check", "title", parts=(notes(*(f"{i}: {'x' * 90}" for i in range(2000))),))
    text = to_comment(document, "check", tmp_path)
    assert len(text) <= MAX_LENGTH
    assert text.endswith("x\n\n*The rest is left out: the comment would be too long.*\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("check", "--baseline-rev", "mian"), "revision 'mian': there is none; did you mean main?"),
        (("check", "--baseline-rev", "-x"), "expected a branch, a tag or a commit"),
        (
            ("check", "--baseline-rev", "main", "--update"),
            "measures the baseline itself; leave out --update",
        ),
        (("check", "--baseline-rev", "main", "--baseline", "x"), "leave out --baseline"),
        (("check", "--baseline-rev", "main", "ney"), "no budget named 'ney'; did you mean net?"),
        (("diff",), "expected OLD and NEW"),
        (("diff", "lenet5"), "expected OLD and NEW"),
        (("diff", "lenet5", "lenet1", "--rev", "main"), "--rev takes one MODEL, or none"),
        (("diff", "--rev", "mian..wide"), "revision 'mian'"),
        (("diff", "--rev", "main", "--input", "1x3x8x8"), "--input: the budget file has it for each model"),
        (("diff", "--rev", "main", "--new-args", "width=4"), "--new-args: the budget file has it"),
        (("diff", "--rev", "main", "--batch", "4"), "--batch: the budget file has it"),
        (("diff", "--rev", "main", "-c", "none.toml"), "none.toml: can't be read"),
        (("diff", "lenet5", "lenet1", "-c", "cnncost.toml"), "--config is for all budgets"),
        (("diff", "lenet5", "lenet1", "--format", "comment"), "--format comment is for all budgets"),
    ],
)
def test_what_is_refused(run, tmp_path, arguments, says):
    code, out, err = run(*arguments, "-o", str(tmp_path / "x.md"))
    assert (code, out, *tmp_path.iterdir()) == (2, "")
    assert says in err.splitlines()[-1]


def test_outside_of_a_repository(monkeypatch, tmp_path, capsysbinary):
    (tmp_path / "cnncost.toml").write_text(BUDGETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for arguments in (["check", "--baseline-rev", "main"], ["diff", "--rev", "main"]):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
        assert b"revisions need a repository" in capsysbinary.readouterr().err
