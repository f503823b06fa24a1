"""The lecture's findings, measured once per test worker."""

from __future__ import annotations

from functools import cache

import pytest

from cnncost.lecture.contents import SLIDES
from cnncost.lecture.findings import Findings, find


@cache
def _all() -> Findings:
    return find(SLIDES)


@pytest.fixture
def findings() -> Findings:
    """All claims, measured and judged."""
    return _all()
