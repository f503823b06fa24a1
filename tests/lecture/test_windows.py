"""Receptive fields, compared with the pixels that really change an output."""

import pytest
import torch

from cnncost import analyze, zoo

CHAINS = {
    # by hand: size grows by (kernel - 1) jumps, jumps by strides
    "lenet5": {"c1": (5, 1), "s2": (6, 2), "c3": (14, 2), "s4": (16, 4), "c5": (32, 4)},
    "lenet1": {"h1": (5, 1), "h2": (6, 2), "h3": (14, 2), "h4": (16, 4)},
    "conv6_16": {"conv1": (5, 1), "pool1": (6, 2), "conv2": (14, 2), "pool2": (16, 4)},
    "conv6_stride": {"conv1": (5, 2)},
}


@pytest.mark.parametrize("name", CHAINS)
def test_windows_by_hand(name):
    report = analyze(name)
    for path, (size, jump) in CHAINS[name].items():
        field = report.receptive_field(path)
        assert (field.size, field.jump) == ((size, size), (jump, jump)), path


def _seen(model, path, size, position):
    """The columns of an image whose change changes an output, found by running forward."""
    seen = []
    layer = model.get_submodule(path)
    handle = layer.register_forward_hook(lambda _module, _args, output: seen.append(output[..., position].clone()))
    image = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = image.repeat(size + 1, 1, 1, 1)
    for column in range(size):
        images[column, ..., column] += 10
    with torch.no_grad():
        model(images)
    handle.remove()
    return [column for column in range(size) if not torch.equal(seen[0][column], seen[0][size])]


@pytest.mark.parametrize(("path", "window"), [("c1", (5, 1)), ("s2", (6, 2)), ("c3", (14, 2)), ("s4", (16, 4))])
def test_windows_of_lenet5_match_real_dependencies(path, window):
    torch.manual_seed(0)
    model = zoo.build("lenet5").double().eval()
    first, second = (_seen(model, path, 32, position) for position in (0, 1))
    size, jump = window
    assert first == list(range(size))
    assert second == list(range(jump, jump + size))
