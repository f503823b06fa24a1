"""Internals of `torch.Tensor`: base classes, storages, reference counts, parts of sparse tensors."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch

TensorBase: Any = torch.Tensor.__base__
StorageBase: Any = torch.StorageBase
"""The C classes, whose attributes give the true values while those of `torch.Tensor` and `torch.UntypedStorage` are
replaced."""

is_meta: Callable[[torch.Tensor], bool] = TensorBase.is_meta.__get__
"""Whether a tensor has no data, by torch's own getter, which is not affected by replaced attributes."""

identity_of: Callable[[torch.UntypedStorage], int] = attrgetter("_cdata")
"""The address of a storage's C++ object: equal for all Python objects of one storage, also without data, where
`data_ptr` is zero. Another storage may get it after this one is freed."""

is_view: Callable[[torch.Tensor], bool] = TensorBase._is_view
"""Whether autograd treats a tensor as a view."""

version_of: Callable[[torch.Tensor], int] = attrgetter("_version")
"""How often a tensor was written to in place."""

use_count: Callable[[torch.Tensor], int] = TensorBase._use_count
storage_use_count: Callable[[int], int] = torch._C._storage_Use_Count
"""References in C++ to a tensor, and to a storage, by `identity_of`.
Autograd sums in place where it holds the only one."""

coo_values: Callable[[torch.Tensor], torch.Tensor] = TensorBase._values
coo_indices: Callable[[torch.Tensor], torch.Tensor] = TensorBase._indices
"""The parts of a COO tensor, also of one that is not coalesced, whose public `values()` raises."""

MAKE_SUBCLASS_PLACE = (torch.Tensor, "_make_subclass")
make_subclass: Callable[..., Any] = TensorBase._make_subclass
"""The function by which `nn.Parameter` and other subclasses wrap a tensor."""

SHAPE_AS_TENSOR_PLACE = (torch, "_shape_as_tensor")
"""The sizes of a tensor as a tensor on the CPU; `torch.onnx` and exported code call it."""

LEGACY_KIND: Any = type(torch.FloatTensor)
"""The metaclass of `torch.FloatTensor` and the others, a static class of C: `isinstance(x, torch.FloatTensor)` asks
it, and it looks at the tensor's dtype and device."""
