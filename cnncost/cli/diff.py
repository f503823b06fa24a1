"""`cnncost diff`: what changed between two models, and which layers did it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnncost.cli.options import (
    Command,
    check_places,
    complete_model,
    format_option,
    output_option,
    parsed_model_args,
)
from cnncost.cli.running import analyzed, refuse_for_saved, run_options
from cnncost.render.formats import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnncost.budget.snapshot import Snapshot
    from cnncost.sources.settings import Settings


@click.command(
    cls=Command,
    renamed={"--most": "--top"},
    epilog="\b\nExamples:\n  cnncost diff resnet18 resnet34\n  cnncost diff before.json net.py:Net --input 1x3x32x32\n"
    "  cnncost diff --rev main..HEAD net.py:Net --input 1x3x32x32",
)
@click.argument("models", nargs=-1, required=True, metavar="OLD NEW", shell_complete=complete_model)
@run_options()
@click.option("--new-args", multiple=True, metavar="NAME=VALUE", help="Arguments of NEW, where they are others.")
@click.option(
    "--rev", metavar="A..B",
    help="One MODEL at two git revisions; A...B from where B parted from A, A alone: to the working tree.",
)  # fmt: skip
@format_option()
@output_option()
@click.option(
    "--top", type=click.IntRange(min=1), default=12, show_default=True, metavar="N", help="Layers that are listed."
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if a figure differs.")
def command(
    models: tuple[str, ...], settings: Settings, new_args: tuple[str, ...], rev: str | None, form: str | None,
    output: str | None, top: int, exit_code: bool,
) -> int:  # fmt: skip
    """What changed between two models, and which layers did it.

    OLD and NEW are models or saved reports; with --rev one model at two revisions of the git repository. Modules are
    found again when they were renamed or moved.
    """
    from cnncost.budget.diff import Diff
    from cnncost.files import chosen

    if len(models) != (2 if rev is None else 1):
        raise click.UsageError("expected OLD and NEW, or one MODEL with --rev A..B")
    form = chosen(form, output, ENDINGS, "text")
    check_places(output)
    if rev is not None:
        if new_args:
            raise click.UsageError("--new-args is for two models; with --rev both get --model-args")
        sides, names = _revisions(models[0], rev, settings)
    else:
        sides, names = _two(models, settings, parsed_model_args(new_args))
    diff = Diff(*sides)
    from cnncost.budget.render.diff import document
    from cnncost.cli import terminal

    terminal.write(document(diff, names, top), form, output)
    return int(exit_code and bool(diff.changes))


def _two(
    models: tuple[str, ...], settings: Settings, new_args: dict[str, Any]
) -> tuple[tuple[Snapshot, Snapshot], tuple[str, str]]:
    """The figures of OLD and NEW, and what to call them."""
    from dataclasses import replace

    from cnncost.budget.snapshot import of_report
    from cnncost.sources.find import find
    from cnncost.sources.settings import Settings

    later = replace(settings, model_args=new_args) if new_args else settings
    saved = [find(model).saved for model in models]
    if all(saved):
        refuse_for_saved(models[0], later, ("--new-args",) if new_args else ())
    old, new = (
        of_report(analyzed(model, Settings() if fixed else own))
        for model, own, fixed in zip(models, (settings, later), saved, strict=True)
    )
    names = [_named(model, each.model_args) for model, each in zip(models, (settings, later), strict=True)]
    return (old, new), (names[0], names[1])


def _named(model: str, arguments: dict[str, Any]) -> str:
    given = ", ".join(f"{name}={value}" for name, value in arguments.items())
    return f"{model} ({given})" if given else model


def _revisions(model: str, rev: str, settings: Settings) -> tuple[tuple[Snapshot, Snapshot], tuple[str, str]]:
    from cnncost.budget.revisions import Repository, snapshots
    from cnncost.budget.snapshot import of_report

    repository = Repository(Path.cwd())
    found = repository.range(rev)
    request = {"model": model, "settings": settings.to_data()}
    names = f"{model} at {found.old_name}", f"{model} at {found.new_name}"
    if found.new is None:
        (old,) = snapshots(repository, (found.old,), request, names[:1])
        with _no_bytecode():
            return (old, of_report(analyzed(model, settings))), names
    if repository.dirty() and found.new == repository.commit("HEAD"):
        click.echo(
            f"cnncost: the working tree has changes that {found.new_name} lacks; to compare with it give --rev "
            f"{found.old_name}", err=True,
        )  # fmt: skip
    old, new = snapshots(repository, (found.old, found.new), request, names)
    return (old, new), names


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """In this context, imports write no bytecode next to the user's files."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
