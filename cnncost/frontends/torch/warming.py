"""Runs an optimizer's earlier steps, into a tensor table of their own, so that its state exists when the step begins.

State that an optimizer creates itself (step counts, decaying rates) has values, which are kept. If it reads a number
from a tensor without values (a gradient norm), a stand-in is returned. More steps are then run with other stand-ins; if
their ops or sizes differ, the step can't be recorded without data.
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
"""The number returned when an unknown value is read."""
_TRIED = ((1e-6,), STAND_IN, (1e6,), (1e-6, 1e6), (1e6, 1e-6))
"""Numbers that the runs of `check_independent` read: STAND_IN, as the recorded step does, and others; also two in turn,
so that either of two numbers is the larger one."""
_MAY_RAISE = ((-1.0,), (0.0,))
"""More such numbers, for which a step may raise: it may divide by the number, or take it for a norm, say."""
_Ops: TypeAlias = list[tuple[str, OpSpec]]


@contextmanager
def separate_table(recorder: Recorder) -> Iterator[TensorTable]:
    """Context in which a recorder uses a tensor table of its own, which is yielded; unknown numbers may be read."""
    before = recorder.ledger, recorder.nodes, recorder.attributor, recorder.read_as
    recorder.ledger, recorder.nodes, recorder.attributor, recorder.read_as = TensorTable(), [], None, STAND_IN
    try:
        yield recorder.ledger
    finally:
        recorder.ledger, recorder.nodes, recorder.attributor, recorder.read_as = before


def check_independent(recorder: Recorder, step: Callable[[], None]) -> None:
    """Run more steps, within `separate_table`, to check that their ops don't depend on the numbers that they read.

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
        raise DataDependentError("its ops depend on a number that it reads")


def values_of(ledger: TensorTable, tensor: torch.Tensor) -> torch.Tensor | None:
    """Return a tensor's values, from the tensor table or its own data; None if unknown."""
    tracked = ledger.find(tensor)
    up_to_date = tracked is not None and tracked.version == tracked.block.version and tracked.sig.real
    if tracked is not None and up_to_date and tracked.data is not None:
        return tracked.data
    return None if tensor.is_meta else tensor
