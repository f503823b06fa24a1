"""A model with its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import nn


@dataclass
class Case:
    """A model and what its forward is called with.

    Attributes:
        why: the reason why an analysis must find another count than a real run; empty if it must not.
        training: the model stays in train mode.
    """

    model: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    training: bool = False

    def inputs(self) -> Any:
        """The arguments as `analyze` takes them: of positional and keyword arguments beside each other, all by name."""
        if not self.kwargs:
            return self.args
        names = list(inspect.signature(self.model.forward).parameters)
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}


Cases: TypeAlias = Iterator[tuple[str, Callable[[], Case]]]
