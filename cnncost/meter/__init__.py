"""Measures a training loop against its model's cost: throughput, FLOP/s and MFU.

meter.py         the Meter, around a plain loop
rates.py         what a Meter has measured
cost.py          the cost of a step, by its input shapes and the model's state
lightning.py     a callback for PyTorch Lightning
transformers.py  a callback for the Trainer of Transformers
safe_meter.py    the Meter that both callbacks use; its failures never abort training
"""

from importlib import import_module
from typing import Any

from cnncost.meter.meter import Meter
from cnncost.meter.rates import Rates

__all__ = ["Meter", "Rates"]

_CALLBACKS = ("lightning", "transformers")
"""Imported on first access: each needs its own package (Lightning, Transformers)."""


def __getattr__(name: str) -> Any:
    if name in _CALLBACKS:
        return import_module(f"cnncost.meter.{name}")
    raise AttributeError(f"module 'cnncost.meter' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_CALLBACKS})
