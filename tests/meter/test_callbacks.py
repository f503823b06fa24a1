"""The callbacks if their packages are not installed; with them, see tests/callbacks."""

import importlib
import sys

import pytest

from cnncost.errors import MissingPackageError


@pytest.mark.parametrize("name", ["lightning", "transformers"])
def test_a_missing_package_names_the_extra_to_install(monkeypatch, name):
    for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"cnncost.meter.{name}", raising=False)
    with pytest.raises(MissingPackageError, match=rf"pip install 'cnncost\[{name}\]'"):
        importlib.import_module(f"cnncost.meter.{name}")
