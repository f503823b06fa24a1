"""Measures a training loop against its model's cost: throughput, FLOP/s and MFU.

meter.py         the Meter, around a plain loop
cost.py          what a step costs, by the shapes of its inputs
lightning.py     a callback for PyTorch Lightning
transformers.py  a callback for the Trainer of Transformers
watched.py       the Meter that both hold: it never ends a training
"""

from importlib import import_module
from typing import Any

from cnncost.meter.meter import Meter, Rates

__all__ = ["Meter", "Rates"]

_CALLBACKS = ("lightning", "transformers")
"""Imported when they are named: each needs a package of its own."""


def __getattr__(name: str) -> Any:
    if name in _CALLBACKS:
        return import_module(f"cnncost.meter.{name}")
    raise AttributeError(f"module 'cnncost.meter' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_CALLBACKS})
