"""The files of a commit are as git would check them out, and links lead where they do in the working tree."""

import os
import subprocess
from pathlib import Path

import pytest

from cnncost.budget.repository import Repository, RevisionError
from tests.budget.repositories import at, commit, git, made

CRLF, ROT = "net text eol=crlf\n", ("filter.rot.smudge", "tr a-z n-za-m")


@pytest.mark.parametrize(
    ("attributes", "since", "config", "stored", "expected"),
    [
        pytest.param(CRLF, "", (), b"a\n", b"a\r\n", id="line ends that are no longer converted"),
        pytest.param("", CRLF, (), b"a\n", b"a\n", id="line ends that are converted now"),
        pytest.param("net ident\n", "", (), b"$Id$\n", None, id="ident, dropped since"),
        pytest.param("", "net ident\n", (), b"$Id$\n", b"$Id$\n", id="ident, new"),
        pytest.param("net filter=rot\n", "", ROT, b"ab\n", b"no\n", id="a filter that was dropped since"),
        pytest.param("", "net filter=rot\n", ROT, b"ab\n", b"ab\n", id="a filter that is new"),
        pytest.param("net filter=lfs\n", "", (), b"pointer\n", b"pointer\n", id="a filter that is not set up"),
        pytest.param("net working-tree-encoding=UTF-16LE\n", "", (), b"a", b"a\0", id="an encoding, dropped since"),
        pytest.param("[attr]dos eol=crlf\nnet dos\n", "", (), b"a\n", b"a\r\n", id="a macro"),
        pytest.param("net export-subst\n", "", (), b"$Format:%H$", b"$Format:%H$", id="of archives alone"),
        pytest.param("", "", ("core.autocrlf", "true"), b"a\n", b"a\r\n", id="line ends by configuration"),
    ],
)
def test_a_commits_files_are_converted_by_its_own_attributes(tmp_path, attributes, since, config, stored, expected):
    git(tmp_path, "init", "-q")
    for name, content in (("net", stored), ("plain", b"")):
        blob = subprocess.run(  # stored as it is, whatever a filter would make of it
            ["git", "hash-object", "-w", "--stdin"], cwd=tmp_path, input=content, capture_output=True, check=True  # noqa: S607
        )  # fmt: skip
        git(tmp_path, "update-index", "--add", "--cacheinfo", f"100644,{blob.stdout.decode().strip()},{name}")
    (tmp_path / ".gitattributes").write_text(attributes)
    git(tmp_path, "add", ".gitattributes"), git(tmp_path, "commit", "-qm", "x"), git(tmp_path, "tag", "old")
    if config:
        git(tmp_path, "config", *config)
    (tmp_path / ".gitattributes").write_text(since)
    git(tmp_path, "commit", "-qam", "x", "--allow-empty")
    repository = Repository(tmp_path)
    with repository.files(repository.commit("old")) as tree:
        found = (tree / "net").read_bytes()
    git(tmp_path, "worktree", "add", "-q", "--detach", tmp_path / "by git", "old")
    assert found == (tmp_path / "by git" / "net").read_bytes()
    assert expected in (found, None)
    assert (found != stored) is (expected != stored)
    assert repository.notes() == ()


def test_attributes_of_a_folder_that_a_sparse_checkout_leaves_out(tmp_path):
    folder = made(tmp_path / "project")
    (folder / "sub" / ".gitattributes").write_text(CRLF)
    (folder / "sub" / "net").write_text("1\n")
    commit(folder, other__net="2"), git(folder, "sparse-checkout", "set", "other")
    repository = Repository(folder)
    with repository.files(repository.commit("HEAD")) as tree:
        assert (tree / "sub" / "net").read_bytes() == b"1\r\n"


@pytest.mark.parametrize(
    ("attributes", "config", "says"),
    [
        ("net filter=f\n", ("filter.f.smudge", "no-such-program"), "external filter 'no-such-program' failed"),
        ("net text working-tree-encoding=NONE\n", ("a.b", "c"), "failed to encode 'net' from UTF-8 to NONE"),
    ],
)
def test_files_that_git_can_not_convert_are_told_of(tmp_path, attributes, config, says):
    git(tmp_path, "init", "-q")
    commit(tmp_path, net="1")
    (tmp_path / ".gitattributes").write_text(attributes)
    git(tmp_path, "add", ".gitattributes"), git(tmp_path, "commit", "-qm", "x"), git(tmp_path, "config", *config)
    repository = Repository(tmp_path)
    with repository.files(repository.commit("HEAD")) as tree:
        assert (tree / "net").read_text() == "1"
    assert [f"were not converted: {says}; check" in note for note in repository.notes()] == [True]
    if "filter" in config[0]:
        git(tmp_path, "config", "filter.f.required", "true")
        with pytest.raises(RevisionError, match="net: smudge filter f failed"):
            at(tmp_path, "HEAD")


def test_a_filter_may_be_a_program_of_the_commit(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "f").write_text("#!/bin/sh\ntr a-z n-za-m\n")
    (tmp_path / "tools" / "f").chmod(0o755)
    commit(tmp_path, net="ab"), git(tmp_path, "config", "filter.f.smudge", "tools/f")
    (tmp_path / ".gitattributes").write_text("net filter=f\n")
    git(tmp_path, "add", ".gitattributes"), git(tmp_path, "commit", "-qm", "x")
    assert (at(tmp_path, "HEAD"), at(tmp_path, "HEAD~1")) == ("no", "ab")


@pytest.mark.parametrize(
    ("name", "target", "leads_to"),
    [
        ("link", "net", "net"), ("sub/link", "../net", "net"), ("link", "sub/../sub/net", "sub/net"),
        ("link", "../outside", "OUT"), ("sub/link", "../../outside", "OUT"), ("sub/link", "../../outside/..", "TOP"),
        ("libs/inner/link", "../../net", "net"), ("libs/inner/link", "../../../outside", "OUT"),
        ("link", "nowhere", "nowhere"), ("link", "../project/net", "net"), ("sub/link", "../../project/net", "net"),
        ("libs/inner/link", "../../../project/net", "net"), ("link", "../project2/net", "OTHER"),
    ],
)  # fmt: skip
def test_links_lead_where_they_do_in_the_working_tree(tmp_path, name, target, leads_to):
    """Those within the files to the commit's files, those out of them to the same place."""
    folder = made(tmp_path / "project")
    (tmp_path / "outside").mkdir()
    (tmp_path / "deep").mkdir(), git(tmp_path / "deep", "init", "-q"), commit(tmp_path / "deep", net="0")
    git(folder, "submodule", "--quiet", "add", str(tmp_path / "deep"), "libs/inner")
    (folder / name).symlink_to(target)
    if "libs" in name:
        commit(folder / "libs" / "inner")
    commit(folder)
    repository = Repository(folder)
    with repository.files(repository.commit("HEAD")) as tree:
        expected = {"OUT": tmp_path / "outside", "TOP": tmp_path, "OTHER": tmp_path / "project2" / "net"}.get(
            leads_to, tree / leads_to
        )
        assert Path(os.path.realpath(tree / name)) == expected.absolute()


def test_hooks_do_not_run(tmp_path):
    git(tmp_path, "init", "-q"), commit(tmp_path, net="1")
    for name in ("post-index-change", "post-checkout", "reference-transaction"):
        hook = tmp_path / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n"), hook.chmod(0o755)
    assert (at(tmp_path, "HEAD"), (tmp_path / "ran").exists()) == ("1", False)
