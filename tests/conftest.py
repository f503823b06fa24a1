"""What tests share: modules here and beside the peers can be imported from all of them."""

import gc
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "peers")]
os.environ["CNNCOST_NO_CACHE"] = "1"  # processes that tests start analyze anew; tests/cache turns it on


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Importing all tests makes a million objects, which collections would walk over some twenty times."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="module")
def cheap_collection() -> Iterator[None]:
    """Full collections leave out what is there already: all tests and libraries, which take half a second to walk."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
