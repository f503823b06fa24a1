"""`RecordOptions`: options given together or one by one."""

import dataclasses

import pytest
import torch
from torch import nn

import cnncost
from cnncost import RecordOptions, Training, record
from cnncost.errors import InputError
from cnncost.frontends.torch.real import record_real

X = (2, 8)
EACH = {
    "forward": {},
    "forward with autograd": {"grad": True},
    "in train mode": {"train": True},
    "in eval mode": {"train": False},
    "a training step": {"training": Training()},
    "with an optimizer": {"train": True, "training": Training(None, "adamw", set_to_none=False)},
    "autocast": {"autocast": "bf16"},
    "without the memo": {"use_memo": False},
    "on another device": {"device": "cuda"},
}


def net():
    return nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.ReLU(), nn.Linear(4, 3))


def phases(graph):
    return {node.phase for node in graph.nodes}


def whole(graph):
    """Whether a linear layer is one op: with autograd it is a product, and a transposed view of the weight."""
    names = {node.name for node in graph.nodes}
    assert ("aten.linear" in names) != ("aten.addmm" in names)
    return "aten.linear" in names


@pytest.mark.parametrize("each", EACH.values(), ids=EACH)
def test_together_and_one_by_one_are_the_same(each):
    assert record(net(), X, RecordOptions(**each)) == record(net(), X, **each)


@pytest.mark.parametrize("name", ["forward", "in train mode", "in eval mode", "a training step", "with an optimizer"])
def test_likewise_on_values(name):
    model = net()
    assert record_real(model, X, RecordOptions(**EACH[name])) == record_real(model, X, **EACH[name])


def test_the_four_forms():
    """Dropout is an op only in train mode, and each form has one phase more than the one before."""
    training = Training("mse")
    forms = [RecordOptions(), RecordOptions(grad=True), RecordOptions(training=training)]
    forms.append(RecordOptions(training=training._replace(optimizer="sgd")))
    graphs = [record(net(), X, form) for form in forms]

    assert [form.differentiates for form in forms] == [False, True, True, True]
    assert [phases(graph) for graph in graphs] == [
        {"forward"}, {"forward"}, {"forward", "backward"}, {"forward", "backward", "optimizer"},
    ]  # fmt: skip
    assert [whole(graph) for graph in graphs] == [True, False, False, False]


def test_on_values_autograd_alone_can_be_on():
    assert [whole(record_real(net(), X, RecordOptions(grad=grad))) for grad in (False, True)] == [True, False]


@pytest.mark.parametrize("each", [{"train": True}, {"autocast": "bf16"}, {"training": Training()}], ids=str)
@pytest.mark.parametrize("run", [record, record_real])
def test_both_are_refused(run, each):
    with pytest.raises(InputError, match=r"options: expected either .* or separate arguments, got both"):
        run(net(), X, RecordOptions(), **each)


def test_values_are_on_the_models_device():
    assert record_real(net(), X, RecordOptions(device="cpu")).nodes
    with pytest.raises(InputError, match="the model's device, cpu; expected no other, got cuda"):
        record_real(net(), X, RecordOptions(device="cuda"))


def test_they_cannot_be_changed():
    options = RecordOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.grad = True
    assert dataclasses.replace(options, device="cuda").target == torch.device("cuda")
    assert options == RecordOptions()


def test_they_are_public():
    assert {"RecordOptions", "Training", "record"} <= set(cnncost.__all__)
