"""A source that was found: how to build its model, and the inputs it knows of."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cnncost.errors import SourceError


@dataclass(frozen=True, slots=True)
class Loaded:
    """A factory of models. `inputs` are what the source itself says, or None."""

    spec: str
    factory: Callable[..., Any]
    inputs: Any = None

    def build(self, arguments: dict[str, Any]) -> Any:
        """Call the factory under the `meta` device: the model has no weights.

        Raises:
            SourceError: the factory raises, or returns no `nn.Module`.
        """
        from torch import nn

        from cnncost.frontends.torch.building import building

        try:
            with building():
                model = self.factory(**arguments)
        except Exception as error:
            raise SourceError(self._failure(error, arguments)) from error
        if not isinstance(model, nn.Module):
            raise SourceError(
                f"{self.spec}: expected a factory of torch.nn.Module, got {type(model).__name__} from it"
            )
        return model

    def _failure(self, error: Exception, arguments: dict[str, Any]) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        given = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
        hint = "; give its arguments with --model-args NAME=VALUE" if isinstance(error, TypeError) else ""
        return f"{self.spec}: building it with ({given}) failed{where}: {type(error).__name__}: {error}{hint}"
