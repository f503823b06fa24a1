"""What functions make of tensors without data, remembered: torch's kernels for these are slow, being Python.

A function's result without data depends on its arguments' shapes, strides, dtypes and plain values alone, and so is
made again from these. Constructors compute the same tables of positions in every block, and some run a network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F  # as everywhere

from cnncost.session import SESSION

_METHODS = "mul sub add div pow neg abs log exp sum mean ne eq __eq__ masked_fill".split()
_FUNCTIONS = "arange linspace logspace mul sub add div abs log sign stack cat".split()
_LAYERS = "conv2d batch_norm group_norm layer_norm gelu".split()
REMEMBERED = frozenset(
    getattr(where, name)
    for where, names in ((torch.Tensor, _METHODS), (torch, _FUNCTIONS), (F, _LAYERS))
    for name in names
)
"""They draw nothing, write to nothing but what they are told to by `out`, and return one tensor of its own storage."""

_SAYS_MORE = frozenset({"out", "names"})
"""Arguments whose results are more than a new tensor."""

_META = torch.device("meta")
_TENSORS = frozenset({torch.Tensor, torch.nn.Parameter})
_SEQUENCES = frozenset({list, tuple, torch.Size})
_PLAIN = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format})


class _Made(NamedTuple):
    size: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype


class _UnclearError(Exception):
    """An argument that says not all about itself."""


_KNOWN: dict[tuple[Any, ...], _Made] = {}
SESSION.own_table("results without data", _KNOWN)


def remembered(func: Any, args: Any, kwargs: Any) -> Any:
    """What the function returns: run, if any argument has data, or is to have a gradient."""
    key: list[Any] = [func, torch.get_default_dtype()]
    try:
        _sign(args, key)
        for name, value in kwargs.items():
            key.append(name)
            _sign((value,), key)
    except _UnclearError:
        return func(*args, **kwargs)
    signature = tuple(key)
    if (made := _KNOWN.get(signature)) is not None:
        return torch.empty_strided(made.size, made.stride, dtype=made.dtype, device=_META)
    result = func(*args, **kwargs)
    if _plain(result) and not result.requires_grad and _SAYS_MORE.isdisjoint(kwargs):
        _KNOWN[signature] = _Made(result.size(), result.stride(), result.dtype)
    return result


def _sign(args: Iterable[Any], key: list[Any]) -> None:
    """Append to the key all that a result's shape, strides and dtype depend on.

    Raises:
        _UnclearError: it depends on more.
    """
    for arg in args:
        kind = type(arg)
        if kind in _PLAIN:
            key.append(kind)  # 1, 1.0 and True are equal, and give other dtypes
            key.append(arg)
        elif kind in _TENSORS:
            if not _plain(arg):
                raise _UnclearError
            key.append((arg.size(), arg.stride(), arg.dtype))
        elif kind in _SEQUENCES:
            key.append(len(arg))
            _sign(arg, key)
        else:
            raise _UnclearError


def _plain(tensor: Any) -> bool:
    """Whether size, strides and dtype are all there is to a tensor."""
    return bool(
        type(tensor) in _TENSORS
        and tensor.is_meta
        and not (tensor.requires_grad and torch.is_grad_enabled())
        and tensor.layout is torch.strided
        and not tensor.is_conj()
        and not tensor.is_neg()
        and torch._C._functorch.peek_interpreter_stack() is None  # it would hide an axis
    )
