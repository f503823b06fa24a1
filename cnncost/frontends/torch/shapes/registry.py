"""Registry of shape rules, and helpers for rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from cnncost.frontends.torch.overloads import Overload

Output: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Shape, strides and dtype of an output."""
ShapeRule: TypeAlias = Callable[[dict[str, Any]], list[Output] | None]
"""Maps an op's arguments, by name, to its outputs, or to None if the rule does not cover these arguments."""

_RULES: dict[str, ShapeRule] = {}


def shapes(*names: str) -> Callable[[ShapeRule], ShapeRule]:
    """Register a rule for the named ops. It takes a call's arguments by name, and the op's name as `__op__`."""

    def register(function: ShapeRule) -> ShapeRule:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return register


def output_types(op: Overload, arguments: dict[str, Any]) -> list[Output] | None:
    """Return the shape, strides and dtype of each output; None if no rule applies.

    For an in-place op, they are those of the out-of-place op's result.
    """
    rule = _RULES.get(op.name)
    if rule is None:
        return None
    try:
        return rule(arguments)
    except (ValueError, LookupError, TypeError, AttributeError, ZeroDivisionError):
        return None  # the rule doesn't cover such arguments; torch's kernel handles or rejects them


def gives_back(op: Overload, args: Any, expected: list[Output]) -> bool:
    """True if an op writes only to its first argument, and the result has the same shape, strides and dtype."""
    return op.writes_first and expected == [(tuple(args[0].shape), args[0].stride(), args[0].dtype)]


def rule_names() -> tuple[str, ...]:
    """Names of the ops with a shape rule."""
    return tuple(sorted(_RULES))


def packed(size: tuple[int, ...], dtype: torch.dtype) -> Output:
    """Return a contiguous output."""
    strides, step = [], 1
    for n in size[::-1]:
        strides.append(step)
        step *= n or 1
    return size, tuple(strides[::-1]), dtype


def per_axis(value: Any, axes: int) -> list[int]:
    """Expand 2 or `[2]` to one number per axis; return longer lists as they are."""
    if type(value) is list and len(value) == axes:
        return value
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * axes if len(values) == 1 else values


def ready(first: torch.Tensor, *others: torch.Tensor | None) -> bool:
    """True if all tensors are contiguous and have the same dtype."""
    dtype = first.dtype
    for tensor in others:
        if tensor is not None and (tensor.dtype is not dtype or not tensor.is_contiguous()):
            return False
    return first.is_contiguous()


def channels_last(*tensors: torch.Tensor) -> bool:
    """True if the tensors have one dtype and any is channels-last. A convolution's result then is channels-last."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return len({t.dtype for t in tensors}) == 1 and any(
        t.dim() in formats and not t.is_contiguous() and t.is_contiguous(memory_format=formats[t.dim()])
        for t in tensors
    )


def ordered(size: tuple[int, ...], dtype: torch.dtype, last: bool) -> Output:
    """Return a dense output, channels-last if `last`, else contiguous."""
    if not last:
        return packed(size, dtype)
    _, strides, _ = packed((size[0], *size[2:], size[1]), dtype)
    return size, (strides[0], strides[-1], *strides[1:-1]), dtype


def broadcast(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape to which two shapes broadcast; None if they can't be broadcast together."""
    if x == y:
        return x
    size = max(len(x), len(y))
    x, y = (1,) * (size - len(x)) + x, (1,) * (size - len(y)) + y
    if any(m != n and 1 not in (m, n) for m, n in zip(x, y, strict=True)):
        return None
    return tuple([n if m == 1 else m for m, n in zip(x, y, strict=True)])
