"""Calls that are equivalent to another op: numbers given as a tensor, statistics that are not written."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost.frontends.torch import Training, record

SPLIT = torch.tensor_split  # as a model may have taken it before an analysis began


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def split(x, places):
    """Looked up when it is called, as in a model."""
    return torch.tensor_split(x, places)


X = torch.rand(7, 3)
SPLITS = {
    "places": (split, torch.tensor([1, 4])),
    "a place": (split, torch.tensor([2])),
    "a number of parts": (split, torch.tensor(3)),
    "of a tensor": (lambda x, n: x.tensor_split(n), torch.tensor([1, 4])),
    "along an axis": (lambda x, n: torch.tensor_split(x, n, dim=1), torch.tensor([1])),
    "by name": (lambda x, n: torch.tensor_split(x, tensor_indices_or_sections=n), torch.tensor([5])),
    "computed": (lambda x, n: torch.tensor_split(x, n.cumsum(0)), torch.tensor([1, 2, 3])),
    "taken before": (SPLIT, torch.tensor([1, 4])),
}


@pytest.mark.parametrize(
    ("name", "training"), [(name, t) for name in SPLITS for t in (False, True) if not (t and name == "taken before")]
)
def test_parts_are_those_of_a_real_run(name, training):
    function, numbers = SPLITS[name]
    x = X.clone().requires_grad_(training)
    graph = record(Function(function), (x, numbers), training=Training() if training else None)
    shapes = [graph.values[i].shape for i in graph.outputs]
    assert shapes == [tuple(part.shape) for part in function(X, numbers)]


def test_where_autograd_hides_the_call_advice_helps():
    """A reference to the function, taken before: torch reads the numbers itself. Its message's remedy works."""
    function, numbers = SPLITS["taken before"]
    with pytest.raises(cnncost.CnncostError, match=r"reads the values of a tensor.*trace='real'"):
        cnncost.analyze(Function(function), (X.clone().requires_grad_(), numbers), training=True)
    report = cnncost.analyze(Function(function), (X, numbers), trace="real")
    assert report.unknown == {}


def test_numbers_that_are_not_at_hand_are_said_to_be_missing():
    with pytest.raises(cnncost.CnncostError, match="reads the values of a tensor"):
        record(Function(lambda x: torch.tensor_split(x, (x.sum() * 0 + 2).long())), ("1000x1000",))


@pytest.mark.parametrize("training", [False, True])
def test_a_batch_norm_outside_of_training_keeps_no_statistics(training):
    def function(x, mean, variance):
        return torch._native_batch_norm_legit(x, None, None, mean, variance, training, 0.1, 1e-5)

    graph = record(Function(function), ((2, 3, 4), (3,), (3,)))
    real = function(torch.rand(2, 3, 4), torch.zeros(3), torch.ones(3))
    assert [graph.values[i].shape for i in graph.outputs] == [tuple(t.shape) for t in real]
