"""Exceptions that restart a recording with other options, raised when forward turns out to need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class RestartError(BaseException):
    """Aborts a recording to restart it. Not an Exception, so that no `except Exception` in a model catches it.

    Attributes:
        changes: the fields of `Attempt` to change, with their new values.
        remembered: whether later recordings of the same model start with these changes.
    """

    changes: ClassVar[Mapping[str, Any]] = {}
    remembered: ClassVar[bool] = False

    def prepare(self) -> None:
        """Run before the restart; does nothing by default."""


class GradNeededError(RestartError):
    """Forward uses autograd."""

    changes: ClassVar[Mapping[str, Any]] = {"grad": True}
    remembered: ClassVar[bool] = True


class HooksNeededError(RestartError):
    """Forward registers a hook: modules need their own hook tables."""

    changes: ClassVar[Mapping[str, Any]] = {"shared": False}


class DrawsFoundError(RestartError):
    """Python's or numpy's random numbers were drawn; the second recording finds the module that draws them."""

    changes: ClassVar[Mapping[str, Any]] = {"find_draws": True}


class AutocastNeededError(RestartError):
    """Forward turns autocast on."""

    changes: ClassVar[Mapping[str, Any]] = {"casts": True}
    remembered: ClassVar[bool] = True


class AutocastUnneededError(RestartError):
    """Forward turned autocast on in an earlier recording but not now: it is recorded without autocast."""

    changes: ClassVar[Mapping[str, Any]] = {"casts": False}
    remembered: ClassVar[bool] = True
