"""Exceptions that restart a recording with other options, raised when forward proves to need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class RestartError(BaseException):
    """Aborts a recording to restart it. It is not an Exception, so that models don't catch it by accident.

    Attributes:
        changes: the fields of `Attempt` to change, with their new values.
        remembered: whether later recordings of the same model start with the changes.
    """

    changes: ClassVar[Mapping[str, Any]] = {}
    remembered: ClassVar[bool] = False

    def prepare(self) -> None:
        """Prepare the restart; does nothing by default."""


class GradNeededError(RestartError):
    """Forward uses autograd."""

    changes: ClassVar[Mapping[str, Any]] = {"grad": True}
    remembered: ClassVar[bool] = True


class HooksNeededError(RestartError):
    """Forward registers a hook, so modules need their own hook tables."""

    changes: ClassVar[Mapping[str, Any]] = {"shared": False}


class DrawsFoundError(RestartError):
    """Forward drew random numbers of Python or NumPy; the second recording finds the module that draws them."""

    changes: ClassVar[Mapping[str, Any]] = {"find_draws": True}


class AutocastNeededError(RestartError):
    """Forward turns autocast on."""

    changes: ClassVar[Mapping[str, Any]] = {"casts": True}
    remembered: ClassVar[bool] = True


class AutocastUnneededError(RestartError):
    """Forward turned autocast on in an earlier recording, but not in this one, which is repeated without autocast."""

    changes: ClassVar[Mapping[str, Any]] = {"casts": False}
    remembered: ClassVar[bool] = True
