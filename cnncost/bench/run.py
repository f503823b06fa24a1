"""Measures a network: builds it with weights, warms up, times it end to end and by layer, and reads its peak memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import cycle
from statistics import median
from typing import Any

import torch
from torch import nn

from cnncost.bench.backend import TORCH_DTYPES, Backend, page_faults, ran_out_of_memory
from cnncost.bench.inputs import call_model, rotated, tensors
from cnncost.bench.layers import recording
from cnncost.bench.result import Case, NetworkTiming, Place
from cnncost.bench.timing import Budget, SystemClock, summary, timed
from cnncost.errors import BenchError, CnncostError, SourceError
from cnncost.sources.batch import with_batch
from cnncost.sources.causes import one_line
from cnncost.sources.resolve import Resolved
from cnncost.sources.source import ModelSource

LONG = 1.0
"""Seconds per run above which layers are timed in the same runs as the network: the hooks' overhead is negligible."""
_LONG_RUNS = 3
"""Number of timed runs of a network that takes longer than `LONG`."""
_VERY_LONG = 4.0
"""Seconds per run above which there are only two timed runs."""


def measure(
    resolved: Resolved,
    cases: list[Case],
    backend: Backend,
    budget: Budget = Budget(),  # noqa: B008  # frozen
    shortage: Callable[[Case], str] = lambda _: "",
) -> Iterator[NetworkTiming]:
    """Measure a network in each case, in order; a case that doesn't fit or that fails yields a row with the reason.

    After a case runs out of memory, cases with an equal or larger batch and the same other settings are skipped; those
    with a smaller batch still run.

    Args:
        resolved: the network, rebuilt with weights for each case, and its inputs.
        cases: settings to run.
        backend: where to run.
        budget: time limits for each case.
        shortage: called before each case; returns a message if there is too little memory for it, else an empty string.
            Without this check, a system that overcommits memory would kill the process.

    Raises:
        BenchError: a case's number format is not supported on the backend.
        CnncostError: the model can't be built.
    """
    for case in cases:
        check(case, backend)
    too_large: dict[tuple[object, ...], int] = {}  # the smallest batch that ran out of memory, by kind of case
    for case in cases:
        kind, limit = case[1:], too_large.get(case[1:])  # case[1:]: everything except the batch size
        if limit is not None and case.batch is not None and case.batch >= limit:
            yield NetworkTiming(resolved.title, case, "not tried", f"batch {limit} ran out of memory")
            continue
        message = shortage(case)
        row = (
            NetworkTiming(resolved.title, case, "out of memory", message)
            if message
            else _measured_or_failed(resolved, case, backend, budget)
        )
        if row.status == "out of memory" and case.batch is not None:
            too_large[kind] = min(case.batch, limit or case.batch)
        yield row


def _measured_or_failed(resolved: Resolved, case: Case, backend: Backend, budget: Budget) -> NetworkTiming:
    try:
        return _measured(resolved, case, backend, budget)
    except CnncostError:
        raise
    except Exception as error:  # noqa: BLE001  # a model's forward may raise anything
        if ran_out_of_memory(error):
            return NetworkTiming(resolved.title, case, "out of memory", "a smaller batch may fit")
        return NetworkTiming(resolved.title, case, "failed", f"{type(error).__name__}: {one_line(error)[:200]}")
    finally:
        backend.forget()


def check(case: Case, backend: Backend) -> None:
    """Raise BenchError if networks can't be run in the case's dtype on this backend."""
    if case.dtype not in TORCH_DTYPES or (case.dtype == "tf32" and backend.name != "cuda"):
        known = [name for name in TORCH_DTYPES if name != "tf32" or backend.name == "cuda"]
        raise BenchError(f"dtype {case.dtype}: networks can be run in {', '.join(known)} on {backend.name}")


def _measured(resolved: Resolved, case: Case, backend: Backend, budget: Budget) -> NetworkTiming:
    dtype = TORCH_DTYPES[case.dtype]
    descriptions = resolved.inputs if case.batch is None else with_batch(resolved.inputs, case.batch)
    with resolved.source.importable(), _precision(case.dtype), torch.set_grad_enabled(case.training):
        model = _built(resolved.source).to(backend.device, dtype).train(case.training)
        inputs = cycle(rotated(descriptions, backend.device, dtype))
        step = _step(model, case, inputs, resolved.autocast)
        if case.compiled:
            _compile(step, backend)
        allocated = sum(_bytes(t) for t in [*model.parameters(), *model.buffers()]) + sum(
            map(_bytes, tensors(next(inputs)))
        )
        clock = SystemClock()
        start = clock.now()
        memory = backend.peak_memory(step, allocated)
        _drop_gradients(model)
        elapsed = clock.now() - start
        if elapsed > LONG and not case.compiled:
            return _long(NetworkTiming(resolved.title, case, peak_memory=memory), elapsed, model, step, backend)
        before = page_faults()
        timing = timed(step, backend.sync, budget)
        faults = (page_faults() - before) / (timing.repeats + 2)  # timed() ran it at least twice more, to warm up
        row = NetworkTiming(resolved.title, case, timing=timing, peak_memory=memory, faults=faults)
        if case.compiled:  # hooks would cause graph breaks
            return row
        runs = max(5, min(50, int(0.7 / max(timing.median, 1e-6))))  # as many as take 0.7 s
        layers, times = _recorded(model, step, backend, runs, warm_up=2)
        return replace(row, layers=layers, instrumented=median(times))


def _built(source: ModelSource) -> nn.Module:
    """Build the network with weights. A RuntimeError or MemoryError is raised unwrapped: it may mean out of memory."""
    try:
        model: nn.Module = source.build(weights=True)
    except SourceError as error:
        if isinstance(error.__cause__, (RuntimeError, MemoryError)):
            raise error.__cause__ from None
        raise
    return model


def _long(
    row: NetworkTiming, elapsed: float, model: nn.Module, step: Callable[[], None], backend: Backend
) -> NetworkTiming:  # fmt: skip
    """Time the layers and the whole network in the same few runs; the run for peak memory was the warm-up."""
    clock, runs = SystemClock(), _LONG_RUNS if elapsed < _VERY_LONG else 2
    faults, start, others = page_faults(), clock.now(), clock.others()
    layers, times = _recorded(model, step, backend, runs)
    after = clock.others()
    stolen = None if others is None or after is None else max(0.0, after - others)
    return replace(
        row, timing=summary(times, clock.now() - start, stolen), layers=layers, instrumented=median(times),
        faults=(page_faults() - faults) / runs,
    )  # fmt: skip


def _recorded(
    model: nn.Module, step: Callable[[], None], backend: Backend, runs: int, warm_up: int = 0
) -> tuple[dict[Place, float], list[float]]:
    """Return the median seconds of each module call, and the seconds of each run."""
    clock, times = SystemClock(), []
    with recording(model, backend) as recorder:
        for _ in range(warm_up + runs):
            begin = clock.now()
            step()
            backend.sync()
            times.append(clock.now() - begin)
            recorder.end_run()
    recorder.runs = recorder.runs[warm_up:]
    return recorder.medians(), times[warm_up:]


def _step(model: nn.Module, case: Case, inputs: Iterator[Any], autocast: Any = None) -> Callable[[], None]:
    """Return a function that runs the case once, on the next input.

    It runs forward and, in a training case, backward from the sum of the outputs, which allocates new gradients. With
    `autocast`, forward and the sum run under it.
    """
    run = torch.compile(model) if case.compiled else model

    def casting() -> AbstractContextManager[Any]:
        return nullcontext() if autocast is None else torch.autocast(autocast.device, autocast.dtype)

    def forward() -> None:
        with casting():
            call_model(run, next(inputs))

    def forward_and_backward() -> None:
        _drop_gradients(model)
        with casting():
            outputs = [t for t in tensors(call_model(run, next(inputs))) if t.requires_grad]
            loss = sum((t.sum() for t in outputs), start=torch.zeros((), device=outputs[0].device))
        loss.backward()

    return forward_and_backward if case.training else forward


def _compile(step: Callable[[], None], backend: Backend) -> None:
    """Run once, so that compilation is not timed. Raises RuntimeError if that fails."""
    try:
        step()
        backend.sync()
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        raise RuntimeError(f"torch.compile can't compile it: {one_line(error)[:160]}") from error


def _drop_gradients(model: nn.Module) -> None:
    model.zero_grad(set_to_none=True)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """On CUDA, allow TF32 products in this context for `tf32` only, so that `float32` has full precision."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = dtype == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
