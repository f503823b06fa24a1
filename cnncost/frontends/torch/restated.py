"""Calls that are another op's in other words: with numbers given as a tensor, or writing to what stays as it is.

Torch's kernels read such a tensor of numbers (lengths of sequences, places of cuts) and go on as the overload does that
takes them as they are. So does a recording, if the values are at hand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import _disable_current_modes

from cnncost.errors import DataDependentError
from cnncost.frontends.torch.blocks import Found
from cnncost.frontends.torch.overloads import Overload

_aten = torch.ops.aten
_LENGTHS = ("input_lengths", "target_lengths")
_BY_NUMBERS: dict[Any, tuple[Any, tuple[str, ...]]] = {
    _aten._ctc_loss.Tensor: (_aten._ctc_loss.default, _LENGTHS),
    _aten._ctc_loss_backward.Tensor: (_aten._ctc_loss_backward.default, _LENGTHS),
    _aten.tensor_split.tensor_indices_or_sections: (_aten.tensor_split.indices, ("tensor_indices_or_sections",)),
}
"""The overload that takes numbers, and the tensors that are those."""
_NAMES = frozenset({op.name() for op in _BY_NUMBERS} | {"aten::_native_batch_norm_legit"})


class Restated(NamedTuple):
    """The other op, its arguments, and the tensors that were read for it."""

    func: Any
    args: tuple[Any, ...]
    read: Found


def restated(op: Overload, args: Any, kwargs: Any, found: Found) -> Restated | None:
    """The call in the other op's words, or None if it is to be recorded as it is.

    Raises:
        DataDependentError: the values of a tensor of numbers are not at hand.
    """
    if op.func.name() not in _NAMES:
        return None
    named = op.bind(args, kwargs)
    del named["__op__"]
    if op.name == "_native_batch_norm_legit":  # outside of training it writes no statistics
        return None if named["training"] else Restated(_aten.native_batch_norm.default, tuple(named.values()), [])
    other, names = _BY_NUMBERS[op.func]
    read: Found = []
    for name in names:
        tensor, known = next((t, k) for t, k in found if t is named[name])
        if not known.sig.real:
            raise DataDependentError(f"{op.func} reads the values of a tensor")
        with _disable_current_modes():
            named[name] = (tensor if known.data is None else known.data).tolist()
        read.append((tensor, known))
    if isinstance(named[names[0]], int):  # a number of sections
        other = _aten.tensor_split.sections
    return Restated(other, tuple(named.values()), read)
