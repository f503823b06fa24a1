"""Tests against real Lightning and Transformers, where these are installed; CI has a step of its own for them."""

from importlib.util import find_spec

import torch
from torchvision_cpu import install

collect_ignore = [
    file
    for file, *packages in (("test_lightning.py", "lightning"), ("test_transformers.py", "transformers", "accelerate"))
    if None in map(find_spec, packages)
]  # fmt: skip
torch.set_num_threads(1)
if len(collect_ignore) < 2:
    install()  # both import torchvision if it is there, and its library may not load beside this torch
