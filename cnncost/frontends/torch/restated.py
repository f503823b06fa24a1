"""Records some calls as an equivalent op: those with numbers in a tensor, and batch norm that writes no statistics.

If numbers are passed as a tensor (sequence lengths, split points), torch's kernels read it and continue as the overload
that takes plain numbers. So does a recording, if the values are known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch.blocks import TensorArgs
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.compat.ops import CTC_LOSS, CTC_LOSS_BACKWARD
from cnncost.frontends.torch.overloads import Overload

_aten = torch.ops.aten
_LENGTHS = ("input_lengths", "target_lengths")
_BY_NUMBERS: dict[Any, tuple[Any, tuple[str, ...]]] = {
    CTC_LOSS.Tensor: (CTC_LOSS.default, _LENGTHS),
    CTC_LOSS_BACKWARD.Tensor: (CTC_LOSS_BACKWARD.default, _LENGTHS),
    _aten.tensor_split.tensor_indices_or_sections: (_aten.tensor_split.indices, ("tensor_indices_or_sections",)),
}
"""By op, the overload that takes plain numbers, and the names of the tensor arguments that hold them."""
_NAMES = frozenset({op.name() for op in _BY_NUMBERS} | {"aten::_native_batch_norm_legit"})


class Restated(NamedTuple):
    """The equivalent op, its arguments, and the tensors whose values were read."""

    func: Any
    args: tuple[Any, ...]
    read: TensorArgs


def restated(op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Restated | None:
    """Return the equivalent call; None if the call is recorded unchanged.

    Raises:
        DataDependentError: the values of a tensor of numbers are unknown.
    """
    if op.func.name() not in _NAMES:
        return None
    named = op.bind(args, kwargs)
    del named["__op__"]
    if op.name == "_native_batch_norm_legit":  # in eval mode it writes no statistics
        return None if named["training"] else Restated(_aten.native_batch_norm.default, tuple(named.values()), [])
    equivalent, names = _BY_NUMBERS[op.func]
    read: TensorArgs = []
    for name in names:
        tensor, tracked = next((t, k) for t, k in operands if t is named[name])
        if not tracked.sig.real:
            raise DataDependentError(f"{op.func} reads the values of a tensor")
        with without_modes():
            named[name] = (tensor if tracked.data is None else tracked.data).tolist()
        read.append((tensor, tracked))
    if isinstance(named[names[0]], int):  # a number of sections
        equivalent = _aten.tensor_split.sections
    return Restated(equivalent, tuple(named.values()), read)
