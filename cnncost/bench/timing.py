"""Timing a function: warm-up, repeats until the interval of the median is narrow, and whether the machine was quiet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple, Protocol

_SPREAD, _DRIFT, _OTHERS = 0.10, 0.05, 0.10
"""Above which a measurement is noisy: quartiles' distance over the median, halves' medians apart, others' CPU time."""
_TICK = 0.3
"""Seconds below which the system's CPU times (in ticks of 10 ms) say nothing."""


class Clock(Protocol):
    """What is read of time: a machine's, or a test's."""

    def now(self) -> float:
        """Seconds, from any moment on."""

    def others(self) -> float | None:
        """CPU seconds that all other programs have used so far, and the host has taken; None where no one tells."""


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        return time.perf_counter()

    def others(self) -> float | None:
        try:
            fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        user, nice, system, _idle, _wait, irq, soft, steal = fields
        mine = sum(os.times()[:4])
        return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK") - mine


class Budget(NamedTuple):
    """How long to measure: seconds for warm-up and repeats, how often at least and at most.

    Repeats end when the interval of the median (McGill, Tukey, Larsen 1978: ± 1.57·IQR/√n) is within `narrow` of it.
    """

    warm_up: float = 0.5
    seconds: float = 3.0
    least: int = 7
    most: int = 300
    narrow: float = 0.01


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured: seconds of one call.

    `noise` says why the numbers are not to be trusted to the last digit; empty on a quiet machine.
    """

    median: float
    q1: float
    q3: float
    best: float
    repeats: int
    noise: tuple[str, ...] = ()

    @property
    def spread(self) -> float:
        """The quartiles' distance over the median."""
        return (self.q3 - self.q1) / self.median if self.median else 0.0


def timed(
    run: Callable[[], object],
    sync: Callable[[], None] = lambda: None,
    budget: Budget = Budget(),  # noqa: B008  # frozen
    clock: Clock | None = None,
) -> Timing:
    """Time `run`, each call followed by `sync`, so that what was started has ended."""
    clock = clock or SystemClock()
    _warm(run, sync, budget, clock)
    times: list[float] = []
    start, others = clock.now(), clock.others()
    while True:
        begin = clock.now()
        run()
        sync()
        end = clock.now()
        times.append(end - begin)
        if len(times) >= budget.most or (len(times) >= budget.least and _enough(times, end - start, budget)):
            break
    after = clock.others()
    stolen = None if others is None or after is None else max(0.0, after - others)
    return summary(times, clock.now() - start, stolen)


def _warm(run: Callable[[], object], sync: Callable[[], None], budget: Budget, clock: Clock) -> None:
    """At least twice, and until the time for it is used or the last call was no faster than the one before."""
    start, last = clock.now(), float("inf")
    while True:
        begin = clock.now()
        run()
        sync()
        end = clock.now()
        if last != float("inf") and (end - start >= budget.warm_up or end - begin >= 0.98 * last):
            return
        last = end - begin


def _enough(times: list[float], elapsed: float, budget: Budget) -> bool:
    if elapsed >= budget.seconds:
        return True
    if len(times) % 5 and len(times) > budget.least:  # quartiles at every fifth
        return False
    low, middle, high = quantiles(times, n=4)
    interval: float = 1.57 * (high - low) / len(times) ** 0.5
    return interval <= budget.narrow * middle


def summary(times: list[float], elapsed: float = 0.0, stolen: float | None = None) -> Timing:
    """Median and quartiles of some times, and what speaks against them.

    Args:
        times: seconds, in order.
        elapsed: seconds that it took to measure them.
        stolen: CPU seconds that others used meanwhile.
    """
    q1, middle, q3 = quantiles(times, n=4, method="inclusive") if len(times) > 1 else [times[0]] * 3
    noise = []
    if middle and (q3 - q1) / middle > _SPREAD:
        noise.append(f"spread {(q3 - q1) / middle:.0%}")
    if len(times) >= 8:
        half = len(times) // 2
        drift = median(times[half:]) / median(times[:half]) - 1 if median(times[:half]) else 0.0
        if abs(drift) > _DRIFT:
            noise.append(f"drift {drift:+.0%}")
    share = _share(stolen, elapsed)
    if share is not None and share > _OTHERS:
        noise.append(f"others used {share:.0%} of a core")
    return Timing(middle, q1, q3, min(times), len(times), tuple(noise))


def _share(stolen: float | None, elapsed: float) -> float | None:
    return None if stolen is None or elapsed < _TICK else stolen / elapsed
