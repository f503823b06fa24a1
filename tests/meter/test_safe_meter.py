"""A failing analysis never aborts a training: it gives one warning, and rates without FLOPs.

tests/callbacks uses Lightning's own Trainer; here its calls are made by hand, with a fake base class Callback.
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
from cnncost.meter.safe_meter import MeterWarning, SafeMeter, number_of


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
    """Forward takes a dict, which the callback can't know; the module provides an example of its own."""

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
    """The callback's module, imported with a fake Lightning."""
    fake = types.ModuleType("lightning.pytorch")
    fake.Callback = object
    monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch", fake)
    monkeypatch.delitem(sys.modules, "cnncost.meter.lightning", raising=False)
    yield importlib.import_module("cnncost.meter.lightning")
    sys.modules.pop("cnncost.meter.lightning", None)


def fit(callback, module, batches):
    """Make the calls of a Trainer with one logger; return what was logged."""
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
    """A batch of unknown structure."""


@pytest.mark.parametrize(
    ("module", "batches", "words"),
    [
        pytest.param(Net, as_dicts(), "inputs=lambda batch: batch['image']", id="a dict batch"),
        pytest.param(NoForward, images(), "model=lambda module: module.net", id="no forward"),
        pytest.param(Reads, images(), "cost=(macs, flops)", id="forward reads values"),
        pytest.param(Net, [Odd() for _ in range(5)], "rates have no FLOPs", id="an odd batch"),
        pytest.param(Net, [(torch.rand(4, 9), 0) for _ in range(5)], "rates have no FLOPs", id="a wrong shape"),
    ],
)
def test_a_failing_analysis_gives_one_warning_and_training_continues(lightning, module, batches, words):
    callback = lightning.MeterCallback()
    with pytest.warns(MeterWarning) as told:
        logged = fit(callback, module(), batches)

    assert len(told) == 1
    assert words in str(told[0].message)
    assert {name for _, each in logged for name in each} == {"meter/examples_per_second", "meter/seconds_per_step"}
    assert callback.last.flops is None
    assert callback.last.mfu is None


def test_a_failing_user_function_does_not_abort_training(lightning):
    callback = lightning.MeterCallback(inputs=lambda batch: batch["nothing"], model=lambda module: module.nothing)
    with pytest.warns(MeterWarning) as told:
        assert fit(callback, Net(), as_dicts())
    assert len(told) == 2  # one for the model, one for the inputs


def test_batches_that_change_their_structure(lightning):
    callback = lightning.MeterCallback()
    with pytest.warns(MeterWarning, match="no FLOPs"):
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


def test_the_modules_example_is_used_if_batches_cannot_be_analyzed(lightning):
    callback = lightning.MeterCallback()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (_, totals), *rates = fit(callback, WithExample(), as_dicts())
    assert totals["complexity/macs"] == 32  # of the module's example, a batch of one
    assert callback.last.macs // callback.last.examples == 2 * 32  # forward, and the weights' gradient
    assert rates


def test_an_unknown_device_raises_when_the_callback_is_created(lightning):
    with pytest.raises(DeviceError):
        lightning.MeterCallback(device="a1000")


def test_a_device_without_a_peak_for_the_dtype():
    with pytest.warns(MeterWarning, match="no MFU"):
        watched = SafeMeter(Net(), "leave it out", device="gtx580", dtype="bfloat16")
    watched.try_out(lambda: torch.rand(2, 8))
    for _ in range(3):
        watched.step(lambda: torch.rand(2, 8))
    found = watched.lap()
    assert (found.mfu, found.macs) == (
        None,
        2 * 2 * 2 * 32,
    )  # 2 steps of 2 products of 2 examples


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
def test_number_of_examples(batch, number):
    assert number_of(batch) == number


class Odd(NamedTuple):
    """A batch whose `values` is not a method."""

    values: torch.Tensor


@pytest.mark.filterwarnings("ignore::cnncost.meter.safe_meter.MeterWarning")
@pytest.mark.parametrize("batch", [torch.zeros(0, 8), Odd(torch.zeros(4, 8))], ids=["no example", "odd"])
def test_a_batch_of_unknown_size_does_not_abort_training(batch):
    watched = SafeMeter(NoForward(), "give an example")
    for given in (torch.zeros(4, 8), torch.zeros(4, 8), batch, torch.zeros(4, 8)):
        watched.step(lambda given=given: given)
    watched.lap()  # may return None: the number of examples of one step is unknown
    assert watched.meter.without_cost
    for _ in range(2):
        watched.step(lambda: torch.zeros(4, 8))
    rates = watched.lap()
    assert rates is not None
    assert rates.examples == rates.steps * 4 > 0
