"""`cnncost lecture`: the slides' tables, every figure with its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cnncost.cli import terminal
from cnncost.cli.options import Command, check_places, format_option, output_option
from cnncost.files import chosen
from cnncost.lecture.verdict import Verdict

if TYPE_CHECKING:
    from cnncost.lecture.findings import Findings

_BY_ENDING = {".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".json": "json", ".txt": "text"}
_FILE_WIDTH = 100
_STYLES = {
    "title": "bold", "slide": "bold cyan", "caption": "italic", "heading": "bold", "rule": "dim", "note": "dim",
    "exact": "green", "rounded": "yellow", "differs": "bold red", "stated": "blue",
}  # fmt: skip


def _complete_slide(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # click's signature
    from cnncost.lecture.contents import SLIDES

    known = ((str(slide.number), slide.title) for slide in SLIDES)
    return [CompletionItem(number, help=title) for number, title in known if number.startswith(incomplete)]


@click.command(cls=Command)
@click.option(
    "--slide", "numbers", type=int, multiple=True, metavar="N", shell_complete=_complete_slide,
    help="Only this slide; repeatable.",
)  # fmt: skip
@click.option(
    "--verdict", "verdicts", type=click.Choice([verdict.value for verdict in Verdict]), multiple=True,
    help="Only claims of this verdict; repeatable.",
)  # fmt: skip
@format_option("text", "markdown", "csv", "json")
@output_option(".md, .csv, .json or .txt")
@click.option(
    "--write-reports", "folder", metavar="DIR",
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
    form = chosen(form, output, _BY_ENDING, "text")
    check_places(output)
    findings = _selected(numbers, verdicts)
    if output is None and form == "text":
        _show(findings)
        return
    terminal.put(_rendered(findings, form, whole=not numbers and not verdicts), output)


def _selected(numbers: tuple[int, ...], verdicts: tuple[str, ...]) -> Findings:
    from cnncost.lecture.contents import SLIDES, numbered
    from cnncost.lecture.findings import find

    found = find(numbered(numbers) if numbers else SLIDES)
    return tuple(finding for finding in found if not verdicts or finding.verdict in verdicts)


def _rendered(findings: Findings, form: str, *, whole: bool) -> str:
    if form == "markdown":
        from cnncost.lecture.render.markdown import to_markdown

        return to_markdown(findings, whole=whole)
    if form == "text":
        from cnncost.lecture.render.text import to_text

        return to_text(findings, _FILE_WIDTH)
    from cnncost.lecture.render.rows import to_csv, to_json

    return to_csv(findings) if form == "csv" else to_json(findings)


def _write_reports(folder: str) -> None:
    from cnncost.lecture.reports import reports

    check_places(str(Path(folder) / "lecture.md"))
    for name, text in reports().items():
        terminal.put(text, str(Path(folder) / name))


def _show(findings: Findings) -> None:
    from cnncost.lecture.render.text import ascii_text, to_lines

    terminal.show(to_lines(findings, terminal.width()), _STYLES, ascii_text)
