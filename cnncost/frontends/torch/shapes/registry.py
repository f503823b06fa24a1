"""The shape rules' registry, and what the rules are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import torch

from cnncost.frontends.torch.lowering.registry import bound, op_name

Output: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Size, strides, dtype."""
ShapeRule: TypeAlias = Callable[[dict[str, Any]], list[Output] | None]

_RULES: dict[str, ShapeRule] = {}


def shapes(*names: str) -> Callable[[ShapeRule], ShapeRule]:
    """Register a rule for these ops. It gets the op's arguments by name, and `__op__`."""

    def register(function: ShapeRule) -> ShapeRule:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return register


def output_types(func: Any, args: Any, kwargs: Any) -> list[Output] | None:
    """Size, strides and dtype of each output, or None where no rule answers."""
    rule = _RULES.get(op_name(func))
    if rule is None or func._schema.is_mutable:
        return None
    try:
        return rule(bound(func, args, kwargs))
    except (ValueError, IndexError, TypeError, AttributeError, ZeroDivisionError):
        return None  # settings of another form than the rule knows are torch's to judge


def gives_back(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether an op in place gives back its first argument as it is: where its result as a new tensor is the same."""
    rule = _RULES.get(op_name(func))
    if rule is None or not _writes_first(func):
        return False
    try:
        x, said = args[0], rule(bound(func, args, kwargs))
        return said == [(tuple(x.shape), x.stride(), x.dtype)]
    except (ValueError, LookupError, TypeError, AttributeError, ZeroDivisionError):
        return False  # its arguments may have other names, too


@cache
def _writes_first(func: Any) -> bool:
    written = [a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments]
    return bool(written) and written[0] and not any(written[1:])


def rule_names() -> tuple[str, ...]:
    """The ops that have a shape rule."""
    return tuple(sorted(_RULES))


def packed(size: tuple[int, ...], dtype: torch.dtype) -> Output:
    """An output without gaps, the last axis innermost."""
    strides = [1] * len(size)
    for i in range(len(size) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(size[i + 1], 1)
    return size, tuple(strides), dtype


def per_axis(value: Any, axes: int) -> list[int]:
    """`[2]` or 2 as a number for each axis."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * axes if len(values) == 1 else values


def ready(*tensors: torch.Tensor | None) -> bool:
    """All contiguous and of one dtype."""
    present = [t for t in tensors if t is not None]
    return all(t.is_contiguous() for t in present) and len({t.dtype for t in present}) == 1


def channels_last(*tensors: torch.Tensor) -> bool:
    """Whether an image, or the weight that meets it, keeps its channels last; if one does, so does the result."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return len({t.dtype for t in tensors}) == 1 and any(
        t.dim() in formats and not t.is_contiguous() and t.is_contiguous(memory_format=formats[t.dim()])
        for t in tensors
    )


def ordered(size: tuple[int, ...], dtype: torch.dtype, last: bool) -> Output:
    """An output without gaps, its channels innermost if `last`."""
    if not last:
        return packed(size, dtype)
    _, strides, _ = packed((size[0], *size[2:], size[1]), dtype)
    return size, (strides[0], strides[-1], *strides[1:-1]), dtype


def broadcast(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...] | None:
    """The common shape of two, or None."""
    size = max(len(x), len(y))
    x, y = (1,) * (size - len(x)) + x, (1,) * (size - len(y)) + y
    if any(m != n and 1 not in (m, n) for m, n in zip(x, y, strict=True)):
        return None
    return tuple(n if m == 1 else m for m, n in zip(x, y, strict=True))
