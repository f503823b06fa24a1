"""The callback in a real Trainer of Transformers, on a small BERT."""

import copy
import pickle

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

import cnncost
from cnncost.meter.safe_meter import MeterWarning
from cnncost.meter.transformers import add_meter, with_masks
from cnncost.shapes import TensorText

pytestmark = [pytest.mark.filterwarnings("ignore")]  # the library's own advice


class Logged(TrainerCallback):
    """What every logger of the Trainer is given."""

    def __init__(self):
        self.rows = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.rows.append(dict(logs))


@pytest.fixture
def train(tmp_path):
    """Train on 30 texts of 12 tokens by 4, with what is asked for; returns callback, rows, model."""

    def run(lengths=(12,), texts=30, meter=None, more=(), again=False, **options):
        config = BertConfig(
            vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
        )
        model = BertForSequenceClassification(config)
        long = [lengths[i // 4 % len(lengths)] for i in range(texts)]  # of each text; those of a batch are alike
        data = [{"input_ids": torch.full((n,), 7), "labels": torch.tensor(i % 2)} for i, n in enumerate(long)]
        for row in data:
            row["attention_mask"] = torch.ones_like(row["input_ids"])
        arguments = TrainingArguments(
            str(tmp_path), per_device_train_batch_size=4, num_train_epochs=1, logging_steps=2, report_to=[],
            use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False, save_strategy="no", **options,
        )  # fmt: skip
        trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data[:8])
        trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(data)
        logged = Logged()
        trainer.add_callback(logged)
        for each in more:
            trainer.add_callback(each)
        callback = add_meter(trainer, **{"training": False, "peak_flops": 1e11, **(meter or {})})
        if again:
            with pytest.raises(again):
                trainer.train()
            assert not model._forward_pre_hooks
        trainer.train()
        return callback, logged.rows, model

    return run


def macs(model, batch, length, training=False):
    inputs = {
        "input_ids": (batch, length), "attention_mask": torch.ones(batch, length, dtype=torch.int64),
        "labels": TensorText((batch,), "int64"),
    }  # fmt: skip
    inputs["input_ids"] = TensorText((batch, length), "int64")
    totals = cnncost.analyze(model, inputs, training=training).totals
    return totals.training_macs if training else totals.macs


@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_micro_batch_counts(train, accumulate):
    """8 micro-batches, the last one of 2 texts; the first one is warm-up."""
    callback, rows, model = train(gradient_accumulation_steps=accumulate)
    rates = callback.meter.rates()

    assert (rates.steps, rates.examples) == (7, 26)
    assert rates.macs == 6 * macs(model, 4, 12) + macs(model, 2, 12)
    assert [row for row in rows if "meter/mfu" in row]
    assert [row for row in rows if "loss" in row]  # the Trainer's own log is still there


def test_lengths_that_vary(train):
    callback, _, model = train(lengths=(12, 5), texts=16)

    assert callback.meter.rates().macs == macs(model, 4, 12) + 2 * macs(model, 4, 5)


def test_evaluation_is_left_out_and_the_model_is_left_as_it_was(train):
    callback, _, model = train(eval_strategy="steps", eval_steps=2)

    assert callback.meter.rates().steps == 7
    assert not model._forward_pre_hooks


def test_what_can_not_be_analyzed_is_a_warning_and_the_training_goes_on(train):
    with pytest.warns(MeterWarning, match="reads the values"):
        callback, _, _ = train(meter={"prepare": lambda inputs: inputs})

    assert callback.last.flops is None


def test_masks_are_ones():
    inputs = {"attention_mask": TensorText((2, 3), "int64"), "input_ids": TensorText((2, 3), "int64"), "flag": True}
    made = with_masks(inputs)

    assert made["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert (made["input_ids"], made["flag"]) == (inputs["input_ids"], True)
    assert with_masks((1, 2)) == (1, 2)


class Fails(TrainerCallback):
    """Ends the first training as a user does who stops a notebook's cell, or as a bug does."""

    def __init__(self, error):
        self.error = error

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 3 and (error := self.error):
            self.error = None
            raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_a_training_that_failed_the_next_one_counts_each_step_once(train, error):
    callback, _, model = train(more=[Fails(error)], again=error)

    assert callback.meter.rates().steps == 7
    assert callback.meter.rates().macs == 6 * macs(model, 4, 12) + macs(model, 2, 12)


class Thaws(TrainerCallback):
    """The head alone for four steps, then all of the model."""

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        model.bert.requires_grad_(False)

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step == 4:
            model.bert.requires_grad_(True)


def test_layers_that_are_unfrozen_in_training(train):
    callback, _, model = train(more=[Thaws()], meter={"training": True}, texts=32)
    whole = macs(model, 4, 12, training=True)
    model.bert.requires_grad_(False)

    assert callback.meter.rates().macs == 3 * macs(model, 4, 12, training=True) + 4 * whole


class Copies(TrainerCallback):
    """Copies the model in training, as an average of its weights and a saved model are."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.copies = copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))
        self.saved = pickle.dumps(model)


def test_a_model_that_is_copied_in_training_takes_no_meter_with_it(train):
    copies = Copies()
    callback, _, model = train(more=[copies])
    for each in copies.copies:
        each.train()(input_ids=torch.ones(4, 12, dtype=torch.int64))

    assert b"cnncost" not in copies.saved
    assert callback.meter.rates().macs == 6 * macs(model, 4, 12) + macs(model, 2, 12)
