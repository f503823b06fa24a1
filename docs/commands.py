"""Writes the reference of commands into the page that has `<!-- commands -->`, from what click knows of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

from cnncost.cli import cli

PLACE = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the place with the reference."""
    return markdown.replace(PLACE, "\n".join(_reference())) if PLACE in markdown else markdown


def _reference() -> Iterator[str]:
    parent = click.Context(cli, info_name="cnncost")
    for name in cli.list_commands(parent):
        command = cli.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        yield f"\n## {name}\n"
        yield f"```sh\ncnncost {name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
        yield from _paragraphs(command.help)
        yield '<div class="options" markdown>\n\n| option | meaning |\n| :-- | :-- |'
        options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
        records = [option.get_help_record(context) for option in options]
        yield from (_row(names, meaning) for names, meaning in filter(None, records))
        yield "\n</div>\n"
        yield from _paragraphs(command.epilog)


def _row(names: str, meaning: str) -> str:
    """An option's row; its choices come before what it means."""
    names, _, choices = names.partition(" [")
    if choices:
        meaning = f"One of {choices.rstrip(']').replace('|', ', ')}. {meaning}"
    code = ", ".join(f"`{name}`" for name in names.split(", "))
    return f"| {code} | {_escaped(meaning).replace('|', chr(92) + '|')} |"


def _paragraphs(text: str | None) -> Iterator[str]:
    """A help text: paragraphs, and those that click is not to wrap as they are; examples as a block of commands."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        if not paragraph.startswith("\b"):
            yield _escaped(" ".join(paragraph.split())) + "\n"
            continue
        first, *lines = paragraph.removeprefix("\b").strip("\n").splitlines()
        shown = [line.strip() for line in lines]
        yield f"{first}\n\n```sh\n" + "\n".join(shown) + "\n```\n" if first == "Examples:" else _fenced([first, *lines])


def _fenced(lines: list[str]) -> str:
    return "\n".join(["```text", *lines, "```\n"])


def _escaped(text: str) -> str:
    """Text as markdown that shows it; what stands between backticks is as it was."""
    parts = text.split("`")
    return "`".join(part if index % 2 else re.sub(r"([*_<\[\]])", r"\\\1", part) for index, part in enumerate(parts))
