"""Laws as text for people, markdown, LaTeX and JSON. Computes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cnncost import units
from cnncost.laws import writing
from cnncost.laws.data import HEADINGS
from cnncost.laws.law import Law, domain_text
from cnncost.render.json import SCHEMA

if TYPE_CHECKING:
    from cnncost.laws.data import LawsData
    from cnncost.laws.polynomial import Polynomial
    from cnncost.laws.solve import Solution

_PIECES = 4
"""Most pieces of a maximum that a line shows."""


def title(laws: LawsData) -> str:
    """`resnet50: B = batch (x.0), H = height (x.2)`."""
    parts = [
        f"{v.symbol} = {v.name} ({v.about})" if v.about != v.name else f"{v.symbol} = {v.name}" for v in laws.variables
    ]
    return f"{laws.model}: {', '.join(parts)}"


def domains(laws: LawsData) -> dict[str, list[str]]:
    """Where laws hold and by how many analyses they were checked: sentence → quantities."""
    found: dict[str, list[str]] = {}
    for name, law in laws.items():
        if law.known:
            count = units.counted(len(law.checked), "size")
            found.setdefault(f"for {domain_text(law)}, checked at {count} not used to find it", []).append(name)
    return found


def limits(laws: LawsData) -> list[str]:
    """Why laws hold no further, each reason once."""
    found: dict[tuple[str, str], list[str]] = {}
    for law in [law for law in laws.values() if law.known]:
        for symbol, span in zip(law.symbols, law.domain, strict=True):
            if span.below:
                found.setdefault((f"from {symbol} = {units.exact(span.low)} on", span.below), []).append(law.quantity)
            if span.above:
                found.setdefault((f"up to {symbol} = {units.exact(span.high)}", span.above), []).append(law.quantity)
    return [f"{_names(names)} {where}: {_brief(why)}" for (where, why), names in found.items()]


def _names(quantities: list[str]) -> str:
    return ", ".join(HEADINGS[name] for name in quantities)


def _brief(reason: str) -> str:
    """The reason of a failure up to what to do about it."""
    said = reason.split("; ", maxsplit=1)[0]
    return said if len(said) <= _LONG else f"{said[:_LONG]}…"


_LONG = 200
"""Longer reasons are shortened."""


def law_text(law: Law) -> str:
    """The formula on one line; of a maximum, how many pieces it has: `pieces` says where each holds."""
    if len(law.pieces) <= 1:
        return str(law)
    return f"{'≥ ' if law.bound else ''}the largest of {len(law.pieces)} polynomials"


def pieces(law: Law) -> list[str]:
    """Of a maximum: which piece is the largest where, along each variable with the others at the model's own sizes."""
    lines = []
    for name, symbol in zip(law.names, law.symbols, strict=True):
        others = [f"{s} = {n}" for s, n in zip(law.symbols, law.base, strict=True) if s != symbol]
        at = f" at {', '.join(others)}" if others else ""
        for low, high, piece in law.along(name):
            sizes = f"{symbol} = {units.exact(low)}" + (f" to {units.exact(high)}" if high > low else "")
            lines.append(f"{writing.to_text(piece, law.symbols)} for {sizes}{at}")
    return lines


def to_text(laws: LawsData, by_layer: bool = False) -> str:
    """Lines: a law each, then where they hold."""
    width = max(len(HEADINGS[name]) for name in laws)
    lines = [title(laws), ""]
    lines += [f"{HEADINGS[name]:<{width}} = {law_text(law)}" if law.known else f"{HEADINGS[name]:<{width}}   {law}"
              for name, law in laws.items()]  # fmt: skip
    if by_layer:
        lines += ["", "layers, their own MACs:"]
        lines += [f"  {text}: {', '.join(paths)}" for text, paths in distinct(laws, "macs")]
    return "\n".join([*lines, "", *_below(laws)])


def _below(laws: LawsData) -> list[str]:
    told = domains(laws)
    lines = []
    for name, law in laws.items():
        if law.everywhere is not None:
            count = units.counted(len(law.everywhere.checked), "size")
            where = f"for {domain_text(law.everywhere)}, checked at {count} off that lattice"
            lines.append(f"{HEADINGS[name]} = {law.everywhere} {where}")
    for sentence, names in told.items():
        who = "all" if len(told) == 1 and len(names) == len(laws) else ", ".join(HEADINGS[name] for name in names)
        lines.append(f"{who}: {sentence}")
    for name, law in laws.items():
        if len(law.pieces) > 1:
            lines += [f"{HEADINGS[name]}: {line}" for line in pieces(law)]
    lines += limits(laws)
    lines += [f"{HEADINGS[name]} are lower bounds: {law.bound}" for name, law in laws.items() if law.bound]
    if laws.irregular:
        lines.append(f"without a law of their own: {', '.join(path or 'the model itself' for path in laws.irregular)}")
    return [*lines, *laws.notes]


def distinct(laws: LawsData, quantity: str) -> list[tuple[str, list[str]]]:
    """The layers' laws of a quantity, each once, with the modules that have it; without those that are 0."""
    found: dict[str, list[str]] = {}
    for path, law in laws.layers[quantity].items():
        if law.terms:
            found.setdefault(writing.to_text(law, laws.symbols), []).append(path or "the model itself")
    return list(found.items())


def to_markdown(laws: LawsData, by_layer: bool = False) -> str:
    """A heading, a table of the laws, and where they hold; by layer also a table of distinct laws."""
    lines = [f"## {title(laws)}", "", "| quantity | law |", "| --- | --- |"]
    lines += [f"| {HEADINGS[name]} | {law_text(law)} |" for name, law in laws.items()]
    if by_layer:
        lines += ["", "| layers | own MACs |", "| --- | --- |"]
        lines += [f"| {', '.join(f'`{path}`' for path in paths)} | {text} |" for text, paths in distinct(laws, "macs")]
    return "\n".join([*lines, "", *(f"- {line}" for line in _below(laws))]) + "\n"


def to_latex(laws: LawsData, by_layer: bool = False) -> str:
    """An `align*` environment; needs amsmath."""
    rows = [rf"\text{{{HEADINGS[name]}}} &= {law.latex()}" for name, law in laws.items() if law.known]
    if by_layer:
        for path, law in laws.layers["macs"].items():
            if law.terms:
                named = (path or "model").replace("_", r"\_")
                rows.append(rf"\text{{{named}}} &= {writing.to_latex(law, laws.symbols)}")
    comments = [f"% {line}" for line in [title(laws), *_below(laws)]]
    return "\n".join([*comments, r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"]) + "\n"


def to_json(laws: LawsData) -> str:
    """`to_dict` as text."""
    return json.dumps(to_dict(laws), indent=1, ensure_ascii=False) + "\n"


def to_dict(laws: LawsData) -> dict[str, Any]:
    """Plain data: coefficients are text, as they are fractions."""
    return {
        "schema": SCHEMA,
        "command": "formula",
        "model": laws.model,
        "variables": [
            {"name": v.name, "symbol": v.symbol, "sets": v.about, "base": v.base} for v in laws.variables
        ],
        "laws": {name: _law(law, laws) for name, law in laws.items()},
        "layers": {
            path: {
                name: _polynomial(own[path], laws.symbols)
                for name, own in laws.layers.items() if path in own and own[path].terms
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
    """`macs <= 2G: the largest batch is 4, …`."""
    others = (
        f" at {', '.join(f'{name} {units.exact(size)}' for name, size in solution.at.items())}" if solution.at else ""
    )
    if solution.size is None or solution.value is None:
        return f"{budget}: no {solution.name}{others}: {solution.note}"
    sizes = solution.among if solution.among.startswith("multiples") else f"sizes {solution.among}"
    among = f" among {sizes}" if solution.among else ""
    text = f"{budget}: the largest {solution.name}{among}{others} is {units.exact(solution.size)}"
    text += f", with {units.exact(solution.value)}"
    if solution.further is not None and solution.further_value is not None:
        text += f"; {units.exact(solution.further)} needs {units.exact(solution.further_value)}"
    checked = "; both by direct analysis, too" if solution.further is not None else "; by direct analysis, too"
    return text + (checked if solution.verified else "") + (f"; {solution.note}" if solution.note else "")
