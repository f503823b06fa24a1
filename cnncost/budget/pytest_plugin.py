"""The pytest plugin: fixture `complexity`, marker `complexity`, option `--complexity-update`.

    def test_it_stays_small(complexity):
        assert complexity(Net(), "1x3x32x32").macs <= 4.2e9

    @pytest.mark.complexity(macs="<= 4.2G", params="<= 26M")
    def test_it_is_within_its_budget(complexity):
        complexity("resnet50")

    def test_it_is_as_it_was(complexity):
        complexity.check("resnet50")                  # exactly, by module
        complexity.check("resnet50", params="+1%")    # or within limits

Every pytest run in an environment with cnncost imports this module, so it imports nothing large; the modules that the
fixture needs are imported when a test uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cnncost.budget.testing import Complexity

_MARKER = (
    "complexity(**limits): check every model that the test passes to the fixture `complexity` against limits, "
    'such as macs="<= 4.2G"'
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the option that writes snapshots."""
    group = parser.getgroup("cnncost")
    group.addoption("--complexity-update", action="store_true", help="rewrite the snapshots of complexity.check")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def complexity(request: pytest.FixtureRequest) -> Iterator[Complexity]:
    """Figures of models; see cnncost.budget.testing.Complexity."""
    from cnncost.budget.testing import Complexity

    limits: dict[str, Any] = {}
    for marker in request.node.iter_markers("complexity"):
        if marker.args:
            pytest.fail("complexity: pass limits by name, such as complexity(macs='<= 4.2G')", pytrace=False)
        limits = marker.kwargs | limits  # the closest marker takes precedence
    update = bool(request.config.getoption("--complexity-update"))
    fixture = Complexity(request.node.path, limits, update=update)
    yield fixture
    if limits and not fixture.analyzed:
        pytest.fail("the test is marked with complexity limits, but passed no model to the fixture", pytrace=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test that has the marker without the fixture: the marker alone does nothing."""
    marked = item.get_closest_marker("complexity") is not None
    if marked and "complexity" not in getattr(item, "fixturenames", ()):
        pytest.fail(
            "the test is marked with complexity limits, but does not use the fixture `complexity`", pytrace=False
        )


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain why a comparison with a figure failed: by the difference, the biggest layers, and the changes."""
    testing = sys.modules.get("cnncost.budget.testing")
    if testing is None or not isinstance(left, testing.Figure):
        return None
    lines: list[str] = testing.explain(op, left, right)
    return lines
