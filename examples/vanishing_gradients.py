"""Why deep networks did not learn, and what helped: gradient norm per layer, slides 92 to 95.

python examples/vanishing_gradients.py                        a table
python examples/vanishing_gradients.py --plot gradients.svg   and a picture

Stacks of equal convolutions, before any training, on the digits that scikit-learn ships: with sigmoids or ReLUs,
plain or with skip connections. Below, plain and residual networks of the paper, which have batch norm: there
gradients don't vanish, they grow towards the input, and in plain networks more.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from cnncost import CnncostError, zoo

DEPTH, WIDTH, BATCH = 24, 16, 64
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "ReLU": torch.relu}


class Stack(nn.Module):
    """`DEPTH` convolutions 3×3 of `WIDTH` maps, a mean and a linear layer; weights drawn as He et al. 2015 do."""

    def __init__(self, activation: Callable[[Tensor], Tensor], *, residual: bool) -> None:
        super().__init__()
        self.activation, self.residual = activation, residual
        self.stem = nn.Conv2d(1, WIDTH, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(DEPTH))
        self.head = nn.Linear(WIDTH, 10)
        for layer in (self.stem, *self.layers):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x: N,1,H,W. A residual layer adds what it makes, by 1/depth so that sums of many stay small."""
        x = self.activation(self.stem(x))
        for layer in self.layers:
            made = self.activation(layer(x))
            x = x + made / len(self.layers) if self.residual else made
        return self.head(x.mean((2, 3)))


def digits(size: int, channels: int = 1) -> tuple[Tensor, Tensor]:
    """The first digits of scikit-learn's, of about zero mean and unit variance, and their labels."""
    data = load_digits()
    images = torch.tensor(data.images[:BATCH], dtype=torch.float32)[:, None]
    images = F.interpolate((images - images.mean()) / images.std(), size=size, mode="bilinear", align_corners=False)
    return images.expand(-1, channels, -1, -1), torch.tensor(data.target[:BATCH])


def gradient_norms(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    """Norm of the gradient of each convolution's weights, from the input on."""
    F.cross_entropy(model(images), labels).backward()
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)]
    return [float(layer.weight.grad.norm()) for layer in layers if layer.weight.grad is not None]


def of_stacks() -> dict[str, list[float]]:
    """All four kinds of stacks."""
    found = {}
    for (name, activation), residual in product(ACTIVATIONS.items(), (False, True)):
        torch.manual_seed(0)
        model = Stack(activation, residual=residual)
        found[f"{name}, {'residual' if residual else 'plain'}"] = gradient_norms(model, *digits(8))
    return found


def of_papers() -> dict[str, list[float]]:
    """Plain and residual networks of He et al. 2016, a quarter as wide, on 32×32 images."""
    found = {}
    for name in ("plain18", "resnet18", "plain34", "resnet34"):
        torch.manual_seed(0)
        model = zoo.build(name, width=0.25, num_classes=10)
        found[name] = gradient_norms(model, *digits(32, channels=3))
    return found


def table(found: dict[str, list[float]], heading: str, every: int) -> str:
    """A row a layer, every so many; then how much of the last layer's gradient is left in the first."""
    names, depth = list(found), len(next(iter(found.values())))
    wide = max(12, *(len(name) + 2 for name in names))
    lines = [f"{heading:<16}" + "".join(f"{name:>{wide}}" for name in names)]
    lines.append("─" * len(lines[0]))
    if every:
        lines += [
            f"layer {layer + 1:<10}" + "".join(f"{found[name][layer]:>{wide}.1e}" for name in names)
            for layer in range(0, depth, every)
        ]
    lines.append(f"{'first / last':<16}" + "".join(f"{found[name][0] / found[name][-1]:>{wide}.1e}" for name in names))
    return "\n".join(lines)


def plot(stacks: dict[str, list[float]], papers: dict[str, list[float]], path: str) -> None:
    """Gradient norm against layer, stacks to the left, the paper's networks to the right."""
    from cnncost.plots.picture import COLORS, picture

    with picture(path, columns=2, size=(5.2, 4.0)) as both:
        for axes, found, title in zip(
            both, (stacks, papers), ("stacks of convolutions", "with batch norm"), strict=True
        ):
            for color, (name, norms) in zip(COLORS, found.items(), strict=False):
                plain = "plain" in name
                axes.plot(range(1, len(norms) + 1), norms, "--" if plain else "-", color=color, label=name)
            axes.set_yscale("log")
            axes.set_xlabel("layer, from the input on")
            axes.set_ylabel("norm of the weights' gradient")
            axes.set_title(title, fontsize=9, loc="left")
            axes.legend(fontsize=8)


def main() -> None:
    """Measure, print, and draw if asked to."""
    parser = argparse.ArgumentParser(description="Gradient norm per layer: sigmoid and ReLU, plain and residual.")
    parser.add_argument("--plot", metavar="FILE", help="picture: .svg, .png or .pdf")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.plot:
        from cnncost.plots.picture import check_picture

        try:
            check_picture(options.plot)
        except CnncostError as error:
            parser.exit(2, f"vanishing_gradients: {error}\n")
    stacks, papers = of_stacks(), of_papers()
    print(table(stacks, "gradient norm", every=4))
    print()
    print(table(papers, "with batch norm", every=0))
    if options.plot:
        plot(stacks, papers, options.plot)
        print(f"picture: {options.plot}")


if __name__ == "__main__":
    main()
