"""Bars in a table's cells are as long as the numbers beside them; a page without scripts has them, too."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost.render.html import to_html
from cnncost.report.prediction_text import document

BARS = "() => [...document.querySelectorAll('td .bar')].map(each => each.getBoundingClientRect().toJSON())"


def test_bars_of_a_roofline_are_as_long_as_their_times(opened):
    """Of matrices that are large, their bytes decide: their times are as 4 : 2 : 1, and no launch is as long."""
    layers = [nn.Linear(4096, 4096 * n, bias=False) for n in (4, 2, 1)]
    model = nn.ModuleList(layers)
    with torch.device("meta"):
        x = torch.empty(1, 4096)
    model.forward = lambda x: [layer(x) for layer in layers]
    found = cnncost.roofline(cnncost.analyze(model, x), device="h100")
    page = opened(to_html(document(found)), drawn=False)
    bars = page.evaluate(BARS)
    assert [bar["height"] > 5 for bar in bars] == [True] * 3
    assert [bar["width"] / bars[0]["width"] for bar in bars] == pytest.approx([1, 1 / 2, 1 / 4], rel=0.01)
