"""What tests share: modules here and beside the peers can be imported from all of them."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "peers")]


def pytest_collection() -> None:
    """Importing all tests makes a million objects, which collections would walk over some twenty times."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()


@pytest.fixture(scope="module")
def cheap_collection() -> Iterator[None]:
    """Full collections leave out what is there already: all tests and libraries, which take half a second to walk."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
