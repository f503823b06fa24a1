"""A model with weights, from the specification that is otherwise analyzed without."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from cnncost.errors import SourceError
from cnncost.sources.batch import known_inputs
from cnncost.sources.loaded import importable, one_line


@dataclass(frozen=True, slots=True)
class Real:
    """A factory of models with weights, and the inputs that they take."""

    name: str
    factory: Callable[..., Any]
    inputs: Any
    arguments: dict[str, Any] = field(default_factory=dict)
    folder: str | None = None

    def build(self) -> Any:
        """A new model, its weights as its own code makes them.

        Raises:
            SourceError: the factory fails or returns no module.
        """
        from torch import nn

        try:
            with self.importable():
                model = self.factory(**self.arguments)
        except (RuntimeError, MemoryError):
            raise  # too little memory is for the caller to tell
        except (Exception, SystemExit) as error:
            raise SourceError(f"{self.name}: building it failed: {type(error).__name__}: {one_line(error)}") from error
        if not isinstance(model, nn.Module):
            raise SourceError(f"{self.name}: expected a factory of torch.nn.Module, got {type(model).__name__} from it")
        return model

    def importable(self) -> AbstractContextManager[None]:
        """Let the model's code import its neighbours."""
        return importable(self.folder)


def real(spec: str, inputs: Any = None, arguments: dict[str, Any] | None = None) -> Real:
    """Find a model's factory.

    Raises:
        SourceError: as `resolve` does.
        InputError: no inputs where the source knows none.
    """
    from cnncost.sources.method import without_method
    from cnncost.sources.resolve import _loader

    without_method(spec, "a measurement")
    loaded = _loader(spec)(spec)
    given = inputs if inputs is not None else known_inputs(spec, arguments)
    return Real(spec, loaded.factory, given, arguments or {}, loaded.folder)
