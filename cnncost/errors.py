"""Exceptions of cnncost.

Inner code states the reason; the edge (`analyze`, the command line) adds the place. A message
names where it happened, what was expected, what came, and what to do.
"""

from __future__ import annotations

from typing import Any


class CnncostError(Exception):
    """Base class of the library's exceptions.

    Attributes:
        recorded: where forward failed, the Graph of what it did before; None if it did nothing.
        partial: the Report of that Graph, of an error that `analyze` raised.
    """

    recorded: Any = None  # a Graph and a Report: nothing that raises has to know either
    partial: Any = None


class UnsupportedTorchError(CnncostError, ImportError):
    """The installed torch is older than the oldest supported version."""


class UntestedTorchWarning(UserWarning):
    """The installed torch is newer than the newest version on which the figures are verified."""


class SourceError(CnncostError):
    """A MODEL specification that can't be turned into a model."""


class InputError(CnncostError):
    """Inputs that can't be read, or that no forward could take."""


class ForwardError(CnncostError):
    """The model's own forward failed; `path` is the module in which it did.

    Attributes:
        path: the module's path, `""` for the model itself.
        misfit: the input is not what the module takes, whatever the values are.
    """

    def __init__(self, message: str, path: str = "", misfit: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.misfit = misfit


class DataDependentError(ForwardError):
    """Forward reads the values of a tensor, and static analysis has none."""


class NoShapeError(ForwardError):
    """Forward runs an op whose result has no known shape without values."""


class UnknownOpError(CnncostError):
    """Strict analysis met ops without a rule."""


class RuleError(CnncostError):
    """A rule that fails or does not return a cost."""


class GraphError(CnncostError):
    """A Graph that violates its invariants: a front-end bug, or a damaged file."""


class OutputError(CnncostError):
    """A report that can't be written where it was asked for."""


class MissingPackageError(CnncostError):
    """An optional package is needed; the message gives the command that installs it."""


class DeviceError(CnncostError):
    """A device that is not known, not described well, or has no ceiling for what is asked of it."""


class BenchError(CnncostError):
    """A measurement that can't be made here."""


class SweepError(CnncostError):
    """A sweep that can't go on: a journal of another grid, a cluster that can't be reached."""
