"""A source that was found: how to build its model, and the inputs it knows of."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from cnncost.errors import SourceError
from cnncost.sources.offline import offline


@dataclass(frozen=True, slots=True)
class Loaded:
    """A factory of models. `inputs` are what the source itself says, or None."""

    spec: str
    factory: Callable[..., Any]
    inputs: Any = None
    folder: str | None = None
    """Where the code may import its neighbours from, while it builds and while it runs."""
    inputs_of: Callable[[Any], Any] | None = None
    """What the built model takes, where that depends on how it was built."""
    library: bool = False
    """The factory is a library's, that might want to fetch weights: it is kept from the network."""

    def inputs_for(self, model: Any) -> Any:
        """The inputs that the source knows for the model that it built, or None."""
        return self.inputs if self.inputs_of is None else self.inputs_of(model)

    def build(self, arguments: dict[str, Any], weights: bool = False) -> Any:
        """Call the factory under the `meta` device: the model has no weights; or without, and it has its initial ones.

        Raises:
            SourceError: the factory raises, or returns no `nn.Module`.
        """
        from torch import nn

        from cnncost.frontends.torch.building import building
        from cnncost.frontends.torch.guard import same_random_state

        try:
            place = same_random_state() if weights else building()
            with importable(self.folder), place, offline(self.spec) if self.library else nullcontext():
                model = self.factory(**arguments)
        except SourceError:
            raise
        except (Exception, SystemExit) as error:
            raise SourceError(self._failure(error, arguments)) from error
        if not isinstance(model, nn.Module):
            raise SourceError(f"{self.spec}: expected a factory of torch.nn.Module, got {type(model).__name__} from it")
        return model

    def _failure(self, error: BaseException, arguments: dict[str, Any]) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        ours = not frames or frames[-1].filename == __file__
        where = "" if ours else f" at {frames[-1].filename}:{frames[-1].lineno}"
        given = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
        hint = "; give its arguments with --model-args NAME=VALUE" if isinstance(error, TypeError) else ""
        return f"{self.spec}: building it with ({given}) failed{where}: {with_root(error)}{hint}"


def one_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or "no message"


def root(error: BaseException) -> BaseException:
    """The first error of those that led to this one."""
    seen = {id(error)}
    while (cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        if id(cause) in seen:
            break
        seen.add(id(cause))
        error = cause
    return error


def with_root(error: BaseException) -> str:
    """An error, and the one that it came from: a library's own words often hide what is wrong."""
    said, first = f"{type(error).__name__}: {one_line(error)}", root(error)
    below = f"{type(first).__name__}: {one_line(first)}"
    return said if first is error or one_line(first) in said else f"{said} (the root cause: {below})"


@contextmanager
def importable(folder: str | None) -> Iterator[None]:
    """Let code import its neighbours while this lasts, as running it from their folder would."""
    if folder is None:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
