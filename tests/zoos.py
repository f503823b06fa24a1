"""Whether the packages that models come from are here; tests of them are left out where they aren't."""

from __future__ import annotations

import importlib.util

import pytest
import torchvision_cpu


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skip where one is missing: they are the extra `zoos`, with which CI runs these tests."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if not missing and {"timm", "torchvision", "transformers"} & set(packages):
        torchvision_cpu.install()  # all of them import it
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: pip install '.[zoos]'")
