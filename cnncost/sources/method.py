"""MODEL with a method: `net.py:Net#encode` is what the built model's `encode` does, in place of its forward."""

from __future__ import annotations

import re
from pathlib import Path
from types import MethodType
from typing import Any

from cnncost.errors import SourceError
from cnncost.near import suggestion

_WITH_METHOD = re.compile(r"(?P<model>.+)#(?P<method>[^#:/\\]*)")


def split_method(spec: str) -> tuple[str, str]:
    """A specification without its method, and the method; that is empty where none is named.

    A `#` in the name of a file or folder is none.

    Raises:
        SourceError: nothing after the `#`, or what can be no name.
    """
    found = _WITH_METHOD.fullmatch(spec)
    if found is None or Path(spec).is_file():
        return spec, ""
    model, method = found["model"], found["method"]
    if not all(part.isidentifier() for part in method.split(".")):
        raise SourceError(f"{spec}: expected the name of a method after #, as in net.py:Net#encode, got {method!r}")
    return model, method


def method_of(spec: str, model: Any, method: str) -> Any:
    """What the method's name means on a model: a bound method, or a module in it, by a path such as `encoder.embed`.

    Raises:
        SourceError: there is none of this name, or what there is can't be called.
    """
    target = model
    for name in method.split("."):
        try:
            target = getattr(owner := target, name)
        except Exception as error:  # a property may fail as it likes
            failed = "" if isinstance(error, AttributeError) and not hasattr(type(owner), name) else f" ({error})"
            raise SourceError(
                f"{spec}: {type(owner).__name__} has no method {name}{failed}{suggestion(name, _callables(owner))}"
            ) from error
    if not callable(target):
        raise SourceError(
            f"{spec}: expected a method or a module after #, got {type(target).__name__}"
            f"{suggestion(name, _callables(owner))}"
        )
    return target


def _callables(owner: Any) -> list[str]:
    """Names of the owner's own methods and modules, those that torch gives to every module left out."""
    from torch import nn

    found = [name for name in dir(type(owner)) if not hasattr(nn.Module, name) or name == "forward"]
    methods = [name for name in found if callable(getattr(type(owner), name, None))]
    return [*methods, *getattr(owner, "_modules", ())]


def is_child(target: Any) -> bool:
    """Whether it is a module of its own, whose inputs nobody knows."""
    return not isinstance(target, MethodType)
