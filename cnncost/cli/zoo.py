"""`cnncost zoo`: the reference networks, with published figures next to computed ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cnncost.cli import terminal
from cnncost.cli.options import Command, result_format, result_options
from cnncost.render.document import COMPACT, Column, Document, Narrowing, Table, notes, rows
from cnncost.report.naming import is_within

if TYPE_CHECKING:
    from cnncost.report.model import Report
    from cnncost.zoo import Entry, Figure


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # click's signature
    from cnncost import zoo

    return [CompletionItem(name) for name in zoo.names() if name.startswith(incomplete)]


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=_complete)
@result_options()
def command(name: str | None, form: str | None, output: str | None) -> None:
    """List the reference networks, or show one in full: paper, deviations, published figures.

    Each published figure is shown next to the computed one, with its tolerance and the reason for it.
    """
    form = result_format(form, output)
    terminal.write(_listing() if name is None else _network(name), form, output)


def _listing() -> Document:
    """Return a document with a row for each network.

    In a narrow terminal, the title is dropped first, then numbers are shortened, then the input is dropped.
    """
    from cnncost import zoo
    from cnncost.analysis import analyze
    from cnncost.render.values import tensors
    from cnncost.report import heading

    columns = (
        Column("name", "name"),
        Column("title", "title", least=16),
        Column("inputs", "input", "tensors"),
        Column("params", "params", "count"),
        Column("macs", "MACs", "count"),
        Column("paper_short", "paper", least=22, shown="people"),
        Column("paper", shown="data"),
    )
    analyzed = [(entry, analyze(entry.name)) for entry in zoo.entries()]
    networks = (
        (entry.name, entry.title, tensors(report.inputs), report.totals.params, report.totals.macs,
         _short(entry.paper), entry.paper)
        for entry, report in analyzed
    )  # fmt: skip
    narrowing = (Narrowing(("title",)), COMPACT, Narrowing(("inputs",)))
    count = f"{len(analyzed)} reference networks; params and MACs as analyzed, for one image"
    return Document("zoo", "Reference networks", headline="", parts=(
        notes(count, heading.CONVENTION, apart=False, hang=""),
        Table(columns, rows(networks), "networks", narrowing=narrowing),
        notes("cnncost zoo NAME shows the paper, the deviations from it, and its figures", shown="text", hang=""),
    ))  # fmt: skip


def _short(paper: str) -> str:
    """Return `LeCun et al. 1998` for `LeCun, Bottou, Bengio, Haffner 1998, Gradient-Based …`; other text unchanged."""
    match = re.match(r"(?:after )?([A-Z]\w+(?:, [A-Z]\w+)*) (\d{4}),", paper)
    if match is None:
        return paper
    authors = match[1].split(", ")
    return f"{match[1] if len(authors) < 3 else f'{authors[0]} et al.'} {match[2]}"


def _network(name: str) -> Document:
    """Return a document with a network's paper, its deviations, and the published and computed figures."""
    from cnncost import units, zoo
    from cnncost.analysis import analyze
    from cnncost.render.values import tensors
    from cnncost.sources.zoo import load

    load(name)  # raises with suggestions for an unknown name
    entry, report = zoo.entry(name), analyze(name)
    table = _figures(entry, report)
    verdicts = [row.cells[0] for row in table.rows]
    agree = len(verdicts) - verdicts.count(_DIFFERS)
    totals = f"{units.counted(report.totals.params, 'parameter')}, {units.counted(report.totals.macs, 'MAC')}"
    verdict = f"{agree} of {units.counted(len(verdicts), 'figure')} agree{'s' if agree == 1 else ''}: {_LEGEND}"
    facts = {
        "name": entry.name, "title": entry.title, "inputs": tensors(report.inputs), "paper": entry.paper,
        "deviations": entry.deviations, "params": report.totals.params, "macs": report.totals.macs,
    }  # fmt: skip
    parts = (
        notes(f"paper: {entry.paper}", listed=False, apart=False, hang="       "),
        notes(f"deviations from it:{'' if entry.deviations else ' none'}", listed=False),
        notes(*entry.deviations, apart=False, first="  - ", hang="    "),
        notes(f"as analyzed: {totals}", listed=False),
        table,
        notes(*_reasons(entry), first="  ", hang="    "),
        notes(verdict, listed=False),
    )
    shape = units.shape(entry.input_shape)
    return Document("zoo", f"{entry.name}: {entry.title}", f"input {shape}", facts=facts, parts=parts)


def _figures(entry: Entry, report: Report) -> Table:
    """Return a table of the published figures, the computed ones, and whether they agree."""
    columns = (
        Column("sign", shown="people"),
        Column("verdict", shown="data"),
        Column("quantity_name", "quantity", shown="people"),
        Column("quantity", shown="data"),
        Column("layer", "of", empty="network", least=8),
        Column("published", "published", "count"),
        Column("found", "found", "count"),
        Column("cited", "source", least=12, shown="people"),
        *(Column(name, shown="data") for name in ("printed", "source", "tolerance", "reason")),
    )
    computed = _ComputedFigures(entry, report)
    figures = ((figure, computed.number(figure)) for figure in entry.published)
    return Table(columns, rows(
        (sign := _verdict(figure, number), _MEANINGS[sign], _QUANTITIES[figure.quantity], figure.quantity, figure.layer,
         figure.value, number, _source(figure), figure.printed, figure.source, figure.tolerance, figure.reason)
        for figure, number in figures
    ), "figures")  # fmt: skip


_QUANTITIES = {
    "params": "params", "trainable_params": "trainable params", "macs": "MACs", "connections": "connections",
    "neurons": "neurons",
}  # fmt: skip
_EXACT, _WITHIN, _DIFFERS = "✓", "≈", "✗"
_MEANINGS = {_EXACT: "exact", _WITHIN: "within", _DIFFERS: "differs"}
"""Verdicts in CSV and JSON."""
_LEGEND = f"{_EXACT} exactly, {_WITHIN} within the tolerance, {_DIFFERS} not"


def _verdict(figure: Figure, number: int) -> str:
    if not figure.agrees(number):
        return _DIFFERS
    return _EXACT if number == figure.value else _WITHIN


def _source(figure: Figure) -> str:
    return f'"{figure.printed}", {figure.source}' if figure.printed else figure.source


def _reasons(entry: Entry) -> Iterator[str]:
    """Yield the reason why a figure may differ, with its tolerance, for each figure that has one."""
    for figure in entry.published:
        if figure.reason:
            layer = f" of {figure.layer}" if figure.layer else ""
            tolerance = f" ± {100 * figure.tolerance:.2g} %" if figure.tolerance else ""
            yield f"{_QUANTITIES[figure.quantity]}{layer}, {figure.value:,}{tolerance}: {figure.reason}"


class _ComputedFigures:
    """Figures of a network: from the analysis or, for connections and neurons, counted as in the papers."""

    def __init__(self, entry: Entry, report: Report) -> None:
        self.entry, self.report = entry, report
        self._counted: dict[str, dict[str, int]] = {}

    def number(self, figure: Figure) -> int:
        """Return the computed value of the figure's quantity, for its layer or the whole network."""
        match figure.quantity:
            case "connections" | "neurons":
                counted = self._counts(figure.quantity)
                return sum(n for path, n in counted.items() if is_within(path, figure.layer or ""))
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
