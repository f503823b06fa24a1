"""Lets forward construct tensor subclasses: `MyTensor(x)`, `CausalBias(variant, queries, keys)`.

Subclasses without a `__new__` of their own inherit torch's legacy constructor, which wraps a new tensor as the
subclass. Under a dispatch mode that tensor already has a Python object and can't be wrapped again, so the replacement
calls `as_subclass`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from cnncost.frontends.torch.patches import Patch

_NEW = torch.Tensor.__new__
_WHY = "the inherited constructor raises under a dispatch mode, where the new tensor already has a Python object"


def constructors(is_ours: Callable[[], bool], copy_values: Callable[[torch.Tensor, torch.Tensor], None]) -> list[Patch]:
    """Return patches of the constructor that tensor subclasses inherit.

    Args:
        is_ours: returns whether the caller is the model's code.
        copy_values: called with the new tensor and the plain one from which it was created.
    """

    def new(kind: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_ours():
            return _NEW(kind, *args, **kwargs)
        with torch.DisableTorchFunctionSubclass():
            plain = _construct(args, kwargs)
            tensor = plain.as_subclass(kind)
            copy_values(tensor, plain)
            return tensor

    kinds = [kind for kind in dict.fromkeys(_subclasses(torch.Tensor)) if kind.__new__ is _NEW]
    return [Patch(kind, "__new__", staticmethod(new), _WHY) for kind in kinds]


def _subclasses(kind: Any) -> Iterator[Any]:
    """Yield all direct and indirect subclasses of a class."""
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def _construct(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """Construct a tensor like `torch.Tensor(…)`: return a tensor unchanged, create one of a given shape, or copy data.

    Raises:
        TypeError: the arguments fit none of these.
    """
    only = args[0] if len(args) == 1 else None
    if isinstance(only, torch.Tensor) and not kwargs:
        return only
    if kwargs.keys() <= {"device"}:
        if isinstance(only, torch.Size):
            return torch.empty(only, **kwargs)
        if all(isinstance(size, int) for size in args):
            return torch.empty(args or (0,), **kwargs)
        if isinstance(only, (list, tuple)):
            return torch.tensor(only, dtype=torch.get_default_dtype(), **kwargs)
    raise TypeError(f"new() received an invalid combination of arguments: {args}, {kwargs}")
