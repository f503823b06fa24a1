"""Ops that take functions: branches, loops, and attention with scores of the user's own.

Torch hands them to the recorder whole. A branch or a loop is run as eager torch would run it: which way it goes is
read from its condition, so that its value has to be at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.appearance import is_meta
from cnncost.frontends.torch.types import tensor_type
from cnncost.graph import OpSpec

if TYPE_CHECKING:
    from cnncost.frontends.torch.recorder import Recorder

META = torch.device("meta")


def is_higher_order(func: Any) -> bool:
    """Whether an op takes functions: such are no overloads of a schema."""
    return isinstance(func, torch._ops.HigherOrderOperator)


def run(recorder: Recorder, func: Any, args: Any, kwargs: Any) -> Any:
    """Run what it does under the recorder.

    Raises:
        NotImplementedError: nothing is known of it; torch's words for it, which name it.
        DataDependentError: its condition is of values that are not at hand.
    """
    known = _KNOWN.get(func.name())
    if known is None:
        raise NotImplementedError(f"HigherOrderOperator {func.name()}")
    if known is _flex_attention:
        return _flex_attention(recorder, func, *args, **kwargs)
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


def _flex_attention(
    recorder: Recorder, func: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    score_mod: Callable[..., Any], block_mask: Any, *rest: Any, **kwargs: Any,
) -> Any:  # fmt: skip
    """query: B,H,L,E; key: B,K,S,E; value: B,K,S,V. As attention, dense; `score_mod` runs once on all scores.

    Blocks that the mask leaves out count: the dense count is the field's, as it is for causal attention.
    """
    batch, heads, queries, width = query.shape
    keys, value_width = key.shape[-2], value.shape[-1]
    scores = (batch, heads, queries, keys)
    if not _is_plain(score_mod):
        with recorder:
            places = [torch.arange(n, device=query.device).view([-1 if i == j else 1 for j in range(4)])
                      for i, n in enumerate(scores)]  # fmt: skip
            score_mod(torch.empty(scores, dtype=query.dtype, device=META), *places)
    if is_meta(query):
        shapes = ((batch, heads, queries, value_width), scores[:3], scores[:3])
        made = [
            torch.empty(s, dtype=query.dtype if i == 0 else torch.float32, device=META) for i, s in enumerate(shapes)
        ]
    else:
        made = list(func(query, key, value, score_mod, block_mask, *rest, **kwargs))
    attrs = {
        "batch": batch * heads, "value_batch": batch * heads, "queries": queries, "keys": keys, "width": width,
        "value_width": value_width, "scaled": prod(query.shape) + batch * heads * keys * width,
        "mask": not _is_plain(block_mask[-1]), "causal": False,
    }  # fmt: skip
    _record(recorder, (query, key, value), made, attrs)
    return tuple(made)


def _is_plain(function: Callable[..., Any]) -> bool:
    """Whether it is torch's own function that changes nothing."""
    return getattr(function, "__name__", "") in {"_identity", "noop_mask"}


def _record(recorder: Recorder, inputs: tuple[torch.Tensor, ...], outputs: list[torch.Tensor], attrs: Any) -> None:
    ledger = recorder.ledger
    known = [ledger.find(tensor) or recorder.meet(tensor) for tensor in inputs]
    results = [ledger.add_result(tensor) for tensor in outputs]
    spec = OpSpec("attention", tuple(k.sig.type for k in known), tuple(map(tensor_type, outputs)),
                  tuple(sorted(attrs.items())))  # fmt: skip
    recorder._append(
        memos.intern(spec), tuple(k.value for k in known), tuple(r.value for r in results), "flex_attention"
    )


_KNOWN: dict[str, Callable[..., Any]] = {
    "cond": _cond, "while_loop": _while_loop, "scan": _scan, "flex_attention": _flex_attention,
}  # fmt: skip


@contextmanager
def any_device() -> Iterator[None]:
    """Torch's check that flexible attention is on a device with a kernel for it is left out while this lasts."""
    import sys

    module: Any = sys.modules.get("torch.nn.attention.flex_attention")
    if module is None:
        yield
        return
    check = module._validate_device
    module._validate_device = lambda *_: None
    try:
        yield
    finally:
        module._validate_device = check
