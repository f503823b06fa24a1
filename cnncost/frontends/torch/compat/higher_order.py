"""Higher-order ops, which take functions, and FlexAttention, which is one of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["tensors_of", "tree_map"]
"""`tree_map` applies a function to the leaves of nested containers, such as the operands of higher-order ops."""

HigherOrderOperator: Any = torch._ops.HigherOrderOperator
"""The class of ops that take functions. They have no schema and no overloads."""


def tensors_of(value: Any) -> list[torch.Tensor]:
    """Return the tensors in nested containers."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def fall_through(key: Any) -> None:
    """Make all higher-order ops, existing and future, skip a dispatch key, as they skip those of autocast."""
    torch._ops._HIGHER_ORDER_OP_DEFAULT_FALLTHROUGH_DISPATCH_KEYS.append(key)
    for op in torch._ops._higher_order_ops.values():
        op.fallthrough(key)


# ---- FlexAttention, imported only if a model uses it, because it imports torch's compiler

_FLEXIBLE_ATTENTION = "torch.nn.attention.flex_attention"
NO_OP_FUNCTIONS = frozenset({"_identity", "noop_mask"})
"""Names of torch's default functions for `score_mod` and `mask_mod`, which change no score and mask no pair."""


def flexible_attention_places() -> tuple[tuple[Any, str], tuple[Any, str]] | None:
    """Two attributes of FlexAttention's module: the device check, and the op; None if it is not imported.

    Both have to be replaced: the check rejects `meta`, and the op would let torch's compiler trace its backward.
    """
    module = sys.modules.get(_FLEXIBLE_ATTENTION)
    return None if module is None else ((module, "_validate_device"), (module, "flex_attention_hop"))


def dense_flexible_attention() -> Callable[..., Any]:
    """Return torch's reference implementation of FlexAttention: plain ops on all pairs of a query and a key."""
    from torch._higher_order_ops.flex_attention import math_attention

    return math_attention


def flexible_attention_backward() -> Callable[..., Any]:
    """Return the op that computes FlexAttention's gradients."""
    from torch._higher_order_ops.flex_attention import flex_attention_backward

    backward: Callable[..., Any] = flex_attention_backward
    return backward
