"""`cnncost zoo`: the reference networks, with published figures next to the analysis's."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cnncost.cli import terminal
from cnncost.cli.options import Command

if TYPE_CHECKING:
    from cnncost.render.layout import Field
    from cnncost.report.model import Report
    from cnncost.zoo import Entry, Figure

_LEAST_WIDTH = 60


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # click's signature
    from cnncost import zoo

    return [CompletionItem(name) for name in zoo.names() if name.startswith(incomplete)]


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=_complete)
def command(name: str | None) -> None:
    """List the reference networks, or tell all of one: paper, deviations, published figures.

    Every figure stands beside what the analysis finds, with its tolerance and the reason of it.
    """
    width = max(_LEAST_WIDTH, terminal.width())
    lines = _listing(width) if name is None else _network(name, width)
    terminal.put("\n".join(line.rstrip() for line in lines), None, words=True)


def _listing(width: int) -> Iterator[str]:
    from cnncost import zoo
    from cnncost.analysis import analyze
    from cnncost.report import heading

    entries = zoo.entries()
    reports = [analyze(entry.name) for entry in entries]
    yield f"{len(entries)} reference networks; params and MACs as analyzed, for one image"
    yield heading.CONVENTION
    yield ""
    yield from _overview(entries, reports, width)
    yield ""
    yield "cnncost zoo NAME tells the paper, the deviations from it, and its figures"


def _overview(entries: tuple[Entry, ...], reports: list[Report], width: int) -> Iterator[str]:
    """One row per network; narrow terminals drop the title, then shorten numbers, then drop the input."""
    from cnncost import units
    from cnncost.render import layout

    names = _field("name", [entry.name for entry in entries])
    titles = _field("title", [entry.title for entry in entries], least=16)
    inputs = _field("input", [units.shape(entry.input_shape) for entry in entries])
    papers = _field("paper", [_short(entry.paper) for entry in entries], least=22)
    fields: list[Field] = []
    plans: tuple[tuple[Callable[[int], str], list[Field]], ...] = (
        (units.exact, [titles, inputs]),
        (units.exact, [inputs]),
        (units.compact, [inputs]),
        (units.compact, []),
    )
    for number, shown in plans:
        params = _field("params", [number(report.totals.params) for report in reports], right=True)
        macs = _field("MACs", [number(report.totals.macs) for report in reports], right=True)
        fields = [names, *shown, params, macs, papers]
        if layout.needed(fields) <= width:
            break
    yield from map(layout.plain, layout.table(fields, width))


def _field(heading: str, texts: list[str], right: bool = False, least: int | None = None) -> Field:
    from cnncost.render.layout import Cell, Field

    return Field(heading, [Cell(text) for text in texts], right, least)


def _short(paper: str) -> str:
    """`LeCun, Bottou, Bengio, Haffner 1998, Gradient-Based …` → `LeCun et al. 1998`; other text is unchanged."""
    match = re.match(r"(?:after )?([A-Z]\w+(?:, [A-Z]\w+)*) (\d{4}),", paper)
    if match is None:
        return paper
    authors = match[1].split(", ")
    return f"{match[1] if len(authors) < 3 else f'{authors[0]} et al.'} {match[2]}"


def _network(name: str, width: int) -> Iterator[str]:
    from cnncost import units, zoo
    from cnncost.analysis import analyze
    from cnncost.sources.zoo import load

    load(name)  # raises with suggestions for an unknown name
    entry, report = zoo.entry(name), analyze(name)
    yield f"{entry.name}: {entry.title}, input {units.shape(entry.input_shape)}"
    yield from textwrap.wrap(entry.paper, width, initial_indent="paper: ", subsequent_indent="       ")
    yield ""
    yield f"deviations from it: {'' if entry.deviations else 'none'}"
    for deviation in entry.deviations:
        yield from textwrap.wrap(deviation, width, initial_indent="  - ", subsequent_indent="    ")
    yield ""
    yield f"as analyzed: {units.counted(report.totals.params, 'parameter')}, {units.counted(report.totals.macs, 'MAC')}"
    yield ""
    yield from _figures(entry, report, width)


def _figures(entry: Entry, report: Report, width: int) -> Iterator[str]:
    """Each published figure, the computed one, and whether they agree; below, the reasons for tolerances."""
    from cnncost import units
    from cnncost.render import layout

    recomputed = _Found(entry, report)
    numbers = [recomputed.number(figure) for figure in entry.published]
    verdicts = [_verdict(figure, number) for figure, number in zip(entry.published, numbers, strict=True)]
    fields = [
        _field("", verdicts),
        _field("quantity", [_QUANTITIES[figure.quantity] for figure in entry.published]),
        _field("of", [figure.layer or "network" for figure in entry.published], least=8),
        _field("published", [units.exact(figure.value) for figure in entry.published], right=True),
        _field("found", [units.exact(number) for number in numbers], right=True),
        _field("source", [_source(figure) for figure in entry.published], least=12),
    ]
    yield from map(layout.plain, layout.table(fields, width))
    yield ""
    yield from _reasons(entry, width)
    agree = len(verdicts) - verdicts.count(_DIFFERS)
    yield f"{agree} of {units.counted(len(verdicts), 'figure')} agree{'s' if agree == 1 else ''}: " + _LEGEND


_QUANTITIES = {
    "params": "params", "trainable_params": "trainable params", "macs": "MACs", "connections": "connections",
    "neurons": "neurons",
}  # fmt: skip
_EXACT, _WITHIN, _DIFFERS = "✓", "≈", "✗"
_LEGEND = f"{_EXACT} exactly, {_WITHIN} within the tolerance, {_DIFFERS} not"


def _verdict(figure: Figure, found: int) -> str:
    if not figure.agrees(found):
        return _DIFFERS
    return _EXACT if found == figure.value else _WITHIN


def _source(figure: Figure) -> str:
    return f'"{figure.printed}", {figure.source}' if figure.printed else figure.source


def _reasons(entry: Entry, width: int) -> Iterator[str]:
    """Why figures may differ and by how much, and notes on the network."""
    explained = [figure for figure in entry.published if figure.reason]
    for figure in explained:
        of = f" of {figure.layer}" if figure.layer else ""
        within = f" ± {100 * figure.tolerance:.2g} %" if figure.tolerance else ""
        text = f"{_QUANTITIES[figure.quantity]}{of}, {figure.value:,}{within}: {figure.reason}"
        yield from textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
    if explained:
        yield ""


class _Found:
    """Figures of a network, from the analysis or by the papers' own way of counting."""

    def __init__(self, entry: Entry, report: Report) -> None:
        self.entry, self.report = entry, report
        self._counted: dict[str, dict[str, int]] = {}

    def number(self, figure: Figure) -> int:
        """The figure's quantity, for its layer or the whole network."""
        match figure.quantity:
            case "connections" | "neurons":
                counted = self._counts(figure.quantity)
                return sum(n for path, n in counted.items() if _within(path, figure.layer))
            case "params" | "trainable_params" | "macs":
                number = getattr(self.report.module(figure.layer or ""), figure.quantity)
                assert isinstance(number, int)
                return number

    def _counts(self, quantity: str) -> dict[str, int]:
        if quantity not in self._counted:
            from cnncost.frontends.torch.building import building
            from cnncost.zoo import connections

            with building():
                model = self.entry.build()
            self._counted[quantity] = getattr(connections, quantity)(model, self.entry.input_shape)
        return self._counted[quantity]


def _within(path: str, layer: str | None) -> bool:
    return layer is None or path == layer or path.startswith(f"{layer}.")
