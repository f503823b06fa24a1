"""A timeline as a trace of Chrome's Trace Event Format, which Perfetto and chrome://tracing open.

Ref: Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. Times are
microseconds. Perfetto keeps whole nanoseconds and drops slices that overlap without being nested: so both ends of a
slice are rounded to nanoseconds, and what is nested stays so; the exact seconds are among its `args`. No
`displayTimeUnit`: some versions of Perfetto took it for the unit of the times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnncost.render.json import line
from cnncost.render.timeline import Counter, Span, Timeline, Track
from cnncost.render.values import plain

_PLACE = {"pid": 1, "tid": 1}


def to_trace(timeline: Timeline) -> str:
    """The first track, which is of seconds, and the counters; an event a line."""
    track = timeline.tracks[0]
    counted = (event for counter in timeline.counters for event in _counter(counter))
    events = [*_names(timeline, track), *map(_slice, _shown(track)), *counted]
    facts = plain(timeline.facts)
    lines = ",\n".join(map(line, events))
    return f'{{"traceEvents": [\n{lines}\n],\n"otherData": {line(facts)}}}\n'


def _names(timeline: Timeline, track: Track) -> Iterator[dict[str, Any]]:
    yield {"name": "process_name", "ph": "M", **_PLACE, "args": {"name": timeline.title}}
    yield {"name": "thread_name", "ph": "M", **_PLACE, "args": {"name": track.name}}


def _shown(track: Track) -> Iterator[Span]:
    """Ops, and modules and phases that take time."""
    return (span for span in track.spans if span.sort == "op" or _nanoseconds(span.end) > _nanoseconds(span.start))


def _slice(span: Span) -> dict[str, Any]:
    start, end = _nanoseconds(span.start), _nanoseconds(span.end)
    args = {"seconds": span.end - span.start, **span.facts}
    event = {"name": span.short, "cat": span.sort, "ph": "X", "ts": start / 1000, "dur": (end - start) / 1000}
    if span.missing:
        args = {**span.facts, "missing": span.missing}
        event = {"name": f"{span.short}: {span.missing}", "cat": span.sort, "ph": "i", "ts": start / 1000, "s": "t"}
    return {**event, **_PLACE, "args": args}


def _counter(counter: Counter) -> Iterator[dict[str, Any]]:
    """An event where a part changes."""
    parts = list(counter.values)
    before: tuple[int, ...] | None = None
    for at, numbers in zip(counter.at, zip(*counter.values.values(), strict=True), strict=True):
        if numbers != before:
            args = dict(zip(parts, numbers, strict=True))
            yield {"name": counter.name, "ph": "C", "ts": _nanoseconds(at) / 1000, **_PLACE, "args": args}
        before = numbers


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
