"""Lays out laws as a Document. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cnncost import units
from cnncost.laws import writing
from cnncost.laws.data import HEADINGS
from cnncost.laws.law import Law, domain_text
from cnncost.render.document import Document, Equation, Equations, Part, Table, data_table, notes

if TYPE_CHECKING:
    from cnncost.laws.data import LawsData
    from cnncost.laws.polynomial import Polynomial
    from cnncost.laws.solve import Solution


def variables(laws: LawsData) -> str:
    """Return the variables in words: `B = batch (x.0), H = height (x.2)`."""
    parts = []
    for v in laws.variables:
        name = v.name if v.symbol == v.name else f"{v.symbol} = {v.name}"
        parts.append(name if v.about == v.name else f"{name} ({v.about})")
    return ", ".join(parts)


def domains(laws: LawsData) -> dict[str, list[str]]:
    """Return phrases on where laws hold and at how many sizes they were checked, each with its quantities."""
    sentences: dict[str, list[str]] = {}
    for name, law in laws.items():
        if law.known:
            count = units.counted(len(law.checked), "size")
            sentences.setdefault(f"for {domain_text(law)}, checked at {count} not used to find it", []).append(name)
    return sentences


def limits(laws: LawsData) -> list[str]:
    """Return sentences on why laws do not hold beyond their domains, one for each bound and reason."""
    ends: dict[tuple[str, str], list[str]] = {}
    for law in [law for law in laws.values() if law.known]:
        for symbol, span in zip(law.symbols, law.domain, strict=True):
            if span.below:
                ends.setdefault((f"from {symbol} = {units.exact(span.low)} on", span.below), []).append(law.quantity)
            if span.above:
                ends.setdefault((f"up to {symbol} = {units.exact(span.high)}", span.above), []).append(law.quantity)
    return [f"{_names(names)} {end}: {_brief(reason)}" for (end, reason), names in ends.items()]


def _names(quantities: list[str]) -> str:
    return ", ".join(HEADINGS[name] for name in quantities)


def _brief(reason: str) -> str:
    """Return a reason without the advice after its first semicolon, and shortened."""
    first_clause = reason.split("; ", maxsplit=1)[0]
    return first_clause if len(first_clause) <= _LONG else f"{first_clause[:_LONG]}…"


_LONG = 200
"""Maximum length of a reason, in characters."""


def law_text(law: Law) -> str:
    """Return the formula on one line, or the number of pieces if it is a maximum, whose pieces `pieces` lists."""
    if len(law.pieces) <= 1:
        return str(law)
    return f"{'≥ ' if law.bound else ''}the largest of {len(law.pieces)} polynomials"


def pieces(law: Law) -> list[str]:
    """Return a line for each variable and range in which one piece of a maximum is the largest (`Law.along`)."""
    lines = []
    for name, symbol in zip(law.names, law.symbols, strict=True):
        others = [f"{s} = {n}" for s, n in zip(law.symbols, law.base, strict=True) if s != symbol]
        at = f" at {', '.join(others)}" if others else ""
        for low, high, piece in law.along(name):
            sizes = f"{symbol} = {units.exact(low)}" + (f" to {units.exact(high)}" if high > low else "")
            lines.append(f"{writing.to_text(piece, law.symbols)} for {sizes}{at}")
    return lines


def document(laws: LawsData, by_layer: bool = False, answers: Sequence[str] = ()) -> Document:
    """Return the laws, each on a line that can be copied, and where they hold; with `by_layer`, also MACs by module."""
    totals = [
        Equation((HEADINGS[name],), law_text(law), law.latex() if law.known else "") for name, law in laws.items()
    ]
    parts: list[Part] = [Equations(tuple(totals), ("quantity", "law"))]
    if by_layer:
        of_layers = distinct(laws, "macs")
        lines = [f"{each.text}: {', '.join(each.names)}" for each in of_layers]
        parts += [
            notes("layers, their own MACs:", shown="text"),
            notes(*lines, first="  ", shown="text", apart=False),
            Equations(of_layers, ("layers", "own MACs"), shown="markup"),
        ]
    parts += [notes(*_remarks(laws)), notes(*answers, shown="text"), _data(laws, by_layer)]
    return Document(
        "formula", laws.model, topic=variables(laws), headline=f"{laws.model}: {variables(laws)}", facts=facts(laws),
        parts=tuple(parts), level=2,
    )  # fmt: skip


def _data(laws: LawsData, by_layer: bool) -> Table:
    """Return a table of the laws with their domains, and of the layers' laws, for CSV. JSON has them in the facts."""
    names = ["path", "quantity", "law", "latex", "lower_bound", "why"]
    names += [f"{variable.name}_{bound}" for variable in laws.variables for bound in ("low", "high", "step")]
    rows: list[list[Any]] = []
    for name, law in laws.items():
        cells = [str(law), law.latex(), bool(law.bound), ""] if law.known else [None, None, None, law.why]
        rows.append(["", name, *cells, *(n for span in law.domain for n in (span.low, span.high, span.step))])
    for each in distinct(laws, "macs") if by_layer else ():
        rows += [[path, "macs", each.text, each.latex] for path in each.names]
    return data_table(names, (row + [None] * (len(names) - len(row)) for row in rows))


def _remarks(laws: LawsData) -> list[str]:
    """Return the notes below the laws: domains, pieces of maxima, limits and lower bounds."""
    sentences = domains(laws)
    lines = []
    for name, law in laws.items():
        if law.everywhere is not None:
            count = units.counted(len(law.everywhere.checked), "size")
            where = f"for {domain_text(law.everywhere)}, checked at {count} off that lattice"
            lines.append(f"{HEADINGS[name]} = {law.everywhere} {where}")
    for sentence, names in sentences.items():
        subject = "all" if len(sentences) == 1 and len(names) == len(laws) else _names(names)
        lines.append(f"{subject}: {sentence}")
    for name, law in laws.items():
        if len(law.pieces) > 1:
            lines += [f"{HEADINGS[name]}: {line}" for line in pieces(law)]
    lines += limits(laws)
    lines += [f"{HEADINGS[name]} are lower bounds: {law.bound}" for name, law in laws.items() if law.bound]
    if laws.irregular:
        lines.append(f"without a law of their own: {', '.join(path or 'the model itself' for path in laws.irregular)}")
    return [*lines, *laws.notes]


def distinct(laws: LawsData, quantity: str) -> tuple[Equation, ...]:
    """Return the distinct laws of layers for a quantity, each with its modules. Laws that are 0 are left out."""
    paths_by_text: dict[str, list[str]] = {}
    latex: dict[str, str] = {}
    for path, law in laws.layers[quantity].items():
        if law.terms:
            text = writing.to_text(law, laws.symbols)
            paths_by_text.setdefault(text, []).append(path or "the model itself")
            latex[text] = writing.to_latex(law, laws.symbols)
    return tuple(Equation(tuple(paths), text, latex[text]) for text, paths in paths_by_text.items())


def facts(laws: LawsData) -> dict[str, Any]:
    """Return the content of JSON. Coefficients are strings because they are fractions."""
    return {
        "model": laws.model,
        "variables": [
            {"name": v.name, "symbol": v.symbol, "sets": v.about, "base": v.base} for v in laws.variables
        ],
        "laws": {name: _law(law, laws) for name, law in laws.items()},
        "layers": {
            path: {
                name: _polynomial(by_path[path], laws.symbols)
                for name, by_path in laws.layers.items() if path in by_path and by_path[path].terms
            }
            for path in laws.layers["macs"]
        },
        "irregular": list(laws.irregular),
        "analyses": laws.analyses,
        "notes": list(laws.notes),
    }  # fmt: skip


def _law(law: Law, laws: LawsData) -> dict[str, Any]:
    if not law.known:
        return {"known": False, "why": law.why, "samples": _samples(law)}
    return {
        "known": True, "text": str(law), "latex": law.latex(), "bound": law.bound,
        "pieces": [_polynomial(piece, laws.symbols) for piece in law.pieces],
        "domain": {
            name: {"low": s.low, "high": s.high, "step": s.step, "below": s.below, "above": s.above}
            for name, s in zip(law.names, law.domain, strict=True)
        },
        "checked": [dict(zip(law.names, point, strict=True)) for point in law.checked],
        "everywhere": None if law.everywhere is None else _law(law.everywhere, laws),
    }  # fmt: skip


def _samples(law: Law) -> list[dict[str, int]]:
    return [{**dict(zip(law.names, point, strict=True)), law.quantity: value} for point, value in law.samples.items()]


def _polynomial(law: Polynomial, symbols: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {
            "coefficient": str(coefficient),
            "powers": {
                writing.term_text(tuple(int(i == j) for j in range(len(law.atoms))), law.atoms, symbols): power
                for i, power in enumerate(powers) if power
            },
        }
        for powers, coefficient in law.terms
    ]  # fmt: skip


def solution_text(budget: str, solution: Solution) -> str:
    """Return a solution in words: `macs <= 2G: the largest batch is 4, with …`."""
    others = (
        f" at {', '.join(f'{name} {units.exact(size)}' for name, size in solution.at.items())}" if solution.at else ""
    )
    if solution.size is None or solution.value is None:
        return f"{budget}: {solution.name}{others}: {solution.note}"
    sizes = solution.among if solution.among.startswith("multiples") else f"sizes {solution.among}"
    among = f" among {sizes}" if solution.among else ""
    text = f"{budget}: the largest {solution.name}{among}{others} is {units.exact(solution.size)}"
    text += f", with {units.exact(solution.value)}"
    if solution.further is not None and solution.further_value is not None:
        text += f"; {units.exact(solution.further)} needs {units.exact(solution.further_value)}"
    checked = (
        "; both confirmed by direct analysis" if solution.further is not None else "; confirmed by direct analysis"
    )
    return text + (checked if solution.verified else "") + (f"; {solution.note}" if solution.note else "")
