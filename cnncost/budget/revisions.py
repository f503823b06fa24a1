"""Analyzes a model as it is at a git revision, without touching the user's working tree.

The revision's files are checked out to a temporary folder through a temporary index, so that the working tree, the
index and the list of worktrees stay as they are, even if this is interrupted. Another Python process analyzes the model
there, as one process can't import two revisions of a module.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cnncost
from cnncost.budget import lock
from cnncost.budget.file import BudgetFile
from cnncost.budget.measure import Figures
from cnncost.budget.snapshot import Snapshot
from cnncost.endings import end_with_parent, unwinding
from cnncost.errors import CnncostError, SourceError
from cnncost.near import suggestion

_FORM = re.compile(r"^(?P<old>.+?)(?P<dots>\.{2,3})(?P<new>.*)$")
_LISTS = "; git branch -a and git tag list names, git log commits"


class RevisionError(SourceError):
    """Raised if a revision can't be checked out, or a model can't be analyzed in its files."""


class Range(NamedTuple):
    """The hashes of two commits, and the names by which the user gave them. `new` is None for the working tree."""

    old: str
    new: str | None
    old_name: str
    new_name: str


def lacks_changes(compared: Range) -> str:
    """Return a note that the working tree has changes that the newer commit lacks, and how to compare with the tree."""
    new, old = compared.new_name, compared.old_name
    return f"the working tree has changes that {new} lacks; to compare with it give --rev {old}"


class Repository:
    """The git repository that contains a folder.

    Raises:
        RevisionError: git is not installed, or the folder is not in a repository.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.top = Path(self.git("rev-parse", "--show-toplevel"))
        except RevisionError as error:
            raise RevisionError(
                f"{error}; a revision needs a repository: run it in one, or compare two models, OLD NEW"
            ) from None
        self.prefix = self.git("rev-parse", "--show-prefix")

    def git(self, *arguments: str, **environment: str) -> str:
        """Run git and return its output. Raises RevisionError with git's message."""
        try:
            process = subprocess.run(  # noqa: S603  # git itself, by arguments and not by a shell
                ["git", "-C", str(self.folder), *arguments],  # noqa: S607  # the user's git, wherever it is
                capture_output=True, text=True, check=False, env={**os.environ, **environment},
            )  # fmt: skip
        except FileNotFoundError:
            raise RevisionError("git is not installed; a revision needs it") from None
        if process.returncode:
            raise RevisionError(f"git {arguments[0]}: {' '.join(process.stderr.split()) or 'failed'}")
        return process.stdout.strip()

    def range(self, text: str) -> Range:
        """Resolve `A..B`, `A...B` (from the merge base to B), `A..` (to HEAD), or `A` (to the working tree).

        Raises:
            RevisionError: no such revision, with near names and what to do in a shallow clone.
        """
        match = _FORM.match(text)
        if match is None:
            return Range(self.commit(text), None, text, "working tree")
        old, new = self.commit(match["old"]), self.commit(match["new"] or "HEAD")
        if match["dots"] == "...":
            old = self._merge_base(old, new, text)
        return Range(old, new, match["old"], match["new"] or "HEAD")

    def commit(self, name: str) -> str:
        """Return the hash of a revision."""
        if name.startswith("-"):
            raise RevisionError(f"revision {name!r}: expected a branch, a tag or a commit")
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except RevisionError:
            branches = self.git("for-each-ref", "--format=%(refname:short)").splitlines()
            raise RevisionError(
                f"revision {name!r}: there is none{suggestion(name, branches)}{self._shallow() or _LISTS}"
            ) from None

    def _merge_base(self, old: str, new: str, text: str) -> str:
        try:
            return self.git("merge-base", old, new)
        except RevisionError:
            raise RevisionError(f"{text}: the two have no commit in common{self._shallow()}") from None

    def _shallow(self) -> str:
        if self.git("rev-parse", "--is-shallow-repository") != "true":
            return ""
        return "; the clone is shallow: get the rest with git fetch --unshallow, or fetch-depth: 0 in a workflow"

    def dirty(self) -> bool:
        """Return whether tracked files differ from HEAD."""
        return bool(self.git("status", "--porcelain", "--untracked-files=no"))

    @contextmanager
    def files(self, commit: str) -> Iterator[Path]:
        """Context manager: a temporary folder with the files of a commit."""
        with tempfile.TemporaryDirectory(prefix="cnncost-") as name:
            tree = Path(name).resolve() / "tree"
            tree.mkdir()
            index = {"GIT_INDEX_FILE": str(Path(name) / "index")}
            self.git("read-tree", commit, **index)
            # checkout-index checks out only the files below the folder that it runs in
            Repository.git(_RepositoryAt(self.top), "checkout-index", "--all", f"--prefix={tree}/", **index)
            yield tree


class _RepositoryAt(Repository):
    """A git repository whose folder is known to be its top level; runs no git to find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def snapshots(
    repository: Repository, commits: tuple[str, ...], request: dict[str, Any], names: tuple[str, ...]
) -> list[Snapshot]:
    """Return the figures of a model at each commit; the commits are analyzed in parallel.

    Args:
        repository: where the commits are.
        commits: hashes.
        request: `model` and `settings`, as `Settings.to_data` returns them.
        names: names of the commits in errors.

    Raises:
        RevisionError: the model can't be analyzed there, or its code came from the working tree.
    """
    return [lock.models["model"].snapshot for lock, _ in _figures_at(repository, commits, request, names)]


def budgets_at(
    repository: Repository, commits: tuple[str, ...], file: BudgetFile, chosen: tuple[str, ...], names: tuple[str, ...]
) -> list[Figures]:
    """Return the figures of a budget file's models at each commit: the commit's code with the file's present inputs.

    Args:
        repository: the repository of the file's folder.
        commits: hashes.
        file: the budgets.
        chosen: names of the budgets; empty: all.
        names: names of the commits in errors.

    Raises:
        RevisionError: the folder is not there, code came from the working tree, or the process died.
    """
    request = {"file": file.path.name, "text": file.text, "budgets": list(chosen)}
    return _figures_at(repository, commits, request, names)


def _figures_at(
    repository: Repository, commits: tuple[str, ...], request: dict[str, Any], names: tuple[str, ...]
) -> list[Figures]:
    from contextlib import ExitStack

    with unwinding(), ExitStack() as stack:
        trees = [stack.enter_context(repository.files(commit)) for commit in commits]
        running = [
            stack.enter_context(_process(repository, tree, request, name))
            for tree, name in zip(trees, names, strict=True)
        ]
        return [_result(work, tree, name) for work, tree, name in zip(running, trees, names, strict=True)]


@contextmanager
def _process(repository: Repository, tree: Path, request: dict[str, Any], name: str) -> Iterator[subprocess.Popen[str]]:
    """Context manager: a Python process that runs `work` in a revision's files; it is killed on exit."""
    folder = tree / repository.prefix
    if not folder.is_dir():
        raise RevisionError(f"{name}: has no folder {repository.prefix}")
    home = Path(cnncost.__file__).resolve().parent.parent
    places = {"tree": str(tree), "top": str(repository.top), "result": str(tree.parent / "result.json")}
    message = {**request, **places, "parent": os.getpid()}
    code = f"import sys; sys.path.append({str(home)!r}); from cnncost.budget.revisions import work; work()"
    with subprocess.Popen(  # noqa: S603  # this very Python, with the code above
        [sys.executable, "-B", "-P", "-c", code, json.dumps(message)],  # -B: no .pyc files
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as work:  # fmt: skip
        try:
            yield work
        finally:
            work.kill()  # no effect if it has exited


def _result(work: subprocess.Popen[str], tree: Path, name: str) -> Figures:
    _, stderr = work.communicate()
    result = tree.parent / "result.json"
    if work.returncode or not result.exists():
        last = stderr.strip().splitlines()[-1:] or [f"ended with {work.returncode}"]
        raise RevisionError(f"{name}: the analysis failed: {last[0]}")
    text = result.read_text(encoding="utf-8")
    if text.startswith("error: "):
        raise RevisionError(f"{name}: {text.removeprefix('error: ').replace(str(tree) + os.sep, '')}")
    result_lock = lock.read(result)
    assert result_lock is not None  # the file exists
    errors = json.loads(result.with_suffix(".errors").read_text(encoding="utf-8"))
    return Figures(result_lock, {model: reason.replace(str(tree) + os.sep, "") for model, reason in errors.items()})


def work() -> None:
    """Analyze the models of the request in this folder, and write their figures, or the error, to a file."""
    request = json.loads(sys.argv[1])
    result = Path(request["result"])
    end_with_parent(request["parent"], result.parent)
    try:
        source = Path(request["tree"]) / "src"
        if source.is_dir():
            sys.path.insert(0, str(source))
        figures = _figures_of_budgets(request) if "file" in request else _figures_of_model(request)
        _check_origin(Path(request["tree"]), Path(request["top"]))
    except CnncostError as error:
        result.write_text(f"error: {error}", encoding="utf-8")
        return
    result.with_suffix(".errors").write_text(json.dumps(figures.errors), encoding="utf-8")
    lock.write(result, figures.lock)


def _figures_of_budgets(request: dict[str, Any]) -> Figures:
    from cnncost.budget.file import of_text
    from cnncost.budget.measure import figures

    budgets = of_text(Path(request["file"]), request["text"]).budgets
    return figures([each for each in budgets if not request["budgets"] or each.name in request["budgets"]], ".")


def _figures_of_model(request: dict[str, Any]) -> Figures:
    from cnncost.analysis import analyze
    from cnncost.budget.snapshot import of_report
    from cnncost.sources.settings import Settings

    settings = Settings.from_data(request["settings"])
    snapshot = of_report(analyze(settings.resolve(request["model"]), trace=settings.tracing))
    return Figures(lock.Lock(lock.torch_version(), {"model": lock.Entry(snapshot, {})}), {})


def _check_origin(tree: Path, top: Path) -> None:
    """Check that no code of the working tree ran instead of the revision's.

    Args:
        tree: the folder with the revision's files.
        top: the repository's top level.

    Raises:
        RevisionError: a module came from the working tree, by an editable install or an absolute path.
    """
    package = Path(cnncost.__file__).resolve().parent  # cnncost itself may be in the repository
    for name, module in list(sys.modules.items()):
        home = getattr(module, "__file__", None)
        path = Path(home).resolve() if home else None
        if path is None or package in path.parents or top not in path.parents or tree in path.parents:
            continue
        if "site-packages" not in path.parts:
            raise RevisionError(
                f"{name} was imported from the working tree ({path}), not from the revision; name the model by a path "
                "relative to the repository"
            )
