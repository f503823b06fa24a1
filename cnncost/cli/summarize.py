"""`cnncost summarize`: the cost of a model, module by module."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cnncost.cli import terminal
from cnncost.cli.options import Command, check_places, model_argument, result_options, strict_option
from cnncost.cli.parallel import built_model, parallel_options
from cnncost.cli.running import analyzed, run_options
from cnncost.render.formats import FORMATS, SPEEDSCOPE, Format, listed

if TYPE_CHECKING:
    from cnncost.render.document import Document
    from cnncost.report.columns import By
    from cnncost.report.model import Report
    from cnncost.report.ranking import Ranking
    from cnncost.sources.parallel import Parallel
    from cnncost.sources.settings import Settings

_FORMATS = FORMATS.also(SPEEDSCOPE)


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  cnncost summarize resnet50 --depth 2\n"
    "  cnncost summarize net.py:Net --input 8x3x32x32 -o net.html\n"
    "  cnncost summarize net.py:Net#encode --input 8x3x32x32\n"
    "  cnncost summarize net.py:Net --input 8x3x32x32 --training --trace real\n"
    "  cnncost summarize resnet50 --sort params --top 10\n"
    "  cnncost summarize vgg16 --explain features.conv1_2",
)
@model_argument
@run_options()
@parallel_options
@strict_option
@click.option(
    "--by", type=click.Choice(["module", "layer", "op"]),
    help="What each row is: a module (as a tree), a layer (one call of a module) or an op.",
)  # fmt: skip
@click.option(
    "--depth", type=click.IntRange(min=0), metavar="N",
    help="Number of levels of the module tree to show; by default as many as fit a screen.",
)  # fmt: skip
@click.option(
    "--sort", metavar="COLUMN",
    help="List layers (or ops, with --by op) sorted by a column, largest first: macs, params, flops, bytes_read, …",
)  # fmt: skip
@click.option(
    "--top", type=click.IntRange(min=1), metavar="N",
    help="List the N largest, and all others as one row; without --sort, by MACs.",
)  # fmt: skip
@result_options(_FORMATS)
@click.option(
    "--columns", metavar="+NAME",
    help="Add columns: +kernel, +stride and +input for a layer's geometry and input, +trainable for its trainable "
    "parameters, +rf for receptive fields, +memory for allocated bytes, +masks for MACs if attention skips masked "
    "pairs, +masks=128x128 if it skips masked tiles. Separate several by commas: +rf,+memory.",
)  # fmt: skip
@click.option(
    "--training", is_flag=True, help="Also count a training step: forward, and backward from the sum of the outputs."
)
@click.option("--explain", "path", metavar="PATH", help="Show how the numbers of one module are computed.")
def command(
    model: str, settings: Settings, parallel: Parallel | None, strict: bool, by: By | None, depth: int | None,
    sort: str | None, top: int | None, form: str | None, output: str | None, columns: str | None, training: bool,
    path: str | None,
) -> None:  # fmt: skip
    """Show the exact parameters, MACs and FLOPs of MODEL, by module, layer or op.

    MODEL is a network of the zoo (see `cnncost zoo`), package.module:factory, path/to/file.py:Class, timm:NAME,
    torchvision:NAME, hf:TYPE or hf:path/to/config.json, program.pt2, model.onnx, or a report saved as .json. A suffix
    #NAME runs this method or submodule instead of the model's forward: path/to/file.py:Class#encode.

    If forward fails, a table of the modules that ran before the error goes to stderr, with the error. With --parallel,
    the figures are for one rank of a split model and its own inputs.
    """
    from cnncost.report import ranking

    form = _FORMATS.choose(form, None if path is not None else output)
    requested = ranking.ranking(sort, top)
    if requested is not None:
        _check_ranking(form, by, depth, path)
        ranking.check(requested, by or "layer")
    if form == SPEEDSCOPE.name and (by, depth, requested, columns, path) != (None,) * 5:
        raise click.UsageError(
            "--format speedscope has all modules and ops; leave out --by, --depth, --sort, --top, --columns, --explain"
        )
    whole = _FORMATS[form].whole and requested is None
    if depth is not None and by is None and _FORMATS[form].tree and not whole:
        by = "module"  # a depth requests the tree, even in markdown and LaTeX, which show layers by default
    _check_view(_FORMATS[form], whole, by, depth, path)
    by = by or (None if requested is None else "layer")
    check_places(output)
    groups = _column_groups(columns)
    _check_columns(groups, by)
    report = _report(model, settings, parallel, strict, training)
    if layer_columns := [name for name in _LAYER_COLUMNS if name in groups]:
        report = report.with_columns(*layer_columns)
    if "rf" in groups:
        report = report.with_receptive_fields()
    if "memory" in groups:
        report = report.with_memory()
    if "masks" in groups:
        report = report.with_masks(groups["masks"])
    if path is not None:
        terminal.put(report.explain(path), output, for_people=True)
    elif form == "json":
        terminal.put(report.to_json(), output)
    elif form == SPEEDSCOPE.name:
        terminal.put(report.to_speedscope(), output)
    else:
        view = by or ("module" if form == "text" else "layer")
        terminal.write(_document(report, whole, view, depth, requested), form, output)


def _document(report: Report, whole: bool, by: By, depth: int | None, requested: Ranking | None) -> Document:
    """Return the interactive page if the format shows all views at once, else one view of the report."""
    if whole:
        from cnncost.report.interactive import interactive_page

        return interactive_page(report, depth)
    from cnncost.report.document import document

    return document(report, by, depth, requested)


_LAYER_COLUMNS = ("kernel", "stride", "input", "trainable")
_GROUPS = (*[f"+{name}" for name in _LAYER_COLUMNS], "+rf", "+memory", "+masks", "+masks=128x128")


def _column_groups(columns: str | None) -> dict[str, tuple[int, int] | None]:
    """Return the requested groups of columns, such as `+rf,+memory`, by name; the value is the tile of `+masks`."""
    groups: dict[str, tuple[int, int] | None] = {}
    for name in [name.strip() for name in (columns or "").split(",") if name.strip()]:
        group, equals, tile = name.partition("=")
        sizes = [int(size) for size in tile.split("x") if size.isdecimal() and int(size)]
        has_tile = group == "+masks" and len(sizes) == tile.count("x") + 1 <= 2  # one or two parts, each a size
        if group not in _GROUPS or (equals and not has_tile):
            raise click.UsageError(f"--columns {columns}: expected {', '.join(_GROUPS)}, got {name}")
        groups[group[1:]] = (sizes[0], sizes[-1]) if equals else None
    return groups


def _check_columns(groups: dict[str, tuple[int, int] | None], by: By | None) -> None:
    """Reject columns that ops don't have."""
    lacking = [f"+{name}" for name in groups if name in {*_LAYER_COLUMNS, "rf", "memory"}]
    if by == "op" and lacking:
        raise click.UsageError(f"--by op: a row stands for all calls of an op and has no {', '.join(lacking)}; "
                               "give --by layer or --by module")  # fmt: skip


def _check_view(form: Format, whole: bool, by: By | None, depth: int | None, path: str | None) -> None:
    """Reject options that would have no effect."""
    if path is not None and (by is not None or depth is not None or form.name != "text"):
        raise click.UsageError("--explain describes one module in words; leave out --by, --depth and --format")
    if by is not None and whole:
        raise click.UsageError(f"--by: {form.name} holds modules, layers and ops; leave it out")
    shown = by == "module" or (by is None and (form.whole or form.name == "text"))
    if depth is not None and not (form.tree and shown):
        trees = listed([each.name for each in FORMATS if each.tree], "or")
        raise click.UsageError(f"--depth is for the module tree of {trees}")


def _check_ranking(form: str, by: By | None, depth: int | None, path: str | None) -> None:
    """Reject options and formats with which no list of rows can be shown."""
    if path is not None:
        raise click.UsageError("--explain describes one module in words; leave out --sort and --top")
    if by == "module" or depth is not None:
        raise click.UsageError("--sort and --top list layers or ops, not the tree; leave out --depth and --by module")
    if form == "json":
        raise click.UsageError("--sort and --top: json contains all layers in the order they ran; leave them out")


def _report(model: str, settings: Settings, parallel: Parallel | None, strict: bool, training: bool) -> Report:
    from cnncost.analysis import analyze
    from cnncost.errors import CnncostError

    further = tuple(name for name, given in (("--strict", strict), ("--training", training)) if given)
    try:
        if parallel is not None:
            with built_model(model, settings, parallel) as built:
                return analyze(built, strict=strict, training=training)
        return analyzed(model, settings, further=further, strict=strict, training=training)
    except CnncostError as error:
        if error.partial is not None:
            _show_partial(error.partial)
        raise


def _show_partial(report: Report) -> None:
    """Print the partial report of a failed forward to stderr, so that nothing mistakes it for the result."""
    from cnncost.report.document import to_text

    encoding = sys.stderr.encoding or "ascii"
    click.echo(to_text(report, encoding=encoding) + "\n", err=True)
