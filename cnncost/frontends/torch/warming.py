"""Runs steps of an optimizer before the recorded one, in a separate tensor table, so that its state already exists.

State that an optimizer creates itself (step counts, decaying rates) has known values, which are preserved. If the
optimizer reads a number from a tensor without values (a gradient norm), it gets a stand-in. More steps are then run
with other stand-ins; if their ops or shapes differ, the step can't be recorded without data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch.ledger import TensorTable
from cnncost.frontends.torch.recorder import Recorder
from cnncost.graph import OpSpec

STAND_IN = (1.0,)
"""The number that is returned when an unknown value is read."""
_TRIED = ((1e-6,), STAND_IN, (1e6,), (1e-6, 1e6), (1e6, 1e-6))
"""Numbers that each run of `check_independent` reads in turn: `STAND_IN`, like the recorded step, and others. With two
numbers, either one that the step compares may be the larger."""
_MAY_RAISE = ((-1.0,), (0.0,))
"""Further numbers, for which a step may raise: it may divide by the number, or expect a norm, for example."""
_Ops: TypeAlias = list[tuple[str, OpSpec]]


@contextmanager
def separate_table(recorder: Recorder) -> Iterator[TensorTable]:
    """Context in which a recorder uses a separate tensor table, which is yielded, and unknown numbers may be read."""
    before = recorder.ledger, recorder.nodes, recorder.attributor, recorder.read_as
    refused = recorder.refused
    recorder.ledger, recorder.nodes, recorder.attributor, recorder.read_as = TensorTable(), [], None, STAND_IN
    try:
        yield recorder.ledger
    finally:
        recorder.ledger, recorder.nodes, recorder.attributor, recorder.read_as = before
        recorder.refused = refused  # a trial may raise


def check_independent(recorder: Recorder, step: Callable[[], None]) -> None:
    """Run more steps within `separate_table`, to check that their ops don't depend on the numbers that they read.

    Raises:
        DataDependentError: the ops depend on the numbers.
    """
    runs: list[_Ops] = []
    for recorder.read_as in (*_TRIED, *_MAY_RAISE):  # sets the attribute for each run
        recorder.nodes = []
        may_raise = recorder.read_as in _MAY_RAISE
        try:
            step()
        except Exception:
            if not may_raise:
                raise
            continue
        runs.append([(node.name, node.spec) for node in recorder.nodes])
    if any(ops != runs[0] for ops in runs):
        raise DataDependentError("the ops of the step depend on a number that it reads")


def values_of(ledger: TensorTable, tensor: torch.Tensor) -> torch.Tensor | None:
    """Return a tensor's values, from the tensor table or its own data; None if they are unknown."""
    tracked = ledger.find(tensor)
    up_to_date = tracked is not None and tracked.version == tracked.block.version and tracked.sig.real
    if tracked is not None and up_to_date and tracked.data is not None:
        return tracked.data
    return None if tensor.is_meta else tensor
