"""What the slides say of layers, tried on real torch modules. One function an experiment, found by its name."""

from cnncost.lecture.experiments import gradients, layers, networks, worked
from cnncost.lecture.experiments.registry import run, words

__all__ = ["gradients", "layers", "networks", "run", "words", "worked"]
