"""The Meter with a fake clock: every second and every FLOP is accounted for."""

import weakref
from dataclasses import dataclass
from inspect import signature
from typing import NamedTuple

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import CnncostError, InputError
from cnncost.meter import Meter
from cnncost.meter.inputs import described, resized
from cnncost.shapes import TensorText

torch.set_num_threads(1)
MACS = 6 * 6 * 4 * 3 * 9
"""MACs of one 3x8x8 image through the test's convolution: positions, filters, weights per filter."""
FLOPS = 2 * MACS + 6 * 6 * 4
"""FLOPs of the same, biases included."""


class Clock:
    """A fake clock that the test advances."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def meter(clock):
    """Creates a Meter for a small convolution: inference, no warm-up."""

    def make(inputs="4x3x8x8", **options):
        return Meter(nn.Conv2d(3, 4, 3), inputs, clock=clock, **{"training": False, "warmup": 0, **options})

    return make


def test_rates_by_hand(meter, clock):
    """Five steps of 4 images, 2 s each."""
    found = meter(peak_flops=1e6)
    for _ in range(5):
        clock.now += 2
        found.step()
    rates = found.rates()

    assert (rates.steps, rates.examples, rates.seconds) == (5, 20, 10)
    assert (rates.macs, rates.flops) == (20 * MACS, 20 * FLOPS)
    assert rates.examples_per_second == 2
    assert rates.seconds_per_step == 2
    assert rates.flops_per_second == 2 * FLOPS
    assert rates.mfu == pytest.approx(2 * 2 * MACS / 1e6)
    assert str(rates) == f"2.0 examples/s, 2e+03 ms a step, {2 * FLOPS / 1e9:.3g} GFLOP/s, MFU {400 * MACS / 1e6:.1f} %"


@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([4, 4, 3], id="by number"),
        pytest.param([torch.zeros(4, 3, 8, 8), "4x3x8x8", (3, 3, 8, 8)], id="by tensor, text, shape"),
        pytest.param([None, 4, torch.zeros(3, 3, 8, 8)], id="by default, number, tensor"),
    ],
)
def test_batches_that_vary(meter, clock, batches):
    found = meter()
    for batch in batches:
        clock.now += 1
        found.step(batch)

    assert found.rates()[:5] == (3, 11, 3, 11 * MACS, 11 * FLOPS)


def test_cost_follows_the_image_size(meter, clock):
    """A 3x3 filter on 8x8 has 6x6 positions, on 16x16 it has 14x14."""
    found = meter()
    for batch in ("1x3x8x8", "1x3x16x16"):
        clock.now += 1
        found.step(batch)

    assert found.rates().macs == MACS + MACS * 14 * 14 // 36


def test_warm_up_is_left_out(meter, clock):
    found = meter(warmup=2)
    for seconds in (50, 9, 1, 1):
        clock.now += seconds
        found.step()

    assert found.rates()[:3] == (2, 8, 2)


def test_laps_add_up(meter, clock):
    found = meter()
    laps = []
    for number in range(1, 8):
        clock.now += number
        found.step(number)
        if number % 3 == 0:
            laps.append(found.lap())
    laps.append(found.lap())

    assert [lap[:3] for lap in laps] == [(3, 6, 6), (3, 15, 15), (1, 7, 7)]
    assert found.lap() is None
    assert [sum(figures) for figures in zip(*(lap[:5] for lap in laps), strict=True)] == list(found.rates()[:5])


def test_time_after_the_last_step_does_not_count(meter, clock):
    found = meter()
    clock.now += 1
    found.step()
    clock.now += 1000

    assert found.rates().seconds == 1


@pytest.mark.parametrize("where", ["before the first", "between", "after the last", "during a lap"])
def test_pauses_are_left_out(meter, clock, where):
    found = meter(warmup=1)

    def validate():
        with found.paused():
            clock.now += 1000
        found.pause(), found.pause()
        clock.now += 1000
        found.resume(), found.resume()

    clock.now += 1
    if where == "before the first":
        validate()
    found.step()
    for _ in range(2):
        clock.now += 1
        found.step()
        if where == "between":
            validate()
        if where == "during a lap":
            found.pause()
            assert found.lap().seconds == 1
            clock.now += 500
            found.resume()
    if where == "after the last":
        validate()

    assert found.rates()[:3] == (2, 8, 2)


def test_analysis_time_does_not_count(meter, clock, monkeypatch):
    real = cnncost.analyze

    def slow(*arguments, **how):
        clock.now += 70
        return real(*arguments, **how)

    monkeypatch.setattr("cnncost.analysis.analyze", slow)
    found = meter()
    for _ in range(3):
        clock.now += 1
        found.step()
        assert found.lap().seconds == 1

    assert found.rates()[:3] == (3, 12, 3)


def test_with_gradient_accumulation_each_micro_batch_is_a_step(meter, clock):
    """Two micro-batches of 4 in each optimizer step: 8 images in 3 s."""
    found = meter()
    for _ in range(10):
        for _ in range(2):
            clock.now += 1
            found.step(4)
        clock.now += 1  # the optimizer step's time belongs to the next step

    rates = found.rates()
    assert (rates.examples, rates.seconds, rates.macs) == (80, 29, 80 * MACS)


def test_reset(meter, clock):
    found = meter(warmup=1)
    for _ in range(3):
        clock.now += 1
        found.step()
    found.reset()
    with pytest.raises(CnncostError, match="no step was measured yet; the first 1 are warm-up"):
        found.rates()
    assert found.lap() is None


def test_a_cost_passed_by_the_user(meter, clock):
    found = meter(None, training=True, cost=(5, 12), peak_flops=100)
    for batch in (3, "2x7"):
        clock.now += 1
        found.step(batch)
    rates = found.rates()

    assert (rates.examples, rates.macs, rates.flops) == (5, 25, 60)
    assert rates.mfu == pytest.approx(2 * 25 / 2 / 100)
    assert rates.log_dict("x/") == {
        "x/examples_per_second": 2.5, "x/seconds_per_step": 1.0, "x/flops_per_second": 30.0,
        "x/mfu": pytest.approx(0.25),
    }  # fmt: skip


def test_training_counts_the_real_backward(clock):
    """Two linear layers, the first frozen: forward 8·16 + 16·4, backward 16·4 for the second one's weights.

    Neither needs an input gradient, as nothing before the second layer is trained.
    """
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    model[0].requires_grad_(False)
    meter = Meter(model, "5x8", clock=clock, warmup=0)
    clock.now += 1
    meter.step()
    if "training" in signature(cnncost.analyze).parameters:
        assert meter.rates().macs == 5 * (8 * 16 + 16 * 4 + 16 * 4)
    else:
        with pytest.raises(CnncostError, match="training steps can't be analyzed"):
            meter.rates()


def test_a_device_by_name(clock):
    """A device's peak is looked up by name; a number works as well."""
    try:
        from cnncost.devices import find
    except ImportError:
        with pytest.raises(CnncostError, match="give peak_flops"):
            Meter(nn.Conv2d(3, 4, 3), "1x3x8x8", device="a100")
    else:
        meter = Meter(nn.Conv2d(3, 4, 3), "1x3x8x8", device="a100", dtype="bfloat16")
        assert meter.peak_flops == find("a100").peak("bfloat16")
        with pytest.raises(CnncostError, match="not known"):
            Meter(nn.Conv2d(3, 4, 3), "1x3x8x8", device="a1000")


@pytest.mark.parametrize(
    ("inputs", "batch", "told"),
    [
        (None, None, "no inputs; pass them once"),
        (None, 4, "no inputs; pass them once"),
        ("4x3x8x8", 0, "a step of 0 examples"),
        ("4x3x8x8", -1, "a step of -1 examples"),
        ("4x3x8x8", "4x4x8x8", "expected 3 channels"),
    ],
)
def test_errors(meter, clock, inputs, batch, told):
    found = meter(inputs)
    clock.now += 1
    found.step(batch)
    with pytest.raises(CnncostError, match=told):
        found.rates()
    with pytest.raises(CnncostError, match=told):
        found.try_out(batch)


def test_a_string_that_is_not_a_shape_is_refused(meter):
    with pytest.raises(InputError, match="expected a shape such as"):
        meter("four images")


def test_an_invalid_step_raises_at_once(meter):
    with pytest.raises(InputError):
        meter().step("four")


@pytest.mark.parametrize(
    ("inputs", "batch", "expected"),
    [
        ((4, 3, 8, 8), 2, TensorText((2, 3, 8, 8), None)),
        (torch.zeros(4, 2, dtype=torch.int64), 3, TensorText((3, 2), "int64")),
        ({"ids": "4x7:int64", "scale": (1, 5), "flag": True}, 9,
         {"ids": TensorText((9, 7), "int64"), "scale": TensorText((1, 5), None), "flag": True}),
        (["4x3", ("4x1", None)], 1, [TensorText((1, 3), None), (TensorText((1, 1), None), None)]),
    ],
)  # fmt: skip
def test_inputs_resized_to_another_batch(inputs, batch, expected):
    assert resized(described(inputs), batch) == expected


def test_the_model_is_unchanged_and_no_tensor_is_kept(clock):
    import gc
    import weakref

    model = nn.Conv2d(3, 4, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}, dict(model.__dict__)
    meter = Meter(model, training=False, warmup=0, clock=clock)
    images = torch.zeros(2, 3, 8, 8)
    gone = weakref.ref(images)
    clock.now += 1
    meter.step(images)
    del images
    gc.collect()

    assert gone() is None
    assert meter.rates().examples == 2
    assert dict(model.__dict__) == before[1]
    assert all(torch.equal(value, before[0][name]) for name, value in model.state_dict().items())


def test_a_real_loop_matches_a_stopwatch():
    import time

    meter = Meter(nn.Conv2d(3, 4, 3), "4x3x8x8", training=False)
    meter.step()
    start = time.perf_counter()
    for _ in range(20):
        time.sleep(0.005)
        meter.step()
    took = time.perf_counter() - start

    assert 20 * 0.005 <= meter.rates().seconds <= took + 0.001


class TestWithoutABatchAxis:
    """A convolution takes C×H×W as one example; its first axis is no number of examples."""

    MACS = 4 * 27 * 36

    def meter(self, inputs):
        ticks = iter(range(100))
        return cnncost.Meter(nn.Conv2d(3, 4, 3), inputs, training=False, clock=lambda: float(next(ticks)))

    @pytest.mark.parametrize("step", [None, "3x8x8", (3, 8, 8), torch.zeros(3, 8, 8)])
    def test_a_step_is_one_example(self, step):
        meter = self.meter("3x8x8")
        for _ in range(3):
            meter.step(step)
        rates = meter.rates()
        assert (rates.steps, rates.examples, rates.macs) == (2, 2, 2 * self.MACS)

    @pytest.mark.parametrize("batch", [2, 3])  # three run, as there are three channels
    def test_a_number_of_examples_is_refused(self, batch):
        meter = self.meter("3x8x8")
        for _ in range(2):
            meter.step(batch)
        with pytest.raises(cnncost.CnncostError, match=rf"a step of {batch} examples: the inputs have no batch axis"):
            meter.rates()

    def test_with_a_batch_axis_it_is_that(self):
        meter = self.meter("2x3x8x8")
        for batch in (3, 3, None):
            meter.step(batch)
        rates = meter.rates()
        assert (rates.steps, rates.examples, rates.macs) == (2, 5, 5 * self.MACS)


@dataclass
class Batch:
    x: torch.Tensor
    y: torch.Tensor
    name: str = "batch"


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


class Sorted(nn.Module):
    """Does something else for each container: a list's items are all computed, of others the first."""

    def __init__(self):
        super().__init__()
        self.layer, self.cell = nn.Linear(4, 3), nn.GRU(4, 3)

    def forward(self, x):
        if isinstance(x, nn.utils.rnn.PackedSequence):
            return self.cell(x)[0].data
        if isinstance(x, list):
            return sum(self.layer(each) for each in x)
        return self.layer(x.x) if hasattr(x, "x") else self.layer(x[0])


def two(n):
    return torch.rand(n, 4), torch.rand(n, 4)


CONTAINERS = {  # MACs of n examples
    "a list": (lambda n: ([*two(n)],), lambda n: 24 * n),
    "a list by name": (lambda n: {"x": [*two(n)]}, lambda n: 24 * n),
    "a tuple": (lambda n: (two(n),), lambda n: 12 * n),
    "a named tuple": (lambda n: (Pair(*two(n)),), lambda n: 12 * n),
    "a dataclass": (lambda n: (Batch(*two(n)),), lambda n: 12 * n),
    "a dataclass alone": (lambda n: Batch(*two(n)), lambda n: 12 * n),
    "a packed sequence": (
        lambda n: nn.utils.rnn.pack_sequence([torch.rand(5, 4)] + [torch.rand(2, 4)] * (n - 1)),
        lambda n: (5 + 2 * (n - 1)) * 3 * (12 + 9),
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_step_has_the_cost_of_its_batch_in_whatever_holds_it(name, clock):
    make, macs = CONTAINERS[name]
    found = Meter(Sorted(), training=False, warmup=0, clock=clock)
    for n in (2, 3, 2, 3, 3):
        clock.now += 1
        found.step(make(n))
    rates = found.rates()
    assert (rates.examples, rates.steps) == (13, 5)
    assert rates.macs == 2 * macs(2) + 3 * macs(3)


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_tensor_is_kept_in_whatever_holds_it(name, clock):
    tensors = []

    class Noted(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if func is torch.rand:
                tensors.append(weakref.ref(result))
            return result

    with Noted():
        batch = CONTAINERS[name][0](2)
    found = Meter(Sorted(), training=False, warmup=0, clock=clock)
    found.step(batch)
    del batch
    assert tensors
    assert all(tensor() is None for tensor in tensors)


def test_an_object_that_holds_tensors_is_refused(clock):
    class Data:
        def __init__(self):
            self.x = torch.rand(2, 4)

    with pytest.raises(InputError, match=r"class Data, which holds tensors; .*give the step its number of examples"):
        Meter(Sorted(), training=False, warmup=0, clock=clock).step(Data())
