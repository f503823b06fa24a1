"""The recorder: intercepts every op that a model runs and records it for a Graph.

It works below autograd, where composite ops such as `conv2d`, `linear`, `lstm` and
`scaled_dot_product_attention` still arrive whole (with autograd on they arrive decomposed,
with the same MACs). Ops on tensors without data are not run at all when their signature is in
the memo; ops on small tensors with known values (positions, masks, relative indices) are
run, so that their values can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch import entries, foreach, parts, sparse_running
from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.appearance import Appearance
from cnncost.frontends.torch.attention_masks import Masks
from cnncost.frontends.torch.autocast import Casting
from cnncost.frontends.torch.blocks import Found, Known, pointer
from cnncost.frontends.torch.compat.dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from cnncost.frontends.torch.compat.ops import COPY_TO, READ_NUMBER
from cnncost.frontends.torch.higher_order import is_higher_order
from cnncost.frontends.torch.higher_order import run as run_higher_order
from cnncost.frontends.torch.ledger import Ledger
from cnncost.frontends.torch.lowering import is_known
from cnncost.frontends.torch.masks import MASKING, regulariser
from cnncost.frontends.torch.memo import Entry, Fresh
from cnncost.frontends.torch.meta import META, is_meta
from cnncost.frontends.torch.overloads import Overload, overload
from cnncost.frontends.torch.picking import PICKING, picked
from cnncost.frontends.torch.protocols import Director
from cnncost.frontends.torch.restated import restated
from cnncost.frontends.torch.running import MASKS, REAL_LIMIT, Runner, has_data, stays_whole, swap, twin
from cnncost.frontends.torch.skeleton import Skeleton
from cnncost.frontends.torch.types import tensor_type, tensors_in
from cnncost.graph import Node, OpSpec, Phase

_TENSORS = frozenset({torch.Tensor, torch.nn.Parameter})  # exact types: a lookup is faster than isinstance
_CPU = torch.device("cpu")
_SEQUENCES = frozenset({list, tuple})
_NUMBERS = frozenset({int, float, bool})
_PLAIN = _NUMBERS | {str, type(None)}
_OTHERS = _SEQUENCES | _PLAIN | {torch.dtype, torch.device, torch.layout, torch.memory_format}


class Recorder(TorchDispatchMode):
    """Dispatch mode that records ops while active. `call` is the running module call, set by the module tracker."""

    def __init__(
        self,
        use_memo: bool = True,
        skeleton: Skeleton | None = None,
        ledger: Ledger | None = None,
        data: dict[int, torch.Tensor] | None = None,
        casting: Casting | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's class has no types
        self.skeleton = skeleton
        self.values_at_hand = data if data is not None else {}
        """Known values of meta tensors, by identity."""
        self.ledger = ledger if ledger is not None else Ledger()
        self.nodes: list[Node] = []
        self.call = 0
        self.phase: Phase = "forward"
        self.director: Director | None = None
        """Attributes ops outside of forward to module calls."""
        self._memo = memos.current() if use_memo else {}
        self._use_memo = use_memo
        self._runner = Runner()
        self.casting = casting
        """Autocast state if the recording uses autocast."""
        self._noisy = False
        self.appearance: Appearance | None = None
        """Device and autograd attributes that tensors report while forward runs."""
        self.follows_devices = False
        """Whether tensors are on more than one device."""
        self.drawn: list[int] = []
        """Calls in which forward read a value that depends on random numbers."""
        self.read_given: list[int] = []
        """Calls in which forward read a value that depends on a floating-point input."""
        self.read_as: tuple[float, ...] = ()
        """Numbers returned in turn for unknown values that no size depends on; empty: reading one raises."""
        self.guesses = False
        """Whether such a number was read."""
        self.masks = Masks()
        if skeleton is not None:
            self.masks.sources.append(skeleton.tensors)

    supports_higher_order_operators = True
    on_values = False
    """Whether ops run on real data."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: else torch imports its compiler (a second) to wrap `__torch_dispatch__`, and slows down each op."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.casting is not None:
            self.casting.look()
        if self.follows_devices:
            return self._follow(func, types, args, kwargs)
        found: Found = []
        key: list[Any] = [id(func)]  # hashing an op runs Python code; the memo entry keeps it alive
        self.scan(args, key, found)
        if kwargs:
            key.extend(kwargs)
            self.scan(kwargs.values(), key, found)
        else:
            kwargs = {}
        if types and any(is_traceable_wrapper_subclass(t) for t, _ in found):
            return NotImplemented  # the subclass unwraps itself, then its inner ops are dispatched here
        if self.director is not None:
            self.call = self.director.call(found)
            if (better := self.director.in_place(func, args, found)) is not None:
                return self.__torch_dispatch__(better, types, args, kwargs)
        signs = tuple(key)
        try:
            entry = self._memo.get(signs)
        except (TypeError, NotImplementedError):  # an argument that can't be hashed or compared: rare
            return self._first_time(func, args, kwargs, None, found)
        if entry is None:
            return self._first_time(func, args, kwargs, signs, found)
        if entry.fresh is not None and not (self._noisy and _of_noise(found)):
            return self._record_fresh(entry, entry.fresh, found)
        if entry.outputs is None:
            if func is _ADD and type(args[1]) is int and not kwargs and _counts(found[0][1]):
                return self._record_counted(entry, args[1], *found[0])
            return self._record_run(entry, found, self._runner.run(overload(func), args, kwargs, found))
        return self._record_made(entry, found)

    def scan(self, args: Any, key: list[Any], found: Found) -> None:
        """Append each argument to the key, and each tensor with its ledger entry to `found`."""
        known = self.ledger.known
        for arg in args:
            kind = type(arg)
            if kind in _TENSORS or (kind not in _OTHERS and isinstance(arg, torch.Tensor)):
                entry = known.get(id(arg))
                if entry is None or entry[0]() is not arg:  # ids are reused after a tensor dies
                    entry = self.meet(arg)
                _, _, sig, block, version, _ = entry
                if version != block.version:
                    entry = self._catch_up(arg, entry)
                    sig = entry.sig
                found.append((arg, entry))
                key.append(sig)
            elif kind in _PLAIN:
                key.append(kind)  # 1, 1.0 and True compare equal but are different arguments
                key.append(arg)
            elif kind in _SEQUENCES and (not arg or type(arg[0]) in _NUMBERS):  # schema lists have one element type
                key.append(tuple(arg))
            elif kind in _SEQUENCES:
                key.append(len(arg))
                self.scan(arg, key, found)
            else:
                key.append(arg)

    def _follow(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Record an op with tensors on several devices: results go to the device of the first operand with dim > 0."""
        assert self.appearance is not None  # it set `follows_devices`
        self.follows_devices = False
        try:
            result = self.__torch_dispatch__(func, types, args, kwargs)
        finally:
            self.follows_devices = True
        operands = list(tensors_in((args, kwargs or {})))
        leader = next((t for t in operands if t.dim()), operands[0] if operands else None)
        if leader is not None and (kwargs or {}).get("device") is None:
            device = self.appearance.claimed(leader)
            blocks = [self.ledger.block_of(t) for t in operands if t.dim()]
            away = bool(blocks) and all(block is not None and block.use == "elsewhere" for block in blocks)
            for tensor in tensors_in(result):
                if is_meta(tensor) and not any(tensor is t for t in operands):
                    self.appearance.place(tensor, device, away)
        return result

    def let_go(self) -> None:
        """Drop references to all tensors and break cycles, so that the copies are freed without garbage collection."""
        self.skeleton = self.appearance = None
        self.ledger = Ledger()
        self.values_at_hand = {}
        self._runner = Runner()
        self.masks = Masks()

    def place(self, tensor: torch.Tensor, device: torch.device | None) -> None:
        """Report a tensor as being on `device`, if one was requested for it."""
        if device is not None and self.appearance is not None and not self.appearance.at_home(device):
            self.appearance.place(tensor, device)

    def device_type(self, tensor: torch.Tensor) -> str:
        """The device type that a tensor represents; CUDA if autocast uses CUDA's op lists, the CPU if there is none."""
        if self.casting is not None and self.casting.device != "cpu":
            return self.casting.device
        claimed = self.appearance.claimed(tensor).type if self.appearance is not None else "cpu"
        return "cpu" if claimed == "meta" else claimed

    def on_cpu(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor represents one on a CPU."""
        return self.device_type(tensor) == "cpu"

    def makes_values(self, on: bool) -> None:
        """Set whether tensors requested on the CPU are created there, with values."""
        self._runner.makes_values = on

    def read(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """A copy of the values of a meta tensor; None if they are unknown."""
        self._runner.hands_over = True
        try:
            values: torch.Tensor = COPY_TO(tensor, device=_CPU)
        finally:
            self._runner.hands_over = False
        return None if is_meta(values) else values

    @property
    def originals(self) -> Skeleton | None:
        """The skeleton that holds the copies made before forward, if any."""
        return self.skeleton

    # ---- tensors from outside the recording, or changed unobserved

    def meet(self, tensor: torch.Tensor) -> Known:
        """Register an external tensor: a constant, or an alias created unobserved."""
        ledger = self.ledger
        copy = self.skeleton.copy_of(tensor) if self.skeleton is not None else None
        if copy is not None and copy is not tensor:  # the user's original, reached past the skeleton
            ledger.stand_in(tensor, tensor, ledger.find(copy) or self.meet(copy))
            return ledger.known[id(tensor)]
        block = ledger.block_of(tensor)
        if block is None:
            data = self.values_at_hand.get(id(tensor), tensor if has_data(tensor) else None)
            return ledger.add_source(tensor, "constant", data)
        twin = ledger.latest_on(block, tensor_type(tensor))
        if twin is None:
            return ledger.add_view(tensor, block, "constant")
        alias = ledger.add_view(tensor, block)
        self.append(memos.layout("alias", (twin.type,), alias.sig.type), (twin.id,), (alias.value,), "alias")
        return alias

    def meet_literal(self, tensor: torch.Tensor, data: torch.Tensor) -> None:
        """Register a tensor without data whose values are literals in the model's code."""
        if data.numel() > REAL_LIMIT:
            return
        if self.ledger.find(tensor) is not None:
            self.ledger.attach(tensor, data)
        else:
            self.ledger.add_source(tensor, "constant", data)

    def same_values(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Give a tensor the known values of the one that it was created from unobserved."""
        known = self.ledger.find(other)
        if known is not None and known.data is not None and known.sig.real and is_meta(tensor):
            self.meet(tensor)
            self.ledger.attach(tensor, known.data)

    def _catch_up(self, tensor: torch.Tensor, old: Known) -> Known:
        """Append a node that updates a tensor after a write through another view of its storage."""
        ledger = self.ledger
        writer = old.block.writer
        if old.block.born is None and (is_meta(tensor) or (old.block.copied and old.data is None)):
            old.block.real = False  # the user's values: the write went to a copy of them
        new = ledger.add_view(tensor, old.block)
        if new.sig.real and old.data is not None:
            new = ledger.attach(tensor, old.data)
        types = (old.sig.type, ledger.values[writer].type)
        self.append(memos.layout("after_write", types, new.sig.type), (old.value, writer), (new.value,), "after_write")
        return new

    # ---- running an op

    def _first_time(self, func: Any, args: Any, kwargs: Any, key: memos.Key | None, found: Found) -> Any:
        if is_higher_order(func):
            return run_higher_order(self, func, args, kwargs)
        op = overload(func)
        if (other := restated(op, args, kwargs, found)) is not None:
            self._note_reading(op, other.read)
            return self.__torch_dispatch__(other.func, (), other.args)
        if sparse_running.concerns(op, kwargs, found):
            return self._run_sparse(op, args, kwargs, found)
        if op.composite and not (is_known(op) and stays_whole(op, found)):
            return self._run_parts(func, args, kwargs, found)
        if foreach.is_of_several(op.schema_name, args):
            return self._run_parts(func, args, kwargs, found)
        if func is READ_NUMBER and self.read_as and not found[0][1].sig.real and args[0].is_floating_point():
            return self._read_guess(op, args, kwargs, found)
        entry, result = entries.by_rule(op, args, kwargs, found), None
        if entry is None:
            try:
                result = self._runner.first_time(op, args, kwargs, found)
            except (DataDependentError, RuntimeError):
                if op.composite and any(known.sig.real for _, known in found):
                    return self._run_parts(func, args, kwargs, found)  # the inner op that reads may find known values
                raise
            entry = entries.of_run(op, args, kwargs, found, result, self._runner, self.ledger)
        if op.creates and self.appearance is not None and self.appearance.names_meta(kwargs.get("device")):
            result = self._record_run(entry._replace(outputs=None, fresh=None), found, result)
            self.appearance.place(result, META)
            return result
        if op.composite:
            entry = entry._replace(spec=parts.with_scratch(entry.spec, op, args, kwargs, found, self._anew))
        if key is not None and self._use_memo and not (op.composite and parts.hangs_on_values(op, args)):
            self._memo[key] = entry
        if entry.fresh is not None and not (self._noisy and _of_noise(found)):
            return self._record_fresh(entry, entry.fresh, found)
        if entry.outputs is None:
            return self._record_run(entry, found, result)
        return self._record_made(entry, found)

    def _read_guess(self, op: Overload, args: Any, kwargs: Any, found: Found) -> float:
        """Return a placeholder for an unknown number, cycling through `read_as`."""
        number, *others = self.read_as
        self.read_as = (*others, number)
        self.guesses, self._runner.data = True, {}
        entry = entries.of_run(op, args, kwargs, found, number, self._runner, self.ledger)
        self._record_run(entry, found, number)
        return number

    def _anew(self) -> Recorder:
        """A recorder with an empty ledger."""
        return Recorder(self._use_memo, casting=self.casting)

    def _run_sparse(self, op: Overload, args: Any, kwargs: Any, found: Found) -> Any:
        """Record an op on sparse tensors. Never memoized: the stored elements are not part of a signature."""
        if sparse_running.has_parts(op, args, kwargs):
            return self._run_parts(op.func, args, kwargs, found)
        result = sparse_running.run(op, args, kwargs, found, self._runner)
        for tensor, known in found:  # a sparse tensor shares its parts' storages
            if (part := self._runner.twins.get(id(tensor))) is not None:
                self.ledger.alias(part, known.block)
        entry = entries.of_run(op, args, kwargs, found, result, self._runner, self.ledger)
        return self._record_run(entry._replace(outputs=None, fresh=None), found, result)

    def _run_parts(self, func: Any, args: Any, kwargs: Any, found: Found) -> Any:
        """Record a composite op without a lowering as its inner ops.

        Its code may require all tensors on one device, so tensors with data are replaced by meta stand-ins.
        """
        table: dict[int, torch.Tensor] = {}
        if any(is_meta(t) for t, _ in found) and not all(is_meta(t) for t, _ in found):
            for tensor, known in found:
                if not is_meta(tensor):
                    table[id(tensor)] = stand_in = twin(tensor)
                    self.ledger.stand_in(stand_in, tensor, known)
        with self:
            result = foreach.parts(func)(*swap(args, table, None), **swap(kwargs, table, None))
        back = {id(table[id(t)]): t for t, _ in found if id(t) in table}
        return swap(result, back, None) if back else result

    # ---- appending the node

    def _record_fresh(self, entry: Entry, fresh: Fresh, found: Found) -> torch.Tensor:
        """Fast path for the commonest case, one new tensor. `_record_made` handles any outputs."""
        sig, size, stride, dtype, nbytes = fresh
        ledger = self.ledger
        tensor = torch.empty_strided(size, stride, dtype=dtype, device=META)
        value = ledger.add_fresh(tensor, sig, nbytes, False)[1]
        inputs = tuple([known[1] for _, known in found])
        self.nodes.append(_node((entry.spec, inputs, (value,), self.call, entry.name, self.phase)))
        ledger.clock += 1
        return tensor

    def _record_made(self, entry: Entry, found: Found) -> Any:
        ledger = self.ledger
        tensors: list[torch.Tensor] = []
        ids: list[int] = []
        for output in entry.outputs or ():
            if isinstance(output, int):
                tensor, known = found[output]
                if output in entry.writes:
                    known = ledger.write(tensor, known, False)
            else:
                sig, size, stride, dtype, nbytes = output
                tensor = torch.empty_strided(size, stride, dtype=dtype, device=META)
                known = ledger.add_fresh(tensor, sig, nbytes, False)
            tensors.append(tensor)
            ids.append(known[1])
        spec = self._spec(entry, found, tensors)
        inputs = tuple([known[1] for _, known in found])
        if entry.mask is not None:
            self.masks.note(entry, entry.mask, found, len(self.nodes))
        self.nodes.append(_node((spec, inputs, tuple(ids), self.call, entry.name, self.phase)))
        ledger.clock += 1
        return tensors[0] if entry.single else memos.fill(entry.template, tensors)

    def _record_run(self, entry: Entry, found: Found, result: Any) -> Any:
        ledger = self.ledger
        tensors: list[torch.Tensor] = []
        memos.templated(result, tensors)
        op = overload(entry.func)
        if op.by_values:
            self._note_reading(op, found)
        ids: list[int] = []
        for tensor in tensors:
            known = ledger.find(tensor)
            if known is None:
                known = self._enter_result(tensor, found)
            elif entry.func is _LIFT and not is_meta(tensor) and tensor.untyped_storage().resizable():
                known.block.owned = False  # made by forward from numbers; a numpy array's memory is not resizable
            elif any(found[i][0] is tensor for i in entry.writes):
                known = self._written(entry, tensor, known, all(k.sig.real for _, k in found))
            if (data := self._runner.data.get(id(tensor))) is not None:
                known = ledger.attach(tensor, data)
            ids.append(known.value)
        for i in entry.writes:
            tensor, known = found[i]
            if not any(tensor is t for t in tensors):
                ids.append(ledger.write(tensor, known, False).value)
        self._taint(op, tensors, found)
        spec = self._spec(entry, found, tensors)
        types = tuple(ledger.values[i].type for i in ids)
        if types != spec.outputs:  # the shape depends on known values (nonzero on a real mask)
            spec = memos.intern(OpSpec(spec.kind, spec.inputs, types, spec.attrs))
        reads = [known.value for i, (_, known) in enumerate(found) if i not in entry.outs]
        if entry.mask is not None:
            self.masks.note(entry, entry.mask, found, len(self.nodes))
        self.append(spec, tuple(reads), tuple(ids), entry.name)
        return result

    def _note_reading(self, op: Overload, found: Found) -> None:
        """Note the calls in which forward reads a value that depends on random numbers or an input."""
        for tensor, known in found:
            if op.indexes and tensor.dtype not in MASKS:
                continue  # integer indices don't affect any size
            if known.block.chance:
                self.drawn.append(self.call)
            if known.block.given:
                self.read_given.append(self.call)

    def _taint(self, op: Overload, tensors: list[torch.Tensor], found: Found) -> None:
        """Propagate the marks "depends on random numbers" and "depends on an input" from operands to results."""
        chance = op.random or any(known.block.chance for _, known in found)
        given = any(known.block.given for _, known in found)
        if chance or given:
            for tensor in tensors:
                if (block := self.ledger.block_of(tensor)) is not None and block.real and not op.fills:
                    block.chance, block.given = chance or block.chance, given or block.given

    def _written(self, entry: Entry, tensor: torch.Tensor, known: Known, real: bool) -> Known:
        """Register the new value of a tensor changed in place: its elements or its shape."""
        op = overload(entry.func)
        real = real and (not is_meta(tensor) or id(tensor) in self._runner.data)
        if op.changes_shape or entry.outs:
            return self.ledger.reshape(tensor, real, wrote=not op.changes_shape or op.resizes)
        return self.ledger.write(tensor, known, real)

    def _record_counted(self, entry: Entry, more: int, tensor: torch.Tensor, known: Known) -> torch.Tensor:
        """Fast path for batch norm's num_batches_tracked, the commonest op on real values."""
        data = known.data
        assert data is not None  # `_counts` has checked it
        written = self.ledger.rewrite(tensor, known, data + more if known.block.owned else data.add_(more))
        self.append(entry.spec, (known.value,), (written.value,), entry.name)
        return tensor

    def _spec(self, entry: Entry, found: Found, results: list[torch.Tensor]) -> OpSpec:
        """The entry's spec, refined where masks or known index values are involved."""
        if entry.name in MASKING or (self._noisy and _of_noise(found)):
            return self._masked(entry, found, results)
        return picked(entry.spec, found) if entry.name in PICKING else entry.spec

    def _masked(self, entry: Entry, found: Found, results: list[torch.Tensor]) -> OpSpec:
        self._noisy = True
        return regulariser(self.ledger, entry, found, results)

    def _enter_result(self, tensor: torch.Tensor, found: Found) -> Known:
        if is_meta(tensor) and tensor.layout is torch.strided:
            for arg, known in found:
                twin = self._runner.twins.get(id(arg))
                if twin is not None and pointer(twin) == pointer(tensor):
                    return self.ledger.add_view(tensor, known.block)
        return self.ledger.add_result(tensor)

    def append(self, spec: OpSpec, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str) -> None:
        """Append a node."""
        self.nodes.append(_node((spec, inputs, outputs, self.call, name, self.phase)))
        self.ledger.clock += 1


def _of_noise(found: Found) -> bool:
    """Whether any of the tensors is a random mask."""
    return True in [known[3].noise for _, known in found]


def _counts(known: Known) -> bool:
    """Whether it is an integer with a tracked value, such as batch norm's counter."""
    return known.data is not None and known.data.dtype is torch.int64 and not known.block.noise


_ADD = torch.ops.aten.add_.Tensor
_LIFT = torch.ops.aten.lift_fresh.default
_node: Callable[[tuple[object, ...]], Node] = partial(tuple.__new__, Node)  # skips NamedTuple's Python constructor
