"""A model's peak memory at a batch size, and the largest batch that fits in a device's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from cnncost.errors import InputError
from cnncost.garbage import gc_disabled
from cnncost.passes.memory import Memory, memory

if TYPE_CHECKING:
    from cnncost.sources.resolve import Trace

MOST = 1 << 24
"""Upper limit of the batch-size search."""


class Step(NamedTuple):
    """How to record a training step: arguments of `analyze`."""

    loss: Any = None
    optimizer: Any = None
    set_to_none: bool = True


def usage(model: Any, inputs: Any, *, step: Step | None = None, block: int = 1, trace: Trace = "static") -> Memory:
    """Return the memory of a forward, or of a training step.

    Args:
        model: as in `analyze`.
        inputs: as in `analyze`.
        step: the training step; None: a forward without autograd.
        block: the device's allocator rounds sizes up to a multiple of this many bytes; 512 on CUDA.
        trace: as in `analyze`.

    Raises:
        CnncostError: as `analyze` does.
    """
    from cnncost.sources.resolve import resolve

    with gc_disabled():
        resolved = resolve(model, inputs)
        graph = resolved.record(trace) if step is None else resolved.record_step(*step, trace)
        return memory(graph, block)


def largest_batch(peak_at: Callable[[int], int], limit: int) -> int:
    """Return the largest batch size, at most `MOST`, whose peak is within a limit; 0 if one example doesn't fit.

    Args:
        peak_at: returns the peak in bytes at a batch size; must not decrease as the batch grows.
        limit: bytes of the device's memory.

    Raises:
        InputError: even `MOST` examples fit: the peak hardly depends on the batch size.
    """
    one, two = peak_at(1), peak_at(2)
    if one > limit:
        return 0
    if peak_at(MOST) <= limit:
        raise InputError(f"max batch: even {MOST:,} examples fit; the memory hardly depends on the batch")
    fits, over = 1, MOST  # the largest batch known to fit, and the smallest known not to
    guess = 1 + (limit - one) // max(two - one, 1)  # exact if the peak is linear in the batch size
    # later guesses follow the line through the peaks at batch 1 and at the last batch; bisect if they leave the range
    while over - fits > 1:
        batch = min(max(guess, fits + 1), over - 1)
        nbytes = peak_at(batch)
        per_example = max((nbytes - one) // max(batch - 1, 1), 1)
        if nbytes <= limit:
            fits = batch
            guess = batch + max((limit - nbytes) // per_example, 1)
        else:
            over = batch
            guess = batch - max((nbytes - limit) // per_example, 1)
        if over - fits > 1 and not fits < guess < over:
            guess = (fits + over) // 2
    return fits
