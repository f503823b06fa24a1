"""What the zoo's tests share: networks without data, an independent count of MACs, real digits."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from cnncost import zoo
from cnncost.zoo.lenet_layers import SparseConv2d

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


_SHARED: dict[str, nn.Module] = {}


def _on_meta(name: str) -> nn.Module:
    if name not in _SHARED:
        with torch.device("meta"):
            _SHARED[name] = zoo.build(name)
    return _SHARED[name]


@pytest.fixture
def on_meta() -> Callable[[str], nn.Module]:
    """Networks of the zoo without data, by name, in eval mode. A test may change the mode, nothing else."""
    return lambda name: _on_meta(name).eval()


def _macs_of(layer: nn.Module, out: torch.Size) -> int:
    """Multiplications whose products are summed, for one image: by hand, from the layer's own numbers."""
    match layer:
        case nn.Linear():
            return layer.in_features * layer.out_features
        case nn.Conv2d():
            return out.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
        case SparseConv2d():
            return sum(len(inputs) for inputs in layer.connections) * layer.kernel_size**2 * out[1:].numel()
    return 0


def _count_macs(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}

    def count(path: str, layer: nn.Module, _args: object, output: Tensor) -> None:
        counts[path] = counts.get(path, 0) + _macs_of(layer, output.shape[1:])

    handles = [layer.register_forward_hook(partial(count, path)) for path, layer in model.named_modules()]
    try:
        model(torch.empty(input_shape, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return counts


_count_macs_once = cache(_count_macs)
"""Of the models that tests share: they stay what they are, and a forward of the deepest takes seconds."""


@pytest.fixture
def count_macs() -> Callable[[nn.Module, tuple[int, ...]], dict[str, int]]:
    """MACs by module path of a model on the meta device; sees modules only, and knows no analyzer."""

    def counted(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
        shared = any(model is each for each in _SHARED.values())
        return dict(_count_macs_once(model, input_shape)) if shared else _count_macs(model, input_shape)

    return counted


class Digits(NamedTuple):
    """Scikit-learn's 8x8 handwritten digits: images (N, 1, 8, 8) between 0 and 1, labels (N)."""

    images: Tensor
    labels: Tensor

    def resized(self, side: int, channels: int = 1) -> Tensor:
        images = F.interpolate(self.images, size=(side, side), mode="bilinear")
        return images.expand(-1, channels, -1, -1)


@pytest.fixture(scope="session")
def digits() -> Callable[[int], Digits]:
    """The first so many digits."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    return lambda number: Digits(images[:number], torch.tensor(labels[:number]))
