"""Recordings that are made once more, in another way, for forward has shown what they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class RecordAnewError(BaseException):
    """Ends a recording that is to be made once more. Not an Exception: no `except` of a model's may stop it.

    Attributes:
        changes: fields of `How` that are other the next time.
        remembered: the next recording of the same model is made so at once.
    """

    changes: ClassVar[Mapping[str, Any]] = {}
    remembered: ClassVar[bool] = False

    def prepare(self) -> None:
        """Do what has to be done before."""


class GradWantedError(RecordAnewError):
    """Forward asks autograd for something."""

    changes: ClassVar[Mapping[str, Any]] = {"grad": True}
    remembered: ClassVar[bool] = True


class HookWantedError(RecordAnewError):
    """Forward registers a hook: modules need tables of their own."""

    changes: ClassVar[Mapping[str, Any]] = {"shared": False}


class PlacesWantedError(RecordAnewError):
    """Random numbers were drawn: where, a second recording shows."""

    changes: ClassVar[Mapping[str, Any]] = {"places": True}


class AutocastWantedError(RecordAnewError):
    """Forward turns autocast on."""

    changes: ClassVar[Mapping[str, Any]] = {"casts": True}
    remembered: ClassVar[bool] = True


class AutocastUnwantedError(RecordAnewError):
    """A model that turned autocast on before does not do so now: it is recorded as any other."""

    changes: ClassVar[Mapping[str, Any]] = {"casts": False}
    remembered: ClassVar[bool] = True
