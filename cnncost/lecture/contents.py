"""The course that comes with the package, read from a file of claims in the format that teachers use.

Enzo Tartaglione, MN909 Deep Learning for Multimedia: Convolutional Neural Networks. Slides that have neither a figure
nor a statement about cost are left out.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from cnncost.lecture.claims import Slide
from cnncost.lecture.read import read

__all__ = ["FILE", "LECTURE", "SLIDES", "TOPICS", "numbered", "topic_of"]

FILE = read(Path(__file__).with_name("mn909.toml"))

LECTURE = FILE.course.title

SLIDES = FILE.course.slides

numbered = FILE.course.numbered

TOPICS: dict[str, tuple[Slide, ...]] = {
    topic: tuple(slides) for topic, slides in groupby(SLIDES, key=lambda slide: slide.topic)
}


def topic_of(slide: Slide) -> str:
    """Return the heading to which a slide belongs; may be empty."""
    return slide.topic
