"""Styled lines into the terminal, a pipe or a file; shared by the commands that show tables of their own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence

import click

from cnncost.report.layout import Line, plain, printable, to_ascii

FILE_WIDTH = 100


def width() -> int:
    """Of the terminal, or 100 where there is none."""
    return shutil.get_terminal_size((FILE_WIDTH, 24)).columns


def show(lines: Sequence[Line], styles: Mapping[str, str]) -> None:
    """Print lines, in colour where the terminal has some, in ASCII where it has no other signs."""
    color = _in_color()
    written = printable if _encodable("".join(map(plain, lines))) else to_ascii
    shown = [[(written(text), style) for text, style in line] for line in lines]
    click.echo("\n".join(_colored(line, styles) if color else plain(line) for line in shown), color=color)


def put(text: str, output: str | None) -> None:
    """Into a file, or to stdout as UTF-8 whatever the locale."""
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    from cnncost.report.save import write

    write(output, text)


def _colored(line: Line, styles: Mapping[str, str]) -> str:
    from rich.color import ColorSystem
    from rich.style import Style

    return "".join(
        Style.parse(styles[style]).render(text, color_system=ColorSystem.STANDARD) if styles.get(style) else text
        for text, style in line
    )


def _encodable(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _in_color() -> bool:
    """In a terminal that has colours, unless the user has said otherwise (no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")
