"""Weights of quantized layers, which torch packs into C++ objects that are not listed among the parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.compat.modules import PACKED, kind_of_object

META = torch.device("meta")


def packed_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights and biases that a module holds in packed form, by name, as meta tensors."""
    attributes = vars(module)
    if torch.ScriptObject not in {*map(type, attributes.values())}:  # a subclass has no instances
        return {}
    objects = {name: value for name, value in attributes.items() if type(value) is torch.ScriptObject}
    return {
        part if name == PACKED else f"{name}.{part}": tensor
        for name, value in objects.items()
        for part, tensor in _parts(value, kind_of_object(value))
    }


def _parts(packed: Any, kind: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors in a packed object; nothing for objects of other kinds, such as those of the user's."""
    if kind.startswith("quantized.") and hasattr(packed, "unpack"):
        unpacked = packed.unpack()
        tensors = unpacked if isinstance(unpacked, tuple) else (unpacked,)
        for name, tensor in zip(("weight", "bias"), tensors, strict=False):
            if isinstance(tensor, torch.Tensor):
                # weights of linear layers in half precision are unpacked to single
                half = name == "weight" and tensor.dtype is torch.float32
                dtype = torch.float16 if half else stored_dtype(tensor)
                yield name, torch.empty(tensor.shape, dtype=dtype, device=META)
    elif kind == "rnn.CellParamsBase":
        state, _ = packed.__getstate__()
        for name, inner in zip(("input", "hidden"), state[-1], strict=False):  # of the products with both
            yield from ((f"{name}.{part}", tensor) for part, tensor in _parts(inner, kind_of_object(inner)))


def stored_dtype(tensor: torch.Tensor) -> torch.dtype:
    """Return the integer dtype that a quantized tensor stores: its own can't be created on meta."""
    return _STORED.get(tensor.dtype, tensor.dtype)


_STORED = {
    torch.qint8: torch.int8, torch.quint8: torch.uint8, torch.qint32: torch.int32,
    torch.quint4x2: torch.uint8, torch.quint2x4: torch.uint8,  # of a byte, as torch has no smaller dtype on meta
}  # fmt: skip
