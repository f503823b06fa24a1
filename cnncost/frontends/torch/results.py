"""Appends an op's node to a recording: creates or finds the op's results and registers them in the tensor table."""

from __future__ import annotations

from typing import Any

import torch

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.blocks import TensorArgs, TrackedTensor, storage_key
from cnncost.frontends.torch.masks import MASKING, dropout_spec
from cnncost.frontends.torch.memo import Entry, Fresh
from cnncost.frontends.torch.meta import META, is_meta
from cnncost.frontends.torch.overloads import Overload, overload
from cnncost.frontends.torch.picking import PICKING, with_positions
from cnncost.frontends.torch.recorder_state import RecorderState
from cnncost.frontends.torch.running import MASK_DTYPES
from cnncost.frontends.torch.sparse import is_part
from cnncost.graph import Node, OpSpec

_LIFT = torch.ops.aten.lift_fresh.default
"""The op that torch dispatches for a tensor that is created from Python data: numbers or a NumPy array."""


class ResultRecorder(RecorderState):
    """Appends nodes for memo entries, with newly created results or (`_record_run`) those of an op that was run.

    Code that runs for every op indexes `TrackedTensor`s instead of accessing their fields by name: [1] is the value id,
    [3] the `StorageRecord`.
    """

    def _record_fresh(self, entry: Entry, fresh: Fresh, operands: TensorArgs) -> torch.Tensor:
        """Fast path for the most common case, one new tensor. `_record_outputs` handles any outputs."""
        sig, size, stride, dtype, nbytes = fresh
        ledger = self.ledger
        tensor = torch.empty_strided(size, stride, dtype=dtype, device=META)
        value = ledger.add_fresh(tensor, sig, nbytes, False)[1]
        inputs = tuple([tracked[1] for _, tracked in operands])
        self.nodes.append(Node(entry.spec, inputs, (value,), self.call, entry.name, self.phase))
        ledger.clock += 1
        return tensor

    def _record_outputs(self, entry: Entry, operands: TensorArgs) -> Any:
        """Record an op that is not run: create its outputs from the entry, or return the operands that it writes to."""
        ledger = self.ledger
        tensors: list[torch.Tensor] = []
        ids: list[int] = []
        for output in entry.outputs or ():
            if isinstance(output, int):
                tensor, tracked = operands[output]
                if output in entry.writes:
                    tracked = ledger.write(tensor, tracked, False)
            else:
                sig, size, stride, dtype, nbytes = output
                tensor = torch.empty_strided(size, stride, dtype=dtype, device=META)
                tracked = ledger.add_fresh(tensor, sig, nbytes, False)
            tensors.append(tensor)
            ids.append(tracked[1])
        spec = self._spec(entry, operands, tensors)
        inputs = tuple([tracked[1] for _, tracked in operands])
        if entry.mask is not None:
            self.masks.note(entry, entry.mask, operands, len(self.nodes))
        self.nodes.append(Node(spec, inputs, tuple(ids), self.call, entry.name, self.phase))
        ledger.clock += 1
        return tensors[0] if entry.single else memos.fill(entry.template, tensors)

    def _record_run(self, entry: Entry, operands: TensorArgs, result: Any) -> Any:
        """Record an op that was run, and return its result."""
        ledger = self.ledger
        tensors: list[torch.Tensor] = []
        memos.template_of(result, tensors)
        op = overload(entry.func)
        if is_part(op.name) and ledger.find(tensors[0]) is not None:
            return result  # the same tensor as in an earlier call
        if op.by_values:
            self._note_reading(op, operands)
        ids: list[int] = []
        for tensor in tensors:
            tracked = ledger.find(tensor)
            if tracked is None:
                tracked = self._enter_result(tensor, operands)
            elif entry.func is _LIFT and not is_meta(tensor):
                ledger.begin(tensor, tracked.block)
                # created from numbers: a NumPy array's memory isn't resizable
                tracked.block.owned = not tensor.untyped_storage().resizable()
            elif any(operands[i][0] is tensor for i in entry.writes):
                tracked = self._write_in_place(entry, tensor, tracked, all(k.sig.real for _, k in operands))
            if (data := self._runner.data.get(id(tensor))) is not None:
                tracked = ledger.attach(tensor, data)
            elif tracked.sig.real and tracked.data is None and is_meta(tensor):
                tracked = self._attach_view(tensor, tracked, operands)
            ids.append(tracked.value)
        for i in entry.writes:
            tensor, tracked = operands[i]
            if not any(tensor is t for t in tensors):
                ids.append(ledger.write(tensor, tracked, False).value)
        self._taint(op, tensors, operands)
        spec = self._spec(entry, operands, tensors)
        types = tuple(ledger.values[i].type for i in ids)
        if types != spec.outputs:  # the shape depends on known values (`nonzero` of a known mask)
            spec = memos.intern(OpSpec(spec.kind, spec.inputs, types, spec.attrs))
        reads = [tracked.value for i, (_, tracked) in enumerate(operands) if i not in entry.outs]
        if entry.mask is not None:
            self.masks.note(entry, entry.mask, operands, len(self.nodes))
        self.append(spec, tuple(reads), tuple(ids), entry.name)
        return result

    def _record_counter(self, entry: Entry, step: int, tensor: torch.Tensor, tracked: TrackedTensor) -> torch.Tensor:
        """Fast path for batch norm's `num_batches_tracked`, the most common op on known values."""
        data = tracked.data
        assert data is not None  # `_is_counter` has checked it
        written = self.ledger.rewrite(tensor, tracked, data + step if tracked.block.owned else data.add_(step))
        self.append(entry.spec, (tracked.value,), (written.value,), entry.name)
        return tensor

    def _write_in_place(self, entry: Entry, tensor: torch.Tensor, tracked: TrackedTensor, real: bool) -> TrackedTensor:
        """Register the new value of a tensor whose elements or shape were changed in place."""
        op = overload(entry.func)
        real = real and (not is_meta(tensor) or id(tensor) in self._runner.data)
        if op.changes_shape or entry.outs:
            return self.ledger.reshape(tensor, real, wrote=not op.changes_shape or op.resizes)
        return self.ledger.write(tensor, tracked, real)

    def _enter_result(self, tensor: torch.Tensor, operands: TensorArgs) -> TrackedTensor:
        """Register a result, as a view of an operand if the operand's stand-in shares its memory."""
        if is_meta(tensor) and tensor.layout is torch.strided:
            for arg, tracked in operands:
                stand_in = self._runner.stand_ins.get(id(arg))
                if stand_in is not None and storage_key(stand_in) == storage_key(tensor):
                    return self.ledger.add_view(tensor, tracked.block)
        return self.ledger.add_result(tensor)

    def _attach_view(self, tensor: torch.Tensor, tracked: TrackedTensor, operands: TensorArgs) -> TrackedTensor:
        """Attach values to a view of an operand with known values.

        Ops such as `broadcast_tensors` return such views along with tensors of unknown values.
        """
        for arg, source in operands:
            if source.block is tracked.block and source.sig.real:
                known, like = arg if source.data is None else source.data, self._runner.stand_ins.get(id(arg), arg)
                if known.stride() != like.stride():
                    continue  # a copy with another memory layout
                start = tensor.storage_offset() - like.storage_offset()
                values = known.as_strided(tensor.size(), tensor.stride(), known.storage_offset() + start)
                return self.ledger.attach(tensor, values)
        return tracked

    # ---- refining the node by known values

    def _spec(self, entry: Entry, operands: TensorArgs, results: list[torch.Tensor]) -> OpSpec:
        """The entry's spec, refined if the op involves random masks or known indices."""
        if entry.name in MASKING or (self._noisy and of_noise(operands)):
            return self._masked(entry, operands, results)
        return with_positions(entry.spec, operands) if entry.name in PICKING else entry.spec

    def _masked(self, entry: Entry, operands: TensorArgs, results: list[torch.Tensor]) -> OpSpec:
        self._noisy = True
        return dropout_spec(self.ledger, entry, operands, results)

    def _note_reading(self, op: Overload, operands: TensorArgs) -> None:
        """Note the running call if the op reads a value that depends on random numbers or a floating-point input."""
        for tensor, tracked in operands:
            if op.indexes and tensor.dtype not in MASK_DTYPES:
                continue  # integer indices don't affect output shapes
            self.note_read(tracked)

    def _taint(self, op: Overload, tensors: list[torch.Tensor], operands: TensorArgs) -> None:
        """Propagate the marks `from_random` and `from_float_input` from operands to results with known values."""
        from_random = op.random or any(tracked.block.from_random for _, tracked in operands)
        from_float_input = any(tracked.block.from_float_input for _, tracked in operands)
        if from_random or from_float_input:
            for tensor in tensors:
                if (block := self.ledger.block_of(tensor)) is not None and block.real and not op.fills:
                    block.from_random = from_random or block.from_random
                    block.from_float_input = from_float_input or block.from_float_input


def of_noise(operands: TensorArgs) -> bool:
    """True if any of the tensors is a random mask."""
    return True in [tracked[3].noise for _, tracked in operands]
