"""`cnncost diff`: what changed between two models, and which layers did it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnncost.cli.options import (
    Command,
    complete_model,
    input_option,
    model_args_option,
    parsed_inputs,
    parsed_model_args,
)
from cnncost.render.formats import ENDINGS, FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnncost.budget.snapshot import Snapshot

_BY_ENDING = {**ENDINGS, ".txt": "rich"}


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  cnncost diff resnet18 resnet34\n  cnncost diff before.json net.py:Net --input 1x3x32x32\n"
    "  cnncost diff --rev main..HEAD net.py:Net --input 1x3x32x32",
)
@click.argument("models", nargs=-1, required=True, metavar="OLD NEW", shell_complete=complete_model)
@input_option
@model_args_option
@click.option("--new-args", multiple=True, metavar="NAME=VALUE", help="Arguments of NEW, where they are others.")
@click.option(
    "--rev", metavar="A..B",
    help="One MODEL at two git revisions; A...B from where B parted from A, A alone: to the working tree.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["rich", *FORMATS]), help="By default that of FILE's ending.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file: .md, .csv, .json, .html, .tex or .txt.")
@click.option("--most", type=click.IntRange(min=1), default=12, show_default=True, help="Layers that are listed.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if a figure differs.")
def command(
    models: tuple[str, ...], inputs: tuple[str, ...], model_args: tuple[str, ...], new_args: tuple[str, ...],
    rev: str | None, form: str | None, output: str | None, most: int, exit_code: bool,
) -> int:  # fmt: skip
    """What changed between two models, and which layers did it.

    OLD and NEW are models or saved reports; with --rev one model at two revisions of the git repository. Modules are
    found again when they were renamed or moved.
    """
    from cnncost.budget.diff import Diff
    from cnncost.files import check, chosen

    if len(models) != (2 if rev is None else 1):
        raise click.UsageError("expected OLD and NEW, or one MODEL with --rev A..B")
    if output is not None:  # check before the work
        form = chosen(form, output, _BY_ENDING, "rich")
        check(output)
    if rev is not None:
        if new_args:
            raise click.UsageError("--new-args is for two models; with --rev both get --model-args")
        sides, names = _revisions(models[0], rev, inputs, parsed_model_args(model_args))
    else:
        arguments = parsed_model_args(model_args)
        later = parsed_model_args(new_args) or arguments
        sides = _snapshot(models[0], inputs, arguments), _snapshot(models[1], inputs, later)
        names = _named(models[0], model_args), _named(models[1], new_args or model_args)
    diff = Diff(*sides)
    from cnncost.budget.render.diff import document
    from cnncost.cli import terminal

    terminal.write(document(diff, names, most), form or "rich", output)
    return int(exit_code and bool(diff.changes))


def _named(model: str, arguments: tuple[str, ...]) -> str:
    return f"{model} ({', '.join(arguments)})" if arguments else model


def _snapshot(model: str, inputs: tuple[str, ...], arguments: dict[str, Any]) -> Snapshot:
    from cnncost.analysis import analyze
    from cnncost.budget.snapshot import of_report
    from cnncost.sources.find import find

    source = find(model)
    own = {} if source.saved else {"inputs": parsed_inputs(inputs), "model_args": arguments}
    return of_report(analyze(source, **own))


def _revisions(
    model: str, rev: str, inputs: tuple[str, ...], arguments: dict[str, Any]
) -> tuple[tuple[Snapshot, Snapshot], tuple[str, str]]:
    from cnncost.budget.revisions import Repository, snapshots

    parsed_inputs(inputs)  # report a bad shape before running git
    repository = Repository(Path.cwd())
    found = repository.range(rev)
    request = {"model": model, "inputs": list(inputs), "model_args": arguments}
    names = f"{model} at {found.old_name}", f"{model} at {found.new_name}"
    if found.new is None:
        (old,) = snapshots(repository, (found.old,), request, names[:1])
        with _no_bytecode():
            return (old, _snapshot(model, inputs, arguments)), names
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
