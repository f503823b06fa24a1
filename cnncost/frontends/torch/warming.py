"""An optimizer's earlier steps, recorded in books of their own: what they leave is there when the one step begins.

State that an optimizer makes for itself (counts of steps, rates that decay) has values, and they are kept. What it
reads of tensors that have none (norms of gradients) are numbers of which no size follows: stand-ins are read in their
place, and if the step is another one for other stand-ins, it can't be told without data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch.ledger import Ledger
from cnncost.frontends.torch.recorder import Recorder
from cnncost.graph import OpSpec

STAND_IN = (1.0,)
"""The number that is read where none is known."""
_OTHERS = ((1e-6,), STAND_IN, (1e6,), (1e-6, 1e6), (1e6, 1e-6))
"""Others, and two in turns, so that of two numbers either is the larger."""
_ODD = ((-1.0,), (0.0,))
"""Numbers that a step may refuse to go on with: what is read may be a norm, and no norm is negative."""
_Done: TypeAlias = list[tuple[str, OpSpec]]


@contextmanager
def apart(recorder: Recorder) -> Iterator[Ledger]:
    """What runs meanwhile goes into books of its own, which are yielded, and may read numbers that are not known."""
    kept = recorder.ledger, recorder.nodes, recorder.director, recorder.read_as
    recorder.ledger, recorder.nodes, recorder.director, recorder.read_as = Ledger(), [], None, STAND_IN
    try:
        yield recorder.ledger
    finally:
        recorder.ledger, recorder.nodes, recorder.director, recorder.read_as = kept


def settled(recorder: Recorder, step: Callable[[], None]) -> None:
    """Make more steps, in books apart, to see that they are the same whatever numbers are read.

    Raises:
        DataDependentError: they are not.
    """
    done: list[_Done] = []
    for recorder.read_as in (*_OTHERS, *_ODD):
        recorder.nodes = []
        odd = recorder.read_as in _ODD
        try:
            step()
        except Exception:
            if not odd:
                raise
            continue
        done.append([(node.name, node.spec) for node in recorder.nodes])
    if any(other != done[0] for other in done):
        raise DataDependentError("what it does depends on a number that it reads")


def values_of(ledger: Ledger, tensor: torch.Tensor) -> torch.Tensor | None:
    """The values of a tensor in such books, or its own; None where they are not known."""
    known = ledger.find(tensor)
    if known is not None and known.version == known.block.version and known.sig.real and known.data is not None:
        return known.data
    return None if tensor.is_meta else tensor
