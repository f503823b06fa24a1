"""Times a function: warms up, repeats until the median's confidence interval is narrow, and checks for noise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple, Protocol

_SPREAD, _DRIFT, _OTHERS = 0.10, 0.05, 0.10
"""Limits above which a measurement counts as noisy.

They apply to the interquartile range divided by the median, to the relative difference between the medians of the first
and the second half of the runs, and to the CPU time that other programs used, as a share of one core.
"""
_TICK = 0.3
"""Shortest measurement, in seconds, for which the system's CPU times (ticks of 10 ms) are precise enough."""


class Clock(Protocol):
    """Source of times: the system's, or a fake one in tests."""

    def now(self) -> float:
        """Return the seconds since an arbitrary start."""

    def others(self) -> float | None:
        """Return the CPU seconds that other programs used, or the hypervisor stole, so far; None if unknown."""


class SystemClock:
    """The system's clock."""

    def now(self) -> float:
        return time.perf_counter()

    def others(self) -> float | None:
        try:  # the first line sums the ticks of all CPUs
            fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        user, nice, system, _idle, _wait, irq, soft, steal = fields
        mine = sum(os.times()[:4])  # user and system time, of this process and of its children
        return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK") - mine


class Budget(NamedTuple):
    """Limits of a measurement.

    Attributes:
        warm_up: seconds after which warm-up ends, once at least two calls are done.
        seconds: seconds after which repeats end, once at least `least` are done.
        least, most: minimum and maximum number of repeats.
        narrow: repeats also end when 1.57·IQR/√n, half the width of the median's confidence interval (McGill, Tukey,
            Larsen 1978), is at most this fraction of the median.
    """

    warm_up: float = 0.5
    seconds: float = 3.0
    least: int = 7
    most: int = 300
    narrow: float = 0.01


@dataclass(frozen=True, slots=True)
class Timing:
    """Measured seconds per call: median, quartiles and minimum.

    `noise` lists reasons why the numbers may be imprecise; it is empty on a quiet machine.
    """

    median: float
    q1: float
    q3: float
    best: float
    repeats: int
    noise: tuple[str, ...] = ()

    @property
    def spread(self) -> float:
        """The interquartile range divided by the median."""
        return (self.q3 - self.q1) / self.median if self.median else 0.0


def timed(
    run: Callable[[], object],
    sync: Callable[[], None] = lambda: None,
    budget: Budget = Budget(),  # noqa: B008  # frozen
    clock: Clock | None = None,
) -> Timing:
    """Time `run`; each call is followed by `sync`, which waits for asynchronous work."""
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
    """Call at least twice, until the time is used up or a call is at most 2 % faster than the previous one."""
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
    if len(times) % 5 and len(times) > budget.least:  # check the quartiles at every fifth call only
        return False
    low, middle, high = quantiles(times, n=4)
    interval: float = 1.57 * (high - low) / len(times) ** 0.5
    return interval <= budget.narrow * middle


def summary(times: list[float], elapsed: float = 0.0, stolen: float | None = None) -> Timing:
    """Return the median and quartiles of measured times, and signs of noise.

    Args:
        times: seconds, in the order measured.
        elapsed: total seconds of the measurement.
        stolen: CPU seconds that other programs used meanwhile.
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
