"""Runs ops that take or return sparse tensors, without data or on known values.

Torch has no kernels for sparse tensors without data. Such an op's result is dense with a known shape, or it stores
elements at the same positions as the input, or at positions that depend on those of all inputs. In the last case, the
op is run on tensors with the same positions and arbitrary values (`pattern` in `sparse.py`).
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.blocks import TensorArgs, TrackedTensor
from cnncost.frontends.torch.compat.ops import MARK_COALESCED
from cnncost.frontends.torch.lowering.sparse import counts_products
from cnncost.frontends.torch.meta import META, is_meta
from cnncost.frontends.torch.overloads import Overload
from cnncost.frontends.torch.running import CPU, REAL_LIMIT, Runner, meta_like, replace_tensors, written_indices
from cnncost.frontends.torch.sparse import (
    COMPRESSED,
    INDICES,
    any_sparse,
    assembled,
    is_part,
    is_sparse,
    keep_alive,
    parts,
    pattern,
    stand_in,
    stored,
    with_pattern,
)  # fmt: skip

_COO = frozenset({"_sparse_coo_tensor_with_dims_and_tensors", "_sparse_coo_tensor_unsafe", "sparse_coo_tensor"})
_KINDS = ("csr", "csc", "bsr", "bsc")
_COMPRESSED = frozenset(
    {"sparse_compressed_tensor", "_sparse_compressed_tensor_unsafe"}
    | {f"sparse_{kind}_tensor" for kind in _KINDS}
    | {f"_sparse_{kind}_tensor_unsafe" for kind in _KINDS}
)
_CREATING = _COO | _COMPRESSED
_CONVERTING = frozenset(f"{start}to_sparse{kind}" for start in ("", "_") for kind in ("", *(f"_{k}" for k in _KINDS)))
_QUERIES = frozenset({"_nnz", "is_coalesced", "sparse_dim", "dense_dim", "_dimI", "_dimV"})
_PRODUCTS = frozenset({"mm", "addmm", "_sparse_addmm", "bmm", "mv", "addmv", "_sparse_mm_reduce_impl"})
"""Matrix products, whose result is dense unless both operands are sparse."""
_KEEPING = frozenset(
    "clone _to_copy neg abs mul div sqrt sign floor ceil trunc round sin tan asin atan sinh tanh asinh atanh expm1"
    " log1p relu erf erfinv deg2rad rad2deg pow square sgn positive nan_to_num _sparse_softmax _sparse_log_softmax"
    " threshold threshold_backward zeros_like ones_like rand_like randn_like empty_like".split()
)
"""Ops whose result stores elements at the same positions as the operand, if that has no duplicates."""


def has_parts(op: Overload, args: Any, kwargs: Any) -> bool:
    """True if an op with a sparse tensor is recorded as its inner ops."""
    if not op.composite or counts_products(op.name):
        return False
    checked = torch.sparse.check_sparse_tensor_invariants.is_enabled()  # the checks run inner ops
    return op.name not in _CREATING or (checked and _is_sized(op.bind(args, kwargs)))


def _is_sized(named: dict[str, Any]) -> bool:
    """True if the result's shape is passed, and not derived from the indices."""
    return "values" in named and named.get("size") is not None


def concerns(op: Overload, kwargs: Any, operands: TensorArgs) -> bool:
    """True if an op has a sparse operand, or may create a sparse tensor."""
    if op.name in _CREATING or op.name in _CONVERTING or op.name == "_spdiags":
        return True
    return any_sparse([tensor for tensor, _ in operands]) or kwargs.get("layout") is torch.sparse_coo


def run(op: Overload, args: Any, kwargs: Any, operands: TensorArgs, runner: Runner) -> Any:
    """Run an op. Sparse results are stand-ins, whose values are in `runner.data` if those of all inputs are known.

    Raises:
        DataDependentError: the number of stored elements depends on unknown values.
        NotImplementedError: the op changes a sparse tensor in place in a way that can't be tracked.
    """
    runner.stand_ins, runner.data = {}, {}
    if op.name in _QUERIES:
        return op.func(*args, **kwargs)
    if op.is_view or is_part(op.name) or op.name in {"detach", "_coalesced"}:
        viewed = _view(op, args, kwargs, operands, runner)
        if viewed is not None:
            return viewed
    if op.name in {"t", "transpose"} and args[0].layout in COMPRESSED and is_meta(args[0]):
        return _transposed(op, args, kwargs, operands, runner)
    if op.name in _CREATING:
        return _from_parts(op, args, kwargs, operands, runner)
    if op.mutable:
        return _in_place(op, args, kwargs, operands, runner)
    real = all(tracked.sig.real for _, tracked in operands)
    shape = _dense_shape(op, args)
    if shape is not None and (not real or prod(shape) > REAL_LIMIT):
        return _dense(op, args, shape)
    if real:
        return _with_values(op, args, kwargs, operands, runner)
    result = _at_same_positions(op, args)
    if result is not None:
        return result
    return _by_positions(op, args, kwargs, operands)


def _view(op: Overload, args: Any, kwargs: Any, operands: TensorArgs, runner: Runner) -> Any:
    """Return a component tensor or an alias of the sparse tensor, with known values; None if the op is another view."""
    tensor, tracked = operands[0]
    if is_part(op.name):
        part = op.func(*args, **kwargs)
        positions = pattern(tensor)
        data = tracked.data if tracked.sig.real else None
        if is_meta(part) and op.name in INDICES and positions is not None:
            runner.data[id(part)] = op.func(_coalesced_as(tensor, positions).cpu())
        elif is_meta(part) and data is not None:
            runner.data[id(part)] = op.func(data)
        return part
    if op.name not in {"detach", "alias", "_coalesced"}:
        return None
    result = with_pattern(op.func(*args, **kwargs), pattern(tensor))
    if result is not tensor and is_meta(result) and tracked.sig.real and tracked.data is not None:
        runner.data[id(result)] = tracked.data
    return result


def _transposed(op: Overload, args: Any, kwargs: Any, operands: TensorArgs, runner: Runner) -> torch.Tensor:
    """Return the transpose of a tensor of compressed layout: the same parts, with rows and columns swapped."""
    positions, tracked = pattern(args[0]), operands[0][1]
    result = with_pattern(
        op.func(*args, **kwargs), None if positions is None else op.func(positions, *args[1:], **kwargs)
    )
    if tracked.sig.real and tracked.data is not None:
        runner.data[id(result)] = op.func(tracked.data, *args[1:], **kwargs)
    return result


def _coalesced_as(tensor: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Return `positions` with the coalesced flag of `tensor`, which the model may have set with `_coalesced_`."""
    if tensor.layout is torch.sparse_coo and tensor.is_coalesced() != positions.is_coalesced():
        return MARK_COALESCED(positions.detach().clone(), tensor.is_coalesced())  # type: ignore[no-any-return]
    return positions


def _from_parts(op: Overload, args: Any, kwargs: Any, operands: TensorArgs, runner: Runner) -> Any:
    """Create a sparse tensor from the given component tensors, with which it shares storages.

    Raises:
        DataDependentError: its shape depends on indices with unknown values.
    """
    named = op.bind(args, kwargs)
    if "values" not in named:  # an empty tensor
        return _with_values(op, args, kwargs, operands, runner)
    known = {
        id(tensor): None if (data := _data(tensor, tracked)) is None else data.clone() for tensor, tracked in operands
    }
    values, *indices = _given_parts(op, named)
    positions = [data for index in indices if (data := known[id(index)]) is not None]
    complete = len(positions) == len(indices)
    elements = known[id(values)]
    if elements is None:
        elements = torch.ones(values.shape, dtype=values.dtype)  # contiguous: results of sparse sums depend on that
    runner.stand_ins = {id(tensor): meta_like(tensor) for tensor, _ in operands if not is_meta(tensor)}
    if _is_sized(named):
        result = op.func(
            *replace_tensors(args, runner.stand_ins, META),
            **replace_tensors({**kwargs, "device": META}, runner.stand_ins, META),
        )
        whole = assembled(result, elements, positions) if complete else None
    elif complete:
        table = {**dict(zip(map(id, indices), positions, strict=True)), id(values): elements}
        whole = op.func(*replace_tensors(args, table, CPU), **replace_tensors(kwargs, table, CPU))
        new_values, *new_indices = [runner.stand_ins.get(id(part), part) for part in (values, *indices)]
        result = assembled(whole, new_values, new_indices)
    else:
        raise DataDependentError(f"the shape of the result of {op.func} depends on its indices")
    if whole is not None and known[id(values)] is not None and values.numel() <= REAL_LIMIT:
        runner.data[id(result)] = whole
    keep_alive(result, [tensor for tensor, _ in operands if id(tensor) in runner.stand_ins])
    return with_pattern(result, whole)


def _given_parts(op: Overload, named: dict[str, Any]) -> tuple[torch.Tensor, ...]:
    if op.name in _COO:
        return named["values"], named["indices"]
    values = named["values"]
    first = next(named[n] for n in ("compressed_indices", "crow_indices", "ccol_indices") if n in named)
    second = next(named[n] for n in ("plain_indices", "col_indices", "row_indices") if n in named)
    return values, first, second


def _data(tensor: torch.Tensor, tracked: TrackedTensor) -> torch.Tensor | None:
    """Return the values of a tensor; None if they are unknown."""
    if not tracked.sig.real:
        return None
    return (tensor if tracked.data is None else tracked.data).detach().cpu()


def _in_place(op: Overload, args: Any, kwargs: Any, operands: TensorArgs, runner: Runner) -> Any:
    """Run an in-place op that writes to a dense tensor, or that keeps the positions of a sparse one.

    Raises:
        NotImplementedError: the op may change which elements a sparse tensor stores.
    """
    target = args[0] if args else None
    if all(tracked.sig.real for _, tracked in operands) and not is_sparse(target):
        table = {id(t): t if k.data is None else k.data for t, k in operands}
        written_ids = [id(operands[i][0]) for i in written_indices(op, args, kwargs, operands)]
        for key in written_ids:
            table[key] = table[key].detach().clone()
        op.func(*replace_tensors(args, table, CPU), **replace_tensors(kwargs, table, CPU))
        runner.data = {key: table[key] for key in written_ids}
        return target
    if op.writes_first and (not is_sparse(target) or op.name in _KEEPING):
        return target
    if op.writes_first and op.name == "copy" and all(is_sparse(t) for t in args[:2]):
        positions, other = pattern(args[0]), pattern(args[1])
        if positions is not None and positions is other:
            return target
    raise NotImplementedError(
        f"{op.func} changes a sparse tensor in place, and without data it is unknown which elements the tensor stores "
        "afterwards; use the out-of-place op"
    )


def _dense_shape(op: Overload, args: Any) -> tuple[int, ...] | None:
    """Return the shape of an op's result if the result is known to be dense; else None."""
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    name = op.name
    if name in {"_to_dense", "to_dense"}:
        return tuple(args[0].shape)
    if name in {"add", "sub"} and len(tensors) == 2 and not all(map(is_sparse, tensors)):
        return tuple(torch.broadcast_shapes(tensors[0].shape, tensors[1].shape))
    if name in {"sum", "norm"} and len(args) == 1 and is_sparse(args[0]):
        return ()
    if name not in _PRODUCTS:
        return None
    left, right = tensors[-2:]
    if is_sparse(left) and is_sparse(right):
        return None
    if left.shape[-1] != right.shape[-2 if right.dim() > 1 else 0]:
        raise RuntimeError(f"shapes {tuple(left.shape)} and {tuple(right.shape)} can't be multiplied")
    return (*left.shape[:-1], *(right.shape[-1:] if right.dim() > 1 else ()))


def _dense(op: Overload, args: Any, shape: tuple[int, ...]) -> Any:
    """Return the dense result of an op, without data."""
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    dtype = next((t.dtype for t in tensors if t.is_floating_point() or t.is_complex()), tensors[0].dtype)
    if op.name in _PRODUCTS:
        dtypes = {t.dtype for t in tensors}
        if len(dtypes) > 1:
            raise RuntimeError(f"expected operands of one dtype, but got {' and '.join(sorted(map(str, dtypes)))}")
    else:
        dtype = torch.result_type(tensors[0], tensors[-1])
    if op.name in {"_to_dense", "to_dense"} and len(args) > 1 and isinstance(args[1], torch.dtype):
        dtype = args[1]
    result = torch.empty(shape, dtype=dtype, device=META)
    if op.name == "_sparse_mm_reduce_impl":
        with_positions = args[2] in {"amax", "amin"}  # the gradient needs the positions of the extrema
        return result, torch.empty(shape if with_positions else (0,), dtype=torch.int64, device=META)
    return result


def _with_values(op: Overload, args: Any, kwargs: Any, operands: TensorArgs, runner: Runner) -> Any:
    """Run the op on known values, and return stand-ins for the results."""
    table = {id(tensor): data for tensor, tracked in operands if (data := _data(tensor, tracked)) is not None}
    result = op.func(*replace_tensors(args, table, CPU), **replace_tensors(kwargs, table, CPU))
    values: list[torch.Tensor] = []
    template = memos.template_of(result, values)
    outputs = [meta_like(value) for value in values]
    runner.data = {
        id(output): value
        for output, value in zip(outputs, values, strict=True)
        if (stored(value)[0] if is_sparse(value) else value.numel()) <= REAL_LIMIT
    }
    return memos.fill(template, outputs)


def _at_same_positions(op: Overload, args: Any) -> torch.Tensor | None:
    """Return the result of an op that keeps the positions of its input, without knowing them; None for other ops."""
    first: Any = args[0] if args else None
    if op.name == "sparse_mask" and is_sparse(args[1]):
        return _like(args[1], args[0].dtype)
    if op.name == "sparse_sampled_addmm":
        return _like(args[0], args[0].dtype)
    if not is_sparse(first) or pattern(first) is not None or any(is_sparse(arg) for arg in args[1:]):
        return None
    if op.name in {"t", "transpose"} and first.dim() == 2 and first.layout is torch.sparse_coo:
        return _like(first, first.dtype, first.shape[::-1])
    if op.name in _KEEPING and (first.layout is not torch.sparse_coo or first.is_coalesced() or op.name in _LINEAR):
        return _like(first, first.dtype)
    return None


_LINEAR = frozenset({"clone", "neg", "mul", "div", "_to_copy"})
"""Ops that can be applied to uncoalesced tensors without summing duplicates first."""


def _like(tensor: torch.Tensor, dtype: torch.dtype, shape: Any = None) -> torch.Tensor:
    """Return a meta tensor that stores elements at the same positions; with `shape`, a transposed COO tensor."""
    result = stand_in(tensor)
    values, *indices = parts(result)
    if shape is not None:
        transposed = torch.empty(shape, dtype=values.dtype, layout=torch.sparse_coo, device=META)
        return assembled(transposed, values, indices)
    if values.dtype is not dtype:
        result = assembled(result, torch.empty(values.shape, dtype=dtype, device=META), indices)
    return with_pattern(result, pattern(tensor))


def _by_positions(op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
    """Run the op on tensors with the same positions and arbitrary values, to find the positions of the result.

    Raises:
        DataDependentError: the positions are unknown, or the op's result depends on values.
    """
    table: dict[int, torch.Tensor] = {}
    for tensor, tracked in operands:
        positioned = _for_positions(tensor, tracked)
        if positioned is None or (not is_sparse(tensor) and op.name in _CONVERTING):
            raise DataDependentError(f"how many elements the result of {op.func} stores depends on values")
        table[id(tensor)] = positioned
    result = op.func(*replace_tensors(args, table, CPU), **replace_tensors(kwargs, table, CPU))
    values: list[torch.Tensor] = []
    template = memos.template_of(result, values)
    back = {id(table[id(tensor)]): tensor for tensor, _ in operands}
    return memos.fill(template, [back.get(id(value), meta_like(value)) for value in values])


def _for_positions(tensor: torch.Tensor, tracked: TrackedTensor) -> torch.Tensor | None:
    """Return a tensor with data by which an op finds the positions of its result; None if too little is known."""
    if is_sparse(tensor):
        positions = pattern(tensor)
        if positions is None:
            return None
        positions = _coalesced_as(tensor, positions.cpu())
        return positions if positions.dtype is tensor.dtype else positions.to(tensor.dtype)
    data = _data(tensor, tracked)
    if data is not None:
        return data
    if not tensor.is_floating_point() and not tensor.is_complex():
        return None  # these may be indices, on which positions depend
    return torch.ones((), dtype=tensor.dtype).expand(tensor.shape)
