"""The callback in a real Lightning Trainer."""

import csv
import time
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import cnncost
from cnncost.meter.lightning import MeterCallback
from cnncost.meter.safe_meter import MeterWarning

pytestmark = [pytest.mark.filterwarnings("ignore")]  # Lightning's own advice
MACS = 8 * 16 + 16 * 2


class Net(L.LightningModule):
    def __init__(self, broken=False):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        self.broken = broken
        self.validated = 0.0

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, _):
        if self.broken:
            return self.net(batch[0]).sum()
        return self(batch[0]).square().mean()

    def validation_step(self, batch, _):
        time.sleep(0.05)
        self.validated += 0.05

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.fixture
def fit(tmp_path):
    """Train for two epochs of 30 images by 4, with a validation after each; returns callback, logged rows, seconds."""

    def run(callback, model=None, **options):
        data = DataLoader(TensorDataset(torch.randn(30, 8), torch.zeros(30)), batch_size=4)
        logger = CSVLogger(tmp_path)
        trainer = L.Trainer(
            max_epochs=2, callbacks=[callback], logger=logger, accelerator="cpu", enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, **options,
        )  # fmt: skip
        start = time.perf_counter()
        trainer.fit(model or Net(), data, data)
        logger.save()
        with Path(logger.log_dir, "metrics.csv").open() as file:
            return callback, list(csv.DictReader(file)), time.perf_counter() - start

    return run


@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_batch_counts_by_its_size(fit, accumulate):
    """8 batches an epoch, the last one of 2; the first of all is warm-up: 60 - 4 images."""
    callback, rows, _ = fit(MeterCallback(every=3, training=False, peak_flops=1e9), accumulate_grad_batches=accumulate)
    rates = callback.meter.rates()

    assert (rates.steps, rates.examples, rates.macs) == (15, 56, 56 * MACS)
    assert len([row for row in rows if row.get("meter/mfu")]) == 6  # after batches 3, 6, 8 of each epoch
    totals = [row for row in rows if not row["meter/examples_per_second"]]
    assert len(totals) <= 1  # those of the model, which are logged before the first lap
    assert all(float(row["meter/examples_per_second"]) > 0 for row in rows if row not in totals)


def test_validation_is_left_out(fit):
    callback, _, seconds = fit(MeterCallback(training=False))

    assert callback.meter.rates().seconds < seconds - 2 * 8 * 0.05


def test_a_model_within_the_module_and_inputs_of_the_batch(fit):
    callback, _, _ = fit(
        MeterCallback(training=False, model=lambda module: module.net[0], inputs=lambda batch: batch[0][:1])
    )

    assert callback.meter.rates().macs == 15 * 8 * 16


def test_what_can_not_be_analyzed_is_a_warning_and_the_training_goes_on(fit):
    callback = MeterCallback(training=False, inputs=lambda batch: batch[1])
    model = Net()
    before = model.net[0].weight.clone()
    with pytest.warns(MeterWarning, match="inputs=lambda batch"):
        fit(callback, model)

    assert not torch.equal(model.net[0].weight, before)
    assert callback.last.flops is None


def test_a_second_fit_begins_anew(fit):
    callback = MeterCallback(training=False)
    fit(callback)
    fit(callback)

    assert callback.meter.rates().examples == 56


class Thaws(Net):
    """The last layer alone in the first epoch, then all."""

    def on_train_epoch_start(self):
        self.net[0].requires_grad_(self.current_epoch > 0)


class Grows(Net):
    def on_train_epoch_start(self):
        if self.current_epoch == 1:
            self.net[2] = nn.Linear(16, 5)


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        (Thaws, MACS + 16 * 2, 2 * MACS + 16 * 2),  # weights of both, and what goes back to the first
        (Grows, 2 * MACS + 16 * 2, 2 * (8 * 16 + 16 * 5) + 16 * 5),
    ],
)
def test_each_epoch_counts_the_model_that_it_trains(fit, kind, first, second):
    """26 images after warm-up, then 30."""
    callback, _, _ = fit(MeterCallback(), kind())

    assert callback.meter.rates().macs == 26 * first + 30 * second


class Saves(Net):
    """Its hyperparameters are an AttributeDict, of which forward asks by name and by key."""

    def __init__(self, width=16, more=None):
        super().__init__()
        self.save_hyperparameters()

    def forward(self, x):
        assert self.hparams.width == self.hparams["width"] == 16
        self.hparams.more["calls"].append(x.shape)
        return self.net(x)


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("training", [False, True])
def test_saved_hyperparameters_are_as_they_were(trace, training):
    model = Saves(more={"calls": []})
    for _ in range(2):
        assert cnncost.analyze(model, "4x8", trace=trace, training=training).totals.macs == 4 * MACS
        assert dict(model.hparams) == {"width": 16, "more": {"calls": []}}
        assert model.hparams is model._hparams


def test_a_module_with_saved_hyperparameters_is_metered(fit):
    model = Saves(more={"calls": []})
    for _ in range(2):
        callback, _, _ = fit(MeterCallback(training=False), model)
        assert callback.meter.rates().macs == 56 * MACS
    assert len(model.hparams.more["calls"]) == 2 * 2 * 8  # the batches of two epochs, twice, and no analysis
