"""Tests against real Lightning and Transformers, where these are installed; CI has a step of its own for them."""

from importlib.util import find_spec

import torch

collect_ignore = [
    file for file, package in (("test_lightning.py", "lightning"), ("test_transformers.py", "transformers"))
    if find_spec(package) is None
]  # fmt: skip
torch.set_num_threads(1)
