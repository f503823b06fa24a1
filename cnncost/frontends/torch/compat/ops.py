"""Schemas of ops, and private ops that are called by name.

Lowerings and shape rules name private ops too, as strings. Those need not be here: a name that the installed torch does
not have is never looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from types import ModuleType
from typing import Any

import torch

schema_of: Callable[[Any], Any] = attrgetter("_schema")
"""Returns an overload's schema: names, types and defaults of its arguments, and which of them it writes to."""

_aten: Any = torch.ops.aten

READ_NUMBER = _aten._local_scalar_dense.default
"""The op that reads a tensor's only element as a Python number: for `item`, `float(x)`, `if x`."""

COPY_TO = _aten._to_copy.default
"""The op that copies to another dtype or device: what `Tensor.to` becomes below autograd."""

ZERO_TENSOR = _aten._efficientzerotensor.default
"""The op that makes a tensor of zeros without memory, as the derivative of a constant in forward mode."""

SAFE_SOFTMAX = _aten._safe_softmax
"""Softmax that returns zeros for fully masked rows. The math implementation of attention calls it."""

EFFICIENT_ATTENTION = _aten._scaled_dot_product_efficient_attention
CPU_FLASH_ATTENTION = _aten._scaled_dot_product_flash_attention_for_cpu
"""Kernels of attention: CUDA's memory-efficient kernel, and the CPU's flash kernel."""

CTC_LOSS = _aten._ctc_loss
CTC_LOSS_BACKWARD = _aten._ctc_loss_backward
"""The kernels of `ctc_loss`; the overload `Tensor` takes lengths as a tensor, `default` as numbers."""

COO_FROM_PARTS = _aten._sparse_coo_tensor_with_dims_and_tensors
COMPRESSED_FROM_PARTS = _aten._sparse_compressed_tensor_unsafe
"""Create a sparse tensor from its parts without checks: the public constructors read the indices to check them, which
fails for tensors without data."""

MARK_COALESCED = _aten._coalesced_
"""Marks a COO tensor as coalesced (without duplicate positions) without checking."""

NN_FUNCTIONS: Any = torch._C._nn
"""The C module that holds the ops of `torch.nn.functional`."""

_FUNCTIONS: Any = torch._C._VariableFunctions
_MODULES = frozenset(vars(torch._C)[name] for name in ("_nn", "_special", "_fft", "_linalg"))


def is_op(function: Any) -> bool:
    """True if a C function is an op in `torch`, `torch.nn.functional` or a namespace such as `torch.linalg`."""
    owner = function.__self__
    if owner is None:
        return hasattr(_FUNCTIONS, function.__name__)
    return type(owner) is ModuleType and owner in _MODULES
