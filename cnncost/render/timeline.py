"""A timeline: what ran one after the other, nested in modules. For viewers of other people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

Unit: TypeAlias = Literal["seconds", "bytes", "none"]


class Span(NamedTuple):
    """A phase, a module's call or an op, from where it starts to where it ends on its track.

    Attributes:
        name: the same for all calls of a module and all runs of an op.
        short: within the span around it.
        sort: what it is.
        level: of nesting, from 0; a span lies within the last one before it whose level is one less.
        start, end: in the track's unit.
        facts: about it, as plain data.
        missing: why its length is not known; such a span ends where it starts.
    """

    name: str
    short: str
    sort: Literal["phase", "module", "op"]
    level: int
    start: float
    end: float
    facts: Mapping[str, Any] = {}
    missing: str = ""


class Track(NamedTuple):
    """Spans of one quantity, each before those within it; the first starts at 0, the last ends at the `total`."""

    name: str
    unit: Unit
    total: float
    spans: tuple[Span, ...]


class Counter(NamedTuple):
    """Quantities over the first track: `values` has a number for each of its parts from each place in `at` on."""

    name: str
    at: tuple[float, ...]
    values: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Timeline:
    """What viewers show.

    Attributes:
        title: what ran, and on what.
        maker: the name and version of what wrote it.
        tracks: the first is the one that a viewer opens.
        counters: over the first track.
        facts: about the whole, as plain data.
    """

    title: str
    maker: str
    tracks: tuple[Track, ...]
    counters: tuple[Counter, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
