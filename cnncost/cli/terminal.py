"""Output of all commands, to a terminal, a pipe or a file."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from cnncost.cli import stdout
from cnncost.garbage import gc_disabled

if TYPE_CHECKING:
    from cnncost.render.document import Document


def width() -> int:
    """Return the width of the terminal in characters; 80 without one."""
    with stdout.restored():
        return shutil.get_terminal_size().columns


def encoding() -> str:
    """Return the encoding of standard output."""
    with stdout.restored():
        return sys.stdout.encoding or "ascii"


def echo(text: str, *, color: bool | None = None) -> None:
    """Write a text and a newline to standard output."""
    with stdout.restored():
        click.echo(text, color=color)


def put(text: str, output: str | None, *, for_people: bool = False) -> None:
    """Write a text, as UTF-8, to a file or stdout; with `for_people`, to stdout in its own encoding.

    Characters that this encoding lacks are then replaced.
    """
    text = text.rstrip("\n") + "\n"
    if output is not None:
        from cnncost.files import write

        with stdout.restored():  # the file may be /dev/stdout
            write(output, text)
    elif for_people:
        from cnncost.render.text import showable

        echo(showable(text, encoding()).removesuffix("\n"))
    else:  # JSON and HTML are UTF-8 in any locale
        with stdout.restored():
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode())
            sys.stdout.buffer.flush()


@gc_disabled()
def write(document: Document, form: str, output: str | None) -> None:
    """Write a document in a format to a file or stdout; text on stdout is coloured if the terminal supports it."""
    from cnncost.render.formats import rendered

    if form == "json":
        document = _with_origin(document)
    if output is not None or form != "text":
        put(rendered(document, form), output)
        return
    from cnncost.render.text import to_text

    color = in_color()
    echo(to_text(document, width(), color=color, encoding=encoding()), color=color)


def _with_origin(document: Document) -> Document:
    """Return the document, adding when each model that came from the cache was analyzed."""
    from dataclasses import replace

    from cnncost.cache.recordings import active

    cache = active()
    if cache is None or not cache.answered:
        return document
    return replace(document, facts={**document.facts, "from_cache": dict(cache.answered)})


def in_color() -> bool:
    """Return whether to use colours: if the terminal supports them, unless the user forces or disables them.

    See no-color.org and force-color.org.
    """
    if os.environ.get("NO_COLOR"):
        return False
    with stdout.restored():
        return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")
