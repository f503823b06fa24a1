"""Tests the slides' statements about layers on actual torch modules. Each experiment is a function, found by name."""

from cnncost.lecture.experiments import gradients, layers, networks, worked
from cnncost.lecture.experiments.registry import run, words

__all__ = ["gradients", "layers", "networks", "run", "words", "worked"]
