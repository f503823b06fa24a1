"""Higher-order ops, which take functions, and flexible attention, which is one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_map

__all__ = ["tree_map"]
"""Applies a function to the leaves of nested containers, as higher-order ops take them."""

HigherOrderOperator: Any = torch._ops.HigherOrderOperator
"""The class of ops that take functions; they are no overloads of a schema."""


def fall_through(key: Any) -> None:
    """Have existing and future higher-order ops ignore a dispatch key, as they ignore those of other autocasts."""
    torch._ops._HIGHER_ORDER_OP_DEFAULT_FALLTHROUGH_DISPATCH_KEYS.append(key)
    for op in torch._ops._higher_order_ops.values():
        op.fallthrough(key)


# ---- flexible attention, imported only if a model uses it, because it imports torch's compiler

_FLEXIBLE_ATTENTION = "torch.nn.attention.flex_attention"
NO_OP_FUNCTIONS = frozenset({"_identity", "noop_mask"})
"""Names of torch's functions that change no score and mask no pair."""


def flexible_attention_places() -> tuple[tuple[Any, str], tuple[Any, str]] | None:
    """The check of the tensors' device, and the op that it calls next; None if the module is not imported.

    The check rejects `meta`, and the op's own derivative is traced by torch's compiler.
    """
    module = sys.modules.get(_FLEXIBLE_ATTENTION)
    return None if module is None else ((module, "_validate_device"), (module, "flex_attention_hop"))


def dense_flexible_attention() -> Callable[..., Any]:
    """Flexible attention as plain ops on all pairs."""
    from torch._higher_order_ops.flex_attention import math_attention

    return math_attention


def flexible_attention_backward() -> Callable[..., Any]:
    """Return the op that computes flexible attention's gradients."""
    from torch._higher_order_ops.flex_attention import flex_attention_backward

    backward: Callable[..., Any] = flex_attention_backward
    return backward
