"""Changes the shapes of tensors for ops that resize an operand or an `out` argument in place.

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
    """Return the shape and strides of a tensor."""
    return tensor.shape, tensor.stride()


def reshape_like(tensor: torch.Tensor, like: torch.Tensor, tracked: TrackedTensor, op: Overload) -> None:
    """Give a tensor the shape and strides that an op gave to its stand-in `like`. New elements are uninitialized.

    Raises:
        InputError: the tensor has data and belongs to the user.
    """
    if tracked.block.owned and not is_meta(tensor):
        raise InputError(
            f"{op.func} changes the shape of a tensor in place, from {tuple(tensor.shape)} to {tuple(like.shape)}, but "
            "the tensor existed before forward, and an analysis doesn't change your objects; expected a tensor that "
            "forward creates, or the out-of-place variant of the op"
        )
    if tensor.untyped_storage().nbytes() < (nbytes := like.untyped_storage().nbytes()):
        tensor.untyped_storage().resize_(nbytes)
    tensor.as_strided_(like.shape, like.stride(), tensor.storage_offset())


def into_outs(op: Overload, kwargs: Any, operands: TensorArgs, results: list[torch.Tensor]) -> Any:
    """Resize an op's `out` arguments to the shapes of `results`, which it would allocate without them; return them."""
    tracked = {id(tensor): tracked for tensor, tracked in operands}
    outs = [kwargs[name] for name in op.arguments if name in op.outs]
    for out, like in zip(outs, results, strict=True):
        if out.shape != like.shape:
            reshape_like(out, like, tracked[id(out)], op)
    return outs[0] if len(outs) == 1 else tuple(outs)


def zero_extend(tensor: torch.Tensor, size: Any) -> None:
    """Extend a tensor's storage with zeros before a resize, because uninitialized memory would differ between runs.

    `size` is the new shape, or a tensor of that shape.
    """
    numel = size.numel() if isinstance(size, torch.Tensor) else prod(size)
    storage, end = tensor.untyped_storage(), int(tensor.storage_offset() + numel) * tensor.element_size()
    if (old := storage.nbytes()) < end:
        storage.resize_(end)
        torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)[old:].zero_()
