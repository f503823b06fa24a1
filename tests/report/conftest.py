"""What the tests of the renderers share: reports with all that a renderer may meet, and golden files.

    pytest tests/report --overwrite-golden

writes the golden files anew; look at the diff before it is committed.
"""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

import cnncost

GOLDEN = Path(__file__).parent.parent / "golden"
LONG = "a_convolution_with_a_name_that_no_narrow_terminal_can_show_in_full"
UNPRINTABLE = "線[red]|\x1b[31m"
LIBRARY = torch.library.Library("cnncost_test_report", "DEF")
LIBRARY.define("mystery(Tensor x) -> Tensor")
LIBRARY.impl("mystery", torch.empty_like, "Meta")


def pytest_addoption(parser):
    parser.addoption("--overwrite-golden", action="store_true", help="write tests/golden anew")


class Odd(nn.Module):
    """Own ops and parameters, a second call, uncalled modules, tied and frozen weights, an op without a rule."""

    def __init__(self):
        super().__init__()
        self.add_module(LONG, nn.Conv2d(3, 16, 3, padding=1))
        self.twice = nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(4)))
        self.tied = nn.Linear(16, 16)
        self.frozen = nn.Linear(16, 10).requires_grad_(False)
        self.never = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.add_module(UNPRINTABLE, nn.Identity())
        self.scale = nn.Parameter(torch.ones(10))

    def forward(self, x):
        x = self.norm(self.twice(self.twice(getattr(self, LONG)(x))))
        x = torch.ops.cnncost_test_report.mystery(x).mean((2, 3))
        x = self.blocks(x) + nn.functional.linear(x, self.tied.weight)
        return getattr(self, UNPRINTABLE)(self.frozen(x)) * self.scale


@cache
def analyzed(name):
    if name == "odd":
        return cnncost.analyze(Odd().eval(), "2x3x32x32", name="odd")
    return cnncost.analyze(name)


@pytest.fixture
def report():
    """Reports by name: a network of the zoo, or `odd`, which has all that a renderer may meet."""
    return analyzed


@pytest.fixture
def golden(request):
    """The text of a golden file; with --overwrite-golden it is written first."""

    def kept(name, text):
        path = GOLDEN / name
        if request.config.getoption("--overwrite-golden", default=False):
            path.write_text(text, encoding="utf-8", newline="")
        return path.read_text(encoding="utf-8")

    return kept
