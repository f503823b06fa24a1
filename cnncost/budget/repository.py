"""A git repository: resolves revisions to commits, and checks out a commit without touching the user's working tree.

Files are written to a temporary folder, using a temporary index. So the working tree, its index and the list of
worktrees don't change, even if the checkout is interrupted.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cnncost.budget.links import redirect
from cnncost.errors import SourceError
from cnncost.near import suggestion

_RANGE = re.compile(r"^(?P<old>.+?)(?P<dots>\.{2,3})(?P<new>.*)$")
_LIST_ADVICE = "; git branch -a and git tag list the names, git log lists the commits"
_LOCAL = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_IMPLICIT_WORK_TREE",
    "GIT_INTERNAL_SUPER_PREFIX",
)  # fmt: skip
"""Variables that git sets for hooks; calls of git are made without them. With them, git would use the hook's repository
and take any folder for its top level; without them, it searches for the repository that contains the folder. Variables
with configuration (GIT_CONFIG_COUNT) or with objects that were just received (GIT_OBJECT_DIRECTORY) are passed on."""
_ALWAYS = (
    "-c", "core.splitIndex=false", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}",
    "-c", "advice.graftFileDeprecated=false",
)  # fmt: skip
"""Arguments of every call of git. They switch off features that could write next to the user's index or run a program,
and a hint that would end up in error messages."""
_MAX_MESSAGE = 300
"""Maximum number of characters of a message by git, which may have a line for each file; the rest is cut off."""
_NOT_SPARSE = ("-c", "core.sparseCheckout=false")
"""Lets git read the attributes in folders that a sparse checkout leaves out."""
_MERGE_BASE = "merge base of "
_WARNING = "warning: "
_NOT_CONVERTED = re.compile("error: (.*failed.*)")
"""Matches git's message on a filter or an encoding that failed. Git continues, unless the filter is required."""
_LINK, _GITLINK = "120000", "160000"
"""The modes of a symbolic link and of a submodule in an index."""


class RevisionError(SourceError):
    """Raised if a revision can't be checked out, or a model can't be analyzed in its files."""


class Range(NamedTuple):
    """The hashes of two commits, and their displayed names: the user's, or a description of a merge base.

    `new` is None for the working tree.
    """

    old: str
    new: str | None
    old_name: str
    new_name: str


def note_on_missing_changes(compared: Range) -> str:
    """Return a note that the newer commit lacks changes in the working tree, and how to compare with the tree."""
    is_merge_base = compared.old_name.startswith(_MERGE_BASE)  # a description, which git does not accept
    old = compared.old[:12] if is_merge_base else compared.old_name
    return f"the working tree has changes that {compared.new_name} lacks; to include them, use --rev {old}"


class Repository:
    """The git repository that contains a folder.

    Attributes:
        folder: the folder.
        top: the top level of the working tree.
        prefix: the folder relative to `top`, with a trailing slash; empty for `top` itself.
        left_out: paths of submodules that a checked-out commit has but this clone lacks.
        warnings: git's warnings about the names of revisions.
        unfiltered: git's errors about files that it wrote as they are stored, because a filter or an encoding failed.

    Raises:
        RevisionError: git is not installed, the folder is not in a working tree, or git refuses to read it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left_out: list[str] = []
        self.unfiltered: list[str] = []
        self.warnings: list[str] = []
        self._located: dict[str, str] = {}  # variables that git needs to find the repository
        try:
            top = self.git("rev-parse", "--show-toplevel")
        except RevisionError as error:
            self._located = _located_by_environment()
            if not self._located or "not a git repository" not in str(error):
                raise RevisionError(f"{error}{self._advice(str(error))}") from None
            top = self.git("rev-parse", "--show-toplevel")
        self.top = Path(top)
        self.prefix = self.git("rev-parse", "--show-prefix")

    @staticmethod
    def _advice(message: str) -> str:
        """Return what to do about an error message of git; empty if unknown."""
        if "not a git repository" in message:
            return "; revisions need a repository: run the command in one, or compare two models, OLD NEW"
        if "must be run in a work tree" in message:
            return "; the repository is bare: run the command in a clone or in a folder made by git worktree add"
        return ""

    def git(self, *arguments: str, **environment: str) -> str:
        """Run git and return its output without the final newline. Raises RevisionError with git's message."""
        return self._run(*arguments, **environment)[0].removesuffix("\n")

    def _run(self, *arguments: str, **environment: str) -> tuple[str, str]:
        """Run git and return its standard output and error. Raises RevisionError with the latter if it fails."""
        variables = {name: value for name, value in os.environ.items() if name not in _LOCAL}
        variables |= {"GIT_OPTIONAL_LOCKS": "0", "LANGUAGE": "C", **self._located, **environment}
        try:
            process = subprocess.run(  # noqa: S603  # git itself, by arguments and not by a shell
                ["git", "-C", str(self.folder), *_ALWAYS, *arguments],  # noqa: S607  # the user's git, wherever it is
                capture_output=True, check=False, stdin=subprocess.DEVNULL, env=variables,
            )  # fmt: skip
        except FileNotFoundError:
            raise RevisionError("git is not installed, or not on the PATH; revisions need it") from None
        except OSError as error:
            raise RevisionError(f"git can't be run: {error.strerror}") from None
        if process.returncode:
            message = " ".join(os.fsdecode(process.stderr).split()) or "failed"
            # the command may follow `-C FOLDER` and `-c NAME=VALUE`
            command = next(each for each in arguments if not each.startswith(("-", "/")) and "=" not in each)
            raise RevisionError(f"git {command}: {message[:_MAX_MESSAGE]}{'…' if len(message) > _MAX_MESSAGE else ''}")
        return os.fsdecode(process.stdout), os.fsdecode(process.stderr)

    def range(self, text: str) -> Range:
        """Resolve `A..B`, `A...B` (from the merge base to B), `A..` (to HEAD), or `A` (to the working tree).

        Raises:
            RevisionError: there is no such revision, or no merge base. The message suggests similar names and, in a
                shallow clone, how to fetch the rest.
        """
        match = _RANGE.match(text)
        if match is None:
            return Range(self.commit(text), None, text, "working tree")
        try:
            old, new = self.commit(match["old"]), self.commit(match["new"] or "HEAD")
        except RevisionError:
            if found := self._found(text):  # such as `:/wait... what`
                return Range(self._peeled(text, found), None, text, "working tree")
            raise
        old_name, new_name = match["old"], match["new"] or "HEAD"
        if match["dots"] == "..." and (base := self._merge_base(old, new, text)) != old:
            return Range(base, new, f"{_MERGE_BASE}{old_name} and {new_name}", new_name)
        return Range(old, new, old_name, new_name)

    def commit(self, name: str) -> str:
        """Return the hash of a revision's commit. Raises RevisionError if there is none, as for a tree or a file."""
        if name.startswith(("-", "^")):
            raise RevisionError(f"revision {name!r}: expected a branch, a tag or a commit")
        if found := self._found(name):
            return self._peeled(name, found)
        branches = self.git("for-each-ref", "--format=%(refname:short)").splitlines()
        advice = self._fetch_advice(name) or self._shallow_advice() or _LIST_ADVICE
        raise RevisionError(f"revision {name!r}: there is none{suggestion(name, branches)}{advice}")

    def _found(self, name: str) -> str:
        """Return the hash of the object that a text names, preferably a commit; empty if there is none.

        Git's warnings are stored for `notes`: a name may be ambiguous, and a reflog may not go back as far as a date.
        """
        # `:/` takes everything after it for the text to search for
        forms = (name,) if name.startswith(":/") else (f"{name}^{{commit}}", name)
        for form in forms:
            try:
                found, messages = self._run("rev-parse", "--verify", form)
                self.git("cat-file", "-e", found.strip())  # rev-parse accepts any hash of full length
            except RevisionError:
                continue
            self.warnings += [line for line in messages.splitlines() if line.startswith(_WARNING)]
            return found.strip()
        return ""

    def _peeled(self, name: str, found: str) -> str:
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{found}^{{commit}}")
        except RevisionError:
            kind = {"blob": "file"}.get(kind := self.git("cat-file", "-t", found), kind)
            raise RevisionError(f"revision {name!r}: expected a branch, a tag or a commit, not a {kind}") from None

    def _merge_base(self, old: str, new: str, text: str) -> str:
        try:
            bases = self.git("merge-base", "--all", old, new).splitlines()
        except RevisionError:
            raise RevisionError(f"{text}: the revisions have no commit in common{self._shallow_advice()}") from None
        if len(bases) > 1:
            self.warnings.append(f"{text} has {len(bases)} merge bases; {bases[0][:12]} is used")
        return bases[0]

    def _is_shallow(self) -> bool:
        return self.git("rev-parse", "--is-shallow-repository") == "true"

    def _shallow_advice(self) -> str:
        """Return how to fetch the rest of a shallow clone; empty if the clone isn't shallow."""
        if not self._is_shallow():
            return ""
        return "; the clone is shallow: fetch the rest with git fetch --unshallow, or fetch-depth: 0 in a workflow"

    def _fetch_advice(self, name: str) -> str:
        """Return how to fetch a remote's branch, such as `origin/main`; empty if `name` doesn't begin with a remote.

        A clone of a single branch lacks all others, and `git fetch --unshallow` alone would not fetch them.
        """
        # longest first: with remotes a and a/b, the remote of a/b/main is a/b
        remotes = sorted(self.git("remote").splitlines(), key=len, reverse=True)
        remote = next((each for each in remotes if name.startswith(f"{each}/") and name != f"{each}/"), None)
        if remote is None:
            return ""
        branch = re.split(r"[~^@:]", name.removeprefix(f"{remote}/"))[0]  # without a suffix such as ~1
        depth = "--unshallow " if self._is_shallow() else ""
        return (
            f"; if {remote} has it, fetch it with git fetch {depth}{remote} "
            f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}, or fetch-depth: 0 in a workflow"
        )

    def dirty(self) -> bool:
        """Return whether tracked files differ from HEAD."""
        return bool(self.git("status", "--porcelain", "--untracked-files=no"))

    def ignores(self, path: str) -> bool:
        """Return whether git ignores a path relative to `top`, such as that of a file created by a build."""
        try:
            self.git("-C", str(self.top), "check-ignore", "--quiet", "--", path)
        except RevisionError:  # exit status 1: not ignored
            return False
        return True

    def names(self, folder: Path) -> set[str]:
        """Return the names in a folder of the working tree or of a submodule, except those that git ignores."""
        found = self.git("-C", str(folder), "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        return {path.partition("/")[0] for path in found.split("\0")}.intersection(
            each.name
            for each in folder.iterdir()  # the index also lists files that have been deleted
        )

    @contextmanager
    def files(self, commit: str) -> Iterator[Path]:
        """Check out the files of a commit, and of the submodules that this clone has, to a temporary folder.

        Other submodules are empty folders, as in the working tree, and are added to `left_out`.
        """
        with tempfile.TemporaryDirectory(prefix="cnncost-") as name:
            tree = Path(name).resolve() / "tree"
            tree.mkdir()
            self.left_out += self._check_out(commit, tree, Path(name) / "index")
            yield tree

    def _check_out(self, commit: str, tree: Path, index: Path) -> list[str]:
        """Write a commit's files to a folder, using a new index file. Return the paths of missing submodules."""
        at_top = partial(self.git, "-C", str(self.top), GIT_INDEX_FILE=str(index))
        at_top("read-tree", commit)
        self._write_files(tree, index)
        missing: list[str] = []
        for entry in at_top("ls-files", "--stage", "-z").split("\0"):
            mode_hash_stage, _, path = entry.partition("\t")
            if mode_hash_stage.startswith(_LINK):
                redirect(tree / path, self.top / path, index.parent / "tree")
            elif mode_hash_stage.startswith(_GITLINK):
                missing += self._check_out_submodule(path, mode_hash_stage.split()[1], tree / path, index)
        return missing

    def _write_files(self, tree: Path, index: Path) -> None:
        """Write an index's files to a folder, with the attributes that the commit gives them.

        Git reads `.gitattributes` from the working tree, which may be at another commit, before it reads the index's.
        So the folder is the working tree of this command; filters run in it, as they would in the user's.
        """
        git_folder = self.git("-C", str(self.top), "rev-parse", "--absolute-git-dir")
        places = {"GIT_DIR": git_folder, "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(index)}
        for _ in range(2):  # twice: a filter may be a program in the commit that is written after the file
            _, messages = self._run("-C", str(tree), *_NOT_SPARSE, "checkout-index", "--all", "--force", **places)
            failed = [found[1] for line in messages.splitlines() if (found := _NOT_CONVERTED.match(line))]
            if not failed:
                return
        self.unfiltered += failed

    def _check_out_submodule(self, path: str, commit: str, tree: Path, index: Path) -> list[str]:
        present = self._present_path(path, index)
        if not (self.top / present / ".git").exists():  # never initialized in this clone
            return [path]
        submodule = Repository(self.top / present)
        submodule.unfiltered = self.unfiltered
        try:
            submodule.git("cat-file", "-e", f"{commit}^{{commit}}")
        except RevisionError:
            raise RevisionError(
                f"the submodule {path} lacks its commit {commit[:12]}; fetch it with git -C {path} fetch origin "
                f"{commit}, or in a workflow with submodules: true and fetch-depth: 0"
            ) from None
        tree.mkdir(parents=True, exist_ok=True)
        return [
            f"{path}/{each}" for each in submodule._check_out(commit, tree, index.with_name(f"{index.name}-submodule"))
        ]

    def _present_path(self, path: str, index: Path) -> str:
        """Return the path in the working tree of a submodule of an index, because it may have been moved since."""
        then = self._submodules("--blob", ":.gitmodules", GIT_INDEX_FILE=str(index))
        now = self._submodules("--file", str(self.top / ".gitmodules"))
        return next((now[name] for name, place in then.items() if place == path and name in now), path)

    def _submodules(self, *place: str, **environment: str) -> dict[str, str]:
        """Return the paths of submodules by name, from a `.gitmodules`; empty if it doesn't exist or has none."""
        try:
            found = self.git(
                "-C", str(self.top), "config", *place, "--null", "--get-regexp", r"^submodule\..*\.path$", **environment
            )
        except RevisionError:
            return {}
        return dict(each.split("\n", 1) for each in found.split("\0") if each)

    def notes(self) -> tuple[str, ...]:
        """Return notes on submodules that the checked-out files lack, on filters that failed, and git's warnings."""
        return (
            *(f"git: {warning.removeprefix(_WARNING)}" for warning in dict.fromkeys(self.warnings)),
            *(
                f"the revision's submodule {path} is left out, because this clone does not have it; get it with "
                "git submodule update --init"
                for path in dict.fromkeys(self.left_out)
            ),
            *(
                f"some files of the revision were not converted: {message}; check the filters in git config --list"
                for message in dict.fromkeys(self.unfiltered)
            ),
        )


def _located_by_environment() -> dict[str, str]:
    """Return GIT_DIR and GIT_WORK_TREE as absolute paths, by name; empty unless both are set.

    They are needed if the working tree has no `.git` that leads to its repository.
    """
    names = ("GIT_DIR", "GIT_WORK_TREE")
    found = {name: str(Path.cwd() / os.environ[name]) for name in names if os.environ.get(name)}
    return found if len(found) == len(names) else {}
