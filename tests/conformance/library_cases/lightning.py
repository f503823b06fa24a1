"""LightningModules that keep their hyperparameters, log in forward, and hold metrics."""

from __future__ import annotations

import argparse

import torch
from torch import nn

from library_cases.case import Case, Cases

PACKAGES = (
    "!lightning",
    "!pytorch-lightning",
    "!lightning-utilities",
    "!torchmetrics",
    "packaging",
    "fsspec",
    "aiohttp",
    "tqdm",
)


def cases() -> Cases:
    import lightning as pl
    import torchmetrics

    class Plain(pl.LightningModule):
        def __init__(self, width: int = 8, names: tuple = ("a", "b"), more: dict | None = None) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Linear(8, self.hparams.width)

        def forward(self, x):
            return self.net(x) * len(self.hparams.names)

    class Measured(Plain):
        def __init__(self, **kwargs) -> None:
            super().__init__(**kwargs)
            self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=8)
            self.mean = torchmetrics.MeanMetric()

        def forward(self, x):
            out = super().forward(x)
            self.accuracy(out, torch.zeros(len(x), dtype=torch.long))
            self.mean.update(out.mean())
            return out

    class OfNamespace(pl.LightningModule):
        def __init__(self, options: argparse.Namespace) -> None:
            super().__init__()
            self.save_hyperparameters(options)
            self.net = nn.Linear(8, self.hparams["width"])
            self.example_input_array = torch.rand(2, 8)

        def forward(self, x):
            return self.net(x) if self.hparams.deep else x

    class OfModule(pl.LightningModule):
        def __init__(self, net: nn.Module, loss: nn.Module) -> None:
            super().__init__()
            self.save_hyperparameters(ignore=["net"])
            self.net, self.loss = net, loss

        def forward(self, x):
            return self.loss(self.net(x), torch.zeros(len(x), 8)) + self.hparams.loss(
                self.net(x), torch.zeros(len(x), 8)
            )

    x = torch.rand(2, 8)
    yield "hyperparameters", lambda: Case(Plain(), (x.clone(),))
    yield "nested hyperparameters", lambda: Case(Plain(more={"a": {"b": [1, 2]}}), (x.clone(),))
    yield "with metrics", lambda: Case(Measured(), (x.clone(),))
    yield "of a Namespace", lambda: Case(OfNamespace(argparse.Namespace(width=8, deep=True)), (x.clone(),))
    yield "of a module", lambda: Case(OfModule(nn.Linear(8, 8), nn.MSELoss()), (x.clone(),))
    yield "with a trainer", lambda: _attached(Plain(), x)
    for name, args in {
        "Accuracy": ("multiclass",),
        "MeanSquaredError": (),
        "StructuralSimilarityIndexMeasure": (),
    }.items():
        yield (
            name,
            lambda name=name, args=args: Case(
                _metric(torchmetrics, name, args),
                (torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16))
                if name.startswith("Str")
                else (x.clone(), x.clone() if name != "Accuracy" else torch.tensor([1, 2])),
            ),
        )


def _metric(torchmetrics, name, args):
    if name == "Accuracy":
        return torchmetrics.Accuracy(task="multiclass", num_classes=8)
    return getattr(torchmetrics if hasattr(torchmetrics, name) else torchmetrics.image, name)(*args)


def _attached(module, x) -> Case:
    import lightning as pl

    module.trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    return Case(module, (x.clone(),))
