"""Record ops over lists of tensors (`_foreach_add_`, …; used by optimizers and weight averaging) as one op per tensor.

A kernel over many tensors does the same work as one kernel per tensor, in fewer launches. The same holds for a fused
optimizer step (`_fused_adam_`, …), which is recorded once per parameter, with one-element lists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from cnncost.frontends.torch.compat.dispatch import decomposition
from cnncost.frontends.torch.compat.ops import schema_of

_PREFIX = "aten::_foreach_"
_STEPS = frozenset(f"aten::_fused_{name}_" for name in ("adam", "adamw", "sgd", "adagrad"))
"""Whole optimizer steps, in-place."""
_SINGLE: dict[str, Callable[..., Any]] = {
    "norm": lambda x, order=2, dtype=None: torch.linalg.vector_norm(x, order, dtype=dtype),
    "powsum": lambda x, order=2, dtype=None: x.to(dtype or x.dtype).abs().pow(order).sum(),
}
"""Single-tensor variants that have another name than the list op."""
_VALUE_NAMES = frozenset({"scalars", "value"})
"""Arguments of `addcdiv` and `addcmul` that are the keyword `value` for one tensor, but positional for lists."""


def is_foreach(schema_name: str) -> bool:
    """True if an op works on lists of tensors, element by element."""
    return schema_name.startswith(_PREFIX)


def is_of_several(schema_name: str, args: Any) -> bool:
    """True if an op is an optimizer step for more than one parameter."""
    return schema_name in _STEPS and len(args[0]) > 1


def parts(func: Any) -> Callable[..., Any]:
    """Return the function that runs a list op as single-tensor ops."""
    if is_foreach(schema_of(func).name):
        return partial(_run_each, func)
    if schema_of(func).name in _STEPS:
        return partial(_step_of_each, func)
    return decomposition(func)


def _run_each(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Run one op per element; returns a list of the results, or None for an in-place op."""
    schema = schema_of(func)
    name = schema.name.removeprefix(_PREFIX)
    single = _SINGLE.get(name) or getattr(torch.ops.aten, name, None) or partial(_in_place, name.removesuffix("_"))
    named = {**dict(zip([a.name for a in schema.arguments], args, strict=False)), **kwargs}
    listed = {a.name for a in schema.arguments if a.name in named and isinstance(a.type, torch.ListType)}
    keyword_only = {a.name for a in schema.arguments if a.kwarg_only}
    results = []
    first = schema.arguments[0].name
    for i in range(len(named[first if first in listed else min(listed)])):  # all lists have the same length
        positional, keywords = [], {}
        for key, value in named.items():
            item = value[i] if key in listed else value
            if key in keyword_only:
                keywords[key] = item
            elif key in _VALUE_NAMES and name.rstrip("_") in {"addcdiv", "addcmul"}:
                keywords["value"] = item
            else:
                positional.append(item)
        results.append(single(*positional, **keywords))
    return None if schema.is_mutable else results


def _step_of_each(func: Any, *lists: list[torch.Tensor], **numbers: Any) -> None:
    """Run one step per parameter. Lists that an optimizer doesn't use are empty."""
    for i in range(len(lists[0])):
        func(*[tensors[i : i + 1] for tensors in lists], **numbers)


def _in_place(name: str, first: torch.Tensor, *others: Any, **keywords: Any) -> torch.Tensor:
    """Run an op that has no in-place variant, with its first argument as `out`."""
    result: torch.Tensor = getattr(torch.ops.aten, name)(first, *others, **keywords, out=first)
    return result
