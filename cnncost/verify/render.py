"""Formats a verification as a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cnncost import units
from cnncost.render.document import Column, Document, Heading, Part, Row, Table, data_table, notes, rows
from cnncost.render.values import tensors, tensors_text
from cnncost.verify.result import Explanation, PeerCount, Verification

_AT_LEAST = "≥ "
_PER_MAC = {"MAC": "one", "FLOP": "two"}


def document(found: Verification) -> Document:
    """Return a document with cnncost's count and, for each peer, a table and the rules that cause the differences."""
    parts: list[Part] = [notes(_own_count(found), *_remarks(found), apart=False)]
    parts += [part for peer in found.peers for part in _peer(peer)]
    return Document(
        "verify", found.model, _inputs(found), "verified", facts=_facts(found), parts=(*parts, _data(found))
    )


def _facts(found: Verification) -> dict[str, Any]:
    """Return everything as plain data for JSON."""
    return {
        "model": found.model,
        "inputs": tensors(found.inputs),
        "macs": found.macs,
        "flops": found.flops,
        "lower_bound": bool(found.unknown),
        "unknown": found.unknown,
        "seconds": found.seconds,
        "explained": found.explained,
        "notes": found.notes,
        "peers": [_peer_data(peer) for peer in found.peers],
    }


def _peer(peer: PeerCount) -> Iterator[Part]:
    yield Heading(peer.peer, shown="markup")
    yield notes(_heading(peer), listed=False)
    if peer.total is not None:
        rules = _rules(peer)
        yield _table(peer, rules)
        for number, why in enumerate(rules, 1):
            yield notes(why, shown="text", apart=False, first=f"  {number}  ", hang="     ")
    yield notes(*_verdict(peer), apart=False)


def _table(peer: PeerCount, rules: Sequence[str]) -> Table:
    """Return the rows and the predicted total. Text refers to rules by number; other formats spell them out."""
    columns = (
        Column("op", f"{peer.unit}s of", least=12),
        Column("ops", "ops", "count"),
        Column("cnncost", "cnncost", "count"),
        Column("theirs", _predicted(peer), "count"),
        Column("difference", "difference", "difference"),
        Column("number", "rule", "number", "text"),
        Column("rule", "rule", shown="markup"),
    )
    shown = rows(
        (row.op, row.times, row.ours, row.theirs, row.difference, _number(row, rules), _why(row))
        for row in peer.explanations
    )
    total = Row(("all", None, peer.ours, peer.predicted, peer.difference, None, ""), "total")
    return Table(columns, (*shown, total), shown="people", apart=False)


def _data(found: Verification) -> Table:
    """Return a table of all peers' rows, for CSV; in JSON they are among the facts."""
    names = ("peer", "unit", "op", "times", "ours", "theirs", "difference", "why")
    values = (
        (peer.peer, peer.unit, row.op, row.times, row.ours, row.theirs, row.difference, row.why)
        for peer in found.peers
        for row in peer.explanations
    )
    return data_table(names, values)


def _inputs(found: Verification) -> str:
    shapes = tensors_text(found.inputs)
    return f"input{'s' if len(found.inputs) > 1 else ''} {shapes or 'without tensors'}, eval mode"


def _own_count(found: Verification) -> str:
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


def _predicted(peer: PeerCount) -> str:
    """Return the heading of the predicted counts: the peer's name if its actual counts are equal."""
    return "by its rules" if peer.unexplained else peer.peer


def _rules(peer: PeerCount) -> list[str]:
    """Return the rules that cause a difference, each once."""
    return list(dict.fromkeys(row.why for row in peer.explanations if row.difference))


def _number(row: Explanation, rules: Sequence[str]) -> int | None:
    return rules.index(row.why) + 1 if row.difference else None


def _why(row: Explanation) -> str:
    return row.why if row.difference else ""


def _verdict(peer: PeerCount) -> Iterator[str]:
    if peer.total is None:
        return
    if not peer.unexplained:
        yield f"explained: the rules give {units.exact(peer.predicted)}, exactly what it counted"
        return
    for op, amount in peer.unexplained:
        yield f"unexplained: {amount:+,} {peer.unit}s in its {op}, beyond what the rules give"
    if peer.unsupported:
        ops = ", ".join(f"{op} ({units.exact(times)}×)" for op, times in peer.unsupported.items())
        yield f"ops for which it has no formula: {ops}"


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
