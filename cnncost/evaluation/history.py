"""AlexNet's training in 2012: the time stated in the paper, compared with the ceilings of the GPUs used."""

from __future__ import annotations

from cnncost import units
from cnncost.analysis import analyze
from cnncost.devices import find
from cnncost.passes.roofline import roofline
from cnncost.report.prediction import Prediction, Training, estimate
from cnncost.report.prediction_text import training

ALEXNET = Training(epochs=90, examples=1_200_000, devices=2)
"""Krizhevsky, Sutskever, Hinton 2012, section 5: "roughly 90 cycles through the training set of 1.2 million images"."""
BATCH = 128
"""Batch size, section 5 of the paper."""
DAYS = (5, 6)
"""Section 5: "five to six days on two NVIDIA GTX 580 3GB GPUs"."""


def alexnet() -> str:
    """Return a sentence that compares the estimated time of AlexNet's training with the stated one."""
    report = analyze("alexnet_two_gpu", f"{BATCH}x3x227x227", training=True)
    assert report.graph is not None
    device = find("gtx580")
    prediction = Prediction(report, roofline(report.graph, device))
    estimated = estimate(prediction, ALEXNET)
    days = estimated.seconds / 86400
    low, high = (units.percent(days, stated) for stated in reversed(DAYS))
    return (
        f"AlexNet on two GTX 580, {training(ALEXNET, estimated, device)}. "
        f"The paper, and the lecture's slide that quotes it, state {DAYS[0]} to {DAYS[1]} days: the GPUs "
        f"reached {low} to {high} of their ceilings, in a time that includes data loading and "
        "the exchange between the devices"
    )
