"""Git as CI and hooks have it: the files of a commit are the commit's, and errors say what to do."""

import os
from pathlib import Path

import pytest

from cnncost.budget.repository import Repository, RevisionError
from cnncost.budget.revisions import snapshots
from cnncost.sources.settings import Settings
from tests.budget.repositories import at, commit, git, made
from tests.samples import sample


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    return made(tmp_path_factory.mktemp("origin") / "project")


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index"}, id="relative to the top level"),
        pytest.param({"GIT_DIR": "TOP/.git"}, id="absolute, which makes git take the folder for the top level"),
        pytest.param({"GIT_DIR": "TOP/.git", "GIT_WORK_TREE": "."}, id="with a work tree"),
        pytest.param({"GIT_PREFIX": "sub/"}, id="prefix"),
        pytest.param({"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere"}, id="of another repository"),
    ],
)
def test_variables_that_git_sets_for_hooks_do_not_move_the_top_level(origin, monkeypatch, variables):
    monkeypatch.chdir(origin)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("TOP", str(origin)))
    assert (at(origin / "sub", "old"), at(origin / "sub", "side"), at(origin, "old")) == ("10", "30", "1")
    assert not Repository(origin / "sub").dirty()


def test_a_working_tree_that_only_the_variables_lead_to(origin, monkeypatch, tmp_path):
    git(tmp_path, "clone", "-q", "--bare", origin, "b.git")
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_DIR", "b.git"), monkeypatch.setenv("GIT_WORK_TREE", "tree")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert at(tmp_path / "tree" / "sub", "old") == "10"


@pytest.mark.parametrize("name", ["ü x ", " a", "日本", "two  blanks", "new\nline", "'quotes\"", os.fsdecode(b"b\xff")])
def test_names_of_folders(tmp_path, name):
    folder = made(tmp_path / name)
    (folder / name).mkdir()
    (folder / name / "net").write_text("4")
    commit(folder)
    assert (at(folder, "old"), at(folder / "sub", "main"), at(folder / name, "HEAD")) == ("1", "20", "4")


@pytest.mark.parametrize(
    "set_up",
    [
        pytest.param([("checkout", "-q", "--detach", "HEAD")], id="detached HEAD"),
        pytest.param([("sparse-checkout", "set", "--cone", "sub")], id="sparse"),
        pytest.param(
            [("sparse-checkout", "set", "--sparse-index", "sub"), ("config", "core.splitIndex", "true")],
            id="sparse index",
        ),
        pytest.param([("config", "core.splitIndex", "true")], id="split index"),
        pytest.param([("config", "core.fsmonitor", "false; touch ran")], id="file system monitor"),
    ],
)  # fmt: skip
def test_states_of_a_clone(origin, tmp_path, set_up):
    git(tmp_path, "clone", "-q", origin, "clone")
    clone = tmp_path / "clone"
    for arguments in set_up:
        git(clone, *arguments)
    before = sorted((clone / ".git").iterdir())
    assert (at(clone, "old"), at(clone / "sub", "origin/main"), at(clone, "HEAD")) == ("1", "20", "3")
    assert not Repository(clone).dirty()
    assert sorted((clone / ".git").iterdir()) == before
    assert not (clone / "ran").exists()


def named(folder):
    """`made`, and objects that are named in other ways than by a branch or a commit's tag."""
    made(folder)
    git(folder, "tag", "tree", "old^{tree}"), git(folder, "tag", "file", "old:net"), git(folder, "tag", "main", "old")
    git(folder, "tag", "-am", "x", "annotated", "old"), git(folder, "commit", "-qm", "wait... what", "--allow-empty")
    return folder


@pytest.mark.parametrize(
    ("name", "commit", "says"),
    [
        (":/wait", "HEAD", ""), (":/^wait... w", "HEAD", ""), ("HEAD^{/^x}", "HEAD~1", ""), ("HEAD@{1}", "HEAD~1", ""),
        ("annotated", "old", ""), ("side@{0}", "HEAD", ""), ("HEAD~1^{}", "HEAD~1", ""),
        ("main", "old", "git: refname 'main' is ambiguous."), ("heads/main", "HEAD~2", ""),
        ("side@{2001-01-01}", "HEAD~2", "git: log for 'side' only goes back to "),
        (":/no such", None, "there is none"), ("0" * 40, None, "there is none"), ("HEAD@{99}", None, "there is none"),
        ("tree", None, "expected a branch, a tag or a commit, not a tree"), ("old^{tree}", None, "not a tree"),
        ("file", None, "not a file"), ("old:sub", None, "not a tree"), ("^HEAD", None, "expected a branch"),
        ("--all", None, "expected a branch"), ("", None, "there is none"), ("HEAD^!", None, "there is none"),
    ],
)  # fmt: skip
def test_what_a_revision_may_be(tmp_path, name, commit, says):
    folder = named(tmp_path / "project")
    repository = Repository(folder)
    if commit is None:
        with pytest.raises(RevisionError, match=r"^revision .*: ") as caught:
            repository.range(name)
        assert says in str(caught.value)
        return
    assert repository.range(name).old == git(folder, "rev-parse", f"{commit}^{{commit}}")
    assert [note[: len(says)] for note in repository.notes()] == ([says] if says else [])


def test_a_merge_base_is_named_as_one(origin, tmp_path):
    git(tmp_path, "clone", "-q", "--no-local", origin, "c")
    clone = tmp_path / "c"
    assert Repository(clone).range("origin/main...HEAD").old_name == "origin/main"  # which it is
    git(clone, "checkout", "-q", "origin/main"), commit(clone, net="9")
    found = Repository(clone).range("HEAD...side")
    assert (found.old_name, found.new_name) == ("merge base of HEAD and side", "side")
    assert found.old == git(clone, "rev-parse", "origin/main")


def test_several_merge_bases_are_told_of(tmp_path):
    git(tmp_path, "init", "-q"), commit(tmp_path, net="0"), git(tmp_path, "branch", "b")
    commit(tmp_path, x="1"), git(tmp_path, "tag", "one"), git(tmp_path, "checkout", "-q", "b")
    commit(tmp_path, y="1"), git(tmp_path, "tag", "two"), git(tmp_path, "merge", "-q", "one")
    git(tmp_path, "checkout", "-q", "main"), git(tmp_path, "merge", "-q", "two"), commit(tmp_path, z="1")
    repository = Repository(tmp_path)
    taken = repository.range("main...b").old
    assert taken in (git(tmp_path, "rev-parse", "one"), git(tmp_path, "rev-parse", "two"))
    assert repository.notes() == (f"git: main...b has 2 merge bases; {taken[:12]} is used",)


def test_a_worktree_of_a_bare_repository_and_the_bare_one(origin, tmp_path):
    git(tmp_path, "clone", "-q", "--bare", origin, "b.git")
    git(tmp_path / "b.git", "worktree", "add", "-q", tmp_path / "tree", "main")
    assert at(tmp_path / "tree" / "sub", "side") == "30"
    with pytest.raises(
        RevisionError, match="the repository is bare: run the command in a clone or in a folder made by git worktree"
    ):
        Repository(tmp_path / "b.git")


def test_a_partial_clone_gets_what_it_lacks_or_says_that_it_can_not(tmp_path):
    origin = made(tmp_path / "origin")
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    for name in ("one", "two"):
        git(tmp_path, "clone", "-q", "--filter=blob:none", f"file://{origin}", name)
    assert at(tmp_path / "one" / "sub", "old") == "10"
    origin.rename(tmp_path / "gone")
    with pytest.raises(RevisionError, match=r"git checkout-index: .*could not fetch"):
        at(tmp_path / "two" / "sub", "old")


@pytest.mark.parametrize(("depth", "says"), [(("--depth", "1"), "--unshallow "), (("--single-branch",), "")])
def test_the_advice_on_a_branch_that_was_not_fetched_works(origin, tmp_path, depth, says):
    git(tmp_path, "clone", "-q", *depth, "--branch", "side", f"file://{origin}", "clone")
    repository = Repository(tmp_path / "clone")
    with pytest.raises(RevisionError) as caught:
        repository.range("origin/main...HEAD")
    advice = f"git fetch {says}origin +refs/heads/main:refs/remotes/origin/main"
    assert f"{advice}, or fetch-depth: 0" in str(caught.value)
    git(tmp_path / "clone", *advice.split()[1:])
    assert repository.range("origin/main...HEAD").old == git(origin, "rev-parse", "main")


def test_the_advice_on_a_merge_base_works(origin, tmp_path):
    git(tmp_path, "clone", "-q", "--depth", "1", "--no-single-branch", f"file://{origin}", "clone")
    repository = Repository(tmp_path / "clone")
    with pytest.raises(RevisionError, match=r"no commit in common; the clone is shallow: .* git fetch --unshallow"):
        repository.range("origin/main...HEAD")
    git(tmp_path / "clone", "fetch", "--unshallow")
    assert repository.range("origin/main...HEAD").old == git(origin, "rev-parse", "main")


def with_submodule(folder):
    """A repository whose submodule `libs/inner` holds 1 at `old` and 2 at `main`, which has a submodule, too."""
    inner, deep = folder / "inner", folder / "deep"
    for path in (inner, deep):
        path.mkdir(parents=True), git(path, "init", "-q")
    commit(deep, net="7")
    git(inner, "submodule", "--quiet", "add", str(deep), "deep"), commit(inner, net="1"), git(inner, "tag", "v1")
    commit(inner, net="2")
    outer = folder / "outer"
    outer.mkdir(), git(outer, "init", "-q")
    git(outer, "submodule", "--quiet", "add", str(inner), "libs/inner")
    git(outer / "libs" / "inner", "checkout", "-q", "v1")
    commit(outer, net="0"), git(outer, "tag", "old")
    git(outer, "submodule", "--quiet", "update", "--init", "--recursive")
    git(outer / "libs" / "inner", "checkout", "-q", "main"), commit(outer)
    return outer


def test_submodules_are_at_the_commits_that_the_revision_names(tmp_path):
    outer = with_submodule(tmp_path)
    repository, found = Repository(outer), {}
    for revision in ("old", "main"):
        with repository.files(repository.commit(revision)) as tree:
            found[revision] = [(tree / "libs" / "inner" / name).read_text() for name in ("net", "deep/net")]
    assert (found, repository.notes()) == ({"old": ["1", "7"], "main": ["2", "7"]}, ())
    assert at(outer / "libs" / "inner", "HEAD~1") == "1"  # of the submodule, which is a repository of its own


@pytest.mark.parametrize("replaced", [False, True])
def test_a_submodule_that_was_moved_is_found_by_its_name(tmp_path, replaced):
    """Its old path may be another submodule's now."""
    outer = with_submodule(tmp_path)
    git(outer, "mv", "libs/inner", "third party")
    if replaced:
        git(outer, "submodule", "--quiet", "add", "--name", "other", str(tmp_path / "deep"), "libs/inner")
    commit(outer)
    repository = Repository(outer)
    with repository.files(repository.commit("old")) as tree:
        found = [(tree / "libs" / "inner" / name).read_text() for name in ("net", "deep/net")]
    assert (found, repository.notes()) == (["1", "7"], ())


def test_a_submodule_that_is_not_there_is_told_of(tmp_path):
    outer = with_submodule(tmp_path)
    git(tmp_path, "clone", "-q", outer, "clone")
    clone = Repository(tmp_path / "clone")
    with clone.files(clone.commit("HEAD")) as tree:
        assert [*(tree / "libs" / "inner").iterdir()] == []
    assert ["libs/inner is left out" in note for note in clone.notes()] == [True]
    inner, lost = tmp_path / "inner", "0" * 39 + "1"
    git(outer, "update-index", "--cacheinfo", f"160000,{lost},libs/inner"), git(outer, "commit", "-qm", "lost")
    assert inner.is_dir()
    with pytest.raises(RevisionError, match=f"libs/inner lacks its commit .* git -C libs/inner fetch origin {lost}"):
        at(outer, "HEAD")


@pytest.mark.long
@pytest.mark.parametrize(("options", "told"), sample([((), True), (("--recurse-submodules",), False)], 1))
def test_an_error_names_a_submodule_that_is_not_there(tmp_path, options, told):
    outer = with_submodule(tmp_path)
    (outer / "model.py").write_text("import sys; sys.path.insert(0, 'libs/inner')\nfrom blocks import build\n")
    commit(outer)
    git(tmp_path, "clone", "-q", *options, outer, "clone")
    clone = Repository(tmp_path / "clone")
    request = {"model": "model.py:build", "settings": Settings(inputs=("1x8",)).to_data()}
    with pytest.raises(RevisionError, match=r"^HEAD: .*No module named 'blocks'") as caught:
        snapshots(clone, (clone.commit("HEAD"),), request, ("HEAD",))
    assert ("; the revision's submodule libs/inner is left out, because this clone does" in str(caught.value)) is told


def test_git_that_is_not_there_and_a_repository_of_someone_else(origin, monkeypatch, tmp_path):
    fake = tmp_path / "git"
    fake.write_text(
        "#!/bin/sh\necho 'fatal: detected dubious ownership in repository; git config --add' >&2\nexit 128\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RevisionError, match="dubious ownership") as caught:
        Repository(origin)
    assert "needs a repository" not in str(caught.value)
    fake.unlink()
    with pytest.raises(RevisionError) as caught:
        Repository(origin)
    assert str(caught.value) == "git is not installed, or not on the PATH; revisions need it"


def test_a_message_for_each_file_is_cut(origin, monkeypatch, tmp_path):
    fake = Path(tmp_path, "git")
    lines = "\n".join(["echo 'error: unable to write file with a long name' >&2"] * 9)
    fake.write_text(f"#!/bin/sh\n{lines}\nexit 128\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(RevisionError) as caught:
        Repository(origin)
    assert len(str(caught.value)) < 350
