"""MODEL as a program of `torch.export`: `program.pt2`, with its example inputs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from cnncost.errors import SourceError
from cnncost.near import suggestion
from cnncost.sources.causes import one_line
from cnncost.sources.source import ModelSource


def load(spec: str) -> ModelSource:
    """Return the source of a program saved by `torch.export.save`; modules keep their names if torch can unflatten it.

    Raises:
        SourceError: the file does not exist, or this version of torch can't read it.
    """
    path = Path(spec)
    if not path.is_file():
        near = suggestion(path.name, [p.name for p in path.parent.glob("*.pt2")]) if path.parent.is_dir() else ""
        raise SourceError(f"{spec}: no such file{near}; expected a program saved by torch.export.save")
    import torch

    try:
        with _quiet():
            program = torch.export.load(path)
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        if "warnings above" in reason:  # torch only logs the reason, as a traceback
            reason = "an archive whose program can't be loaded"
        raise SourceError(
            f"{spec}: not a program that torch {torch.__version__} reads ({reason}); expected one saved by "
            "torch.export.save"
        ) from error

    return of_program(program, spec)


def of_program(program: Any, name: str) -> ModelSource:
    """Return the source of an exported program that is already loaded."""

    def factory(**arguments: Any) -> Any:
        if arguments:
            raise TypeError("an exported program is already built and takes no arguments")
        return _module(program)

    return ModelSource("program", name, factory, _inputs(program))


@contextmanager
def _quiet() -> Iterator[None]:
    """Context manager that silences warnings and torch's log messages, such as tracebacks; errors still propagate."""
    from cnncost.frontends.torch.compat.packages import EXPORT_ARCHIVE

    import_module(EXPORT_ARCHIVE)  # creates its loggers

    loggers = [
        logger for name, logger in logging.root.manager.loggerDict.items()
        if name.partition(".")[0] == "torch" and isinstance(logger, logging.Logger) and not logger.disabled
    ]  # fmt: skip
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger in loggers:
            logger.disabled = False


def _module(program: Any) -> Any:
    """Return the program as a tree of modules, or as a single module if it can't be unflattened."""
    import torch

    try:
        with _quiet():
            return torch.export.unflatten(program)
    except Exception:  # noqa: BLE001  # torch fails for modules with several call signatures, among others
        return program.module()


def _inputs(program: Any) -> Any:
    """Return the example inputs; None if there are none, or both positional and keyword arguments."""
    args, kwargs = program.example_inputs or ((), {})
    if args and kwargs:
        return None
    return tuple(args) if args else dict(kwargs) or None
