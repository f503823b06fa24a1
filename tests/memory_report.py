"""Writes reports/memory.md: the memory of networks, predicted beside what the allocator saw.

    python tests/memory_report.py reports/memory.md                        all; networks of zoos need those installed
    python tests/memory_report.py reports/memory.md "nn.LSTM"              these; the other rows stay what they are

Measured on the CPU by torch's own profiler (tests/oracles/allocations.py), one forward and one training step each, in
this process. Numbers of tensors are the same on each machine; those of kernels' workspaces are this machine's.
"""

import importlib
import platform
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

import cnncost
from cnncost import units, zoo

HERE = Path(__file__).parent
sys.path[:0] = [str(path) for path in (HERE.parent, HERE, HERE / "benchmarks")]
from vit import ViT  # noqa: E402  # a script's neighbours

from tests.networks import LSTM, CellLSTM, DenseNet121, MobileNetV2  # noqa: E402
from tests.oracles.allocations import peaks  # noqa: E402

IMAGES, SMALL = (3, 224, 224), (3, 64, 64)
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
    "nn.LSTM, unfused": (lambda: LSTM(proj_size=64), (100, 64)),
}


def of_torchvision(name):
    importlib.import_module("torchvision_cpu").install()
    return getattr(importlib.import_module("torchvision.models"), name)()


class Llama(torch.nn.Module):
    """Two layers of Transformers' Llama with four heads of queries over one of keys and values: the tokens' states."""

    def __init__(self):
        super().__init__()
        transformers = importlib.import_module("transformers")
        config = transformers.LlamaConfig(
            vocab_size=TOKENS, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=1, max_position_embeddings=2048, use_cache=False,
        )  # fmt: skip
        self.model = transformers.LlamaModel(config)

    def forward(self, tokens):
        return self.model(input_ids=tokens).last_hidden_state


TOKENS = 1000
ZOOS = {
    "VGG-11 of torchvision": (lambda: of_torchvision("vgg11"), IMAGES),
    "SqueezeNet 1.1 of torchvision": (lambda: of_torchvision("squeezenet1_1"), IMAGES),
    "Swin-T of timm": (lambda: importlib.import_module("timm").create_model("swin_tiny_patch4_window7_224"), IMAGES),
    "Hiera-T of timm": (lambda: importlib.import_module("timm").create_model("hiera_tiny_224"), IMAGES),
    "Llama, 4 heads over 1, 2,048 tokens": (Llama, (2048,)),
}
"""Networks that are none of ours, and what they are written with. Under autocast they are run with one image alone."""
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


def given(batch, shape):
    """An input: with one axis beside the batch's, tokens."""
    return torch.randn(batch, *shape) if len(shape) > 1 else torch.randint(0, TOKENS, (batch, *shape))


def measure(name, build, shape, batch, cast=False, device="cpu"):
    """A row for inference and one for a training step, under autocast in bfloat16 if `cast`."""
    model, x = build().to(device), given(batch, shape).to(device)
    before = held(model, x)
    autocast = (f"{device}:bf16" if device != "cpu" else "bf16") if cast else None

    def clear():
        for parameter in model.parameters():
            parameter.grad = None

    def infer(_):
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=cast):
            return model(x)

    def train(_):
        with torch.autocast(device, torch.bfloat16, enabled=cast):
            out = model(x)
            loss = out.sum()
        loss.backward()
        return out, loss

    for mode, run, step in (("inference", infer, False), ("training step", train, True)):
        model.train(step)
        memory = cnncost.analyze(model, x, training=step, autocast=autocast).memory
        with unfused():
            found = peaks(run, clear, device)
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


def rows(cast=False, names=()):
    torch.manual_seed(0)
    return [
        row
        for name, (build, shape) in (NETWORKS | ZOOS).items()
        for batch in (BATCHES[:1] if cast and name in ZOOS else BATCHES)
        if not names or name in names
        for row in measure(name, build, SMALL if cast and "torchvision" in name else shape, batch, cast)
        if not (cast and (row.network, row.run) == UNTOLD)
    ]


def lines(found):
    return [
        f"| {row.network} | {row.batch} | {row.run} | {units.data(row.predicted)} | {units.data(row.measured)} "
        f"| {row.error:+.2%} | {units.data(row.workspaces)} |"
        for row in found
    ]


def table(found):
    return [
        "| network | batch | run | predicted | measured | error | workspaces |", "|---|---:|---|---:|---:|---:|---:|",
        *found,
    ]  # fmt: skip


def merged(before, now):
    """Lines of a table that was written before, those of networks that were run now in place of theirs."""
    names = list(NETWORKS | ZOOS)
    network = {line: line.split("|")[1].strip() for line in (*before, *now)}
    anew = {network[line] for line in now}
    kept = [line for line in before if network[line] in names and network[line] not in anew]
    return sorted([*kept, *now], key=lambda line: names.index(network[line]))


def worst(found):
    return max(abs(float(line.split("|")[6].strip(" %"))) for line in found)


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
    return "\n".join([
        "# Memory: predicted beside measured", "",
        f"{platform.machine()}, torch {torch.__version__}, float32, eager.",
        "Regenerate with `python tests/memory_report.py reports/memory.md`.", "",
        "Peak bytes of a forward without autograd, and of a training step (forward, sum of the outputs, backward;",
        "gradients are None at the start). Measured: the most bytes of tensors, with parameters and inputs, that",
        "the CPU allocator held at once, by the profiler's events. Workspaces, which a kernel allocates and frees",
        "while it runs, are a separate column: how much higher the peak is with them, on this CPU.", "",
        *table(found), "",
        f"The largest error is {worst(found):.2f}%. The LSTMs have two layers of 256 and read 100 steps of 64;",
        "the unfused one projects its states to 64, for which no CPU has a kernel: it runs step by step. What oneDNN",
        "keeps for the backward of `nn.LSTM` is predicted as its source lays it out; cuDNN's layout is its own.", "",
        "ViT is measured with its fused encoder layers off: they keep intermediates inside of a kernel, so that its",
        "inference takes less than the prediction when they are on.", "",
        "## Under autocast in bfloat16", "",
        "Forward and loss under `torch.autocast`, backward outside of it; weights and inputs in float32.", "",
        *table(cast), "",
        f"The largest error is {worst(cast):.2f}%. Torchvision's networks see 64×64 here, for a CPU without bfloat16",
        "takes minutes otherwise. Inference is under `torch.inference_mode()`; under `torch.no_grad()`",
        "torch keeps each weight's cast until the region is left. Inference of `nn.LSTM` is left out: its casts are",
        "made inside of a kernel's call, where the events take them for a workspace.", "",
        ALEXNET, "", *alexnet(), "",
        "Each card of the two-GPU net holds half of the kernels, units and activations, so half of the bytes. The",
        "paper says that a GTX 580 has 3 GB (section 3.2); the slide prints 2.", "",
    ])  # fmt: skip


def main(page, *names):
    if unknown := [name for name in names if name not in NETWORKS | ZOOS]:
        raise SystemExit(f"memory_report: no network {unknown[0]!r}; there are {', '.join(NETWORKS | ZOOS)}")
    written = page.read_text(encoding="utf-8") if names else ""
    before = [
        [line for line in part.splitlines() if line.count("|") == 8 and line.endswith("B |")]
        for part in written.partition("## Under autocast")[::2]
    ]
    tables = [merged(before[cast], lines(rows(bool(cast), names))) for cast in (0, 1)]
    page.write_text(text(*tables), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
