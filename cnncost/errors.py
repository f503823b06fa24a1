"""Exceptions of cnncost.

Inner code states the reason; the entry points (`analyze`, the command line) add the place. A message says where the
error occurred, what was expected, what was found, and what to do.
"""

from __future__ import annotations

from typing import Any


class CnncostError(Exception):
    """Base class of the library's exceptions.

    Attributes:
        recorded: if forward failed, the Graph of the ops before the failure; None if there are none.
        partial: the Report of that Graph, set by `analyze`.
    """

    recorded: Any = None  # a Graph and a Report, typed as Any because this module doesn't import them
    partial: Any = None


class UnsupportedTorchError(CnncostError, ImportError):
    """The installed torch is older than the oldest supported version."""


class UntestedTorchWarning(UserWarning):
    """The installed torch is newer than the newest version on which the figures are verified."""


class SourceError(CnncostError):
    """A MODEL specification that can't be turned into a model."""


class InputError(CnncostError):
    """Inputs or arguments that can't be read, or that forward can't accept."""


class ForwardError(CnncostError):
    """The model's own forward failed.

    Attributes:
        path: path of the module that failed, `""` for the model itself.
        misfit: whether the module rejects the inputs' shapes or dtypes; then a run on real data would fail, too.
    """

    def __init__(self, message: str, path: str = "", misfit: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.misfit = misfit


class DataDependentError(ForwardError):
    """Forward reads values that static analysis lacks; or, with `strict`, random numbers decide which ops run."""


class NoShapeError(ForwardError):
    """Forward runs an op whose result has no known shape without values."""


class UnknownOpError(CnncostError):
    """Strict analysis found ops without a rule."""


class RuleError(CnncostError):
    """A rule that fails or does not return a cost."""


class GraphError(CnncostError):
    """A Graph that violates its invariants: a front-end bug, or a damaged file."""


class OutputError(CnncostError):
    """A file that can't be written."""


class MissingPackageError(CnncostError):
    """An optional package is needed; the message gives the command that installs it."""


class DeviceError(CnncostError):
    """A device that is unknown or badly described, or has no peak for the requested number format."""


class BenchError(CnncostError):
    """A measurement that can't be made here."""


class SweepError(CnncostError):
    """A sweep that can't go on: a journal of another grid, a cluster that can't be reached."""


class NotAtRevisionError(CnncostError, ModuleNotFoundError):
    """Raised on importing a module that exists in the working tree, but not at the revision that is analyzed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No module named {name!r} at this revision, but in the working tree", name=name)
