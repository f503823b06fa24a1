"""Writes reports/memory.md: the memory of networks, predicted beside what the allocator saw.

    python tests/memory_report.py reports/memory.md

Measured on the CPU by torch's own profiler (tests/oracles/allocations.py), one forward and one training step each, in
this process. Numbers of tensors are the same on each machine; those of kernels' workspaces are this machine's.
"""

import platform
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

import cnncost
from cnncost import units, zoo

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent / "benchmarks")]
from vit import ViT  # noqa: E402  # a script's neighbours

from tests.networks import LSTM, CellLSTM, DenseNet121, MobileNetV2  # noqa: E402
from tests.oracles.allocations import peaks  # noqa: E402

IMAGES = (3, 224, 224)
NETWORKS = {
    "AlexNet": (lambda: zoo.build("alexnet"), (3, 227, 227)),
    "VGG-11": (lambda: zoo.build("vgg11"), IMAGES),
    "ResNet-18": (lambda: zoo.build("resnet18"), IMAGES),
    "ResNet-50": (lambda: zoo.build("resnet50"), IMAGES),
    "MobileNetV2": (MobileNetV2, IMAGES),
    "DenseNet-121": (DenseNet121, IMAGES),
    "ViT-B/16": (ViT, IMAGES),
    "LSTM of cells": (CellLSTM, (100, 64)),
    "nn.LSTM": (LSTM, (100, 64)),
}
BATCHES = (1, 8)
UNTOLD = ("nn.LSTM", "inference")
"""Under autocast its casts of weights are made inside of the kernel: the profiler's events don't tell them apart."""


class Row(NamedTuple):
    """Bytes; workspaces are those that kernels take on top of tensors."""

    network: str
    batch: int
    run: str
    predicted: int
    measured: int
    workspaces: int

    @property
    def error(self):
        return self.predicted / self.measured - 1


def held(model, x):
    """Bytes that are there before the run."""
    tensors = (*model.parameters(), *model.buffers(), x)
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())


def measure(name, build, shape, batch, cast=False):
    """A row for inference and one for a training step, under autocast in bfloat16 if `cast`."""
    model, x = build(), torch.randn(batch, *shape)
    before = held(model, x)

    def clear():
        for parameter in model.parameters():
            parameter.grad = None

    def infer(_):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=cast):
            return model(x)

    def train(_):
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            out = model(x)
            loss = out.sum()
        loss.backward()
        return out, loss

    for mode, run, step in (("inference", infer, False), ("training step", train, True)):
        model.train(step)
        memory = cnncost.analyze(model, x, training=step, autocast="bf16" if cast else None).memory
        with unfused():
            found = peaks(run, clear)
        yield Row(
            name, batch, mode, memory.training_peak if step else memory.inference_peak, before + found.tensors,
            found.everything - found.tensors,
        )  # fmt: skip


@contextmanager
def unfused():
    """Without the fused encoder, which keeps its intermediates inside of one kernel: they would be workspaces."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def rows(cast=False):
    torch.manual_seed(0)
    return [
        row
        for name, (build, shape) in NETWORKS.items()
        for batch in BATCHES
        for row in measure(name, build, shape, batch, cast)
        if not (cast and (row.network, row.run) == UNTOLD)
    ]


def table(found):
    yield "| network | batch | run | predicted | measured | error | workspaces |"
    yield "|---|---:|---|---:|---:|---:|---:|"
    for row in found:
        yield (
            f"| {row.network} | {row.batch} | {row.run} | {units.data(row.predicted)} | {units.data(row.measured)} "
            f"| {row.error:+.2%} | {units.data(row.workspaces)} |"
        )


ALEXNET = "## AlexNet on two cards of 3 GB (slide 82 prints 2)"
CARD = 3 * 10**9
"""Bytes of a GTX 580, as the paper has it."""


def alexnet():
    """The paper's own case: batches of 128 on cards of 3 GB (Krizhevsky et al. 2012, section 3.2)."""
    whole = cnncost.analyze("alexnet", "128x3x227x227", training=True, optimizer="momentum").memory
    split = cnncost.analyze("alexnet_two_gpu", "128x3x227x227", training=True, optimizer="momentum").memory
    yield "| AlexNet, a step with momentum, batch 128 | peak |"
    yield "|---|---:|"
    yield f"| on one device | {units.data(whole.training_peak)} |"
    yield f"| the two-GPU net, both devices together | {units.data(split.training_peak)} |"
    half = split.training_peak // 2
    yield f"| each of them, half of it | {units.data(half)} |"
    yield f"| left of the paper's {units.data(CARD)} (3 GB) | {units.data(CARD - half)} |"


def text(found, cast):
    worst, worst_cast = (max(abs(row.error) for row in of) for of in (found, cast))
    return "\n".join([
        "# Memory: predicted beside measured", "",
        f"{platform.machine()}, torch {torch.__version__}, float32, eager.",
        "Regenerate with `python tests/memory_report.py reports/memory.md`.", "",
        "Peak bytes of one forward without autograd, and of one training step (forward, sum of the outputs,",
        "backward; gradients None before). Measured is the most that the CPU allocator had out at once for tensors,",
        "by the profiler's events, with parameters and inputs. Workspaces, which a kernel takes and gives back while",
        "it runs, are told apart: they are how much higher the peak is with them, by this CPU's kernels.", "",
        *table(found), "",
        f"The largest error is {worst:.2%}. The LSTMs have two layers of 256 and read 100 steps of 64. What oneDNN",
        "keeps for the backward of `nn.LSTM` is predicted as its source lays it out; cuDNN's layout is its own.", "",
        "ViT is measured with its fused encoder layers off: they keep intermediates inside of a kernel, so that its",
        "inference takes less than the prediction when they are on.", "",
        "## Under autocast in bfloat16", "",
        "Forward and loss under `torch.autocast`, backward outside of it; weights and inputs in float32.", "",
        *table(cast), "",
        f"The largest error is {worst_cast:.2%}. Inference is under `torch.inference_mode()`; under `torch.no_grad()`",
        "torch keeps each weight's cast until the region is left. Inference of `nn.LSTM` is left out: its casts are",
        "made inside of a kernel's call, where the events take them for a workspace.", "",
        ALEXNET, "", *alexnet(), "",
        "Each card of the two-GPU net holds half of the kernels, units and activations, so half of the bytes. The",
        "paper says that a GTX 580 has 3 GB (section 3.2); the slide prints 2.", "",
    ])  # fmt: skip


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(rows(), rows(cast=True)), encoding="utf-8")
