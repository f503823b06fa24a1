"""Temporary bytes that the parts of common composite ops allocate, computed without running the parts (`parts.py`).

Running the parts takes half a millisecond per signature, which doubles the time for a small model. It remains the
reference: `tests/frontends/test_parts.py` checks each rule against it. Except for `repeat_interleave`, rules only cover
nonempty contiguous tensors of a single floating-point dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, TypeAlias

import torch

from cnncost.frontends.torch.blocks import TensorArgs
from cnncost.frontends.torch.overloads import Overload
from cnncost.graph import OpSpec

_Rule: TypeAlias = Callable[[dict[str, Any], OpSpec], int | None]
"""Maps an op's arguments by name and its spec to bytes; None if the parts have to run."""

_INDEX, _FLOAT32 = 8, 4
"""Bytes of an index and of a statistic."""


def known_bytes(op: Overload, args: Any, kwargs: Any, operands: TensorArgs, spec: OpSpec) -> int | None:
    """Return the bytes that an op's parts allocate beyond its inputs and outputs; None if no rule applies."""
    if op.node_name == "aten.repeat_interleave.self_Tensor":
        return _repeat_interleave(op.bind(args, kwargs), spec)
    rule = _RULES.get(op.name)
    if rule is None or not operands:
        return None
    dtype = operands[0][0].dtype
    if not dtype.is_floating_point:
        return None
    for tensor, tracked in operands:
        if tensor.dtype is not dtype or not tensor.is_contiguous() or tracked.sig.conjugated or not tensor.numel():
            return None
    return rule(op.bind(args, kwargs), spec)


def _repeat_interleave(a: dict[str, Any], spec: OpSpec) -> int:
    """The index of each repeated slice, in the dtype of the repeats, and a flat copy of a non-contiguous operand."""
    x: torch.Tensor = a["self"]
    flattened = a["dim"] is None
    slices = spec.outputs[0].shape[0 if flattened else a["dim"]] if spec.outputs[0].shape else 1
    copied = x.numel() * x.element_size() if flattened and not x.is_contiguous() else 0
    return int(slices * a["repeats"].element_size() + copied)


def _nothing(_: dict[str, Any], __: OpSpec) -> int:
    """Nothing: the parts are views and at most one kernel, whose output is the op's."""
    return 0


def _softmax(a: dict[str, Any], _: OpSpec) -> int | None:
    """Nothing, unless the input is cast first: then the parts have to run."""
    return 0 if a["dtype"] is None else None


def _dropout(a: dict[str, Any], _: OpSpec) -> int | None:
    """Nothing if dropout is off and returns its input; otherwise the parts have to run."""
    return 0 if not a["train"] or a["p"] == 0 else None


def _max_pool(_: dict[str, Any], spec: OpSpec) -> int:
    """The indices of the maxima."""
    return prod(spec.outputs[0].shape) * _INDEX


def _batch_norm(a: dict[str, Any], _: OpSpec) -> int | None:
    """A mean and an inverse standard deviation for each channel, if batch statistics are used. x: N,C,*."""
    x: torch.Tensor = a["input"]
    if not a["training"]:
        return 0
    return 2 * x.shape[1] * _FLOAT32 if x.dtype is torch.float32 else None


def _layer_norm(a: dict[str, Any], _: OpSpec) -> int | None:
    """A mean and an inverse standard deviation for each row."""
    x: torch.Tensor = a["input"]
    rows = x.numel() // prod(a["normalized_shape"])
    return 2 * rows * _FLOAT32 if x.dtype is torch.float32 else None


_RULES: dict[str, _Rule] = {
    **dict.fromkeys("linear flatten unflatten reshape contiguous".split(), _nothing),
    **dict.fromkeys([f"adaptive_avg_pool{n}d" for n in (1, 2, 3)], _nothing),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax),
    **dict.fromkeys(("max_pool2d", "max_pool3d"), _max_pool),
    "dropout": _dropout,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
}


def rule_names() -> tuple[str, ...]:
    """Return the names of the ops in `_RULES`."""
    return tuple(sorted(_RULES))
