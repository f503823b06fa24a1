"""The network works, and stays what it is."""

import pytest
import torch
from tinynet import TinyNet


def test_ten_classes():
    """One logit a class for each image."""
    assert TinyNet()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.complexity(macs="<= 45M", params="<= 110k")
def test_it_fits(complexity):
    """Without a file of budgets: limits beside the test."""
    found = complexity(TinyNet(), "1x3x32x32")
    assert found.report.layer("head").macs == 64 * 10
