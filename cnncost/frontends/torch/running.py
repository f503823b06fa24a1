"""Runs ops: on known values if all inputs have them, else only for output shapes, on tensors without data.

No op computes with the user's parameters, and none writes to a tensor of the user: an in-place op on such a tensor
writes to a copy, which later ops read.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch import sparse
from cnncost.frontends.torch.blocks import TensorArgs, storage_key
from cnncost.frontends.torch.checks import CHECKS
from cnncost.frontends.torch.meta import META, is_meta
from cnncost.frontends.torch.overloads import Overload
from cnncost.frontends.torch.packed import stored_dtype
from cnncost.frontends.torch.reshaping import geometry, into_outs, reshape_like, zero_extend
from cnncost.frontends.torch.shapes import output_types

Table: TypeAlias = dict[int, torch.Tensor]
"""Replacements for tensors, by the tensors' `id`."""

REAL_LIMIT = 1 << 18
"""Maximum numel of tensors whose values are tracked: 1 MiB of float32."""

CPU = torch.device("cpu")
_FILLED = frozenset(f"aten::{name}" for name in "zeros_like ones_like full_like new_zeros new_ones new_full".split())
MASK_DTYPES = frozenset({torch.bool, torch.uint8})
"""Dtypes of index tensors that torch treats as masks."""
_EMPTY = frozenset(
    {"aten::empty", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided", "aten::empty_like"}
)


class Runner:
    """Runs one op at a time. `stand_ins` and `data` belong to the op that ran last.

    Attributes:
        stand_ins: the meta stand-ins that replaced inputs with data, by the inputs' `id`.
        data: known values of meta tensors that the op returned or wrote to, by the tensors' `id`.
    """

    def __init__(self) -> None:
        self.stand_ins: dict[int, torch.Tensor] = {}
        self.data: dict[int, torch.Tensor] = {}
        self._written_copies: list[torch.Tensor] = []
        self.makes_values = False
        """Whether tensors that code creates on the CPU get data there, instead of being created on meta."""
        self.returns_values = False
        """Whether an op's known result is returned as a tensor with data, because Python code will read it."""

    def first_time(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Check and run an op whose signature occurs for the first time.

        Raises:
            DataDependentError: the result depends on unknown values.
        """
        self.stand_ins, self.data = {}, {}
        if all(tracked.sig.real for _, tracked in operands):
            large = self._large_result(op, args, kwargs, operands)
            return self.run(op, args, kwargs, operands) if large is None else large
        if _reads_values(op, args, operands):
            raise DataDependentError(f"{op.func} reads the values of a tensor")
        if (check := CHECKS.get(op.name)) is not None:
            check(op.bind(args, kwargs))
        return self.run(op, args, kwargs, operands)

    def run(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Run an op: on known values if all inputs have them, else only for output shapes."""
        self.stand_ins, self.data = {}, {}
        if not operands:
            return self._create(op, args, kwargs)
        if all(tracked.sig.real for _, tracked in operands) and not _on_storage(args):
            return self._for_values(op, args, kwargs, operands)
        if op.is_view and not op.composite:
            return op.func(*args, **kwargs)  # a view of real weights costs nothing and keeps the storage
        if op.indexes:
            args = _without_masks(args, operands)
        if op.from_values is not None:
            result = op.from_values(args, {id(t): t if k.data is None else k.data for t, k in operands if k.sig.real})
            return into_outs(op, kwargs, operands, [result]) if op.outs else result
        if op.from_sizes is not None:
            result = op.from_sizes(op.bind(args, kwargs))
            return into_outs(op, kwargs, operands, list(result)) if op.outs else result
        if op.outs and (types := output_types(op, op.bind(args, kwargs))) is not None:
            return into_outs(
                op,
                kwargs,
                operands,
                [torch.empty_strided(*output[:2], dtype=output[2], device=META) for output in types],
            )
        if op.schema_name in _FILLED:
            return self._filled(op, args, kwargs, operands)
        return self._on_stand_ins(op, args, kwargs, operands)

    def for_shapes(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Run an op only for output shapes, even if the values of all inputs are known."""
        self.stand_ins, self.data = {}, {}
        if op.from_sizes is not None:
            stand_ins = {id(tensor): meta_like(tensor) for tensor, _ in operands if not is_meta(tensor)}
            return op.from_sizes(replace_tensors(op.bind(args, kwargs), stand_ins, META))
        return self._on_stand_ins(op, args, kwargs, operands)

    def _large_result(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Return the result on meta if it is too large for tracking its values; None if the op can run on values."""
        if sum(tensor.numel() for tensor, _ in operands) ** 2 <= REAL_LIMIT or op.is_view or op.mutable:
            return None  # even an outer product is not too large, or there is no new result
        try:
            result = self._on_stand_ins(op, args, kwargs, operands)
        except (RuntimeError, NotImplementedError):
            return None  # the op reads values: run it on the known ones
        tensors: list[torch.Tensor] = []
        memos.template_of(result, tensors)
        return result if any(t.numel() > REAL_LIMIT and is_meta(t) for t in tensors) else None

    def _create(self, op: Overload, args: Any, kwargs: Any) -> Any:
        """Run an op without tensor inputs, and track the values of a small result."""
        if "device" not in op.arguments:
            return op.func(*args, **kwargs)
        result = op.func(*replace_tensors(args, {}, META), **replace_tensors({**kwargs, "device": META}, {}, META))
        if not isinstance(result, torch.Tensor) or result.numel() > REAL_LIMIT:
            return result
        if op.schema_name in _EMPTY and result.layout is torch.strided:
            # zeros, because uninitialized memory would differ from run to run
            data = torch.empty_strided(result.shape, result.stride(), dtype=result.dtype).zero_()
        else:
            data = op.func(*replace_tensors(args, {}, CPU), **replace_tensors({**kwargs, "device": CPU}, {}, CPU))
        if self.makes_values and (device := kwargs.get("device")) is not None and device.type == "cpu":
            return data
        if isinstance(data, torch.Tensor):  # torch may return a number instead of a tensor that wraps it
            self.data[id(result)] = data
        return result

    def _filled(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Run an op such as `zeros_like`: the result's values are known even if the operand's are not."""
        result = self._on_stand_ins(op, args, kwargs, operands)
        if result.numel() <= REAL_LIMIT and operands[0][0].numel() <= REAL_LIMIT:
            # only the operand's geometry matters, so uninitialized memory will do
            like = {id(tensor): torch.empty_like(tensor, device=CPU) for tensor, _ in operands}
            self.data[id(result)] = op.func(*replace_tensors(args, like, CPU), **replace_tensors(kwargs, like, CPU))
        return result

    def _for_values(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Run an op on known values. Outputs are on meta, with their values in `data`, except views of real tensors."""
        table = {id(tensor): tracked.data for tensor, tracked in operands if tracked.data is not None}
        written_ids = set()
        targets = written_indices(op, args, kwargs, operands)
        for i in targets:
            tensor, tracked = operands[i]
            known = table.get(id(tensor), tensor)
            if op.changes_shape and not op.resizes and known is not tensor:
                table[id(tensor)] = known.detach()  # a view of the values, whose geometry may change
            elif tracked.block.owned:  # the values belong to the user: write to a copy
                table[id(tensor)] = known.detach().clone()
            written_ids.add(id(tensor))
        self._written_copies = [table[key] for key in written_ids if key in table]
        if op.resizes:
            zero_extend(table.get(id(args[0]), args[0]), args[1])
        result = op.func(*replace_tensors(args, table, CPU), **replace_tensors(kwargs, table, CPU))
        if op.changes_shape or op.outs:
            self._reshape(op, args, kwargs, [operands[i] for i in targets], table, operands)
        values: list[torch.Tensor] = []
        template = memos.template_of(result, values)
        if self.returns_values:
            return result.clone()  # later writes go to this copy
        back = {id(data): tensor for tensor, _ in operands if (data := table.get(id(tensor))) is not None}
        outputs = [back.get(id(value), value) for value in values]
        if not all(is_meta(tensor) for tensor in outputs):
            outputs = self._without_values(op, args, kwargs, operands, values, outputs)
        self.data = {id(out): value for out, value in zip(outputs, values, strict=True) if out is not value}
        self.data.update({key: table[key] for key in written_ids if key in table})
        return memos.fill(template, outputs)

    def _without_values(
        self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs, values: list[torch.Tensor],
        outputs: list[torch.Tensor],
    ) -> list[torch.Tensor]:  # fmt: skip
        """Replace outputs with tensors on meta, unless they alias operands that all have data themselves."""
        storages = {storage_key(tracked.data if tracked.data is not None else tensor) for tensor, tracked in operands}
        storages.update(storage_key(value) for value in self._written_copies)
        aliases = any(storage_key(value) in storages for value in values)
        if aliases and all(not is_meta(tensor) for tensor, _ in operands):
            return outputs
        if aliases or op.mutable or any(value.layout is not torch.strided for value in values):
            return self._shaped(op, args, kwargs, operands, values)
        outputs = [meta_like(value) for value in values]
        if len({storage_key(value) for value in values}) == len(values):  # the kernel may have shrunk larger buffers
            for output, value in zip(outputs, values, strict=True):
                output.untyped_storage().resize_(value.untyped_storage().nbytes())
        return outputs

    def _shaped(
        self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs, values: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Return meta tensors for the known outputs of an op. They alias operands if the op's own outputs do."""
        outputs: list[torch.Tensor] = []
        try:
            memos.template_of(self._on_stand_ins(op, args, kwargs, operands), outputs)
        except (RuntimeError, NotImplementedError):
            outputs = []  # the output shape depends on values: take it from the result
        if [t.shape for t in outputs] != [t.shape for t in values]:
            return [meta_like(value) for value in values]
        return outputs

    def _reshape(
        self, op: Overload, args: Any, kwargs: Any, targets: TensorArgs, table: Table, operands: TensorArgs
    ) -> None:
        """Give tensors the shape and strides that an in-place op gave to their values."""
        for tensor, tracked in targets:
            like = table.get(id(tensor), tensor)
            if geometry(tensor) == geometry(like):
                continue
            if op.changes_shape and is_meta(tensor):
                self._on_stand_ins(op, args, kwargs, operands)
                return
            reshape_like(tensor, like, tracked, op)

    def _on_stand_ins(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Run an op with each tensor that has data replaced by a meta tensor of the same geometry."""
        stand_ins = self.stand_ins = {id(tensor): meta_like(tensor) for tensor, _ in operands if not is_meta(tensor)}
        table = _with_condition(args[0], stand_ins) if op.schema_name == "aten::where" else stand_ins
        result = op.func(*replace_tensors(args, table, META), **replace_tensors(kwargs, table, META))
        for tensor, tracked in operands if op.changes_shape or op.outs else ():
            like = stand_ins.get(id(tensor), tensor)
            if geometry(tensor) != geometry(like):
                reshape_like(tensor, like, tracked, op)
        if op.correction is not None:
            result = op.correction(op.bind(args, kwargs), result)
        back = {id(stand_ins[id(tensor)]): tensor for tensor, _ in operands if id(tensor) in stand_ins}
        return replace_tensors(result, back, None) if back else result


def _with_condition(condition: torch.Tensor, stand_ins: Table) -> Table:
    """Replacements that make a uint8 condition of `where` bool, because torch does not accept uint8 on meta."""
    if condition.dtype is not torch.uint8:
        return stand_ins
    known = stand_ins.get(id(condition), condition)
    return {**stand_ins, id(condition): torch.empty_like(known, dtype=torch.bool)}


def stays_whole(op: Overload, operands: TensorArgs) -> bool:
    """True unless a composite op is a complex convolution, which is recorded as three real ones, and sums."""
    return not (op.name.startswith("conv") and any(tensor.is_complex() for tensor, _ in operands))


def shape_follows_values(op: Overload, operands: TensorArgs) -> bool:
    """True if the op's output shape depends on values and therefore can't be memoized."""
    if op.indexes:
        return any(tensor.dtype in MASK_DTYPES for tensor, _ in operands[1:])
    return op.from_values is not None or op.reads_data


def _reads_values(op: Overload, args: Any, operands: TensorArgs) -> bool:
    """True if an op can't run because it depends on values, not all of which are known.

    Torch tags the output shape of indexing as data-dependent only because of masks: with integer indices it follows
    from shapes. Ops in `SIZED_BY_VALUES` raise their own error for a missing value.
    """
    if op.indexes:
        unknown = any(tensor.dtype in MASK_DTYPES and not tracked.sig.real for tensor, tracked in operands[1:])
        return unknown and not _fits_any_mask(op, args)
    return op.reads_values(args)


def _fits_any_mask(op: Overload, args: Any) -> bool:
    """True if a mask only selects where values are written (`y[y < 0] = 0`), and no shape depends on its values."""
    if not op.schema_name.startswith("aten::index_put") or (len(args) > 3 and args[3]):  # accumulate
        return False
    x, indices, values = args[:3]
    if values.numel() == 1:
        return True
    kept_axes = x.dim() - sum(i.dim() if i is not None and i.dtype in MASK_DTYPES else 1 for i in indices)
    only_a_mask = len(indices) == 1 and indices[0] is not None
    return only_a_mask and values.dim() <= kept_axes  # the same row for all selected elements


def _without_masks(args: Any, operands: TensorArgs) -> Any:
    """Return the arguments of an indexing op with each mask replaced by equivalent integer indices."""
    tracked = {id(tensor): tracked for tensor, tracked in operands}
    indices: list[Any] = []
    for index in args[1]:
        if index is None or index.dtype not in MASK_DTYPES:
            indices.append(index)
            continue
        if not tracked[id(index)].sig.real:  # `_fits_any_mask` holds, so any number of selected elements will do
            indices.extend(torch.empty(1, dtype=torch.int64, device=META) for _ in range(index.dim()))
            continue
        data = tracked[id(index)].data
        indices.extend(meta_like(axis) for axis in (index if data is None else data).nonzero(as_tuple=True))
    return (args[0], indices, *args[2:])


def written_indices(op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> tuple[int, ...]:
    """Return the indices of those operands that the op's schema marks as written to."""
    if not op.mutable:
        return ()
    hits: set[int] = set()
    for i, name in op.written:
        value = args[i] if i < len(args) else kwargs.get(name)
        targets = value if isinstance(value, (list, tuple)) else [value]
        hits.update(j for j, (tensor, _) in enumerate(operands) if any(tensor is t for t in targets))
    return tuple(sorted(hits))


def has_data(tensor: torch.Tensor) -> bool:
    """True if ops may run on the values of an external tensor: it is small, has data and is no parameter."""
    if is_meta(tensor) or is_parameter(tensor):
        return False
    return (sparse.stored(tensor)[0] if tensor.layout in sparse.LAYOUTS else tensor.numel()) <= REAL_LIMIT


def is_parameter(tensor: torch.Tensor) -> bool:
    """Like `isinstance(tensor, nn.Parameter)`, with a fast path for plain tensors: that check runs Python code."""
    kind = type(tensor)
    if kind is torch.Tensor and not tensor.__dict__:
        return False
    return kind is torch.nn.Parameter or isinstance(tensor, torch.nn.Parameter)


def meta_like(tensor: torch.Tensor) -> torch.Tensor:
    """Return a meta tensor of the same geometry and dtype."""
    if tensor.layout is torch.strided:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=stored_dtype(tensor), device=META)
    return sparse.stand_in(tensor) if tensor.layout in sparse.LAYOUTS else tensor.to(META)


def replace_tensors(value: Any, table: dict[int, torch.Tensor], device: torch.device | None) -> Any:
    """Replace the table's tensors and, if `device` is given, all devices; drop `pin_memory` (needs an accelerator)."""
    if isinstance(value, torch.Tensor):
        return table.get(id(value), value)
    if isinstance(value, torch.device) and device is not None:
        return device
    if type(value) in (list, tuple):
        return type(value)([replace_tensors(item, table, device) for item in value])
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*[replace_tensors(item, table, device) for item in value])
    if type(value) is dict:
        return {k: replace_tensors(v, table, device) for k, v in value.items() if not (k == "pin_memory" and v)}
    return value


def _on_storage(args: Any) -> bool:
    """True if an argument is a storage on meta (as of `set_`), whose values are unknown."""
    kinds = (torch.UntypedStorage, torch.TypedStorage)
    return any(isinstance(value, kinds) and value.device.type == "meta" for value in args)
