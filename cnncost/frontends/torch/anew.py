"""Exceptions that restart a recording with other options, raised when forward shows that it needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class RecordAnewError(BaseException):
    """Aborts a recording to restart it. Not an Exception, so that no `except Exception` in a model catches it.

    Attributes:
        changes: fields of `How` that differ the next time.
        remembered: later recordings of the same model start with these changes.
    """

    changes: ClassVar[Mapping[str, Any]] = {}
    remembered: ClassVar[bool] = False

    def prepare(self) -> None:
        """Do what is needed before the restart."""


class GradWantedError(RecordAnewError):
    """Forward uses autograd."""

    changes: ClassVar[Mapping[str, Any]] = {"grad": True}
    remembered: ClassVar[bool] = True


class HookWantedError(RecordAnewError):
    """Forward registers a hook: modules need their own hook tables."""

    changes: ClassVar[Mapping[str, Any]] = {"shared": False}


class PlacesWantedError(RecordAnewError):
    """Python's or numpy's random numbers were drawn; the second recording finds the module that draws them."""

    changes: ClassVar[Mapping[str, Any]] = {"places": True}


class AutocastWantedError(RecordAnewError):
    """Forward turns autocast on."""

    changes: ClassVar[Mapping[str, Any]] = {"casts": True}
    remembered: ClassVar[bool] = True


class AutocastUnwantedError(RecordAnewError):
    """Forward turned autocast on in an earlier recording but not now: it is recorded without autocast."""

    changes: ClassVar[Mapping[str, Any]] = {"casts": False}
    remembered: ClassVar[bool] = True
