"""The formats of timelines, which viewers of other people open; commands that have one offer them by `FORMATS.also`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from cnncost.render.formats import Format

if TYPE_CHECKING:
    from cnncost.render.timeline import Timeline

TRACE = Format("trace", meaning="ops and memory over predicted time, for Perfetto and chrome://tracing")
SPEEDSCOPE = Format("speedscope", meaning="flame graphs, for speedscope.app")
VIEWERS = (TRACE, SPEEDSCOPE)


def viewed(timeline: Timeline, form: str) -> str:
    """The timeline in one of these formats, by name."""
    render: Callable[[Timeline], str] = getattr(import_module(f"cnncost.render.{form}"), f"to_{form}")
    return render(timeline)
