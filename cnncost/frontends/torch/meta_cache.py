"""Cache of results on meta tensors, while a model is built. Many of torch's meta kernels are slow Python code.

A result on meta depends only on the arguments' shapes, strides, dtypes and plain values, so it can be recreated from
its metadata. Constructors compute the same position tables in every block, and some even run a network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from cnncost.frontends.torch.compat.autograd import innermost_transform
from cnncost.session import SESSION

_METHODS = "mul sub add div pow neg abs log exp sum mean ne eq __eq__ masked_fill".split()
_FUNCTIONS = "arange linspace logspace mul sub add div abs log sign stack cat".split()
_LAYERS = "conv2d batch_norm group_norm layer_norm gelu".split()
CACHED = frozenset(
    getattr(owner, name)
    for owner, names in ((torch.Tensor, _METHODS), (torch, _FUNCTIONS), (F, _LAYERS))
    for name in names
)
"""Functions whose results are cached: they draw no random numbers, write only to `out`, and return one new tensor."""

_UNCACHED = frozenset({"out", "names"})
"""Keyword arguments with which a result is not cached: it is not a new tensor, or has named axes."""

_META = torch.device("meta")
_TENSORS = frozenset({torch.Tensor, torch.nn.Parameter})
_SEQUENCES = frozenset({list, tuple, torch.Size})
_PLAIN = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format})


class _Metadata(NamedTuple):
    """Metadata from which an equal meta tensor can be created."""

    size: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype


class _UncacheableError(Exception):
    """An argument that can't be turned into a cache key."""


_RESULTS: dict[tuple[Any, ...], _Metadata] = {}
SESSION.own_table("results without data", _RESULTS)


def run_cached(func: Any, args: Any, kwargs: Any) -> Any:
    """Return a function's result, from the cache if possible. Runs it if an argument can't be part of the key."""
    key: list[Any] = [func, torch.get_default_dtype()]
    try:
        _append_to_key(args, key)
        for name, value in kwargs.items():
            key.append(name)
            _append_to_key((value,), key)
    except _UncacheableError:
        return func(*args, **kwargs)
    signature = tuple(key)
    if (metadata := _RESULTS.get(signature)) is not None:
        return torch.empty_strided(metadata.size, metadata.stride, dtype=metadata.dtype, device=_META)
    result = func(*args, **kwargs)
    if _has_only_metadata(result) and not result.requires_grad and _UNCACHED.isdisjoint(kwargs):
        _RESULTS[signature] = _Metadata(result.size(), result.stride(), result.dtype)
    return result


def _append_to_key(args: Iterable[Any], key: list[Any]) -> None:
    """Append to the key everything about the arguments that a result's shape, strides and dtype depend on.

    Raises:
        _UncacheableError: a tensor has data or requires a gradient, or an argument is of a class that is not supported.
    """
    for arg in args:
        kind = type(arg)
        if kind in _PLAIN:
            key.append(kind)  # 1, 1.0 and True are equal but give different dtypes
            key.append(arg)
        elif kind in _TENSORS:
            if not _has_only_metadata(arg):
                raise _UncacheableError
            key.append((arg.size(), arg.stride(), arg.dtype))
        elif kind in _SEQUENCES:
            key.append(len(arg))
            _append_to_key(arg, key)
        else:
            raise _UncacheableError


def _has_only_metadata(tensor: Any) -> bool:
    """True if size, strides and dtype describe a tensor completely."""
    return bool(
        type(tensor) in _TENSORS
        and tensor.is_meta
        and not (tensor.requires_grad and torch.is_grad_enabled())
        and tensor.layout is torch.strided
        and not tensor.is_conj()
        and not tensor.is_neg()
        and innermost_transform() is None  # vmap would hide an axis
    )
