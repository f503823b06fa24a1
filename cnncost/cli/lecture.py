"""`cnncost lecture`: the slides' tables, every figure with its verdict."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cnncost.errors import OutputError
from cnncost.lecture.verdict import Verdict

if TYPE_CHECKING:
    from cnncost.lecture.findings import Findings
    from cnncost.report.layout import Line

_FORMATS = ("rich", "markdown", "csv", "json")
_BY_ENDING = {".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".json": "json", ".txt": "rich"}
_FILE_WIDTH = 100
_STYLES = {
    "title": "bold", "slide": "bold cyan", "caption": "italic", "heading": "bold", "rule": "dim", "note": "dim",
    "exact": "green", "rounded": "yellow", "differs": "bold red", "stated": "blue",
}  # fmt: skip


def _complete_slide(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # click's signature
    from cnncost.lecture.contents import SLIDES

    known = ((str(slide.number), slide.title) for slide in SLIDES)
    return [CompletionItem(number, help=title) for number, title in known if number.startswith(incomplete)]


@click.command()
@click.option(
    "--slide", "numbers", type=int, multiple=True, metavar="N", shell_complete=_complete_slide,
    help="Only this slide; repeatable.",
)  # fmt: skip
@click.option(
    "--verdict", "verdicts", type=click.Choice([verdict.value for verdict in Verdict]), multiple=True,
    help="Only claims of this verdict; repeatable.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(_FORMATS),
    help="Of the output; by default that of FILE's ending, else tables for the terminal.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write to a file: .md, .csv, .json or .txt.")
@click.option(
    "--write-reports", "folder", type=click.Path(), metavar="DIR",
    help="Write lecture.md and lecture.csv, of the whole lecture, into a folder.",
)  # fmt: skip
def command(
    numbers: tuple[int, ...], verdicts: tuple[str, ...], form: str | None, output: str | None, folder: str | None
) -> None:
    """Check what the slides of MN909, Convolutional Neural Networks, print against the real networks.

    Each figure is exact, rounded (to the digits that are printed), differs (with the right figure and the
    reason), or is stated (nothing that could be computed).

    \b
    Examples:
      cnncost lecture --slide 55
      cnncost lecture --verdict differs
      cnncost lecture --format csv -o lecture.csv
    """  # noqa: D301  # click's sign for lines that stay as they are
    if folder is not None:
        if numbers or verdicts or form or output:
            raise click.UsageError("--write-reports is of the whole lecture, in fixed formats; give no other option")
        _write_reports(folder)
        return
    form = form or _form_of(output)
    if output is not None:
        from cnncost.report.save import check

        check(output)  # before the work, not after it
    findings = _selected(numbers, verdicts)
    if output is None and form == "rich":
        _show(findings)
        return
    _put(_rendered(findings, form, whole=not numbers and not verdicts), output)


def _form_of(output: str | None) -> str:
    if output is None:
        return "rich"
    ending = Path(output).suffix.lower()
    if ending not in _BY_ENDING:
        given = ending or "no ending"
        raise OutputError(f"{output}: expected a name that ends in .md, .csv, .json or .txt, got {given}")
    return _BY_ENDING[ending]


def _selected(numbers: tuple[int, ...], verdicts: tuple[str, ...]) -> Findings:
    from cnncost.lecture.contents import SLIDES, numbered
    from cnncost.lecture.findings import find

    found = find(numbered(numbers) if numbers else SLIDES)
    return tuple(finding for finding in found if not verdicts or finding.verdict in verdicts)


def _rendered(findings: Findings, form: str, *, whole: bool) -> str:
    if form == "markdown":
        from cnncost.lecture.render.markdown import to_markdown

        return to_markdown(findings, whole=whole)
    if form == "rich":
        from cnncost.lecture.render.text import to_text

        return to_text(findings, _FILE_WIDTH)
    from cnncost.lecture.render.rows import to_csv, to_json

    return to_csv(findings) if form == "csv" else to_json(findings)


def _put(text: str, output: str | None) -> None:
    """Into a file, or to stdout as UTF-8 whatever the locale."""
    if output is None:
        sys.stdout.buffer.write(text.encode())
        return
    from cnncost.report.save import write

    write(output, text)


def _write_reports(folder: str) -> None:
    from cnncost.lecture.reports import reports

    for name, text in reports().items():
        _put(text, str(Path(folder) / name))


def _show(findings: Findings) -> None:
    from cnncost.lecture.render.text import ascii_lines, to_lines
    from cnncost.report.layout import plain

    lines = to_lines(findings, shutil.get_terminal_size((_FILE_WIDTH, 24)).columns)
    if not _encodable("".join(map(plain, lines))):
        lines = ascii_lines(lines)
    color = _in_color()
    click.echo("\n".join(_colored(line) if color else plain(line) for line in lines), color=color)


def _colored(line: Line) -> str:
    from rich.color import ColorSystem
    from rich.style import Style

    return "".join(
        Style.parse(_STYLES[style]).render(text, color_system=ColorSystem.STANDARD) if style else text
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
