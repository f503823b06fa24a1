"""Resizes tensors without data in place, as ops do that resize an operand or an `out` argument.

The user's own tensors are never resized.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch

from cnncost.errors import InputError
from cnncost.frontends.torch.blocks import TrackedTensor
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.overloads import Overload

if TYPE_CHECKING:
    from cnncost.frontends.torch.blocks import TensorArgs


def geometry(tensor: torch.Tensor) -> tuple[torch.Size, tuple[int, ...]]:
    """Shape and strides."""
    return tensor.shape, tensor.stride()


def reshape_like(tensor: torch.Tensor, like: torch.Tensor, tracked: TrackedTensor, op: Overload) -> None:
    """Give a tensor the shape and strides that an op gave to its stand-in `like`. New elements are uninitialised.

    Raises:
        InputError: the tensor belongs to the user.
    """
    if tracked.block.owned and not is_meta(tensor):
        raise InputError(
            f"{op.func} changes the shape of a tensor in place, from {tuple(tensor.shape)} to {tuple(like.shape)}, and "
            "the tensor was there before forward; an analysis doesn't change your objects. Expected a tensor that "
            "forward creates, or the variant of the op that returns a new one"
        )
    if tensor.untyped_storage().nbytes() < (nbytes := like.untyped_storage().nbytes()):
        tensor.untyped_storage().resize_(nbytes)
    tensor.as_strided_(like.shape, like.stride(), tensor.storage_offset())


def into_outs(op: Overload, kwargs: Any, operands: TensorArgs, results: list[torch.Tensor]) -> Any:
    """Resize an op's `out` arguments to the shapes of the results that it would allocate, and return them."""
    tracked = {id(tensor): tracked for tensor, tracked in operands}
    outs = [kwargs[name] for name in op.arguments if name in op.outs]
    for out, like in zip(outs, results, strict=True):
        if out.shape != like.shape:
            reshape_like(out, like, tracked[id(out)], op)
    return outs[0] if len(outs) == 1 else tuple(outs)


def zero_extend(tensor: torch.Tensor, size: Any) -> None:
    """Extend a tensor's storage by zeros before a resize: uninitialised memory would differ between runs.

    `size` is the new size, or a tensor that has it.
    """
    numel = size.numel() if isinstance(size, torch.Tensor) else prod(size)
    storage, end = tensor.untyped_storage(), int(tensor.storage_offset() + numel) * tensor.element_size()
    if (old := storage.nbytes()) < end:
        storage.resize_(end)
        torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)[old:].zero_()
