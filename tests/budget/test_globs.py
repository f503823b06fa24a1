"""Globs over module paths."""

import pytest

from cnncost.budget.globs import matching

PATHS = ["", "conv1", "layer4", "layer4.0", "layer4.0.conv1", "layer4.10", "layer40", "layer4.0.down.0"]


@pytest.mark.parametrize(
    ("glob", "named"),
    [
        ("layer4", ["layer4"]),
        ("layer4.*", ["layer4.0", "layer4.10"]),
        ("layer4.?", ["layer4.0"]),
        ("layer4.[1-9]*", ["layer4.10"]),
        ("layer4.**", ["layer4.0", "layer4.0.conv1", "layer4.10", "layer4.0.down.0"]),
        ("**.conv1", ["layer4.0.conv1"]),
        ("*", ["conv1", "layer4", "layer40"]),
        ("**", PATHS[1:]),
        ("**.0", ["layer4.0", "layer4.0.down.0"]),
        ("Layer4", []),
        ("layer4.", []),
    ],
)
def test_which_modules_a_glob_names(glob, named):
    assert matching(glob, PATHS) == named
