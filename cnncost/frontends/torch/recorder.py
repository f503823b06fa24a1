"""The recorder: intercepts every op that a model runs and records it for a Graph.

It works below autograd. With autograd off, composite ops such as `conv2d`, `linear`, `lstm` and
`scaled_dot_product_attention` arrive there undecomposed; with autograd on they arrive decomposed, with the same MACs.
Ops on tensors without data are not run at all if their signature is in the memo. Ops on small tensors with known values
(positions, masks, relative indices) are run, so that forward can read their values.

The recorder has three layers: `recorder_state.py` holds the recording's nodes and tensors, `results.py` appends an op's
node, and this file decides how an op is handled: by its memo entry, by running it, or by recording its parts.
"""

from __future__ import annotations

from typing import Any

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch import collectives, entries, foreach, parts, sparse_running, transfers
from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.argument_checks import checks_an_argument
from cnncost.frontends.torch.blocks import TensorArgs, TrackedTensor
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.compat.ops import READ_NUMBER, ZERO_TENSOR, schema_of
from cnncost.frontends.torch.fused_lstm import RECURRENT, onednn_is_on
from cnncost.frontends.torch.higher_order import is_higher_order
from cnncost.frontends.torch.higher_order import run as run_higher_order
from cnncost.frontends.torch.lowering import is_known
from cnncost.frontends.torch.meta import META, is_meta
from cnncost.frontends.torch.overloads import Overload, overload
from cnncost.frontends.torch.refusals import is_only_without_data, runs_on_zeros
from cnncost.frontends.torch.restated import restated
from cnncost.frontends.torch.results import ResultRecorder, of_noise
from cnncost.frontends.torch.running import meta_like, replace_tensors, stays_whole
from cnncost.frontends.torch.types import tensors_in
from cnncost.frontends.torch.wrappers import is_wrapper

_TENSORS = frozenset({torch.Tensor, torch.nn.Parameter})  # exact types: a lookup is faster than isinstance
_SEQUENCES = frozenset({list, tuple})
_NUMBERS = frozenset({int, float, bool})
_PLAIN = _NUMBERS | {str, type(None)}
_NOT_TENSORS = _SEQUENCES | _PLAIN | {torch.dtype, torch.device, torch.layout, torch.memory_format}
_ADD = torch.ops.aten.add_.Tensor
"""The op with which layers such as batch norm count their calls."""


class Recorder(ResultRecorder):
    """Dispatch mode that records ops while it is active."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.casting is not None:
            self.casting.drop_stale()
        if self.follows_devices:
            return self._dispatch_on_devices(func, types, args, kwargs)
        if types and any(map(is_wrapper, types)):
            return NotImplemented  # the subclass unwraps its tensors, and its inner ops are dispatched here
        operands: TensorArgs = []
        key: list[Any] = [id(func)]  # hashing an op runs Python code; the memo entry keeps it alive
        self.scan(args, key, operands)
        if kwargs:
            key.extend(kwargs)
            self.scan(kwargs.values(), key, operands)
        else:
            kwargs = {}
        if self.attributor is not None:
            self.call = self.attributor.call(operands)
            if (in_place := self.attributor.in_place(func, args, operands)) is not None:
                return self.__torch_dispatch__(in_place, types, args, kwargs)
        signature = tuple(key)
        try:
            entry = self._memo.get(signature)
        except (TypeError, NotImplementedError):  # an argument that can't be hashed or compared; rare
            return self._first_time(func, args, kwargs, None, operands)
        if entry is None:
            return self._first_time(func, args, kwargs, signature, operands)
        if entry.fresh is not None and not (self._noisy and of_noise(operands)):
            return self._record_fresh(entry, entry.fresh, operands)
        if entry.outputs is None:
            if func is _ADD and type(args[1]) is int and not kwargs and _is_counter(operands[0][1]):
                return self._record_counter(entry, args[1], *operands[0])
            return self._record_run(entry, operands, self._runner.run(overload(func), args, kwargs, operands))
        return self._record_outputs(entry, operands)

    def scan(self, args: Any, key: list[Any], operands: TensorArgs) -> None:
        """Append all arguments to `key`, and each tensor with its entry in the tensor table to `operands`."""
        tracked = self.ledger.tracked
        for arg in args:
            kind = type(arg)
            if kind in _TENSORS or (kind not in _NOT_TENSORS and isinstance(arg, torch.Tensor)):
                entry = tracked.get(id(arg))
                if entry is None or entry[0]() is not arg:  # ids are reused after a tensor dies
                    entry = self.register_external(arg)
                _, _, sig, block, version, _ = entry
                if version != block.version:
                    entry = self.catch_up(arg, entry)
                    sig = entry.sig
                operands.append((arg, entry))
                key.append(sig)
            elif kind in _PLAIN:
                key.append(kind)  # 1, 1.0 and True compare equal but are different arguments
                key.append(arg)
            elif kind in _SEQUENCES and (not arg or type(arg[0]) in _NUMBERS):  # schema lists have one element type
                key.append(tuple(arg))
            elif kind in _SEQUENCES:
                key.append(len(arg))
                self.scan(arg, key, operands)
            else:
                key.append(arg)

    def _dispatch_on_devices(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Record an op while tensors are on several devices.

        Unless the call names a device, results are on that of the first tensor with dim > 0.
        """
        assert self.appearance is not None  # it has set `follows_devices`
        self.follows_devices = False
        tensors = list(tensors_in((args, kwargs or {})))
        name = schema_of(func).name if self.several else ""
        transfers.check_together(self.appearance, name, tensors)
        try:
            result = self.__torch_dispatch__(func, types, args, kwargs)
        finally:
            self.follows_devices = True
        transfers.note_copy(self.appearance, name, tensors)
        first = next((t for t in tensors if t.dim()), tensors[0] if tensors else None)
        named = (kwargs or {}).get("device")
        if name and named == META and self.phase != "forward":
            named = None  # autograd passes the actual device of a tensor, which is meta
        if first is not None and named is None and not name.startswith(transfers.LISTS):
            device = self.appearance.claimed(first)
            blocks = [self.ledger.block_of(t) for t in tensors if t.dim()]
            away = bool(blocks) and all(block is not None and block.use == "elsewhere" for block in blocks)
            for tensor in tensors_in(result):
                if is_meta(tensor) and not any(tensor is t for t in tensors):
                    self.appearance.place(tensor, device, away)
        return result

    # ---- an op without a memo entry

    def _first_time(self, func: Any, args: Any, kwargs: Any, key: memos.Key | None, operands: TensorArgs) -> Any:
        """Record an op without a memo entry, and store an entry under `key` unless that is None (not memoizable)."""
        try:
            if is_higher_order(func):
                return run_higher_order(self, func, args, kwargs)
            return self._run_first(func, args, kwargs, key, operands)
        except Exception as error:
            name = None if is_higher_order(func) else func.name()
            if isinstance(error, RecursionError):  # there is no room to look into it
                raise
            device_type = self.device_type(operands[0][0]) if operands else "cpu"
            if is_only_without_data(error, name, device_type) or runs_on_zeros(error, func, args, kwargs):
                self.refuse(error)
            raise

    def _run_first(self, func: Any, args: Any, kwargs: Any, key: memos.Key | None, operands: TensorArgs) -> Any:
        op = overload(func)
        if func is ZERO_TENSOR:
            self.zeros, key = True, None  # not memoized, so every call gets here
        elif self.zeros and func.namespace == "prims":
            return self._run_without_memory(op, args, kwargs, operands)
        if (other := restated(op, args, kwargs, operands)) is not None:
            self._note_reading(op, other.read)
            return self.__torch_dispatch__(other.func, (), other.args)
        if sparse_running.concerns(op, kwargs, operands):
            return self._run_sparse(op, args, kwargs, operands)
        if op.composite and not (is_known(op) and stays_whole(op, operands)):
            return self._run_parts(func, args, kwargs, operands)
        if collectives.is_collective(op):
            return self._communicate(op, args, kwargs, operands)
        if foreach.is_of_several(op.schema_name, args):
            return self._run_parts(func, args, kwargs, operands)
        if key is not None and op.name in RECURRENT:  # the kernel depends on a setting that forward may change
            key = (*key, onednn_is_on())
            if (known := self._memo.get(key)) is not None and known.outputs is not None:
                return self._record_outputs(known, operands)
        if func is READ_NUMBER and self.read_as and not operands[0][1].sig.real and args[0].is_floating_point():
            return self._read_guess(op, args, kwargs, operands)
        entry, result = entries.by_rule(op, args, kwargs, operands), None
        if entry is None:
            try:
                result = self._runner.first_time(op, args, kwargs, operands)
            except (DataDependentError, RuntimeError) as error:
                if isinstance(error, DataDependentError) and checks_an_argument():
                    return self._record_number(op, args, kwargs, operands, False)  # the check passes
                if op.composite and any(tracked.sig.real for _, tracked in operands):
                    # the inner op that reads values may find known ones
                    return self._run_parts(func, args, kwargs, operands)
                raise
            entry = entries.of_run(op, args, kwargs, operands, result, self._runner, self.ledger)
        # the model's code asked for `meta`, where this tensor is in a real run, too
        if op.creates and self.appearance is not None and self.appearance.names_meta(kwargs.get("device")):
            result = self._record_run(entry._replace(outputs=None, fresh=None), operands, result)
            self.appearance.place(result, META)
            return result
        if op.composite and func is not self.decomposes:
            entry = entry._replace(spec=parts.with_scratch(entry.spec, op, args, kwargs, operands, self._new_recorder))
        if key is not None and self._use_memo and not (op.composite and parts.depends_on_values(op, args)):
            self._memo[key] = entry
        if entry.fresh is not None and not (self._noisy and of_noise(operands)):
            return self._record_fresh(entry, entry.fresh, operands)
        if entry.outputs is None:
            return self._record_run(entry, operands, result)
        return self._record_outputs(entry, operands)

    def _read_guess(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> float:
        """Record a read of an unknown number, and return a placeholder for it: the next number of `read_as` in turn."""
        number, *others = self.read_as
        self.read_as = (*others, number)
        self.guesses = True
        return self._record_number(op, args, kwargs, operands, number)

    def _record_number(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs, number: float) -> float:
        """Record a read of an unknown number, and return `number` in its place."""
        self._runner.data = {}
        entry = entries.of_run(op, args, kwargs, operands, number, self._runner, self.ledger)
        self._record_run(entry, operands, number)
        return number

    def _communicate(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Record a collective. It is not memoized, because another group of the same name may have another size."""
        if not collectives.is_functional(op):
            return collectives.record(self, op, args, kwargs, operands)
        result = self._runner.for_shapes(op, args, kwargs, operands)
        entry = entries.of_run(op, args, kwargs, operands, result, self._runner, self.ledger)
        return self._record_run(entry, operands, result)

    def _new_recorder(self) -> Recorder:
        """Return a recorder with the same settings and an empty tensor table."""
        return Recorder(self._use_memo, casting=self.casting)

    def _run_without_memory(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Record an inner op that torch runs on `meta` to find the shape of a sum with an efficient zero tensor."""
        result = self._runner.for_shapes(op, args, kwargs, operands)
        entry = entries.of_run(op, args, kwargs, operands, result, self._runner, self.ledger)
        self._record_run(entry._replace(outputs=None, fresh=None), operands, result)
        return self._on_meta(result)

    def _on_meta(self, result: Any) -> Any:
        """Register that the result's meta tensors would be on meta in a real run, too, and take no memory."""
        for tensor in tensors_in(result):
            if is_meta(tensor) and (block := self.ledger.block_of(tensor)) is not None:
                block.nbytes = 0
        return result

    def stand_in(self, constant: torch.Tensor) -> torch.Tensor:
        """Return a meta tensor that is recorded as the same value as `constant`, which has data."""
        operands: TensorArgs = []
        self.scan([constant], [], operands)
        with without_modes():
            return self._stand_in_for(constant, operands[0][1])

    def _stand_in_for(self, tensor: torch.Tensor, tracked: TrackedTensor) -> torch.Tensor:
        stand_in = meta_like(tensor)
        self.ledger.add_stand_in(stand_in, tensor, tracked)
        self.ledger.alias(stand_in, tracked.block)  # views of the stand-in are views of the tensor
        return stand_in

    def _run_sparse(self, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Record an op on sparse tensors. It is not memoized, because signatures lack the number of stored elements."""
        if sparse_running.has_parts(op, args, kwargs):
            return self._run_parts(op.func, args, kwargs, operands)
        result = sparse_running.run(op, args, kwargs, operands, self._runner)
        for tensor, tracked in operands:  # a sparse tensor shares its parts' storages
            if (part := self._runner.stand_ins.get(id(tensor))) is not None:
                self.ledger.alias(part, tracked.block)
        entry = entries.of_run(op, args, kwargs, operands, result, self._runner, self.ledger)
        return self._record_run(entry._replace(outputs=None, fresh=None), operands, result)

    def _run_parts(self, func: Any, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
        """Record the parts of an op instead of the op itself.

        Its code may require all tensors on one device, so tensors with data are replaced with meta stand-ins if others
        are on meta.
        """
        table: dict[int, torch.Tensor] = {}
        if any(is_meta(t) for t, _ in operands) and not all(is_meta(t) for t, _ in operands):
            for tensor, tracked in operands:
                if not is_meta(tensor):
                    table[id(tensor)] = self._stand_in_for(tensor, tracked)
        follows, self.follows_devices = self.follows_devices, self.several
        with self:
            result = foreach.parts(func)(*replace_tensors(args, table, None), **replace_tensors(kwargs, table, None))
        self.follows_devices = follows
        back = {id(table[id(t)]): t for t, _ in operands if id(t) in table}
        return replace_tensors(result, back, None) if back else result


def _is_counter(tracked: TrackedTensor) -> bool:
    """True for an int64 tensor with known values that are not random, such as batch norm's counter."""
    return tracked.data is not None and tracked.data.dtype is torch.int64 and not tracked.block.noise
