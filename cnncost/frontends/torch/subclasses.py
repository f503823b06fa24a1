"""Tensors of subclasses that forward makes: `MyTensor(x)`, `CausalBias(variant, queries, keys)`.

Torch's old constructor, which a subclass without one of its own inherits, gives what it made to the subclass. Under a
dispatch mode that is an object of Python's already, which can't become another: `as_subclass` makes the same instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

_NEW = torch.Tensor.__new__


def constructors(
    is_ours: Callable[[], bool], same_values: Callable[[torch.Tensor, torch.Tensor], None]
) -> dict[tuple[Any, str], Any]:
    """What takes the place of the constructors of all subclasses that have none of their own.

    Args:
        is_ours: whether it is the model's code that calls.
        same_values: told of a tensor that was made, and of the one whose values it has.
    """

    def new(kind: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_ours():
            return _NEW(kind, *args, **kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            plain = _made(args, kwargs)
            tensor = plain.as_subclass(kind)
            same_values(tensor, plain)
            return tensor

    return {(kind, "__new__"): staticmethod(new) for kind in _below(torch.Tensor) if kind.__new__ is _NEW}


def _below(kind: Any) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _made(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """What `torch.Tensor(…)` makes: of a tensor itself, of sizes an uninitialised one, of data its values.

    Raises:
        TypeError: of anything else, as torch does.
    """
    one = args[0] if len(args) == 1 else None
    if isinstance(one, torch.Tensor) and not kwargs:
        return one
    if kwargs.keys() <= {"device"}:
        if isinstance(one, torch.Size):
            return torch.empty(one, **kwargs)
        if all(isinstance(size, int) for size in args):
            return torch.empty(args or (0,), **kwargs)
        if isinstance(one, (list, tuple)):
            return torch.tensor(one, dtype=torch.get_default_dtype(), **kwargs)
    raise TypeError(f"new() received an invalid combination of arguments: {args}, {kwargs}")
