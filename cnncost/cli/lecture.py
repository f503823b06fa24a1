"""`cnncost lecture`: the tables on a course's slides, with a verdict on each figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cnncost.cli import terminal
from cnncost.cli.options import Command, check_places, result_format, result_options
from cnncost.lecture.verdict import Verdict

if TYPE_CHECKING:
    from cnncost.lecture.findings import Findings


def _complete_slide(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # click's signature
    from cnncost.lecture.contents import SLIDES

    slides = ((str(slide.number), slide.title) for slide in SLIDES)
    return [CompletionItem(number, help=title) for number, title in slides if number.startswith(incomplete)]


@click.command(cls=Command)
@click.argument("claims", required=False, metavar="[FILE]")
@click.option(
    "--slide", "numbers", type=int, multiple=True, metavar="N", shell_complete=_complete_slide,
    help="Only this slide; repeatable.",
)  # fmt: skip
@click.option(
    "--verdict", "verdicts", type=click.Choice([verdict.value for verdict in Verdict]), multiple=True,
    help="Only claims with this verdict; repeatable.",
)  # fmt: skip
@click.option("--exit-code", is_flag=True, help="Exit with 1 if a claim differs.")
@result_options()
@click.option(
    "--write-reports", "folder", metavar="DIR",
    help="Write lecture.md and lecture.csv for the whole lecture into a folder.",
)  # fmt: skip
def command(
    claims: str | None, numbers: tuple[int, ...], verdicts: tuple[str, ...], exit_code: bool, form: str | None,
    output: str | None, folder: str | None,
) -> int:  # fmt: skip
    """Check the figures on a course's slides against the real networks.

    FILE is a TOML file of claims (docs/claims.md); by default, the claims of the course MN909, Convolutional Neural
    Networks, are checked.

    The verdict on a figure is exact, rounded (to the printed digits), differs (with the right figure and the reason),
    or stated (it can't be computed).

    \b
    Examples:
      cnncost lecture --slide 55
      cnncost lecture --verdict differs
      cnncost lecture --format csv -o lecture.csv
      cnncost lecture my_claims.toml --exit-code
    """  # noqa: D301  # click's mark for text that is not rewrapped
    if folder is not None:
        if claims or numbers or verdicts or exit_code or form or output:
            raise click.UsageError(
                "--write-reports is for the whole built-in course, in fixed formats; give no other argument"
            )
        _write_reports(folder)
        return 0
    form = result_format(form, output)
    title, findings = _findings(claims, numbers)
    shown = tuple(finding for finding in findings if not verdicts or finding.verdict in verdicts)
    from cnncost.lecture.document import WIDE, document

    whole, wide = not numbers and not verdicts, output is None and terminal.width() >= WIDE
    content = document(shown, whole=whole, course=title, wide=wide)
    if form == "html" and claims is None:
        from dataclasses import replace

        from cnncost.lecture.drawings import page_data

        content = replace(content, page_data=page_data(shown))
    terminal.write(content, form, output)
    return int(exit_code and any(finding.verdict is Verdict.DIFFERS for finding in findings))


def _findings(claims: str | None, numbers: tuple[int, ...]) -> tuple[str, Findings]:
    """Return the course's title, and its claims with verdicts; with `numbers`, only those of these slides."""
    from cnncost.lecture.findings import check, find

    if claims is None:
        from cnncost.lecture.contents import FILE

        course = FILE.course
        return course.title, find(course.numbered(numbers) if numbers else course.slides)
    if claims.isdecimal():
        raise click.UsageError(f"{claims}: expected a file of claims; for a slide, use --slide {claims}")
    from cnncost.lecture.read import read

    file = read(Path(claims))
    course = file.course
    return course.title, check(file, course.numbered(numbers) if numbers else course.slides)


def _write_reports(folder: str) -> None:
    from cnncost.lecture.reports import reports

    check_places(str(Path(folder) / "lecture.md"))
    for name, text in reports().items():
        terminal.put(text, str(Path(folder) / name))
