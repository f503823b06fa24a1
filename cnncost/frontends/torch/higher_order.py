"""Ops that take functions: branches, loops, and attention with scores of the user's own.

Torch hands them to the recorder whole. A branch or a loop is run as eager torch would run it: which way it goes is
read from its condition, so that its value has to be at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_map

from cnncost.frontends.torch.flexible_attention import flex_attention, flex_attention_backward
from cnncost.frontends.torch.protocols import Recording


def is_higher_order(func: Any) -> bool:
    """Whether an op takes functions: such are no overloads of a schema."""
    return isinstance(func, torch._ops.HigherOrderOperator)


def run(recorder: Recording, func: Any, args: Any, kwargs: Any) -> Any:
    """Run what it does under the recorder.

    Raises:
        NotImplementedError: nothing is known of it; torch's words for it, which name it.
        DataDependentError: its condition is of values that are not at hand.
    """
    known = _KNOWN.get(func.name())
    if known is None:
        raise NotImplementedError(f"HigherOrderOperator {func.name()}")
    if known in _FLEXIBLE:
        return known(recorder, func, *args, **kwargs)
    kwargs.pop("mutated_arg_indices", None)  # for compilers, from 2.14 on: what of its arguments it writes to
    with recorder:
        return known(*args, **kwargs)


def _cond(predicate: Any, if_true: Callable[..., Any], if_false: Callable[..., Any], operands: Any = ()) -> Any:
    """The branch that the predicate says."""
    return (if_true if bool(predicate) else if_false)(*operands)


def _while_loop(goes_on: Callable[..., Any], body: Callable[..., Any], carried: Any, more: Any = ()) -> Any:
    """The body as often as the condition says."""
    while bool(goes_on(*carried, *more)):
        carried = body(*carried, *more)
    return tuple(carried)


def _scan(combine: Callable[..., Any], carried: Any, xs: Any, more: Any = ()) -> Any:
    """The function over the first axis of `xs`; what it returns is the carried values, then a slice of each result."""
    carried, slices = list(carried), []
    for t in range(xs[0].shape[0]):
        made = combine(*carried, *(x[t] for x in xs), *more)
        carried, rest = list(made[: len(carried)]), made[len(carried) :]
        slices.append(rest)
    return [*carried, *(torch.stack(each) for each in zip(*slices, strict=True))]


def _stacked_loop(goes_on: Callable[..., Any], body: Callable[..., Any], carried: Any, more: Any = ()) -> Any:
    """The body as often as the condition says: what it gives each time, one behind the other, or what it began with."""
    turns = []
    while bool(goes_on(*carried, *more)):
        carried = body(*carried, *more)
        turns.append(carried)
    return tuple(torch.stack(each) for each in zip(*turns or [carried], strict=True))


def _map(function: Callable[..., Any], xs: Any, more: Any = ()) -> Any:
    """The function for each place along the first axis of `xs`; its results, one behind the other."""
    made = [function(*(x[t] for x in xs), *more) for t in range(xs[0].shape[0])]
    return tree_map(lambda *each: torch.stack(each) if isinstance(each[0], torch.Tensor) else None, *made)


_KNOWN: dict[str, Callable[..., Any]] = {
    "cond": _cond, "while_loop": _while_loop, "while_loop_stack_output": _stacked_loop, "scan": _scan,
    "map_impl": _map, "flex_attention": flex_attention, "flex_attention_backward": flex_attention_backward,
}  # fmt: skip
_FLEXIBLE = (flex_attention, flex_attention_backward)
"""They record themselves."""
