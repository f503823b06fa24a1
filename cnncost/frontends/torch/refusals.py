"""Recognizes errors that only tensors without data raise: their values were needed, or an op has no kernel for them.

Forward may catch such an error and do something else than in a real run. The recorder notes them (`Recorder.refuse`).
"""

from __future__ import annotations

import re
from typing import Any

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch.compat.dispatch import has_kernel, without_modes
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.running import replace_tensors
from cnncost.frontends.torch.types import tensors_in

_VALUES_NEEDED = re.compile(
    r"meta tensor|Cannot copy out of meta|can't convert meta|unallocated storage|data[- ]dependent|nonzero.*meta"
    r"|reads the values|depends on|to be on cpu, but it's on meta|storage of a tensor on device .meta",
    re.IGNORECASE,
)
_NO_KERNEL = re.compile(r"\w+::\w+.*(?:'Meta' backend|fake impl|no fake|Meta implementation)", re.DOTALL)
"""Patterns of messages, torch's and ours."""
_INTERNAL = re.compile(
    r"INTERNAL ASSERT|Internal error|not implemented|unsupported|not supported|\bmeta\b", re.IGNORECASE
)
"""A message that is not about an op's arguments, whose sizes and strides are those of a real run."""
_FEW = 1 << 20
"""Elements that tensors may have together for an op to be tried on zeros."""
_ON_ALL_DEVICES = ("CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional", "CompositeImplicitAutograd")


def reads_values(error: BaseException) -> bool:
    """True if an error means that the values of a tensor without data were needed."""
    return isinstance(error, DataDependentError) or bool(_VALUES_NEEDED.search(message_of(error)))


def lacking_kernel(error: BaseException) -> str:
    """Return the part of an error's message that says which op has no kernel for tensors without data, or ""."""
    found = _NO_KERNEL.search(message_of(error))
    return found[0] if found else ""


def is_only_without_data(error: BaseException, op: str | None, device_type: str) -> bool:
    """True if an op (None: one that takes functions) would not raise this error on values, on such a device."""
    if isinstance(error, DataDependentError):
        return True
    if not reads_values(error) and not lacking_kernel(error):
        return False
    here = device_type.upper()
    return op is None or any(has_kernel(op, key) for key in (here, f"Quantized{here}", *_ON_ALL_DEVICES))


def runs_on_zeros(error: Exception, func: Any, args: Any, kwargs: Any) -> bool:
    """True if one of torch's ops, which raised on tensors without data, doesn't raise on zeros in their place.

    False if the error is about the arguments, and for ops of other libraries, whose kernels may do more than compute.
    Tensors that are too large to try an op on them are assumed to be fine.
    """
    if getattr(func, "namespace", "") != "aten" or not _INTERNAL.search(message_of(error)):
        return False
    tensors = list(tensors_in((args, kwargs)))
    if sum(t.untyped_storage().nbytes() // t.element_size() for t in tensors) > _FEW:
        return True
    try:
        with without_modes(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            values = {id(tensor): _values(tensor) for tensor in tensors}
            args, kwargs = replace_tensors((args, kwargs or {}), values, torch.device("cpu"))
            func(*args, **kwargs)
    except Exception:  # noqa: BLE001  # whatever an op raises
        return False
    return True


def _values(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy of a tensor, or, if it has no data, zeros of the same size and strides."""
    if not is_meta(tensor):
        return tensor.clone()
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).zero_()


def message_of(error: BaseException) -> str:
    """Return an error's message; an empty one if `str` of it raises, as that of a user's exception may."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # see above
        return ""
