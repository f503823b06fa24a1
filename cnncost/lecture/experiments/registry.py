"""Experiments by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeAlias

from cnncost.lecture.values import Measured

__all__ = ["experiment", "run", "words"]

Arguments = ParamSpec("Arguments")
Runner: TypeAlias = Callable[..., Measured]

_EXPERIMENTS: dict[str, tuple[Runner, str]] = {}


def experiment(
    told: str,
) -> Callable[[Callable[Arguments, Measured]], Callable[Arguments, Measured]]:
    """Register a function of ints under its name; `told` describes in a few words what it tests."""

    def register(function: Callable[Arguments, Measured]) -> Callable[Arguments, Measured]:
        _EXPERIMENTS[function.__name__] = (function, told)
        return function

    return register


def run(name: str, *arguments: int) -> Measured:
    """Run the experiment."""
    return _EXPERIMENTS[name][0](*arguments)


def words(name: str) -> str:
    """Description of an experiment."""
    return _EXPERIMENTS[name][1]
