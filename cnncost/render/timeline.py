"""A timeline: consecutive ops, nested in module calls; written to files for trace and flame graph viewers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

Unit: TypeAlias = Literal["seconds", "bytes", "none"]


class Span(NamedTuple):
    """A phase, a module call or an op, from its start to its end on the track.

    Attributes:
        name: full name, the same for all calls of a module and all runs of an op.
        short: shorter name, unambiguous within the enclosing span.
        sort: kind of the span.
        level: nesting level, from 0; a span lies within the nearest earlier span whose level is one less.
        start, end: in the track's unit.
        facts: further plain data, which the viewer shows as details.
        missing: why the span's length is unknown, or empty; a span of unknown length ends where it starts.
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
    """Spans of one quantity, parents before their children; the first starts at 0, the last ends at `total`."""

    name: str
    unit: Unit
    total: float
    spans: tuple[Span, ...]


class Counter(NamedTuple):
    """Curves over the first track: the curve `name` has the value `values[name][i]` from the time `at[i]` on."""

    name: str
    at: tuple[float, ...]
    values: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Timeline:
    """The content of a file for a viewer.

    Attributes:
        title: the model and its inputs.
        maker: name and version of the program that wrote the file.
        tracks: one track for each quantity; a viewer opens the first.
        counters: curves over the first track.
        facts: further plain data about the whole run.
    """

    title: str
    maker: str
    tracks: tuple[Track, ...]
    counters: tuple[Counter, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
