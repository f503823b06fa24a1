"""Private parts of `torch.Tensor`: base classes, storages, reference counts, the tensors inside a sparse one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch

TensorBase: Any = torch.Tensor.__base__
StorageBase: Any = torch.StorageBase
"""The C base classes of tensors and storages. Their attributes return the true values while a recording replaces those
of `torch.Tensor` and `torch.UntypedStorage`."""

is_meta: Callable[[torch.Tensor], bool] = TensorBase.is_meta.__get__
"""Whether a tensor is on meta, by the getter of the C base class."""

identity_of: Callable[[torch.UntypedStorage], int] = attrgetter("_cdata")
"""The address of a storage's C++ object: equal for all Python objects of one storage, and distinct also on meta, where
`data_ptr` is zero. It may be reused after the storage is freed."""

is_view: Callable[[torch.Tensor], bool] = TensorBase._is_view
"""Whether autograd treats a tensor as a view."""

is_zero_tensor: Callable[[torch.Tensor], bool] = TensorBase._is_zerotensor
"""Whether a tensor is one of zeros without memory: the derivative of a constant, in forward mode."""

version_of: Callable[[torch.Tensor], int] = attrgetter("_version")
"""A tensor's version counter: how often it was written to in place."""

use_count: Callable[[torch.Tensor], int] = TensorBase._use_count
"""Number of C++ references to a tensor. Autograd accumulates in place if it holds the only one."""
storage_use_count: Callable[[int], int] = torch._C._storage_Use_Count
"""Number of C++ references to a storage, given its `identity_of`."""

coo_values: Callable[[torch.Tensor], torch.Tensor] = TensorBase._values
coo_indices: Callable[[torch.Tensor], torch.Tensor] = TensorBase._indices
"""Values and indices of a COO tensor. The public `values()` raises if the tensor is not coalesced."""

MAKE_SUBCLASS_PLACE = (torch.Tensor, "_make_subclass")
make_subclass: Callable[..., Any] = TensorBase._make_subclass
"""The function by which `nn.Parameter` and other subclasses wrap a tensor."""

SHAPE_AS_TENSOR_PLACE = (torch, "_shape_as_tensor")
"""Returns a tensor's sizes as a tensor on the CPU; `torch.onnx` and exported code call it."""

REBUILD_PLACE = (torch._utils, "_rebuild_tensor")
"""Puts a tensor together from a storage that was loaded, and its offset, sizes and strides."""
rebuilt: Callable[..., torch.Tensor] = torch._utils._rebuild_tensor_v2
"""Calls the function at `REBUILD_PLACE`, and sets `requires_grad` and hooks."""

SHARING_PLACES = {
    place: what
    for place, what in {
        (torch.Tensor, "__dlpack__"): "handing it to another library",
        (torch, "to_dlpack"): "handing it to another library",
        (torch.utils.dlpack, "to_dlpack"): "handing it to another library",
        (torch.UntypedStorage, "_share_fd_cpu_"): "sharing it with another process",
        (torch.UntypedStorage, "_share_filename_cpu_"): "sharing it with another process",
        (torch.UntypedStorage, "__reduce__"): "pickling its storage",
        (torch.UntypedStorage, "byteswap"): "swapping its bytes",
    }.items()
    if hasattr(*place)  # `to_dlpack` is deprecated
}
"""Functions and methods that share a tensor's memory, or change it without the dispatcher, with what a call does."""

OPEN_ZIP_PLACE = (torch.serialization, "_open_zipfile_writer")
"""Opens the file, given by its path, into which `torch.save` writes."""

untyped: Callable[[Any], torch.UntypedStorage] = attrgetter("_untyped_storage")
"""The storage inside a typed one, whose own attributes warn."""


def rebuilding_arguments(tensor: torch.Tensor) -> tuple[Any, ...]:
    """The arguments with which `rebuilt` returns a tensor that shares the memory of this one: a shallow copy."""
    geometry = tensor.storage_offset(), tuple(tensor.size()), tensor.stride()
    return tensor._typed_storage(), *geometry, tensor.requires_grad, OrderedDict()


LEGACY_KIND: Any = type(torch.FloatTensor)
"""The metaclass of `torch.FloatTensor` and similar types, a static C type. Its `__instancecheck__` implements
`isinstance(x, torch.FloatTensor)`: it compares dtype and device."""
