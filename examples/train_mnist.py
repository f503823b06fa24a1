"""Error against complexity: the five networks of slide 56, trained here.

python examples/train_mnist.py                      the digits that scikit-learn ships, upscaled
python examples/train_mnist.py --data DIR           MNIST, from its four IDX files (also .gz)
python examples/train_mnist.py --plot errors.svg    and a picture

Each network is trained as its paper says what it is trained for: LeNet-1 by squared error to ±1, LeNet-5 by the
distance to its codes (equation 9), the others by cross-entropy. Published errors are those of the slide, on MNIST.
"""

from __future__ import annotations

import argparse
import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

import cnncost
from cnncost import CnncostError, zoo
from cnncost.zoo.rbf import map_loss


class Digits(NamedTuple):
    """Images N×1×28×28 of 0 to 1, and their labels."""

    images: Tensor
    labels: Tensor


class Network(NamedTuple):
    """A row of the slide, and how the network is trained."""

    name: str
    layers: str
    published: str
    loss: Callable[[Tensor, Tensor], Tensor]
    prepare: Callable[[Tensor], Tensor] = lambda images: images
    nearest: bool = False
    """Whether the smallest output wins, a distance, and not the largest."""


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """To +1 for the right class and -1 for the others."""
    return F.mse_loss(outputs, 2.0 * F.one_hot(labels, 10) - 1)


def framed(images: Tensor) -> Tensor:
    """LeNet-5's input, section II.B: paper is -0.1 and ink 1.175, in a frame of 2 pixels of paper."""
    return F.pad(images * 1.275 - 0.1, (2, 2, 2, 2), value=-0.1)


SLIDE = (
    Network("fc10", "FC 10", "12.0", F.cross_entropy),
    Network("fc300", "FC 300-10", "4.7", F.cross_entropy),
    Network("lenet300", "FC 300-100-10", "3.05", F.cross_entropy),
    Network("lenet1", "2 conv + FC", "1.7", squared_error, lambda images: images * 2 - 1),
    Network("lenet5", "2 conv (6+16) + 3 FC", "0.95", map_loss, framed, nearest=True),
)


class Row(NamedTuple):
    """What the table shows of a network."""

    network: Network
    error: float
    params: int
    macs: int


def shipped() -> tuple[Digits, Digits]:
    """1,797 digits of 8×8 that scikit-learn ships, upscaled: four fifths to train on, one to test on."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    images = F.interpolate(images, size=28, mode="bilinear", align_corners=False)
    labels = torch.tensor(data.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    cut = len(labels) * 4 // 5
    train, test = order[:cut], order[cut:]
    return Digits(images[train], labels[train]), Digits(images[test], labels[test])


def mnist(folder: Path) -> tuple[Digits, Digits]:
    """The four files of MNIST. Raises CnncostError if one is missing, cut off or something else."""
    if not folder.is_dir():
        raise CnncostError(
            f"{folder}: no such folder; expected one with train-images-idx3-ubyte and its three companions"
        )
    parts = []
    for part in ("train", "t10k"):
        images = idx(folder / f"{part}-images-idx3-ubyte", axes=3).float()[:, None] / 255
        labels = idx(folder / f"{part}-labels-idx1-ubyte", axes=1).long()
        if len(images) != len(labels) or images.shape[2:] != (28, 28) or int(labels.max()) > 9:
            raise CnncostError(f"{folder}: {part}: expected as many labels of 0 to 9 as images of 28×28")
        parts.append(Digits(images, labels))
    return parts[0], parts[1]


def idx(path: Path, axes: int) -> Tensor:
    """An IDX file of bytes: a magic number that ends in the number of axes, their lengths, the data."""
    zipped = path.with_name(path.name + ".gz")
    try:
        data = gzip.decompress(zipped.read_bytes()) if zipped.exists() else path.read_bytes()
        magic, *shape = struct.unpack_from(f">{1 + axes}I", data)
    except (OSError, EOFError, struct.error) as error:
        raise CnncostError(f"{path}: can't be read: {error}; expected an IDX file") from None
    body = data[4 * (1 + axes) :]
    if magic != 0x0800 + axes or len(body) != torch.Size(shape).numel() or not body:
        raise CnncostError(f"{path}: expected an IDX file of bytes with {axes} axes, whole; got {len(data):,} bytes")
    return torch.frombuffer(bytearray(body), dtype=torch.uint8).reshape(shape)


def train(network: Network, data: Digits, epochs: int, advance: Callable[[], None]) -> nn.Module:
    """Adam, batches of 32, a rate that falls to nothing."""
    torch.manual_seed(0)
    model = zoo.build(network.name)
    steps = epochs * -(-len(data.labels) // 32)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(data.labels)).split(32):
            optimizer.zero_grad()
            network.loss(model(network.prepare(data.images[batch])), data.labels[batch]).backward()
            optimizer.step()
            schedule.step()
        advance()
    return model.eval()


@torch.inference_mode()
def error_of(network: Network, model: nn.Module, data: Digits) -> float:
    """Per cent of the digits that are taken for others."""
    wrong = 0
    for images, labels in zip(data.images.split(500), data.labels.split(500), strict=True):
        outputs = model(network.prepare(images))
        wrong += int((outputs.argmin(1) if network.nearest else outputs.argmax(1)).ne(labels).sum())
    return 100 * wrong / len(data.labels)


def rows_of(training: Digits, test: Digits, epochs: int) -> list[Row]:
    """Train all five, with a progress bar."""
    rows = []
    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for network in SLIDE:
            task = progress.add_task(network.name, total=epochs)
            model = train(network, training, epochs, lambda task=task: progress.advance(task))
            totals = cnncost.analyze(network.name).totals
            rows.append(Row(network, error_of(network, model, test), totals.params, totals.macs))
    return rows


def table(rows: list[Row]) -> str:
    """The slide's table, with the errors of here."""
    lines = [f"{'network':<10}{'layers':<23}{'slide':>8}{'here':>9}{'params':>10}{'MACs':>10}"]
    lines.append("─" * len(lines[0]))
    for row in rows:
        published, here = f"{row.network.published} %", f"{row.error:.2f} %"
        figures = f"{published:>8}{here:>9}{row.params:>10,}{row.macs:>10,}"
        lines.append(f"{row.network.name:<10}{row.network.layers:<23}{figures}")
    return "\n".join(lines)


def plot(rows: list[Row], path: str, data: str) -> None:
    """Error against parameters and against MACs."""
    from cnncost.plots.marks import name_points, readable_axis
    from cnncost.plots.picture import COLORS, picture

    with picture(path, columns=2, size=(5.2, 4.0)) as both:
        for axes, figure, name in zip(both, ("params", "macs"), ("parameters", "MACs"), strict=True):
            points = {row.network.name: (float(getattr(row, figure)), row.error) for row in rows}
            axes.scatter(*zip(*points.values(), strict=True), color=COLORS[0], zorder=3, label=f"here: {data}")
            published = [float(row.network.published) for row in rows]
            axes.scatter(
                [x for x, _ in points.values()], published, color=COLORS[1], marker="x", label="slide 56: MNIST"
            )
            axes.set_xscale("log")
            axes.margins(0.15)
            axes.set_ylim(bottom=0)
            readable_axis(axes.xaxis, name)
            axes.set_ylabel("error on the test set, %")
            name_points(axes, points, zip([x for x, _ in points.values()], published, strict=True))
        both[0].figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)


def main() -> None:
    """Train, print the table, and draw it if asked to."""
    parser = argparse.ArgumentParser(description="The five networks of slide 56, trained here.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with MNIST's IDX files")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--plot", metavar="FILE", help="picture: .svg, .png or .pdf")
    options = parser.parse_args()
    torch.set_num_threads(1)  # for networks as small as these more cost more than they bring
    try:
        if options.plot:
            from cnncost.plots.picture import check_picture

            check_picture(options.plot)
        training, test = shipped() if options.data is None else mnist(options.data)
    except CnncostError as error:
        parser.exit(2, f"train_mnist: {error}\n")
    name = "MNIST" if options.data else "scikit-learn's digits"
    told = "MNIST" if options.data else "no --data given: the digits that scikit-learn ships, 8×8 upscaled to 28×28"
    print(f"{told}; {len(training.labels):,} to train on, {len(test.labels):,} to test on, {options.epochs} epochs")
    rows = rows_of(training, test, options.epochs)
    print(table(rows))
    if options.plot:
        plot(rows, options.plot, name)
        print(f"picture: {options.plot}")


if __name__ == "__main__":
    main()
