"""Converts torch's tensors and arguments to the Graph's types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from cnncost.frontends.torch import sparse
from cnncost.graph import Attr, SparseType, TensorType
from cnncost.session import SESSION

_DTYPES: dict[torch.dtype, str] = {}


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype: `float32` for `torch.float32`."""
    name = _DTYPES.get(dtype)
    if name is None:
        name = _DTYPES[dtype] = str(dtype).removeprefix("torch.")
    return name


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """Everything about a tensor, except its values, on which an op's output may depend.

    Signatures are interned, so the memo compares and hashes them by identity.

    Attributes:
        type: shape and dtype; for a sparse tensor also what it stores.
        stride: the strides; for a sparse tensor, the name of its layout.
        dtype: torch's dtype.
        real: whether the values are known and ops may run on them.
        conjugated: whether the tensor is lazily conjugated or negated.
        grad: whether the tensor is a leaf that requires gradients, or a view of one. Torch checks this when it
            decomposes a matmul, even if nothing is differentiated.
    """

    type: TensorType
    stride: tuple[int | str, ...]
    dtype: torch.dtype
    real: bool
    conjugated: bool
    grad: bool = False


_COMPLEX = frozenset(kind for kind in vars(torch).values() if isinstance(kind, torch.dtype) and kind.is_complex)
_STRIDED = torch.strided
_INTERNED: dict[tuple[object, ...], Signature] = {}


def signature(tensor: torch.Tensor, real: bool, grad: bool = False) -> Signature:
    """Return the interned signature of a tensor."""
    dtype = tensor.dtype
    if tensor.layout is not _STRIDED:
        return interned(tensor.shape, (str(tensor.layout),), dtype, real, False, grad, _stored(tensor))
    # the imaginary part of a conjugate is real and lazily negated
    conjugated = tensor.is_conj() if dtype in _COMPLEX else tensor.is_neg()
    key = (tensor.shape, tensor.stride(), dtype, real, conjugated, grad)
    return _INTERNED.get(key) or interned(*key)


def interned(
    shape: tuple[int, ...], stride: tuple[int | str, ...], dtype: torch.dtype, real: bool, conjugated: bool,
    grad: bool = False, stored: tuple[int, int] | None = None,
) -> Signature:  # fmt: skip
    """Return the interned signature with these fields; `stored` is the field of `SparseType`."""
    flags = (real, conjugated, grad)
    key = (shape, stride, dtype, *flags) if stored is None else (shape, stride, dtype, *flags, stored)
    found = _INTERNED.get(key)
    if found is None:
        found = _INTERNED[key] = Signature(_type(tuple(shape), dtype, stored), stride, dtype, real, conjugated, grad)
    return found


_TYPES: dict[TensorType, TensorType] = {}
SESSION.own_table("signatures", _INTERNED)
SESSION.own_table("tensor types", _TYPES)


def tensor_type(tensor: torch.Tensor) -> TensorType:
    """Return a tensor's shape and dtype, interned because equal types compare faster if they are one object."""
    stored = None if tensor.layout is _STRIDED else _stored(tensor)
    return _type(tuple(tensor.shape), tensor.dtype, stored)


def _stored(tensor: torch.Tensor) -> tuple[int, int] | None:
    return sparse.stored(tensor) if tensor.layout in sparse.LAYOUTS else None


def _type(shape: tuple[int, ...], dtype: torch.dtype, stored: tuple[int, int] | None = None) -> TensorType:
    name = dtype_name(dtype)
    found = TensorType(shape, name) if stored is None else SparseType(shape, name, stored)
    return _TYPES.setdefault(found, found)


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested lists, tuples and values of dicts."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))


def attribute(value: Any) -> Attr:
    """Convert an op argument to a Graph attribute."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if isinstance(value, (list, tuple)):
        return tuple(attribute(v) for v in value)
    if isinstance(value, TensorType):
        return f"{value.dtype}{list(value.shape)}"
    return str(value)
