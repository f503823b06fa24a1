"""A callback never ends a training: what can't be analyzed is one warning, and rates without FLOPs.

Lightning's own Trainer is in tests/callbacks; here its calls are made by hand, on a stand-in for its Callback.
"""

import importlib
import sys
import types
import warnings
from typing import NamedTuple

import pytest
import torch
from torch import nn

from cnncost.errors import DeviceError
from cnncost.meter.watched import MeterWarning, Watched, number_of


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(x)


class Reads(Net):
    def forward(self, x):
        return self.fc(x) if bool((x.sum() > 0).item()) else x


class NoForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()


class WithExample(Reads):
    """Forward takes a dict, of which the callback knows nothing; the example is of its own form."""

    example_input_array = torch.rand(1, 8)

    def forward(self, x):
        return self.fc(x["image"] if isinstance(x, dict) else x)


class Logger:
    def __init__(self):
        self.found = []

    def log_metrics(self, metrics, step):
        self.found.append((step, metrics))


@pytest.fixture
def lightning(monkeypatch):
    """The callback's module, on a stand-in for Lightning."""
    fake = types.ModuleType("lightning.pytorch")
    fake.Callback = object
    monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch", fake)
    monkeypatch.delitem(sys.modules, "cnncost.meter.lightning", raising=False)
    yield importlib.import_module("cnncost.meter.lightning")
    sys.modules.pop("cnncost.meter.lightning", None)


def fit(callback, module, batches):
    """What a Trainer calls, with two loggers; what was logged."""
    logger = Logger()
    trainer = types.SimpleNamespace(global_step=0, log_every_n_steps=2, loggers=[logger])
    callback.on_train_start(trainer, module)
    for index, batch in enumerate(batches):
        callback.on_train_batch_start(trainer, module, batch, index)
        trainer.global_step += 1
        callback.on_train_batch_end(trainer, module, None, batch, index)
    callback.on_train_epoch_end(trainer, module)
    return logger.found


def images(count=5, of=4):
    return [(torch.rand(of, 8), torch.zeros(of)) for _ in range(count)]


def as_dicts(count=5, of=4):
    return [{"image": torch.rand(of, 8), "caption": ["a word"] * of, "label": torch.zeros(of)} for _ in range(count)]


class Odd:
    """A batch of a form that nobody knows."""


@pytest.mark.parametrize(
    ("module", "batches", "words"),
    [
        pytest.param(Net, as_dicts(), "inputs=lambda batch: batch['image']", id="a dict batch"),
        pytest.param(NoForward, images(), "model=lambda module: module.net", id="no forward"),
        pytest.param(Reads, images(), "cost=(macs, flops)", id="forward reads values"),
        pytest.param(Net, [Odd() for _ in range(5)], "could not be analyzed", id="an odd batch"),
        pytest.param(Net, [(torch.rand(4, 9), 0) for _ in range(5)], "could not be analyzed", id="a wrong shape"),
    ],
)
def test_a_training_goes_on_with_one_warning(lightning, module, batches, words):
    callback = lightning.MeterCallback()
    with pytest.warns(MeterWarning) as told:
        logged = fit(callback, module(), batches)

    assert len(told) == 1
    assert words in str(told[0].message)
    assert {name for _, each in logged for name in each} == {"meter/examples_per_second", "meter/seconds_per_step"}
    assert callback.last.flops is None
    assert callback.last.mfu is None


def test_a_function_of_the_user_s_that_fails_ends_nothing(lightning):
    callback = lightning.MeterCallback(inputs=lambda batch: batch["nothing"], model=lambda module: module.nothing)
    with pytest.warns(MeterWarning) as told:
        assert fit(callback, Net(), as_dicts())
    assert len(told) == 2  # of the model, and of the inputs


def test_a_batch_of_another_form_in_the_midst(lightning):
    callback = lightning.MeterCallback()
    with pytest.warns(MeterWarning, match="without FLOPs"):
        logged = fit(callback, Net(), [*images(3), *as_dicts(2)])
    assert "meter/flops_per_second" not in logged[-1][1]


def test_totals_are_logged_with_the_first_batch(lightning):
    callback = lightning.MeterCallback(device="a100")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (step, totals), *rates = fit(callback, Net(), images())
    # 4 examples through 8·4 weights
    assert (step, totals["complexity/params"], totals["complexity/macs"]) == (0, 36, 4 * 32)
    assert all("meter/flops_per_second" in each and "meter/mfu" in each for _, each in rates)


def test_the_example_of_the_module_is_taken_where_batches_can_not_be(lightning):
    callback = lightning.MeterCallback()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (_, totals), *rates = fit(callback, WithExample(), as_dicts())
    assert totals["complexity/macs"] == 32  # of the example, which is one
    assert callback.last.macs // callback.last.examples == 2 * 32  # forward, and the weights' gradient
    assert rates


def test_a_device_that_is_none_is_told_when_the_callback_is_made(lightning):
    with pytest.raises(DeviceError):
        lightning.MeterCallback(device="a1000")


def test_a_peak_that_a_device_has_not():
    with pytest.warns(MeterWarning, match="without MFU"):
        watched = Watched(Net(), "leave it out", device="gtx580", dtype="bfloat16")
    watched.try_out(lambda: torch.rand(2, 8))
    for _ in range(3):
        watched.step(lambda: torch.rand(2, 8))
    found = watched.lap()
    assert (found.mfu, found.macs) == (None, 2 * 2 * 2 * 32)  # two steps, two products each, of two examples


@pytest.mark.parametrize(
    ("batch", "number"),
    [
        pytest.param(torch.rand(6, 2), 6, id="a tensor"),
        pytest.param(torch.tensor(1.0), 1, id="no axis"),
        pytest.param({"text": "words", "x": torch.rand(3, 2)}, 3, id="behind a text"),
        pytest.param([0, {"x": (torch.rand(5),)}], 5, id="nested"),
        pytest.param(Odd(), 1, id="unknown"),
        pytest.param(None, 1, id="none"),
    ],
)
def test_how_many_examples_there_are(batch, number):
    assert number_of(batch) == number


class Odd(NamedTuple):
    """A batch whose `values` are no method."""

    values: torch.Tensor


@pytest.mark.filterwarnings("ignore::cnncost.meter.watched.MeterWarning")
@pytest.mark.parametrize("batch", [torch.zeros(0, 8), Odd(torch.zeros(4, 8))], ids=["no example", "odd"])
def test_a_batch_that_nobody_can_count_ends_nothing(batch):
    watched = Watched(NoForward(), "give an example")
    for given in (torch.zeros(4, 8), torch.zeros(4, 8), batch, torch.zeros(4, 8)):
        watched.step(lambda given=given: given)
    watched.lap()  # may be without rates: one of its steps is of nobody knows how many examples
    assert watched.meter.without_cost
    for _ in range(2):
        watched.step(lambda: torch.zeros(4, 8))
    rates = watched.lap()
    assert rates is not None
    assert rates.examples == rates.steps * 4 > 0
