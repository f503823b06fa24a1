"""Bytes that a composite op temporarily allocates besides its inputs and outputs, measured on its decomposition.

Without autograd a composite op is recorded as one node. Its inner ops still allocate tensors: contiguous copies for a
matrix product, indices of a pool's maxima, a cast. They are run once per signature, on tensors without data, under a
recorder of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch import known_parts
from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.blocks import TensorArgs
from cnncost.frontends.torch.compat.dispatch import Forcing, excluded_keys, included_keys, key
from cnncost.frontends.torch.fused_lstm import RECURRENT, is_packed
from cnncost.frontends.torch.fused_lstm import parts as recurrent
from cnncost.frontends.torch.overloads import Overload
from cnncost.frontends.torch.protocols import Recording
from cnncost.frontends.torch.running import meta_like, replace_tensors
from cnncost.graph import OpSpec

_KERNELS = frozenset({"max_pool1d"})
"""Ops that run as one kernel on a CPU without autograd, though torch can decompose them."""


_POOLS = frozenset({"max_pool1d", "max_pool2d", "max_pool3d"})
"""Ops that are one kernel on quantized tensors, without indices of the maxima."""
_PLAIN = frozenset(
    ["aten.narrow.Tensor", "aten.linalg_svdvals", "aten.linalg_eigvals", "aten.linalg_eigvalsh"]
    + [f"aten.conv{name}" for name in "1d 2d 3d _transpose1d _transpose2d.input _transpose3d.input".split()]
)
"""Ops that consist of views and at most one kernel: they allocate no temporaries."""
_BY_VALUES = frozenset({
    "aten.one_hot", "aten.argwhere", "aten._pad_packed_sequence", "aten.item", "aten.is_nonzero",
})  # fmt: skip
"""Ops whose parts can't run without values. They allocate numbers alone beside their result."""

_KEYS_ABOVE = [
    key(name) for name in "AutogradFunctionality AutogradOther AutogradNestedTensor ADInplaceOrView AutocastHPU".split()
]
"""Dispatch keys at which composite ops are decomposed, those of autograd, and the key of our kernels that emulate a
device (`unwatched.py`)."""


def with_scratch(spec: OpSpec, op: Overload, args: Any, kwargs: Any, operands: TensorArgs, make: Any) -> OpSpec:
    """Return the spec with the op's temporary bytes in an attribute, or with a mark that they are unknown.

    Args:
        spec: the op's spec; it is returned unchanged if there are no temporary bytes.
        op: the composite op.
        args: its positional arguments.
        kwargs: its keyword arguments.
        operands: its tensors.
        make: creates the recorder for its inner ops.
    """
    nbytes = known_parts.known_bytes(op, args, kwargs, operands, spec)
    if nbytes is None:
        nbytes = _scratch(op, args, kwargs, operands, make)
    if nbytes == 0:
        return spec
    new = ("scratch", nbytes) if nbytes is not None else ("scratch_unknown", True)
    attrs = tuple(sorted([*[(name, value) for name, value in spec.attrs if name != new[0]], new]))
    return memos.intern(OpSpec(spec.kind, spec.inputs, spec.outputs, attrs))


def _scratch(op: Overload, args: Any, kwargs: Any, operands: TensorArgs, make: Callable[[], Recording]) -> int | None:
    """Temporary bytes, from a run of the inner ops; None if that fails, as without values that the ops need.

    None, too, for other ops by values, and for tensors that are not strided: nothing is known of them.
    """
    if op.name in _KERNELS:  # a non-contiguous input is copied
        x = operands[0][0]
        return 0 if x.is_contiguous() else x.numel() * x.element_size()
    quantized = any(tensor.is_quantized for tensor, _ in operands)
    if op.node_name in _PLAIN or op.node_name in _BY_VALUES or (quantized and op.name in _POOLS):
        return 0
    if op.by_values or not all(tensor.layout is torch.strided for tensor, _ in operands):
        return None
    stand_ins = {id(tensor): _meta_copy(tensor, tracked.sig.grad) for tensor, tracked in operands}
    recorder = make()
    recorder.decomposes = op.func
    for stand_in in stand_ins.values():
        recorder.ledger.add_source(stand_in, "input")
    if depends_on_values(op, args):  # the second argument has the batch size at each time step
        sizes = next(
            tensor if tracked.data is None else tracked.data for tensor, tracked in operands if tensor is args[1]
        )
        stand_ins[id(args[1])] = sizes
    try:
        with _decomposed(), warnings.catch_warnings(), recorder:
            warnings.simplefilter("ignore")  # the op itself issues the same warnings
            args, kwargs = replace_tensors(args, stand_ins, None), replace_tensors(kwargs, stand_ins, None)
            result = recurrent(op.name, *args) if op.name in RECURRENT and not kwargs else None
            result = op.func(*args, **kwargs) if result is None else result
    except (DataDependentError, RuntimeError, NotImplementedError, ValueError, IndexError, TypeError):
        return None
    tensors: list[torch.Tensor] = []
    memos.template_of(result, tensors)
    return _peak_beyond(recorder, tensors)


def depends_on_values(op: Overload, args: Any) -> bool:
    """True if the temporary bytes also depend on values: for packed sequences, on the batch size at each time step."""
    return op.name in RECURRENT and is_packed(args)


def _meta_copy(tensor: torch.Tensor, grad: bool) -> torch.Tensor:
    stand_in = meta_like(tensor)
    return stand_in.requires_grad_() if grad and (stand_in.is_floating_point() or stand_in.is_complex()) else stand_in


@contextmanager
def _decomposed() -> Iterator[None]:
    """Context in which composite ops reach the recorder decomposed because dispatch starts above autograd."""
    excluded = excluded_keys()
    for key_above in _KEYS_ABOVE:
        excluded = excluded.remove(key_above)
    with Forcing(included_keys(), excluded):
        yield


def _peak_beyond(recorder: Recording, results: list[torch.Tensor]) -> int:
    """Peak bytes of the recorded ops' storages, minus those that the results keep alive."""
    ledger, count = recorder.ledger, len(recorder.nodes)
    blocks = [block for tensor in results if (block := ledger.block_of(tensor)) is not None]
    kept = {block.index: block.nbytes for block in blocks if block.born is not None}
    changes = [0] * (count + 1)
    for storage in ledger.storages():
        if storage.born is not None:
            changes[storage.born] += storage.nbytes
            if storage.died is not None:
                changes[storage.died + 1] -= storage.nbytes
    alive = accumulate(changes[:count])
    most = max([n + int(node.spec.get("scratch", 0)) for n, node in zip(alive, recorder.nodes, strict=True)], default=0)
    return max(most - sum(kept.values()), 0)
