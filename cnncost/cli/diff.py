"""`cnncost diff`: the differences between two models, and the layers that cause them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnncost.cli.options import Command, complete_model, note, parsed_model_args, result_format, result_options
from cnncost.cli.running import analyzed, is_cached, refuse_for_saved, run_options
from cnncost.render.formats import FORMATS, Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnncost.budget.snapshot import Snapshot
    from cnncost.sources.settings import Settings

_FORMATS = FORMATS.also(
    Format(
        "comment", meaning="markdown on all budgets, whose first line lets a workflow find the comment again",
        written_as="markdown",
    )
)  # fmt: skip


@click.command(
    cls=Command,
    renamed={"--most": "--top"},
    epilog="\b\nExamples:\n  cnncost diff resnet18 resnet34\n  cnncost diff before.json net.py:Net --input 1x3x32x32\n"
    "  cnncost diff --rev main..HEAD net.py:Net --input 1x3x32x32\n"
    "  cnncost diff --rev origin/main...HEAD --format comment -o comment.md",
)
@click.argument("models", nargs=-1, metavar="[OLD NEW]", shell_complete=complete_model)
@run_options()
@click.option("--new-args", multiple=True, metavar="NAME=VALUE", help="Arguments of NEW, if they differ from OLD's.")
@click.option(
    "--rev", metavar="A..B",
    help="Compare MODEL or, without one, all models of the budget file at two git revisions: A..B for A and B; A...B "
    "for the merge base of A and B, and B; A for A and the working tree.",
)  # fmt: skip
@click.option(
    "-c", "--config", metavar="FILE", help="Budget file; by default cnncost.toml or pyproject.toml, here or above."
)
@result_options(_FORMATS)
@click.option(
    "--top", type=click.IntRange(min=1), default=12, show_default=True, metavar="N", help="How many layers to list."
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if a figure differs.")
def command(
    models: tuple[str, ...], settings: Settings, new_args: tuple[str, ...], rev: str | None, config: str | None,
    form: str | None, output: str | None, top: int, exit_code: bool,
) -> int:  # fmt: skip
    """Show the differences between two models, and the layers that cause them.

    OLD and NEW are models or saved reports. With --rev, one model is compared at two revisions of the git repository,
    or all models of the budget file are, including their peak memory. Renamed and moved modules are matched.
    """
    from cnncost.budget.diff import Diff

    if len(models) > 2 or (rev is None and len(models) != 2):  # `_check_mode` rejects two with --rev
        raise click.UsageError("expected OLD and NEW, or one MODEL with --rev A..B, or --rev A..B for all budgets")
    _check_mode(models, settings, new_args, rev, config, form)
    form = result_format(form, output, formats=_FORMATS)
    if not models:
        return _diff_budgets(rev or "", config, form, output, top, exit_code)
    if rev is not None:
        if new_args:
            raise click.UsageError("--new-args is for two models; with --rev, both sides use --model-args")
        sides, names = _snapshots_at_revisions(models[0], rev, settings)
    else:
        sides, names = _snapshots_of_two(models, settings, parsed_model_args(new_args))
    diff = Diff(*sides)
    from cnncost.budget.render.diff import document
    from cnncost.budget.render.diff_page import page
    from cnncost.cli import terminal

    terminal.write((page if form == "html" else document)(diff, names, top), form, output)
    return int(exit_code and bool(diff.changes))


def _check_mode(
    models: tuple[str, ...], settings: Settings, new_args: tuple[str, ...], rev: str | None, config: str | None,
    form: str | None,
) -> None:  # fmt: skip
    """Reject options of the wrong mode: one compares the given models, the other all models of the budget file."""
    if models and (config is not None or form == "comment"):
        raise click.UsageError(
            f"{'--config' if config is not None else '--format comment'} is for all budgets: --rev A..B without a MODEL"
        )
    if rev is not None and len(models) > 1:
        raise click.UsageError("--rev takes one MODEL, or none for all budgets")
    if not models and (given := [*settings.options, *(["--new-args"] if new_args else [])]):
        raise click.UsageError(f"{given[0]}: the budget file has it for each model; name a MODEL, or leave it out")


def _diff_budgets(rev: str, config: str | None, form: str, output: str | None, top: int, exit_code: bool) -> int:
    """Compare all models of the budget file. Return the exit code: 2 if one can't be analyzed at the new revision."""
    from cnncost.budget.diffs import between
    from cnncost.budget.file import find, read
    from cnncost.budget.render import diffs, diffs_page
    from cnncost.cli import terminal
    from cnncost.cli.check import relative

    file = read(Path(config) if config is not None else relative(find(Path.cwd())))
    with _no_bytecode():
        result = between(file, rev)
    # CSV has only rows, so it can't say which models are missing
    missing = [f"{name}: {reason}" for name, reason in result.missing.items()] if form == "csv" else []
    for text in (*result.notes, *missing):
        note(text)
    headline = f"{file.path.name}: {' → '.join(result.names)}"
    render = diffs_page.page if form == "html" else diffs.document
    document = render(result.diffs, result.missing, result.names, top, headline)
    if form == "comment":
        from cnncost.budget.render.comment import to_comment

        terminal.put(to_comment(document, "diff", file.path), output)
    else:
        terminal.write(document, form, output)
    if result.broken:
        return 2
    return int(exit_code and (bool(result.missing) or any(map(diffs.differs, result.diffs.values()))))


def _snapshots_of_two(
    models: tuple[str, ...], settings: Settings, new_args: dict[str, Any]
) -> tuple[tuple[Snapshot, Snapshot], tuple[str, str]]:
    """Return the figures of OLD and NEW, and their displayed names."""
    from dataclasses import replace

    from cnncost.budget.snapshot import of_report
    from cnncost.sources.find import find
    from cnncost.sources.settings import Settings

    new_settings = replace(settings, model_args=new_args) if new_args else settings
    saved = [not is_cached(model, settings) and find(model).saved for model in models]
    if all(saved):
        refuse_for_saved(models[0], new_settings, ("--new-args",) if new_args else ())
    old, new = (
        of_report(analyzed(model, Settings() if is_saved else model_settings))
        for model, model_settings, is_saved in zip(models, (settings, new_settings), saved, strict=True)
    )
    names = [
        _name_with_arguments(model, each.model_args)
        for model, each in zip(models, (settings, new_settings), strict=True)
    ]
    return (old, new), (names[0], names[1])


def _name_with_arguments(model: str, arguments: dict[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in arguments.items())
    return f"{model} ({text})" if text else model


def _snapshots_at_revisions(
    model: str, rev: str, settings: Settings
) -> tuple[tuple[Snapshot, Snapshot], tuple[str, str]]:
    """Return a model's figures at two revisions, or at one and in the working tree, and their displayed names."""
    from cnncost.budget.installed_copies import notes_on_copies
    from cnncost.budget.repository import Repository, note_on_missing_changes
    from cnncost.budget.revisions import snapshots
    from cnncost.budget.snapshot import of_report

    repository = Repository(Path.cwd())
    revisions = repository.range(rev)
    request = {"model": model, "settings": settings.to_data()}
    names = f"{model} at {revisions.old_name}", f"{model} at {revisions.new_name}"
    commits = (revisions.old,) if revisions.new is None else (revisions.old, revisions.new)
    if revisions.new is not None and repository.dirty() and revisions.new == repository.commit("HEAD"):
        note(note_on_missing_changes(revisions))
    sides, notes = snapshots(repository, commits, request, names[: len(commits)])
    stale = notes_on_copies(repository.top, repository.folder) if revisions.new is None else ()
    for text in (*notes, *stale):
        note(text)
    if revisions.new is None:
        with _no_bytecode():
            sides.append(of_report(analyzed(model, settings)))
    return (sides[0], sides[1]), names


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """In this context, imports don't write bytecode next to the user's files."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
