"""Analyzes a model as it was at a git revision, without touching the user's working tree.

A separate Python process analyzes the model in the revision's files, because one process can't import two revisions of
a module.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from filecmp import cmp
from pathlib import Path
from typing import Any

import cnncost
from cnncost.budget import lock
from cnncost.budget.file import BudgetFile
from cnncost.budget.measure import Figures
from cnncost.budget.repository import Repository, RevisionError
from cnncost.budget.revision_imports import RevisionImports
from cnncost.budget.revision_paths import RevisionPaths
from cnncost.budget.snapshot import Snapshot
from cnncost.endings import end_with_parent, unwinding
from cnncost.errors import CnncostError

INTERPRETER = [sys.executable]
"""The command that starts a revision's process, before its options."""


def snapshots(
    repository: Repository, commits: tuple[str, ...], request: dict[str, Any], names: tuple[str, ...]
) -> tuple[list[Snapshot], tuple[str, ...]]:
    """Return the figures of a model at each commit, and notes on them; the commits are analyzed in parallel.

    Args:
        repository: the repository with the commits.
        commits: hashes.
        request: `model`, and `settings` as returned by `Settings.to_data`.
        names: names of the commits for error messages.

    Raises:
        RevisionError: the model can't be analyzed at a commit, or code or data came from the working tree.
    """
    figures = _figures_at(repository, commits, request, names)
    return [each.lock.models["model"].snapshot for each in figures], notes_on(figures)


def budgets_at(
    repository: Repository, commits: tuple[str, ...], file: BudgetFile, chosen: tuple[str, ...], names: tuple[str, ...]
) -> list[Figures]:
    """Return the figures of a budget file's models at each commit: the commit's code, with the file's current inputs.

    Args:
        repository: the repository that contains the file's folder.
        commits: hashes.
        file: the budgets.
        chosen: names of the budgets; empty: all.
        names: names of the commits for error messages.

    Raises:
        RevisionError: a commit lacks the file's folder, code or data came from the working tree, or a process died.
    """
    request = {"file": file.path.name, "text": file.text, "budgets": list(chosen)}
    return _figures_at(repository, commits, request, names)


def notes_on(figures: list[Figures]) -> tuple[str, ...]:
    """Return the notes on the figures of several revisions, without duplicates."""
    return tuple(dict.fromkeys(note for each in figures for note in each.notes))


def _figures_at(
    repository: Repository, commits: tuple[str, ...], request: dict[str, Any], names: tuple[str, ...]
) -> list[Figures]:
    """Analyze each commit in its own process, wait for all, and return the figures. Raises RevisionError."""
    from contextlib import ExitStack

    with _naming_missing_submodules(repository), unwinding(), ExitStack() as stack:
        trees = [stack.enter_context(repository.files(commit)) for commit in commits]
        running = [
            stack.enter_context(_process(repository, tree, request, name))
            for tree, name in zip(trees, names, strict=True)
        ]
        figures = [_result(work, tree, name) for work, tree, name in zip(running, trees, names, strict=True)]
        return [each._replace(notes=each.notes + repository.notes()) for each in figures]


@contextmanager
def _naming_missing_submodules(repository: Repository) -> Iterator[None]:
    """Add notes on submodules that were left out to a RevisionError, because they may be its cause."""
    try:
        yield
    except RevisionError as error:
        raise RevisionError("; ".join((str(error), *repository.notes()))) from error


@contextmanager
def _process(
    repository: Repository, tree: Path, request: dict[str, Any], name: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python process that calls `work` in a revision's files; kill it on exit."""
    folder = tree / repository.prefix
    if not folder.is_dir():
        raise RevisionError(f"{name}: has no folder {repository.prefix}")
    home = Path(cnncost.__file__).resolve().parent.parent
    places = {"tree": str(tree), "top": str(repository.top), "result": str(tree.parent / "result.json")}
    request_file = tree.parent / "request.json"  # an argument has at most 128 KiB, but a budget file may be larger
    request_file.write_text(json.dumps({**request, **places, "parent": os.getpid()}), encoding="utf-8")
    # appended, so that the revision's modules and installed ones come first
    code = f"import sys; sys.path.append({str(home)!r}); from cnncost.budget.revisions import work; work()"
    with subprocess.Popen(  # noqa: S603  # this very Python, with the code above
        # -B: write no .pyc files; -P: no working folder in sys.path, as with the installed command
        [*INTERPRETER, "-B", "-P", "-c", code, str(request_file)],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=_environment(RevisionPaths(tree, repository.top)),
    ) as work:  # fmt: skip
        try:
            yield work
        finally:
            work.kill()  # no effect if it has exited


def _environment(paths: RevisionPaths) -> dict[str, str]:
    """Return the environment of a revision's process, with the revision's folders in PYTHONPATH."""
    variables = dict(os.environ)
    if entries := variables.get("PYTHONPATH"):
        variables["PYTHONPATH"] = os.pathsep.join(paths.search_path(entries.split(os.pathsep)))
    return variables


def _result(work: subprocess.Popen[bytes], tree: Path, name: str) -> Figures:
    """Wait for a process and return the figures that it wrote. Raises RevisionError if it failed."""
    _, stderr = work.communicate()
    result = tree.parent / "result.json"
    if work.returncode or not result.exists():
        last = os.fsdecode(stderr).strip().splitlines()[-1:] or [f"ended with {work.returncode}"]
        raise RevisionError(f"{name}: the analysis failed: {last[0]}")
    text = result.read_text(encoding="utf-8")
    if text.startswith("error: "):
        raise RevisionError(f"{name}: {text.removeprefix('error: ').replace(str(tree) + os.sep, '')}")
    result_lock = lock.read(result)
    assert result_lock is not None  # the file exists
    about = json.loads(result.with_suffix(".about").read_text(encoding="utf-8"))  # what a baseline file can't hold
    errors = {model: reason.replace(str(tree) + os.sep, "") for model, reason in about["errors"].items()}
    return Figures(result_lock, errors, tuple(about["notes"]))


def work() -> None:
    """Analyze the requested models in the working folder, and write their figures, or the error, to a file.

    The code that `_process` passes to Python calls this function; the command's argument is the file with the request.
    """
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    result, tree = Path(request["result"]), Path(request["tree"])
    end_with_parent(request["parent"], result.parent)
    try:
        if (source := tree / "src").is_dir():  # the src layout; it takes precedence over an installed copy
            sys.path.insert(0, str(source))
        repository = Repository(Path(request["top"]))
        imports = RevisionImports(RevisionPaths(tree, repository.top), Path.cwd(), repository.ignores)
        imports.install()
        figures = _figures_of_budgets(request) if "file" in request else _figures_of_model(request)
        _check_origin(imports, repository)
    except CnncostError as error:
        result.write_text(f"error: {error}", encoding="utf-8")
        return
    about = {"errors": figures.errors, "notes": imports.notes()}
    result.with_suffix(".about").write_text(json.dumps(about), encoding="utf-8")
    lock.write(result, figures.lock)


def _figures_of_budgets(request: dict[str, Any]) -> Figures:
    from cnncost.budget.file import parse
    from cnncost.budget.measure import figures

    budgets = parse(Path(request["file"]), request["text"]).budgets
    return figures([each for each in budgets if not request["budgets"] or each.name in request["budgets"]], ".")


def _figures_of_model(request: dict[str, Any]) -> Figures:
    from cnncost.analysis import analyze
    from cnncost.budget.snapshot import of_report
    from cnncost.sources.settings import Settings

    settings = Settings.from_data(request["settings"])
    snapshot = of_report(analyze(settings.resolve(request["model"]), trace=settings.tracing))
    return Figures(lock.Lock(lock.torch_version(), {"model": lock.Entry(snapshot, {})}), {})


def _check_origin(imports: RevisionImports, repository: Repository) -> None:
    """Check that no code or data from the working tree was used instead of the revision's.

    Raises:
        RevisionError: a module came from the working tree; or a file, or the listing of a folder, came from there and
            is not the same at the revision.
    """
    advice = "use a path relative to the folder that the command runs in, or one made from __file__"
    built = set(imports.built.values())
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        relative = imports.paths.relative(file) if isinstance(file, str) else None
        if relative is not None and os.path.realpath(file or "") not in built:
            raise RevisionError(
                f"{name} was imported from the working tree ({imports.paths.top / relative}), not from the revision; "
                f"{advice}"
            )
    if read := sorted(each for each in imports.read if not _is_same(imports.paths, repository, each)):
        raise RevisionError(f"{read[0]} was read from the working tree, not from the revision; {advice}")


def _is_same(paths: RevisionPaths, repository: Repository, relative: str) -> bool:
    """Return whether a file has the same content in the working tree and at the revision, or a folder the same names.

    If so, it doesn't matter which of the two was read.
    """
    at_revision, in_tree = paths.revision / relative, paths.top / relative
    try:
        if in_tree.is_dir():
            return {each.name for each in at_revision.iterdir()} == repository.names(in_tree)
        return cmp(at_revision, in_tree, shallow=False)
    except OSError:
        return False
