import copy
import pickle

import pytest
import torch
from torch import nn

from cnncost import zoo

CHAINS = ["lenet300", "conv6_pool", "lenet1", "lenet5", "lenet5_modern", "alexnet", "vgg11"]


@pytest.mark.parametrize("name", CHAINS)
def test_slice_holds_the_same_layers_under_the_same_names(name, on_meta):
    model = on_meta(name)
    assert list(model[1:3].named_children()) == list(model.named_children())[1:3]
    assert type(model[1:3]) is nn.Sequential


@pytest.mark.parametrize("name", CHAINS)
def test_index_gives_a_layer(name, on_meta):
    model = on_meta(name)
    assert [model[0], model[-1]] == [next(model.children()), list(model.children())[-1]]


@pytest.mark.parametrize(
    "copied",
    [
        pytest.param(copy.deepcopy, id="copied"),
        pytest.param(lambda m: pickle.loads(pickle.dumps(m)), id="pickled"),
    ],
)
def test_network_survives(copied):
    model, x = zoo.build("lenet5").eval(), torch.randn(2, 1, 32, 32)
    assert torch.equal(copied(model)(x), model(x))
