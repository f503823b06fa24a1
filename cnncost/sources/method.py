"""MODEL with a method: `net.py:Net#encode` runs the built model's `encode` instead of forward."""

from __future__ import annotations

import re
from pathlib import Path
from types import MethodType
from typing import Any

from cnncost.errors import SourceError
from cnncost.near import suggestion

_WITH_METHOD = re.compile(r"(?P<model>.+)#(?P<method>[^#:/\\]*)")


def split_method(spec: str) -> tuple[str, str]:
    """Split a specification into model and method; the method is empty if none is named.

    A `#` in the name of a file or folder is not a separator.

    Raises:
        SourceError: nothing, or no valid name, follows the `#`.
    """
    match = _WITH_METHOD.fullmatch(spec)
    if match is None or Path(spec).is_file():
        return spec, ""
    model, method = match["model"], match["method"]
    if not all(part.isidentifier() or part.isdecimal() for part in method.split(".")):  # 0: a child of a Sequential
        raise SourceError(f"{spec}: expected the name of a method after #, as in net.py:Net#encode, got {method!r}")
    return model, method


def method_of(spec: str, model: Any, method: str) -> Any:
    """Look up a method or submodule of a model by a path such as `encoder.embed`.

    Raises:
        SourceError: there is no such attribute, or it can't be called.
    """
    target = model
    for name in method.split("."):
        try:
            target = getattr(owner := target, name)
        except Exception as error:  # a property may raise anything
            # an attribute that doesn't exist needs no reason; a property that raises does
            reason = "" if isinstance(error, AttributeError) and not hasattr(type(owner), name) else f" ({error})"
            raise SourceError(
                f"{spec}: {type(owner).__name__} has no method {name}{reason}{suggestion(name, _callables(owner))}"
            ) from error
    if not callable(target):
        raise SourceError(
            f"{spec}: expected a method or a module after #, got {type(target).__name__}"
            f"{suggestion(name, _callables(owner))}"
        )
    return target


def _callables(owner: Any) -> list[str]:
    """Return the names of the owner's methods and submodules, excluding those of `nn.Module`."""
    from torch import nn

    names = [name for name in dir(type(owner)) if not hasattr(nn.Module, name) or name == "forward"]
    methods = [name for name in names if callable(getattr(type(owner), name, None))]
    children = owner.named_children() if isinstance(owner, nn.Module) else ()
    return [*methods, *(name for name, _ in children)]


def is_child(target: Any) -> bool:
    """Return whether the target is a submodule, whose inputs are unknown, and not a bound method."""
    return not isinstance(target, MethodType)
