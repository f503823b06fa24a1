"""A timeline as a trace in Chrome's Trace Event Format, which Perfetto and chrome://tracing open.

Ref: Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. Times are
microseconds. Perfetto stores whole nanoseconds and drops slices that overlap without being nested, so both ends of a
slice are rounded to nanoseconds, which preserves nesting; the exact seconds are among its `args`. There is no
`displayTimeUnit`, because some versions of Perfetto took it for the unit of the times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnncost.render.json import line
from cnncost.render.timeline import Counter, Span, Timeline, Track
from cnncost.render.values import plain

_THREAD = {"pid": 1, "tid": 1}
"""All events are shown as one thread of one process."""


def to_trace(timeline: Timeline) -> str:
    """Return the first track, whose unit is seconds, and the counters, as JSON with one event per line."""
    track = timeline.tracks[0]
    counter_events = (event for counter in timeline.counters for event in _counter(counter))
    events = [*_names(timeline, track), *map(_slice, _shown(track)), *counter_events]
    facts = plain(timeline.facts)
    lines = ",\n".join(map(line, events))
    return f'{{"traceEvents": [\n{lines}\n],\n"otherData": {line(facts)}}}\n'


def _names(timeline: Timeline, track: Track) -> Iterator[dict[str, Any]]:
    yield {"name": "process_name", "ph": "M", **_THREAD, "args": {"name": timeline.title}}
    yield {"name": "thread_name", "ph": "M", **_THREAD, "args": {"name": track.name}}


def _shown(track: Track) -> Iterator[Span]:
    """Yield all ops, and the modules and phases that take time."""
    return (span for span in track.spans if span.sort == "op" or _nanoseconds(span.end) > _nanoseconds(span.start))


def _slice(span: Span) -> dict[str, Any]:
    """Return a complete event ("X"), or an instant event ("i") for a span of unknown length."""
    start, end = _nanoseconds(span.start), _nanoseconds(span.end)
    args = {"seconds": span.end - span.start, **span.facts}
    event = {"name": span.short, "cat": span.sort, "ph": "X", "ts": start / 1000, "dur": (end - start) / 1000}
    if span.missing:
        args = {**span.facts, "missing": span.missing}
        event = {"name": f"{span.short}: {span.missing}", "cat": span.sort, "ph": "i", "ts": start / 1000, "s": "t"}
    return {**event, **_THREAD, "args": args}


def _counter(counter: Counter) -> Iterator[dict[str, Any]]:
    """Yield a counter event ("C") for each time at which a value changes."""
    parts = list(counter.values)
    last: tuple[int, ...] | None = None
    for at, numbers in zip(counter.at, zip(*counter.values.values(), strict=True), strict=True):
        if numbers != last:
            args = dict(zip(parts, numbers, strict=True))
            yield {"name": counter.name, "ph": "C", "ts": _nanoseconds(at) / 1000, **_THREAD, "args": args}
        last = numbers


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
