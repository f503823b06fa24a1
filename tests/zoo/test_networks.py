"""What holds for each network: it runs without data, in both modes, and torch runs the MACs it states."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cnncost import zoo


@pytest.mark.parametrize("name", zoo.names())
def test_built_on_meta_it_holds_no_data(name, on_meta):
    model = on_meta(name)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}


def scores(name):
    """Shape of the output for two images: of ImageNet's classes, or of ten, whose images are at most 32 wide."""
    return 2, 1000 if zoo.entry(name).input_shape[-1] > 32 else 10


@pytest.mark.parametrize("name", zoo.names())
def test_forward_on_meta_gives_a_score_a_class_by_the_macs_that_torch_runs(name, on_meta, count_macs):
    _, *image = shape = zoo.entry(name).input_shape
    model = on_meta(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.empty(2, *image, device="meta")).shape == scores(name)
    assert 2 * 2 * sum(count_macs(model, shape).values()) == counter.get_total_flops()


@pytest.mark.parametrize("name", zoo.names())
def test_in_train_mode_it_gives_as_many_and_backward_on_meta_reaches_every_parameter(name):
    with torch.device("meta"):
        model = zoo.build(name).train()
        output = model(torch.empty(2, *zoo.entry(name).input_shape[1:]))
        output.sum().backward()
    assert output.shape == scores(name)
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", zoo.names())
def test_repeated_building_gives_the_same_modules(name, on_meta):
    with torch.device("meta"):
        again = zoo.build(name)
    assert str(again) == str(on_meta(name))
