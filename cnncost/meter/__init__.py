"""Measures a training loop against its model's cost: throughput, FLOP/s and MFU.

meter.py         the Meter, around a plain loop
cost.py          what a step costs, by the shapes of its inputs
lightning.py     a callback for PyTorch Lightning
transformers.py  a callback for the Trainer of Transformers
"""

from cnncost.meter.meter import Meter, Rates

__all__ = ["Meter", "Rates"]
