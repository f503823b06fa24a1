"""The CUDA path, with a fake `torch.cuda` that runs kernels in order and asynchronously."""

import pytest
import torch

from cnncost.bench.backend import Cuda, backend
from cnncost.errors import BenchError


class Stream:
    """A fake device timeline: queues work, times events when they are reached, and counts memory."""

    def __init__(self):
        self.clock, self.queue, self.synced, self.alive, self.peak = 0.0, [], 0, 100, 100

    def launch(self, milliseconds, nbytes=0):
        self.queue.append(("kernel", milliseconds))
        self.alive += nbytes
        self.peak = max(self.peak, self.alive)

    def synchronize(self):
        self.synced += 1
        for kind, what in self.queue:
            if kind == "kernel":
                self.clock += what
            else:
                what.at = self.clock
        self.queue = []

    def reset_peak_memory_stats(self):
        self.peak = self.alive

    def max_memory_allocated(self):
        return self.peak


@pytest.fixture
def stream(monkeypatch):
    found = Stream()

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing
            self.at = None

        def record(self):
            found.queue.append(("event", self))

        def elapsed_time(self, other):
            if self.at is None or other.at is None:
                raise RuntimeError("both events must be completed before calculating elapsed time")
            return other.at - self.at

    for name in ("synchronize", "reset_peak_memory_stats", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, getattr(found, name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    return found


def test_marks_measure_kernels_and_not_their_launch(stream):
    found = backend("cuda")
    begin = found.mark()
    stream.launch(3.0)
    end = found.mark()
    with pytest.raises(RuntimeError, match="must be completed"):
        begin.until(end)
    found.sync()
    assert begin.until(end) == pytest.approx(3e-3)


def test_layers_by_events_add_up_to_the_whole(stream):
    from cnncost.bench.layers import Recorder

    recorder = Recorder(backend("cuda"))
    recorder.enter("")
    for path, milliseconds in (("a", 2.0), ("b", 5.0)):
        recorder.enter(path)
        stream.launch(milliseconds)
        recorder.leave(path)
    stream.launch(1.0)  # the model's own work
    recorder.leave("")
    recorder.backend.sync()
    recorder.end_run()
    assert recorder.medians() == pytest.approx({("a", 1): 2e-3, ("b", 1): 5e-3, ("", 1): 1e-3})


def test_timing_waits_for_the_device(stream):
    from cnncost.bench.timing import Budget, timed

    found = Cuda()
    timed(lambda: stream.launch(1.0), found.sync, Budget(0.0, 0.0, 4, 4))
    assert stream.synced >= 6  # two for warm-up, four measured
    assert not stream.queue


def test_peak_memory_is_the_allocators_including_memory_alive_before(stream):
    def run():
        stream.launch(1.0, 50)
        stream.launch(1.0, -50)

    stream.peak = 10_000  # from earlier work
    assert Cuda().peak_memory(run, allocated=77) == 150


def test_without_cuda_the_error_says_what_to_do():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(BenchError, match=r"torch sees no CUDA device.*use --device cpu, or predict with `roofline`"):
        backend("cuda")


def test_an_unknown_backend_is_refused():
    with pytest.raises(BenchError, match="device 'tpu': expected cpu or cuda"):
        backend("tpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_real_device_events_and_the_clock_agree():
    import time

    found = Cuda()
    a = torch.randn(4096, 4096, device="cuda")
    for _ in range(3):
        a @ a
    found.sync()
    start, begin = time.perf_counter(), found.mark()
    for _ in range(20):
        a @ a
    end = found.mark()
    found.sync()
    assert begin.until(end) == pytest.approx(time.perf_counter() - start, rel=0.2)
