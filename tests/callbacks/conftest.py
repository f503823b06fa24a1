"""Tests against real Lightning and Transformers, where these are installed; CI has a step of its own for them."""

from importlib.util import find_spec

import pytest
import torch
from torch.distributions import Distribution

collect_ignore = [
    file for file, package in (("test_lightning.py", "lightning"), ("test_transformers.py", "transformers"))
    if find_spec(package) is None
]  # fmt: skip
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _distributions_check_as_before():
    """Both bring in torch's compiler, which turns that off for the whole process."""
    before = Distribution._validate_args
    yield
    Distribution.set_default_validate_args(before)
