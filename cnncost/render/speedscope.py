"""A timeline as a file for speedscope, a viewer of flame graphs, with a profile for each track.

Ref: https://github.com/jlfwong/speedscope/wiki/Importing-from-custom-sources, and its file-format-schema.json.
"""

from __future__ import annotations

import json
from typing import Any

from cnncost.render.json import line
from cnncost.render.timeline import Span, Timeline, Track

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def to_speedscope(timeline: Timeline) -> str:
    """Return all tracks as evented profiles, whose frames are modules and ops, with one profile per line."""
    frames: dict[str, int] = {}
    profiles = [_profile(track, frames) for track in timeline.tracks]
    data = {
        "$schema": SCHEMA, "exporter": timeline.maker, "name": timeline.title, "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name} for name in frames]},
    }  # fmt: skip
    head = ",\n".join(f"{json.dumps(key)}: {line(value)}" for key, value in data.items())
    lines = ",\n".join(map(line, profiles))
    return f'{{{head},\n"profiles": [\n{lines}\n]}}\n'


def _profile(track: Track, frames: dict[str, int]) -> dict[str, Any]:
    """Return a profile of open and close events; new names are added to `frames`, which has each name's index."""
    events: list[dict[str, Any]] = []
    opened: list[Span] = []

    def close(level: int) -> None:
        while len(opened) > level:
            span = opened.pop()
            events.append({"type": "C", "at": span.end, "frame": frames[_name(span)]})

    for span in track.spans:
        close(span.level)
        frame = frames.setdefault(_name(span), len(frames))
        events.append({"type": "O", "at": span.start, "frame": frame})
        opened.append(span)
    close(0)
    return {
        "type": "evented", "name": track.name, "unit": track.unit, "startValue": 0, "endValue": track.total,
        "events": events,
    }  # fmt: skip


def _name(span: Span) -> str:
    return f"{span.name}: {span.missing}" if span.missing else span.name
