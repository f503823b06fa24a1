"""What holds for each network: it runs without data, in both modes, and torch runs the MACs it states."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cnncost import zoo


@pytest.mark.parametrize("name", zoo.names())
def test_built_on_meta_it_holds_no_data(name, on_meta):
    model = on_meta(name)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}


@pytest.mark.parametrize("training", [pytest.param(True, id="train"), pytest.param(False, id="eval")])
@pytest.mark.parametrize("name", zoo.names())
def test_forward_on_meta_gives_a_score_a_class(name, training, on_meta):
    _, *image = zoo.entry(name).input_shape
    classes = 1000 if image[0] == 3 else 10
    model = on_meta(name).train(training)
    assert model(torch.empty(2, *image, device="meta")).shape == (2, classes)


@pytest.mark.parametrize("name", zoo.names())
def test_macs_are_those_that_torch_runs(name, on_meta, count_macs):
    shape = zoo.entry(name).input_shape
    model = on_meta(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(shape, device="meta"))
    assert 2 * sum(count_macs(model, shape).values()) == counter.get_total_flops()


@pytest.mark.parametrize("name", zoo.names())
def test_backward_on_meta_reaches_every_parameter(name):
    with torch.device("meta"):
        model = zoo.build(name).train()
        model(torch.empty(2, *zoo.entry(name).input_shape[1:])).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", zoo.names())
def test_repeated_building_gives_the_same_modules(name, on_meta):
    with torch.device("meta"):
        again = zoo.build(name)
    assert str(again) == str(on_meta(name))
