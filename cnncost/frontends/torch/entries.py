"""Create the memo entry of an op when its signature is first recorded: its spec, and recipes for its outputs."""

from __future__ import annotations

from typing import Any

import torch

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.attention_masks import mask_index
from cnncost.frontends.torch.blocks import TensorArgs, storage_key
from cnncost.frontends.torch.compat.tensors import is_zero_tensor
from cnncost.frontends.torch.ledger import TensorTable
from cnncost.frontends.torch.lowering import OpCall, lower
from cnncost.frontends.torch.lowering.sparse import lower_sparse
from cnncost.frontends.torch.masks import MASKING
from cnncost.frontends.torch.memo import Entry, Fresh, Slot
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.overloads import Overload
from cnncost.frontends.torch.picking import PICKING
from cnncost.frontends.torch.running import Runner, shape_follows_values, written_indices
from cnncost.frontends.torch.shapes import gives_back, output_types
from cnncost.frontends.torch.sparse import any_sparse
from cnncost.frontends.torch.types import signature, tensor_type, tensors_in
from cnncost.graph import OpSpec

_REFINED = MASKING | PICKING
"""Ops whose nodes may get another spec than the entry's, such as one with the known positions of an index."""


def by_rule(op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Entry | None:
    """Return the entry of an op by its shape rule; None if no rule applies, so that the op has to run."""
    if op.by_values or all(tracked.sig.real for _, tracked in operands):
        return None
    arguments = op.bind(args, kwargs)
    outputs_by_rule = output_types(op, arguments)
    if outputs_by_rule is None:
        return None
    inputs = tuple([tracked.sig.type for _, tracked in operands])
    outputs: tuple[Fresh | int, ...]
    if op.mutable:
        if not gives_back(op, args, outputs_by_rule):
            return None
        outputs, types = (0,), inputs[:1]  # it returns its first operand
    else:
        recipes = tuple([memos.fresh(*output) for output in outputs_by_rule])
        outputs, types = recipes, tuple([output.sig.type for output in recipes])
    spec = lower(OpCall(op, arguments, inputs, types, moves=not op.mutable))
    spec = memos.intern(_with_copies(spec, op, operands))
    return _entry(op, spec, outputs, None, (0,) if op.mutable else (), mask_index(spec.kind, arguments, operands))


def of_run(
    op: Overload, args: Any, kwargs: Any, operands: TensorArgs, result: Any, runner: Runner, ledger: TensorTable
) -> Entry:
    """Return the entry of an op that the runner ran, from its result."""
    tensors: list[torch.Tensor] = []
    template = memos.template_of(result, tensors)
    storages = {storage_key(t) for t, _ in operands}
    storages.update([storage_key(t) for t in runner.stand_ins.values()])
    storages.update([storage_key(tracked.data) for _, tracked in operands if tracked.data is not None])
    recipes = [_recipe(tensor, operands, storages, ledger) for tensor in tensors]
    moves = any(storage_key(tensor) not in storages for tensor in tensors)
    outs = _out_indices(op, args, kwargs) if op.outs else ()
    types = tuple(map(tensor_type, tensors))
    inputs = tuple(tracked.sig.type for i, (_, tracked) in enumerate(operands) if i not in outs)
    writes = written_indices(op, args, kwargs, operands)
    not_returned = [i for i in writes if i not in recipes]
    types += tuple(tensor_type(operands[i][0]) for i in not_returned)
    # has to run each time: an op that writes to real tensors, and `lift_fresh`, which returns a new constant
    run_for_effect = (
        bool(writes) and all(tracked.sig.real for _, tracked in operands)
    ) or op.schema_name == "aten::lift_fresh"
    # an output's shape can vary for one signature: in place, with `out=`, or with values
    shape_varies = op.changes_shape or bool(outs) or shape_follows_values(op, operands)
    arguments = op.bind(args, kwargs)
    call = OpCall(op, arguments, inputs, types, moves=moves or bool(outs))
    operand_tensors = [tensor for tensor, _ in operands]
    spec = (
        lower_sparse(call, operand_tensors, tensors)
        if any_sparse(operand_tensors) or any_sparse(tensors)
        else lower(call)
    )
    spec = _with_copies(spec, op, operands)
    rerun = run_for_effect or shape_varies or bool(not_returned) or bool(runner.data) or not tensors or None in recipes
    outputs = None if rerun else tuple(recipe for recipe in recipes if recipe is not None)
    return _entry(op, memos.intern(spec), outputs, template, writes, mask_index(spec.kind, arguments, operands), outs)


def _with_copies(spec: OpSpec, op: Overload, operands: TensorArgs) -> OpSpec:
    """Add the copies that products make of conjugated operands."""
    if op.name not in _PRODUCTS:
        return spec
    resolved = [t for t, tracked in operands if tracked.sig.conjugated and not _adjoint_for_blas(op.name, t)]
    if not resolved:
        return spec
    nbytes = sum(t.numel() * t.element_size() for t in resolved)
    return OpSpec(spec.kind, spec.inputs, spec.outputs, tuple(sorted([*spec.attrs, ("scratch", nbytes)])))


_PRODUCTS = frozenset({"mm", "addmm", "mv", "addmv", "bmm", "baddbmm"})


def _adjoint_for_blas(product: str, conjugated: torch.Tensor) -> bool:
    """True if a product of two matrices takes a conjugated one as an adjoint, because it lies column by column.

    `addmm_impl_cpu_` (LinearAlgebra.cpp) looks at rows first.
    """
    if product not in {"mm", "addmm"} or not conjugated.is_complex():
        return False
    (rows, columns), (down, right) = conjugated.shape, conjugated.stride()
    by_rows = right == 1 and down >= max(1, columns)
    return not by_rows and down == 1 and right >= max(1, rows)


def _out_indices(op: Overload, args: Any, kwargs: Any) -> tuple[int, ...]:
    """Return the indices of the op's tensors that are only outputs (`out=`)."""
    count = len(list(tensors_in(args)))
    indices: list[int] = []
    for name, value in kwargs.items():
        added = len(list(tensors_in(value)))
        if name in op.outs:
            indices.extend(range(count, count + added))
        count += added
    return tuple(indices)


def _recipe(tensor: torch.Tensor, operands: TensorArgs, storages: set[int], ledger: TensorTable) -> Fresh | int | None:
    """Return the index of the operand that an output is, or the metadata to create it; None: the op has to run.

    `storages`: keys of the inputs' storages.
    """
    for i, (arg, _) in enumerate(operands):
        if tensor is arg:
            return i
    if not is_meta(tensor) or tensor.layout is not torch.strided:
        return None
    if storage_key(tensor) in storages or ledger.block_of(tensor) is not None:
        return None
    if tensor.storage_offset() or tensor.is_conj() or tensor.is_neg() or type(tensor) is not torch.Tensor:
        return None
    if is_zero_tensor(tensor):  # torch runs ops on it differently from those on the plain tensor that would replace it
        return None
    return _fresh(tensor)


_SINGLE = Slot(0)


def _entry(
    op: Overload,
    spec: OpSpec,
    outputs: tuple[Fresh | int, ...] | None,
    template: Any,
    writes: tuple[int, ...],
    mask: int | None,
    outs: tuple[int, ...] = (),
) -> Entry:
    """Build an entry. `template`: the result's structure, with Slots; None: one output, or a tuple of them."""
    if template is None and outputs is not None:
        template = _SINGLE if len(outputs) == 1 else tuple(map(Slot, range(len(outputs))))
    single = type(template) is Slot
    plain = outputs is not None and single and not writes and op.node_name not in _REFINED and mask is None
    fresh = outputs[0] if plain and outputs is not None and type(outputs[0]) is Fresh else None
    return Entry(op.func, op.node_name, spec, outputs, single, template, writes, fresh, outs, mask)


def _fresh(tensor: torch.Tensor) -> Fresh:
    """Return the metadata from which a tensor like this one, with a new storage, can be created."""
    nbytes = tensor.untyped_storage().nbytes()
    return Fresh(signature(tensor, False), tensor.shape, tensor.stride(), tensor.dtype, nbytes)
