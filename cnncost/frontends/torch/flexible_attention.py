"""FlexAttention: scores modified and masked by user functions (torch.nn.attention.flex_attention).

It is recorded as dense attention. To find the pairs of query and key that are kept, `mask_mod` runs on all pairs, with
the known values of the tensors that it reads. In a training step, the backward is recorded as an attention backward and
the ops of `score_mod`'s derivative; torch itself would trace both with its compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from types import FunctionType
from typing import Any

import torch

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.attention_masks import pack
from cnncost.frontends.torch.compat.dispatch import TorchDispatchMode, without_modes
from cnncost.frontends.torch.compat.higher_order import (
    NO_OP_FUNCTIONS,
    dense_flexible_attention,
    flexible_attention_backward,
    flexible_attention_places,
)
from cnncost.frontends.torch.compat.tensors import version_of
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.patches import Patch
from cnncost.frontends.torch.protocols import Recording
from cnncost.frontends.torch.types import tensor_type
from cnncost.graph import OpSpec
from cnncost.masks import Mask

META, CPU = torch.device("meta"), torch.device("cpu")
_MAX_PAIRS = 1 << 28
"""Maximum number of pairs for which a mask is evaluated."""
_CHUNK = 1 << 24
"""Number of pairs for which a mask is evaluated at once."""
_IMMUTABLE = frozenset({int, float, bool, str, type(None)})


class _UnknownError(Exception):
    """A mask function reads a value that is unknown, or depends on something that can't be part of a cache key."""


def flex_attention(
    recorder: Recording, func: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    score_mod: Callable[..., Any], block_mask: Any, *rest: Any, **kwargs: Any,
) -> Any:  # fmt: skip
    """Record FlexAttention as dense attention, and run `score_mod` once on all scores.

    query: B,H,L,E; key: B,K,S,E; value: B,K,S,V. Masked-out blocks count, too: by convention the dense count is
    reported, as for causal attention.
    """
    batch, heads, queries, _ = query.shape
    scores = (batch, heads, queries, key.shape[-2])
    if not is_plain(score_mod):
        with recorder:
            score_mod(torch.empty(scores, dtype=query.dtype, device=query.device), *_indices(scores, query.device))
    if is_meta(query):
        out = _empty_in_order_of((batch, heads, queries, value.shape[-1]), query)
        results = [out, *[torch.empty(scores[:3], dtype=torch.float32, device=META) for _ in range(2)]]
    else:
        results = list(func(query, key, value, score_mod, block_mask, *rest, **kwargs))
    _record(recorder, "attention", (query, key, value), results, (query, key, value), block_mask)
    return tuple(results)


def flex_attention_backward(
    recorder: Recording, _: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, out: torch.Tensor,
    logsumexp: torch.Tensor, grad_out: torch.Tensor, *rest: Any,
) -> Any:  # fmt: skip
    """Record the backward op, and return the gradients of query, key and value; captured tensors get none.

    `rest`: gradient of the log-sum-exp, `score_mod`, a function that returns the gradients (from `_Flex`), the block
    mask, and unused arguments.
    """
    _, _, compute_gradients, block_mask, *_ = rest
    gradients = compute_gradients()
    inputs = (grad_out, query, key, value, out, logsumexp)
    _record(recorder, "attention_backward", inputs, gradients, (query, key, value), block_mask)
    return (*gradients, ())


def _gradients(
    inputs: tuple[torch.Tensor, ...], grads: tuple[torch.Tensor, torch.Tensor | None], *rest: Any
) -> list[torch.Tensor]:
    """Return the gradients of query, key and value; on real data, by differentiating torch's dense implementation.

    Args:
        inputs: query, key, value.
        grads: gradients of the result and of its log-sum-exp (None: not used).
        rest: the op's other arguments.
    """
    with without_modes():
        empty = [_empty_in_order_of(tensor.shape, tensor) for tensor in inputs]
        if is_meta(inputs[0]):
            return empty
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in inputs]
            results = dense_flexible_attention()(*leaves, *rest)
            pairs = [(result, grad) for result, grad in zip(results, grads, strict=False) if grad is not None]
            gradients = torch.autograd.grad([result for result, _ in pairs], leaves, [grad for _, grad in pairs])
        return [tensor.copy_(grad) for tensor, grad in zip(empty, gradients, strict=True)]


def _empty_in_order_of(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Return an empty tensor whose axes are ordered in memory like those of `like`, as torch's kernels return them."""
    strides, step = [0] * len(shape), 1
    for axis in sorted(range(len(shape)), key=lambda i: (like.stride(i), -i)):
        strides[axis], step = step, step * shape[axis]
    return torch.empty_strided(shape, strides, dtype=like.dtype, device=META if is_meta(like) else like.device)


def is_plain(function: Callable[..., Any]) -> bool:
    """True for torch's default `score_mod` and `mask_mod`, which change nothing."""
    return getattr(function, "__name__", "") in NO_OP_FUNCTIONS


def _indices(scores: tuple[int, ...], device: torch.device) -> list[torch.Tensor]:
    """Return the indices of batch, head, query and key, shaped to broadcast over the scores."""
    return [torch.arange(n, device=device).view([-1 if i == j else 1 for j in range(4)]) for i, n in enumerate(scores)]


def _record(
    recorder: Recording, kind: str, inputs: tuple[torch.Tensor, ...], outputs: list[torch.Tensor],
    qkv: tuple[torch.Tensor, torch.Tensor, torch.Tensor], block_mask: Any,
) -> None:  # fmt: skip
    query, key, value = qkv
    batch, heads, queries, width = query.shape
    keys, ledger = key.shape[-2], recorder.ledger
    attrs = {
        "batch": batch * heads, "value_batch": batch * heads, "queries": queries, "keys": keys, "width": width,
        "value_width": value.shape[-1], "scaled": prod(query.shape) + batch * heads * keys * width,
        "mask": not is_plain(block_mask[-1]), "causal": False,
    }  # fmt: skip
    tracked = [ledger.find(tensor) or recorder.register_external(tensor) for tensor in inputs]
    results = [ledger.add_result(tensor) for tensor in outputs]
    spec = OpSpec(kind, tuple(k.sig.type for k in tracked), tuple(map(tensor_type, outputs)),
                  tuple(sorted(attrs.items())))  # fmt: skip
    mask = _mask(recorder, block_mask, (batch, heads, queries, keys))
    if mask is not None:
        recorder.masks.by_node[len(recorder.nodes)] = mask
    name = "flex_attention" if kind == "attention" else "flex_attention_backward"
    recorder.append(memos.intern(spec), tuple(k.value for k in tracked), tuple(r.value for r in results), name)


# ---- which pairs a mask keeps


def _mask(recorder: Recording, block_mask: Any, scores: tuple[int, ...]) -> Mask | None:
    """Evaluate the mask; None if nothing is masked or the mask can't be known."""
    # as `BlockMask.as_tuple` orders it: lengths, lists of blocks, others, sizes of a block, `mask_mod`
    function, blocks = block_mask[-1], block_mask[-3:-1]
    first = next(i for i, item in enumerate(block_mask) if isinstance(item, torch.Tensor))
    lists = block_mask[first : first + 4]
    if is_plain(function) and min(blocks) >= max(scores[2:]):  # one block, which contains all pairs
        return None
    alive: list[Any] = [lists]  # kept alive so that their ids are not reused
    try:
        key = (*_cache_key(function, alive, 0), *[id(item) for item in lists], scores)
    except _UnknownError:
        key = None
    table = recorder.masks.functions
    if key is None or key not in table:
        packed = _evaluate_mask(recorder, function, lists, blocks, scores)
        if key is None:
            return packed
        table[key] = (packed, alive)
    return table[key][0]


def _cache_key(value: Any, alive: list[Any], depth: int) -> tuple[Any, ...]:
    """Return a cache key of everything that a function's results depend on; ids in it are of objects in `alive`.

    Raises:
        _UnknownError: they depend on globals, or on objects whose changes can't be detected.
    """
    if type(value) in _IMMUTABLE:
        return (type(value), value)
    alive.append(value)
    if isinstance(value, torch.Tensor):
        return (id(value), version_of(value))
    if type(value) is not FunctionType or depth > 8 or value.__code__.co_names:
        raise _UnknownError
    parts = [cell.cell_contents for cell in value.__closure__ or ()] + list(value.__defaults__ or ())
    return (id(value), *[item for part in parts for item in _cache_key(part, alive, depth + 1)])


def _evaluate_mask(
    recorder: Recording, function: Callable[..., Any], lists: Any, blocks: Any, scores: tuple[int, ...]
) -> Mask | None:  # fmt: skip
    try:
        with torch.no_grad(), _OnValues(recorder):
            visible = _visible_pairs(function, scores)
            in_blocks = _in_listed_blocks(recorder, lists, blocks, scores)
            if in_blocks is not None and not bool(in_blocks.all()):
                visible = visible & in_blocks
    except Exception:  # noqa: BLE001  # a user's function may raise anything
        return None
    return pack(visible, *scores[2:])


def _visible_pairs(function: Callable[..., Any], scores: tuple[int, ...]) -> torch.Tensor:
    """Run `mask_mod` on all pairs, in chunks of queries. Returns bools of sizes B or 1, H or 1, L, S or 1."""
    indices = _indices(scores, CPU)
    step = max(1, _CHUNK // (scores[0] * scores[1] * scores[3]))
    parts: list[torch.Tensor] = []
    for begin in range(0, scores[2], step):
        query = indices[2][:, :, begin : begin + step]
        part = function(indices[0], indices[1], query, indices[3]).to(torch.bool)
        part = part.view([1] * (4 - part.dim()) + list(part.shape))
        parts.append(part.expand(*part.shape[:2], query.shape[2], part.shape[3]))
        if parts[0].numel() * (scores[2] // step) > _MAX_PAIRS:
            raise _UnknownError
    return torch.cat(parts, 2)


def _in_listed_blocks(recorder: Recording, lists: Any, blocks: Any, scores: tuple[int, ...]) -> torch.Tensor | None:
    """Return the pairs in the blocks that a block mask lists, partial or full; None if the lists' values are unknown.

    Args:
        recorder: has the values of tensors without data.
        lists: for each block of queries, the number and the indices of its partial key blocks, then of its full ones.
        blocks: numbers of queries and keys per block.
        scores: B, H, L, S.
    """
    height, width = blocks
    counts, rows, columns = lists[0], -(-scores[2] // height), -(-scores[3] // width)
    visible = torch.zeros(*counts.shape[:2], rows, columns, dtype=torch.bool)
    for count, index in (lists[:2], lists[2:]):
        if count is None:
            continue
        lengths, blocks_of_row = _values(recorder, count), _values(recorder, index)
        if lengths is None or blocks_of_row is None:
            return None
        lengths, blocks_of_row = lengths[..., :rows], blocks_of_row[..., :rows, :columns]
        in_list = torch.arange(blocks_of_row.shape[-1]).expand(blocks_of_row.shape) < lengths[..., None]
        times_listed = torch.zeros(visible.shape, dtype=torch.int32)
        visible |= times_listed.scatter_add_(-1, blocks_of_row.long(), in_list.int()) > 0  # padding adds 0
    return visible[:, :, torch.arange(scores[2]) // height][..., torch.arange(scores[3]) // width]


def _values(recorder: Recording, tensor: torch.Tensor) -> torch.Tensor | None:
    """Return a tensor's values on the CPU, if known. A tensor of the user's is looked up by its copy."""
    copy = recorder.originals.copy_of(tensor) if recorder.originals is not None else None
    tensor = tensor if copy is None else copy
    tracked = recorder.ledger.find(tensor)
    if tracked is not None:
        values = recorder.masks.values(tensor, tracked)
    elif (values := recorder.values_at_hand.get(id(tensor))) is None:
        values = recorder.masks.unregistered_values(tensor, recorder.ledger.block_of(tensor))
    return None if values is None else values.detach().to(CPU)


class _OnValues(TorchDispatchMode):
    """Runs ops on the CPU, using the known values of tensors without data."""

    def __init__(self, recorder: Recording) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's class has no types
        self.recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # else torch loads its compiler to wrap the handler
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise _UnknownError
        return func(*self._with_values(args), **self._with_values(kwargs or {}))

    def _with_values(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if value.device == CPU:
                return value
            values = _values(self.recorder, value)
            if values is None:
                raise _UnknownError
            return values
        if isinstance(value, torch.device):
            return CPU
        if isinstance(value, dict):
            return {name: self._with_values(item) for name, item in value.items()}
        if type(value) in {list, tuple}:
            return type(value)(self._with_values(item) for item in value)
        return value


# ---- during a recording


class _Flex(torch.autograd.Function):
    """FlexAttention with a backward that doesn't need torch's tracing."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, func: Any, score_mod: Any, rest: Any, kwargs: Any) -> Any:
        """Return the op's outputs: the result, and the log-sum-exp and maximum of each row of scores."""
        out, logsumexp, largest = func(query, key, value, score_mod, *rest, **kwargs)
        ctx.mark_non_differentiable(largest)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(query, key, value, out, logsumexp)
        ctx.score_mod, ctx.rest = score_mod, rest
        return out, logsumexp, largest

    @staticmethod
    def backward(ctx: Any, grad_out: Any, grad_logsumexp: Any, _: Any) -> Any:
        """Return the gradients of queries, keys and values. `score_mod` is recomputed, then differentiated."""
        query, key, value, out, logsumexp = ctx.saved_tensors
        if grad_out is None:
            grad_out = torch.zeros_like(out)
        scores = (*query.shape[:3], key.shape[-2])
        if not is_plain(ctx.score_mod):
            with torch.enable_grad():
                score = torch.empty(scores, dtype=query.dtype, device=query.device, requires_grad=True)
                changed = ctx.score_mod(score, *_indices(scores, query.device))
            if changed.requires_grad:
                torch.autograd.grad(changed, score, torch.empty_like(changed), allow_unused=True)
        backward = flexible_attention_backward()
        block_mask, scale, options, *_ = ctx.rest
        gradients = _gradients((query, key, value), (grad_out, grad_logsumexp), ctx.score_mod, *ctx.rest)
        captured = (), ()  # tensors that `score_mod` and `mask_mod` capture; their gradients are not recorded
        results = backward(query, key, value, out, logsumexp, grad_out, grad_logsumexp, ctx.score_mod,
                           lambda: gradients, block_mask, scale, options, *captured)  # fmt: skip
        return (*results[:3], None, None, None, None)


def _with_derivative(func: Any) -> Callable[..., Any]:
    """Return the op with `_Flex`'s derivative, used if autograd is on and an input requires a gradient."""

    def flex_attention_hop(query: Any, key: Any, value: Any, score_mod: Any, *rest: Any, **kwargs: Any) -> Any:
        if not (torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))):
            return func(query, key, value, score_mod, *rest, **kwargs)
        return _Flex.apply(query, key, value, func, score_mod, rest, kwargs)  # type: ignore[no-untyped-call]

    return flex_attention_hop


def patches() -> list[Patch]:
    """Return patches that skip torch's device check, and replace the derivative by one that runs without data.

    Empty if FlexAttention has not been imported.
    """
    places = flexible_attention_places()
    if places is None:
        return []
    check, op = places
    return [
        Patch(*check, lambda *_: None, "it rejects tensors on meta"),
        Patch(*op, _with_derivative(getattr(*op)), "its own derivative is traced by torch's compiler, with values"),
    ]
