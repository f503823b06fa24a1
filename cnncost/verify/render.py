"""A verification as text, markdown and JSON. Nothing is computed here."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from cnncost import units
from cnncost.render import layout
from cnncost.render.layout import Cell, Field
from cnncost.verify.result import SCHEMA, Explanation, PeerCount, Verification

WIDTH = 80
_AT_LEAST = "≥ "
_SAME = "same"
_PER_MAC = {"MAC": "one", "FLOP": "two"}


def to_text(found: Verification, width: int = WIDTH) -> str:
    """For a terminal: each peer's table, under it the rules that make the differences."""
    lines = [*_wrapped(f"{layout.printable(found.model)}, {_inputs(found)}", width), *_wrapped(_own(found), width)]
    for text in _remarks(found):
        lines += _wrapped(text, width)
    for peer in found.peers:
        lines += ["", *_wrapped(_heading(peer), width)]
        if peer.total is not None:
            lines += _table(peer, width)
        for text in _verdict(peer):
            lines += _wrapped(text, width)
    return "\n".join(lines)


def _wrapped(text: str, width: int, indent: str = "", rest: str = "  ") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=rest, break_on_hyphens=False)


def _inputs(found: Verification) -> str:
    shapes = ", ".join(f"{units.shape(shape)} {dtype}" for shape, dtype in found.inputs)
    return f"input{'s' if len(found.inputs) > 1 else ''} {shapes or 'without tensors'}, eval mode"


def _own(found: Verification) -> str:
    mark = _AT_LEAST if found.unknown else ""
    macs, flops = units.counted(found.macs, "MAC"), units.counted(found.flops, "FLOP")
    return f"cnncost: {mark}{macs}, {mark}{flops}, in {_seconds(found.seconds)}"


def _remarks(found: Verification) -> Iterator[str]:
    if found.unknown:
        ops = ", ".join(f"{op} ({units.exact(times)}×)" for op, times in found.unknown.items())
        yield f"cnncost has no rule for {ops}: its numbers are lower bounds"
    yield from found.notes


def _heading(peer: PeerCount) -> str:
    title = " ".join(filter(None, (peer.peer, peer.version)))
    if peer.total is None:
        return f"{title}: failed: {peer.failure}"
    count = units.counted(peer.total, "flop")
    return f"{title}: {count}, a MAC being {_PER_MAC[peer.unit]}; {peer.run}, in {_seconds(peer.seconds)}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _table(peer: PeerCount, width: int) -> list[str]:
    """Rows, the total of what is predicted, and the rules by the numbers at the ends of rows."""
    rules, rows = _rules(peer), peer.explanations
    columns = [
        _column(f"{peer.unit}s of", [*(layout.printable(row.op) for row in rows), "all"], right=False),
        _column("ops", [*(units.exact(row.times) for row in rows), ""]),
        _column("cnncost", [*(units.exact(row.ours) for row in rows), units.exact(peer.ours)]),
        _column(_predicted(peer), [*(units.exact(row.theirs) for row in rows), units.exact(peer.predicted)]),
        _column("difference", [*(_signed(row.difference) for row in rows), _signed(peer.difference)]),
        _column("rule", [*(_number(row, rules) for row in rows), ""]),
    ]
    lines = [layout.plain(line) for line in layout.table(columns, width, rules=[len(rows)])]
    for number, why in enumerate(rules, 1):
        lines += _wrapped(why, width, f"  {number}  ", "     ")
    return lines


def _column(heading: str, texts: list[str], *, right: bool = True) -> Field:
    return Field(heading, [Cell(text) for text in texts], right, least=None if right else 12)


def _predicted(peer: PeerCount) -> str:
    """The heading of what a peer's rules give: the peer's name only where that is what it counted."""
    return "by its rules" if peer.unexplained else peer.peer


def _rules(peer: PeerCount) -> list[str]:
    """The rules that make a difference, each once."""
    return list(dict.fromkeys(row.why for row in peer.explanations if row.difference))


def _number(row: Explanation, rules: Sequence[str]) -> str:
    return str(rules.index(row.why) + 1) if row.difference else ""


def _signed(difference: int) -> str:
    return f"{difference:+,}" if difference else _SAME


def _verdict(peer: PeerCount) -> Iterator[str]:
    if peer.total is None:
        return
    if not peer.unexplained:
        yield f"explained: the rules give {units.exact(peer.predicted)}, the number that it counted"
        return
    for op, amount in peer.unexplained:
        yield f"unexplained: {amount:+,} {peer.unit}s in its {op}, beyond what the rules give"
    if peer.unsupported:
        ops = ", ".join(f"{op} ({units.exact(times)}×)" for op, times in peer.unsupported.items())
        yield f"ops that it met and has no formula for: {ops}"


def to_markdown(found: Verification) -> str:
    """Headings and tables; each row with its rule."""
    lines = [f"# {_escaped(found.model)}, verified", "", f"{_inputs(found)}  ", _own(found)]
    for text in _remarks(found):
        lines += ["", _escaped(text)]
    for peer in found.peers:
        lines += ["", f"## {peer.peer}", "", _escaped(_heading(peer))]
        if peer.total is not None:
            lines += ["", *_markdown_table(peer)]
        for text in _verdict(peer):
            lines += ["", _escaped(text)]
    return "\n".join(lines) + "\n"


def _markdown_table(peer: PeerCount) -> Iterator[str]:
    yield f"| {peer.unit}s of | ops | cnncost | {_predicted(peer)} | difference | rule |"
    yield "|:--|--:|--:|--:|--:|:--|"
    for row in peer.explanations:
        numbers = " | ".join((units.exact(row.times), units.exact(row.ours), units.exact(row.theirs)))
        why = _escaped(row.why) if row.difference else ""
        yield f"| {_escaped(row.op)} | {numbers} | {_signed(row.difference)} | {why} |"
    total = f"{units.exact(peer.ours)} | {units.exact(peer.predicted)} | {_signed(peer.difference)}"
    yield f"| **all** | | {total} | |"


def _escaped(text: str) -> str:
    text = layout.printable(text)
    for sign in "\\`*_<>|":
        text = text.replace(sign, f"\\{sign}")
    return text


def to_json(found: Verification) -> str:
    """Everything, exact; counts are ints."""
    data = {
        "schema": SCHEMA,
        "model": found.model,
        "inputs": [{"shape": list(shape), "dtype": dtype} for shape, dtype in found.inputs],
        "macs": found.macs,
        "flops": found.flops,
        "lower_bound": bool(found.unknown),
        "unknown": found.unknown,
        "seconds": found.seconds,
        "explained": found.explained,
        "notes": list(found.notes),
        "peers": [_peer_data(peer) for peer in found.peers],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _peer_data(peer: PeerCount) -> dict[str, Any]:
    return {
        "peer": peer.peer,
        "version": peer.version,
        "unit": peer.unit,
        "run": peer.run,
        "failure": peer.failure or None,
        "seconds": peer.seconds,
        "total": peer.total,
        "predicted": peer.predicted,
        "ours": peer.ours,
        "by_op": peer.by_op,
        "unsupported": peer.unsupported,
        "explanations": [{**row._asdict(), "difference": row.difference} for row in peer.explanations],
        "unexplained": [entry._asdict() for entry in peer.unexplained],
    }
