"""Registry of experiments, by name."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import ParamSpec, TypeAlias

from cnncost.errors import CnncostError
from cnncost.lecture.values import Measured
from cnncost.near import suggestion

__all__ = ["experiment", "run", "words"]

Arguments = ParamSpec("Arguments")
Runner: TypeAlias = Callable[..., Measured]

_EXPERIMENTS: dict[str, tuple[Runner, str]] = {}


def experiment(
    description: str,
) -> Callable[[Callable[Arguments, Measured]], Callable[Arguments, Measured]]:
    """Register a function of ints under its name. `description` says in a few words what it tests."""

    def register(function: Callable[Arguments, Measured]) -> Callable[Arguments, Measured]:
        _EXPERIMENTS[function.__name__] = (function, description)
        return function

    return register


def run(name: str, *arguments: int) -> Measured:
    """Run an experiment.

    Raises:
        CnncostError: there is no such experiment, or it takes other arguments.
    """
    if name not in _EXPERIMENTS:
        near = suggestion(name, _EXPERIMENTS) or f"; expected one of {', '.join(_EXPERIMENTS)}"
        raise CnncostError(f"unknown experiment {name!r}{near}")
    runner = _EXPERIMENTS[name][0]
    try:
        signature(runner).bind(*arguments)
    except TypeError as error:
        takes = ", ".join(signature(runner).parameters)
        raise CnncostError(f"experiment {name}: expected arguments = [{takes}], got {[*arguments]}: {error}") from None
    return runner(*arguments)


def words(name: str) -> str:
    """Return the description of an experiment."""
    return _EXPERIMENTS[name][1]
