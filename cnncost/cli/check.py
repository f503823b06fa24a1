"""`cnncost check`: budgets, for CI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnncost.cli.options import Command, check_places, note, result_format, result_options
from cnncost.errors import InputError, OutputError
from cnncost.render.formats import FORMATS, Format

if TYPE_CHECKING:
    from cnncost.budget.check import Check
    from cnncost.budget.file import BudgetFile
    from cnncost.budget.lock import Lock
    from cnncost.budget.measure import Measured

_FURTHER_FORMATS = (
    Format("junit", (".xml",), meaning="test results as XML"),
    Format("github", meaning="annotations and the job summary"),
    Format("benchmark", meaning="for github-action-benchmark", written_as="json"),
    Format(
        "comment", meaning="markdown whose first line lets a workflow find the comment again",
        written_as="markdown",
    ),
)  # fmt: skip
"""Formats for other tools, which `check` writes in addition to the formats of all commands."""
_FORMATS = FORMATS.also(*_FURTHER_FORMATS)


@click.command(
    cls=Command,
    epilog="Exit code: 0: all limits pass; 1: one is over or uncertain; 2: the file or a model is broken.\n\n"
    "\b\nExamples:\n  cnncost check\n  cnncost check --update\n  cnncost check --format github\n"
    "  cnncost check --baseline-rev origin/main --format comment -o comment.md",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "-c", "--config", metavar="FILE", help="Budget file; by default cnncost.toml or pyproject.toml, here or above."
)
@click.option("--baseline", metavar="FILE", help="Baseline; by default the budget file's, cnncost.lock.json.")
@click.option(
    "--baseline-rev", "revision", metavar="REV",
    help="Baseline: the same models at a git revision, such as origin/main, which are analyzed now.",
)  # fmt: skip
@click.option("--update", is_flag=True, help="Write the baseline, and show the changes since the old one.")
@result_options(_FORMATS)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of processes; by default several if one takes long.",
)
@click.option("--allow-unknown", is_flag=True, help="Accept totals that leave out ops without a rule.")
@click.option("--any-torch", is_flag=True, help="Accept a baseline that was made with another version of torch.")
def command(
    names: tuple[str, ...], config: str | None, baseline: str | None, revision: str | None, update: bool,
    form: str | None, output: str | None, jobs: int | None, allow_unknown: bool, any_torch: bool,
) -> int:  # fmt: skip
    """Check models against their budgets: all budgets, or the named ones.

    A budget file lists models and their limits: macs = "<= 4.1G", params = "+1%" (relative to the baseline),
    modules = { "layer4.*" = { macs = "<= 1.2G" } }.
    """
    # imported late, as in every command: `cnncost --help` stays fast
    from dataclasses import replace

    from cnncost.budget import lock as locks
    from cnncost.budget.check import check, check_baselines, new_baseline
    from cnncost.budget.file import find, read

    absent: dict[str, str] = {}  # the reason why a model has no figures at the revision, by the budget's name
    if revision is not None and (baseline or update):
        raise click.UsageError(
            f"--baseline-rev measures the baseline itself; leave out {'--baseline' if baseline else '--update'}"
        )
    form = result_format(form, output, formats=_FORMATS)
    file = read(Path(config) if config is not None else relative(find(Path.cwd())))
    if baseline is not None:
        file = replace(file, baseline=Path(baseline))
    if update:
        check_places(str(file.baseline))
        baseline_figures = _previous_baseline(file)
    elif revision is not None:
        baseline_figures, absent = _baseline_at_revision(file, names, revision, any_torch)
    else:
        baseline_figures = locks.read(file.baseline, any_torch=any_torch)
    if not update:
        check_baselines(file, baseline_figures, names, revision or "")  # before the models are analyzed
    measured = _measured(file, names, jobs)
    if update:
        new = new_baseline(measured, baseline_figures if names else None)  # with names: keep the other models' entries
        result = check(file, measured, new, since=baseline_figures, allow_unknown=allow_unknown)
        result = replace(result, baseline=file.baseline)
        locks.write(file.baseline, new)
    else:
        result = check(
            file, measured, baseline_figures, allow_unknown=allow_unknown, revision=revision or "", absent=absent
        )
    _report(result, form, output)
    return result.exit_code


def relative(path: Path) -> Path:
    """Return a path in the working folder relative to it, which is shorter; other paths unchanged."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _previous_baseline(file: BudgetFile, any_torch: bool = True) -> Lock | None:
    """Read the baseline's file; None if it is missing, unreadable, or, unless `any_torch`, made with another torch."""
    from cnncost.budget import lock as locks
    from cnncost.budget.file import BudgetError

    try:
        return locks.read(file.baseline, any_torch=any_torch)
    except BudgetError:
        return None


def _baseline_at_revision(
    file: BudgetFile, names: tuple[str, ...], revision: str, any_torch: bool
) -> tuple[Lock, dict[str, str]]:
    """Analyze the models at a revision; for models that fail there, use the figures in the baseline's file, if any.

    Returns:
        The baseline, and the reasons why models failed, by the budget's name.
    """
    from dataclasses import replace

    from cnncost.budget.installed_copies import notes_on_copies
    from cnncost.budget.repository import Repository
    from cnncost.budget.revisions import budgets_at

    _check_names(file, names)
    repository = Repository(file.path.resolve().parent)
    ((figures, errors, notes),) = budgets_at(repository, (repository.commit(revision),), file, names, (revision,))
    for text in (*notes, *notes_on_copies(repository.top, repository.folder)):
        note(text)
    for name, reason in errors.items():
        note(f"{revision} has no figures for {name}: {reason}")
    old = _previous_baseline(file, any_torch) if errors else None
    return figures if old is None else replace(figures, models={**old.models, **figures.models}), errors


def _check_names(file: BudgetFile, names: tuple[str, ...]) -> None:
    from cnncost.near import suggestion

    all_names = [budget.name for budget in file.budgets]
    for name in names:
        if name not in all_names:
            hint = suggestion(name, all_names) or f"; there are {', '.join(all_names)}"
            raise InputError(f"{file.path}: no budget named {name!r}{hint}")


def _measured(file: BudgetFile, names: tuple[str, ...], jobs: int | None) -> list[Measured]:
    from cnncost.budget.measure import measure_all

    _check_names(file, names)
    budgets = [budget for budget in file.budgets if not names or budget.name in names]
    return measure_all(budgets, file.path.parent, jobs)


def _report(result: Check, form: str, output: str | None) -> None:
    """Write the result. With `github`, also add it to the job's summary; with `output`, print a failure's reason."""
    from cnncost.cli import terminal

    if form == "comment":
        from cnncost.budget.render.check import document
        from cnncost.budget.render.comment import to_comment

        terminal.put(to_comment(document(result), "check", result.file.path), output)
    elif _FORMATS[form] in _FURTHER_FORMATS:
        from cnncost.budget.render import check_data

        render = {
            "junit": check_data.to_junit, "github": check_data.to_annotations, "benchmark": check_data.to_benchmark,
        }[form]  # fmt: skip
        terminal.put(render(result), output)
    else:
        from cnncost.budget.render.check import document

        terminal.write(document(result), form, output)
    if form == "github":
        _append_to_job_summary(result)
    if output is not None and result.exit_code:
        from cnncost.budget.render.words import summary

        note(f"{summary(result)}; see {output}")  # the log of a failed job then says why it failed


def _append_to_job_summary(result: Check) -> None:
    """Append the result to the job summary, if this runs in GitHub Actions."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    from cnncost.budget.render.check import document
    from cnncost.render.markdown import to_markdown

    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(to_markdown(document(result)))
    except OSError as error:
        raise OutputError(f"GITHUB_STEP_SUMMARY {path}: could not be written: {error.strerror}") from None
