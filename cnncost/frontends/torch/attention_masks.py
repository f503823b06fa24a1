"""The keys that each query of an attention op sees, if the values of its mask are known.

Masks belong to one recording: the memo doesn't store them, and a Graph stores them separately from its nodes. A mask's
values are known if ops may run on it (`Runner`) and, whatever its size, if it is an input with values, a buffer that
was not written to, or a view of one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from cnncost.frontends.torch.blocks import StorageRecord, TrackedTensor, storage_key
from cnncost.frontends.torch.meta import is_meta
from cnncost.masks import Mask, mask_from_bits

if TYPE_CHECKING:
    from cnncost.frontends.torch.blocks import TensorArgs
    from cnncost.frontends.torch.memo import Entry

ATTENTION = frozenset({"attention", "attention_backward", "mha", "encoder_layer"})
"""Kinds of ops that may take a mask."""

Pair: TypeAlias = tuple[torch.Tensor, torch.Tensor]
_FUSED = frozenset({"mha", "encoder_layer"})
"""Kinds of fused layers, whose masks have other forms (`read`)."""
_ARGUMENTS = ("attn_mask", "attn_bias", "mask")
"""Names of the argument that is the mask."""
_MAX_PAIRS = 1 << 30
"""Maximum number of pairs of a query and a key in a mask that is evaluated."""
_BITS = tuple(1 << i for i in range(8))
"""The value of each bit of a byte: the first element that a byte holds is its lowest bit."""


def mask_index(kind: str, arguments: dict[str, Any], operands: TensorArgs) -> int | None:
    """Return the index of the mask among the tensors of an op; None if the op is not attention or has no mask."""
    if kind not in ATTENTION:
        return None
    mask = next((m for name in _ARGUMENTS if isinstance(m := arguments.get(name), torch.Tensor)), None)
    return None if mask is None else next((i for i, (tensor, _) in enumerate(operands) if tensor is mask), None)


class Masks:
    """The masks of one recording.

    Attributes:
        by_node: known masks by node index.
        on_values: whether the recording is from real data, so that every tensor has values.
        functions: masks computed by functions (FlexAttention). A key holds the ids of the objects that the mask
            depends on; the value is the mask and these objects, which must stay alive.
        sources: functions that return pairs of a user's tensor and the meta tensor that represents it.
    """

    def __init__(self, on_values: bool = False) -> None:
        self.on_values = on_values
        self.by_node: dict[int, Mask] = {}
        self.sources: list[Callable[[], Iterable[Pair]]] = []
        self.functions: dict[tuple[Any, ...], tuple[Mask | None, Any]] = {}
        self._read: dict[tuple[Any, ...], Mask | None] = {}

    def note(self, entry: Entry, index: int, operands: TensorArgs, node: int) -> None:
        """Store the mask of an op recorded as `node`, if known; `index` is the mask's index among the op's tensors."""
        tensor, tracked = operands[index]
        spec = entry.spec
        form = spec["mask_type"] if spec.kind in _FUSED else "scores"
        key = (tracked.value, form, spec["queries"], spec["keys"])
        if key not in self._read:
            values = self.values(tensor, tracked)
            self._read[key] = None if values is None else read(values, form, spec["queries"], spec["keys"])
        if (mask := self._read[key]) is not None:
            self.by_node[node] = mask

    def values(self, tensor: torch.Tensor, tracked: TrackedTensor) -> torch.Tensor | None:
        """Return the values of a registered tensor; None if unknown."""
        if tracked.block.from_random:
            return None  # another run would draw other random values
        if tracked.data is not None and tracked.sig.real:
            return tracked.data
        return self.unregistered_values(tensor, tracked.block)

    def unregistered_values(self, tensor: torch.Tensor, block: StorageRecord | None) -> torch.Tensor | None:
        """Return the values of a tensor that may not be in the tensor table; None if unknown.

        `block` is the record of its storage, if any.
        """
        written = block is not None and bool(block.version)
        if not is_meta(tensor):  # on real data, writes go to the tensor itself, otherwise to a copy
            return tensor if self.on_values or not written else None
        if written or (block is not None and block.born is not None):
            return None
        key = storage_key(tensor)
        pairs = chain.from_iterable(source() for source in self.sources)
        original = next((old for old, new in pairs if storage_key(new) == key and not is_meta(old)), None)
        if original is None or original.layout is not torch.strided:
            return None
        view = torch.empty(0, dtype=tensor.dtype, device=original.device)
        return view.set_(original.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride())


def read(values: torch.Tensor, form: Any, queries: int, keys: int) -> Mask | None:
    """Create a mask from its values; None if it is too large, or of an unexpected shape, layout or form.

    Args:
        values: the mask as passed to the op.
        form: how the op uses them. "scores": they broadcast to the scores; True, or anything but minus infinity, keeps
            a score. 0, 1 or 2, the `mask_type` of fused layers: nonzero elements mask out scores, and the shape is L,S
            for 0, B,S for 1, and that of the scores for 2.
        queries: L.
        keys: S.
    """
    if values.layout is not torch.strided:
        return None
    values = _unexpanded(values.detach())
    if values.numel() > _MAX_PAIRS:
        return None
    if form == "scores":
        return pack(_kept_scores(values), queries, keys)
    if form not in {0, 1, 2} or (form == 2 and values.dim() < 2):
        return None
    seen = values == 0
    return pack(seen[:, None, None, :] if form == 1 else seen, queries, keys)


def _kept_scores(values: torch.Tensor) -> torch.Tensor:
    """Return True where a score is kept. A dtype's minimum counts as minus infinity, unless it masks a whole row."""
    if values.dtype == torch.bool:
        return values
    if not values.is_floating_point():
        return torch.ones_like(values, dtype=torch.bool)  # integers are added to the scores, and none is minus infinity
    minimal = values == torch.finfo(values.dtype).min
    kept = ~torch.isneginf(values)
    row_has_others = (kept & ~minimal).any(-1, keepdim=True) if values.dim() else kept & ~minimal
    return kept & ~(minimal & row_has_others)


def _unexpanded(tensor: torch.Tensor) -> torch.Tensor:
    """Reduce each expanded axis (stride 0), whose elements are all equal, to one element."""
    for axis, step in enumerate(tensor.stride()):
        if step == 0 and tensor.shape[axis]:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def pack(seen: torch.Tensor, queries: int, keys: int) -> Mask | None:
    """Pack bools into a mask; None if they don't broadcast to `*, queries, keys`, or are empty."""
    seen = _unexpanded(seen.detach())
    while seen.dim() < 2:
        seen = seen[None]
    if seen.shape[-2] not in {1, queries} or seen.shape[-1] not in {1, keys} or not seen.numel():
        return None
    *lead, rows, columns = seen.shape
    flat = seen.reshape(-1, columns).cpu()
    data = torch.zeros(flat.shape[0], (columns + 7) // 8 * 8, dtype=torch.uint8)
    data[:, :columns] = flat
    data = (data.view(flat.shape[0], -1, 8) * torch.tensor(_BITS, dtype=torch.uint8)).sum(-1, dtype=torch.uint8)
    data_bytes = ctypes.string_at(data.data_ptr(), data.numel())  # `data.numpy()` would need numpy
    return mask_from_bits(torch.Size(lead).numel(), rows, columns, data_bytes)
