"""The process-wide memo: maps an op's signature to its spec and the metadata of its outputs.

The key holds everything that both depend on: the overload, each tensor's shape, strides, dtype and whether its values
are known, every plain argument with its type (1, 1.0 and True differ), and the default dtype. On a hit, empty outputs
are created without running the op.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, TypeAlias

import torch

from cnncost.frontends.torch.types import Signature, interned
from cnncost.graph import OpSpec, TensorType
from cnncost.session import SESSION

Key: TypeAlias = tuple[Any, ...]


class Fresh(NamedTuple):
    """Metadata of an output with its own storage."""

    sig: Signature
    size: torch.Size | tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    nbytes: int


class Entry(NamedTuple):
    """The memo's entry for a signature.

    Attributes:
        func: the op; its identity is part of the key, so it has to stay alive.
        name: the op's name in the node.
        spec: the op's spec, interned.
        outputs: for each output tensor, its metadata, or the index of the input that is returned; None if the op has
            to run each time (views need the storage, known values the computation).
        single: whether the op returns one tensor; otherwise `template` describes its result.
        template: the op's result, with each tensor replaced by an index into `outputs`.
        writes: indices of the inputs that the op writes to.
        fresh: the output's metadata, if the op returns one new tensor, writes to no input, has no mask, and always has
            this spec, like most ops; else None.
        outs: indices of the inputs that the op only writes to (`out=`); they are not inputs of the node.
        mask: for attention, the index of the mask among the inputs; the memo doesn't store its values. Else None.
    """

    func: Any
    name: str
    spec: OpSpec
    outputs: tuple[Fresh | int, ...] | None
    single: bool
    template: Any
    writes: tuple[int, ...]
    fresh: Fresh | None
    outs: tuple[int, ...]
    mask: int | None


class Slot(int):
    """Placeholder for a tensor in a template: its index among the outputs."""


_MEMOS: dict[torch.dtype, dict[Key, Entry]] = {}
"""The memo for each default dtype."""
_FRESH: dict[tuple[tuple[int, ...], tuple[int, ...], torch.dtype], Fresh] = {}
_SPECS: dict[OpSpec, OpSpec] = {}


def current() -> dict[Key, Entry]:
    """Return the memo for the current default dtype, which decides, for example, the dtype of an integer tensor / 2."""
    return _MEMOS.setdefault(torch.get_default_dtype(), {})


def clear() -> None:
    """Empty the memo (a cold start, for tests and benchmarks)."""
    _MEMOS.clear()
    _SPECS.clear()
    _FRESH.clear()
    layout.cache_clear()


def _size() -> int:
    return sum(map(len, _MEMOS.values())) + len(_SPECS) + len(_FRESH) + layout.cache_info().currsize


SESSION.own("memo", _size, clear)


def fresh(size: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype) -> Fresh:
    """Return the metadata of an output of this size and stride, on a storage of its own (cached)."""
    key = (size, stride, dtype)
    metadata = _FRESH.get(key)
    if metadata is None:
        last_position = sum([(n - 1) * step for n, step in zip(size, stride, strict=True)]) if 0 not in size else -1
        nbytes = (last_position + 1) * dtype.itemsize
        metadata = _FRESH[key] = Fresh(interned(size, stride, dtype, False, False), size, stride, dtype, nbytes)
    return metadata


def intern(spec: OpSpec) -> OpSpec:
    """Intern a spec: one shared object for all equal ones."""
    return _SPECS.setdefault(spec, spec)


@cache
def layout(fn: str, inputs: tuple[TensorType, ...], output: TensorType) -> OpSpec:
    """Return the spec of a layout op without cost.

    `fn`: `alias`, for a tensor that isn't in the table but shares the storage of one that is, or `after_write`, for a
    view after a write to another view of its storage, which changed unknown elements.
    """
    moves = (("reshape", output.shape),) if fn == "alias" and inputs[0].numel == output.numel else None
    return intern(OpSpec("layout", inputs, (output,), (("copy", False), ("moves", moves))))


def fill(template: Any, tensors: list[torch.Tensor]) -> Any:
    """Replace the placeholders of a template by tensors."""
    if type(template) is Slot:
        return tensors[template]
    if type(template) in (list, tuple):
        return type(template)([fill(item, tensors) for item in template])
    return template


def template_of(result: Any, tensors: list[torch.Tensor]) -> Any:
    """Return the template of a result; its tensors are appended to `tensors`."""
    if isinstance(result, torch.Tensor):
        tensors.append(result)
        return Slot(len(tensors) - 1)
    if isinstance(result, (list, tuple)):
        items = [template_of(item, tensors) for item in result]
        return items if isinstance(result, list) else tuple(items)
    return result
