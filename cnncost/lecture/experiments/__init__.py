"""The slides' statements about layers, tested on real torch modules. One function per experiment, found by name."""

from cnncost.lecture.experiments import gradients, layers, networks, worked
from cnncost.lecture.experiments.registry import run, words

__all__ = ["gradients", "layers", "networks", "run", "words", "worked"]
