"""`cnncost rf`: receptive fields of each layer's units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnncost.cli import terminal
from cnncost.cli.options import Command, check_places, complete_model, result_format, result_options
from cnncost.cli.running import analyzed, run_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnncost.report.fields import Growth
    from cnncost.report.model import Report
    from cnncost.sources.settings import Settings


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  cnncost rf resnet18\n  cnncost rf resnet18 --layer layer3.1 --unit 7,7\n"
    "  cnncost rf vgg16 --picture vgg16.png\n  cnncost rf net.py:Net --input 1x3x64x64 --format csv",
)
@click.argument("model", required=False, shell_complete=complete_model)
@run_options()
@click.option("--layer", "layers", multiple=True, metavar="PATH", help="Show only this layer; repeatable.")
@click.option(
    "--unit", metavar="I,J", help="With one --layer: the region of the input that the unit in row I, column J sees."
)
@click.option(
    "--of", "image", type=int, metavar="N", help="Which input, from 0; by default the first with spatial axes."
)
@click.option("--all", "everything", is_flag=True, help="Also list layers that don't change the field.")
@result_options()
@click.option("--picture", metavar="FILE", help="Draw the fields on the input, and their growth: .png, .svg or .pdf.")
@click.option(
    "--write-reports", "folder", metavar="DIR",
    help="Write receptive_field.md for the whole zoo into a folder.",
)  # fmt: skip
def command(
    model: str | None, settings: Settings, layers: tuple[str, ...], unit: str | None,
    image: int | None, everything: bool, form: str | None, output: str | None, picture: str | None, folder: str | None,
) -> None:  # fmt: skip
    """Show the receptive fields of the units in each layer of MODEL: size, jump and start, over all paths.

    Attention, global pooling and linear layers over space see the whole input: their fields are global. After an op
    that can't be followed, fields are unknown, and the op is named. MODEL is as for `cnncost summarize`.
    """
    if folder is not None:
        given = model or settings.options or layers or unit or form or output or picture or everything
        if given or image is not None:
            raise click.UsageError("--write-reports is for the whole zoo; give no model and no other option with it")
        _write_reports(folder)
        return
    if model is None:
        raise click.UsageError("Missing argument 'MODEL'.")
    if unit is not None and (len(layers) != 1 or form or picture or everything):
        raise click.UsageError("--unit describes one unit in words: it needs one --layer, and no format or picture")
    form = result_format(form, output, picture)
    report = analyzed(model, settings)
    if unit is not None:
        from cnncost.report.field_table import unit_text

        text = unit_text(report.receptive_field(layers[0], _parse_unit(unit), image=image))
        terminal.put(text, output, for_people=True)
        return
    from cnncost.report.fields import growth

    rows = growth(report, image)
    shown = _rows_to_show(report, rows, layers, everything, image)
    if picture is not None:
        _draw(report, rows, shown if layers else None, picture)
    from cnncost.report.field_table import document

    terminal.write(document(report, shown), form, output)


def _parse_unit(unit: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in unit.replace("x", ",").split(",") if part.strip())
    except ValueError:
        raise click.UsageError(f"--unit {unit}: expected whole numbers such as 7,7") from None


def _rows_to_show(
    report: Report, rows: Sequence[Growth], layers: tuple[str, ...], everything: bool, image: int | None
) -> list[Growth]:
    """Return the rows of the requested layers; by default, all rows if `everything`, else those whose field grew."""
    if not layers:
        return [row for row in rows if row.grew or everything]
    from cnncost.report.fields import growth_of

    return [growth_of(report, path, rows, image) for path in layers]


def _draw(report: Report, rows: Sequence[Growth], boxes: list[Growth] | None, path: str) -> None:
    from cnncost.plots.fields import default_boxes, draw

    draw(path, report, rows, default_boxes(rows) if boxes is None else boxes)


def reports() -> dict[str, str]:
    """Return the contents of the files that --write-reports writes, by name. They don't depend on the machine."""
    from cnncost import zoo
    from cnncost.analysis import analyze
    from cnncost.render.document import Document, notes
    from cnncost.render.markdown import to_markdown
    from cnncost.report.field_table import CONVENTION, DEPENDENCE, remarks, table, title
    from cnncost.report.fields import growth

    intro = (
        f"{CONVENTION}.\n\n{DEPENDENCE[0].upper()}{DEPENDENCE[1:]}. Layers that leave the field as it is are left out."
    )
    parts = [
        f"# Receptive fields of the zoo, layer by layer\n\n{intro}\n\nMade by `cnncost rf --write-reports reports`.\n"
    ]
    for entry in zoo.entries():
        report = analyze(entry.name)
        rows = [row for row in growth(report) if row.grew]
        shown = Document("rf", title(report, rows), parts=(table(rows), notes(*remarks(rows))), level=2)
        parts.append(to_markdown(shown))
    return {"receptive_field.md": "\n".join(parts)}


def _write_reports(folder: str) -> None:
    check_places(str(Path(folder) / "receptive_field.md"))
    for name, text in reports().items():
        terminal.put(text, str(Path(folder) / name))
