"""The timer with a fake clock: number of repeats, reported statistics, and when it calls a machine noisy."""

import itertools
import os
import time
from pathlib import Path

import pytest

from cnncost.bench.timing import Budget, SystemClock, Timing, summary, timed

FREE = Budget(warm_up=0.0, seconds=100.0, least=7, most=300, narrow=0.01)


class FakeClock:
    """Time passes when `work` is called; other programs use a share of it."""

    def __init__(self, others=0.0):
        self.time, self.share = 0.0, others

    def now(self):
        return self.time

    def others(self):
        return None if self.share is None else self.share * self.time


def run(durations, budget=FREE, others=0.0):
    """Time a function whose calls take these seconds, cyclically; also return the sequence of calls and syncs."""
    clock, steps, calls = FakeClock(others), itertools.cycle(durations), []

    def work():
        calls.append("run")
        clock.time += next(steps)

    found = timed(work, lambda: calls.append("sync"), budget, clock)
    return found, calls


def test_equal_runs_end_after_the_minimum_of_repeats():
    found, calls = run([0.5])
    assert found == Timing(0.5, 0.5, 0.5, 0.5, 7, ())
    assert calls == ["run", "sync"] * (2 + 7)  # two for warm-up; each call is followed by a sync


def test_median_and_quartiles_are_those_of_the_repeats():
    # after two warm-up calls (1, 2): 3 4 5 1 2 3 4; sorted 1 2 3 3 4 4 5
    found, _ = run([1, 2, 3, 4, 5], Budget(0.0, 100.0, 7, 7))
    assert (found.median, found.q1, found.q3, found.best) == (3, 2.5, 4, 1)
    assert found.spread == 0.5


def test_repeats_go_on_until_the_interval_is_narrow():
    few, _ = run([1.0, 1.01], Budget(0.0, 1e9, 7, 10_000, 0.01))
    many, _ = run([1.0, 1.01], Budget(0.0, 1e9, 7, 10_000, 0.001))
    # the quartiles are 1 % apart: 1.57·0.01/√n ≤ 0.001 from n = 247 on
    assert few.repeats < 20
    assert 240 <= many.repeats <= 260


@pytest.mark.parametrize(
    ("budget", "repeats"),
    [
        pytest.param(Budget(0.0, 20.0, 3, 1000, 0.0), 20, id="time is up"),
        pytest.param(Budget(0.0, 1e9, 3, 30, 0.0), 30, id="most repeats"),
        pytest.param(Budget(0.0, 0.0, 5, 1000, 0.0), 5, id="least repeats, though time is up"),
    ],
)
def test_bounds(budget, repeats):
    found, _ = run([0.9, 1.1, 1.0], budget)
    assert found.repeats == pytest.approx(repeats, abs=1)


def test_a_warm_up_goes_on_while_calls_get_faster():
    clock, calls = FakeClock(), []

    def work():
        calls.append(clock.time)
        clock.time += max(1.0, 10.0 - 3 * len(calls))

    found = timed(work, budget=Budget(100.0, 0.0, 3, 3), clock=clock)
    assert found.best == 1.0 == found.median


@pytest.mark.parametrize(
    ("times", "stolen", "expected"),
    [
        pytest.param([1.0] * 10, 0.0, (), id="quiet"),
        pytest.param([1.0, 1.04] * 5, 0.0, (), id="a spread below the limit"),
        pytest.param([1.0, 1.2] * 6, 0.0, ("spread 18%",), id="spread"),  # 0.2 over a median of 1.1
        pytest.param([1.0] * 5 + [1.08] * 5, 0.0, ("drift +8%",), id="slower and slower"),
        pytest.param([1.0] * 10, 5.0, ("others used 50% of a core",), id="others"),
        pytest.param([1.0] * 10, 0.5, (), id="others below the limit"),
        pytest.param([1.0] * 10, None, (), id="no one tells of others"),
    ],
)
def test_noise(times, stolen, expected):
    found = summary(times, elapsed=10.0, stolen=stolen)
    assert found.noise == expected


def test_other_programs_are_ignored_in_short_measurements():
    assert summary([0.01] * 5, elapsed=0.05, stolen=0.02).noise == ()


def test_other_programs_are_detected_while_timing():
    found, _ = run([0.5], others=0.4)
    assert found.noise == ("others used 40% of a core",)


def test_the_median_of_a_single_time():
    assert summary([2.0]) == Timing(2.0, 2.0, 2.0, 2.0, 1, ())


def idle():
    """Idle seconds of all cores together, as reported by the system."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no /proc/stat here")
def test_the_system_clock_counts_only_other_programs():
    """The time of all cores is either idle, this process's or other programs'."""
    clock = SystemClock()
    before, start, rest, own = clock.others(), clock.now(), idle(), time.process_time()
    while clock.now() - start < 0.5:
        sum(range(1000))
    others, own = clock.others() - before, time.process_time() - own
    cores = os.cpu_count() * (clock.now() - start)
    assert others == pytest.approx(cores - (idle() - rest) - own, abs=0.2)
