"""The recorder: sees every op that a model runs, and writes it into a Graph.

It works below autograd, where composite ops such as `conv2d`, `linear`, `lstm` and
`scaled_dot_product_attention` still arrive whole (with autograd on they arrive as their parts,
and count the same). Ops on tensors without data are not run at all when the memo knows their
signature; ops on small real tensors alone (positions, masks, relative indices) are run, so that
their values can be read. The user's parameters are never computed with, and nothing of the
user's is ever written to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeAlias

import torch
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass

from cnncost.errors import DataDependentError
from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.ledger import Known, Ledger, pointer
from cnncost.frontends.torch.lowering import OpCall, is_known, lower
from cnncost.frontends.torch.memo import Entry, Fresh
from cnncost.frontends.torch.shapes import output_types
from cnncost.frontends.torch.types import signature, tensor_type
from cnncost.graph import Node, OpSpec, TensorType

REAL_LIMIT = 1 << 18
"""Elements up to which a tensor that forward creates is made for real: 1 MiB of float32."""

META = torch.device("meta")
_TENSORS = frozenset({torch.Tensor, torch.nn.Parameter})
_SEQUENCES = frozenset({list, tuple})
_PLAIN = frozenset({int, float, bool, str, type(None)})
_OTHERS = _SEQUENCES | _PLAIN | {torch.dtype, torch.device, torch.layout, torch.memory_format}
_CPU = torch.device("cpu")
_READS_DATA = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_READERS = frozenset({"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::allclose"})
_EMPTY = {"aten::empty", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided", "aten::empty_like"}


Found: TypeAlias = list[tuple[torch.Tensor, Known]]
"""The tensors among an op's arguments, with what the books know of them."""


class Recorder(TorchDispatchMode):
    """Records ops while it is entered. `call` is the module call that runs, kept by the module tracker."""

    def __init__(self, use_memo: bool = True) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.nodes: list[Node] = []
        self.call = 0
        self._memo = memos.current() if use_memo else {}
        self._use_memo = use_memo
        self._twins: dict[int, torch.Tensor] = {}
        self._shadows: dict[int, torch.Tensor] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch would else import its compiler (a second) to wrap `__torch_dispatch__`, and slow each op."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found: Found = []
        key: list[Any] = [id(func)]  # its own hash is Python code; the entry keeps it alive
        self._scan(args, key, found)
        if kwargs:
            key.extend(kwargs)
            self._scan(kwargs.values(), key, found)
        else:
            kwargs = {}
        if types and any(is_traceable_wrapper_subclass(t) for t, _ in found):
            return NotImplemented  # the subclass unwraps itself; the ops on its parts come here again
        try:
            entry = self._memo.get(tuple(key))
        except TypeError:  # an argument that can't be hashed: such ops are few
            entry = None
        if entry is None:
            return self._first_time(func, args, kwargs, key, found)
        if entry.outputs is None:
            return self._record_run(entry, found, self._run(func, args, kwargs, found))
        return self._record_made(entry, found)

    def _scan(self, args: Any, key: list[Any], found: Found) -> None:
        """Append each argument to the key, and each tensor with what is known of it to `found`."""
        known = self.ledger.known
        for arg in args:
            kind = type(arg)
            if kind in _TENSORS or (kind not in _OTHERS and isinstance(arg, torch.Tensor)):
                entry = known.get(id(arg))
                if entry is None or entry[0]() is not arg:
                    entry = self.meet(arg)
                _, _, sig, block, version = entry
                if version != block.version:
                    entry = self._catch_up(arg, entry)
                    sig = entry.sig
                found.append((arg, entry))
                key.append(sig)
            elif kind in _PLAIN:
                key.append(kind)  # 1, 1.0 and True are equal, and not the same argument
                key.append(arg)
            elif kind in _SEQUENCES and (not arg or type(arg[0]) in _PLAIN):
                key.append(tuple(arg))
            elif kind in _SEQUENCES:
                key.append(len(arg))
                self._scan(arg, key, found)
            else:
                key.append(arg)

    # ---- tensors that come from outside, or changed behind our back

    def meet(self, tensor: torch.Tensor) -> Known:
        """Enter a tensor that no recorded op made: a constant, or an alias made where we don't see it."""
        ledger = self.ledger
        block = ledger.block_of(tensor)
        if block is None:
            return ledger.add_source(tensor, "constant", real=has_data(tensor))
        twin = ledger.latest_on(block, signature(tensor, block.real))
        if twin is None:
            return ledger.add_view(tensor, block, "constant")
        alias = ledger.add_view(tensor, block)
        self._append(_layout("alias", (twin.sig.type,), alias.sig.type), (twin.value,), (alias.value,), "alias")
        return alias

    def _catch_up(self, tensor: torch.Tensor, old: Known) -> Known:
        """A node that brings a tensor up to date with a write through another view of its storage."""
        ledger = self.ledger
        writer = old.block.writer
        new = ledger.add_view(tensor, old.block)
        types = (old.sig.type, ledger.values[writer].type)
        self._append(_layout("after_write", types, new.sig.type), (old.value, writer), (new.value,), "after_write")
        return new

    # ---- what an op does

    def _first_time(self, func: Any, args: Any, kwargs: Any, key: list[Any], found: Found) -> Any:
        if not is_known(func) and _composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        self._twins = {}
        result = self._compute(func, args, kwargs, found)
        tensors: list[torch.Tensor] = []
        template = memos.templated(result, tensors)
        entry = self._entry(func, args, kwargs, found, tensors, template)
        if self._use_memo:
            try:
                self._memo[tuple(key)] = entry
            except TypeError:
                pass  # unhashable argument: the entry serves this one time
        if entry.outputs is None:
            return self._record_run(entry, found, result)
        return self._record_made(entry, found)

    def _compute(self, func: Any, args: Any, kwargs: Any, found: Found) -> Any:
        """An op's result the first time: by a shape rule, on tensors without data, or for real."""
        if not found:
            return _create(func, args, kwargs)
        if all(known.sig.real for _, known in found):
            large = self._too_large(func, args, kwargs, found)
            return self._run(func, args, kwargs, found) if large is None else large
        if func._schema.name in _READERS or any(tag in func.tags for tag in _READS_DATA):
            raise DataDependentError(f"{func} reads the values of a tensor")
        types = output_types(func, args, kwargs)
        if types is None:
            return self._run(func, args, kwargs, found)
        made = [torch.empty_strided(size, stride, dtype=dtype, device=META) for size, stride, dtype in types]
        return made[0] if len(made) == 1 else tuple(made)

    def _too_large(self, func: Any, args: Any, kwargs: Any, found: Found) -> Any:
        """The result without data if it would be too large to compute from the small real inputs."""
        if sum(tensor.numel() for tensor, _ in found) ** 2 <= REAL_LIMIT or func.is_view or func._schema.is_mutable:
            return None
        try:
            result = self._run_on_twins(func, args, kwargs, found)
        except (RuntimeError, NotImplementedError):
            return None  # it reads values: run it on those at hand
        tensors: list[torch.Tensor] = []
        memos.templated(result, tensors)
        return result if any(t.numel() > REAL_LIMIT and t.is_meta for t in tensors) else None

    def _entry(
        self, func: Any, args: Any, kwargs: Any, found: Found, tensors: list[torch.Tensor], template: Any
    ) -> Entry:
        made = [self._make(tensor, found) for tensor in tensors]
        types = tuple(
            found[how][1].sig.type if type(how) is int else tensor_type(tensor)
            for how, tensor in zip(made, tensors, strict=True)
        )
        inputs = tuple(known.sig.type for _, known in found)
        spec = lower(OpCall.bind(func, args, kwargs, inputs, types, self._moves(tensors, found)))
        writes = _written(func, args, kwargs, found)
        run_for_effect = bool(writes) and all(known.sig.real for _, known in found)
        reshapes = torch.Tag.inplace_view in func.tags
        rerun = run_for_effect or reshapes or not tensors or any(how is None for how in made)
        outputs = None if rerun else tuple(how for how in made if how is not None)
        name = str(func).removesuffix(".default")
        return Entry(func, name, memos.intern(spec), outputs, type(template) is memos.Slot, template, writes)

    def _moves(self, tensors: list[torch.Tensor], found: Found) -> bool:
        """Whether an output has memory of its own."""
        old = {pointer(t) for t, _ in found} | {pointer(t) for t in self._twins.values()}
        return any(pointer(tensor) not in old for tensor in tensors)

    def _make(self, tensor: torch.Tensor, found: Found) -> Fresh | int | None:
        """How to make an output without running the op, or None if that can't be done."""
        for i, (arg, _) in enumerate(found):
            if tensor is arg:
                return i
        if not tensor.is_meta or tensor.layout is not torch.strided or self.ledger.block_of(tensor) is not None:
            return None
        if pointer(tensor) in {pointer(twin) for twin in self._twins.values()}:
            return None
        if tensor.storage_offset() or tensor.is_conj() or tensor.is_neg() or type(tensor) is not torch.Tensor:
            return None
        nbytes = tensor.untyped_storage().nbytes()
        return Fresh(signature(tensor, False), tensor.shape, tensor.stride(), tensor.dtype, nbytes)

    def _run(self, func: Any, args: Any, kwargs: Any, found: Found) -> Any:
        """Run an op: on real tensors where all are, else on tensors without data."""
        if all(known.sig.real for _, known in found):
            if not found:
                return _create(func, args, kwargs)
            if self._writes_owned(func, args, kwargs, found):
                return self._write_shadow(func, args, kwargs, found)
            args, kwargs = _swap(args, self._shadows, _CPU), _swap(kwargs, self._shadows, _CPU)
            return func(*args, **kwargs)
        if func.is_view and not _composite(func):
            return func(*args, **kwargs)  # a view of real weights costs nothing and keeps the storage
        return self._run_on_twins(func, args, kwargs, found)

    def _run_on_twins(self, func: Any, args: Any, kwargs: Any, found: Found) -> Any:
        """Run an op with each real tensor replaced by one like it without data."""
        twins = self._twins = {id(tensor): _twin(tensor) for tensor, _ in found if not tensor.is_meta}
        result = func(*_swap(args, twins, META), **_swap(kwargs, twins, META))
        back = {id(twins[id(tensor)]): tensor for tensor, _ in found if id(tensor) in twins}
        return _swap(result, back, None) if back else result

    # ---- writing to what is the user's

    def _writes_owned(self, func: Any, args: Any, kwargs: Any, found: Found) -> bool:
        if not func._schema.is_mutable:
            return False
        written = _written(func, args, kwargs, found)
        return any(found[i][1].block.owned for i in written)

    def _write_shadow(self, func: Any, args: Any, kwargs: Any, found: Found) -> Any:
        """Run an op in place on copies of the user's tensors; later reads of them see the copies."""
        for i in _written(func, args, kwargs, found):
            tensor = found[i][0]
            if id(tensor) not in self._shadows:
                self._shadows[id(tensor)] = tensor.detach().clone()
        result = func(*_swap(args, self._shadows, _CPU), **_swap(kwargs, self._shadows, _CPU))
        back = {id(shadow): t for t, _ in found if (shadow := self._shadows.get(id(t))) is not None}
        return _swap(result, back, None)

    # ---- writing the node

    def _record_made(self, entry: Entry, found: Found) -> Any:
        ledger = self.ledger
        tensors: list[torch.Tensor] = []
        ids: list[int] = []
        for output in entry.outputs or ():
            if type(output) is int:
                tensor, known = found[output]
                if output in entry.writes:
                    known = ledger.write(tensor, known, False)
            else:
                sig, size, stride, dtype, nbytes = output
                tensor = torch.empty_strided(size, stride, dtype=dtype, device=META)
                known = ledger.add_fresh(tensor, sig, nbytes, False)
            tensors.append(tensor)
            ids.append(known[1])
        inputs = tuple([known[1] for _, known in found])
        self.nodes.append(_node((entry.spec, inputs, tuple(ids), self.call, entry.name, "forward")))
        ledger.clock += 1
        return tensors[0] if entry.single else memos.fill(entry.template, tensors)

    def _record_run(self, entry: Entry, found: Found, result: Any) -> Any:
        ledger = self.ledger
        tensors: list[torch.Tensor] = []
        memos.templated(result, tensors)
        ids: list[int] = []
        for tensor in tensors:
            known = ledger.find(tensor)
            if known is None:
                known = self._enter_result(tensor, found)
            elif any(found[i][0] is tensor for i in entry.writes):
                known = ledger.write(tensor, known, known.sig.real and all(k.sig.real for _, k in found))
            ids.append(known.value)
        spec = entry.spec
        types = tuple(ledger.values[i].type for i in ids)
        if types != spec.outputs:  # the shape depends on values that are at hand (nonzero on a real mask)
            spec = memos.intern(OpSpec(spec.kind, spec.inputs, types, spec.attrs))
        self._append(spec, tuple([known.value for _, known in found]), tuple(ids), entry.name)
        return result

    def _enter_result(self, tensor: torch.Tensor, found: Found) -> Known:
        if tensor.is_meta and tensor.layout is torch.strided:
            for arg, known in found:
                twin = self._twins.get(id(arg))
                if twin is not None and pointer(twin) == pointer(tensor):
                    return self.ledger.add_view(tensor, known.block)
        return self.ledger.add_result(tensor)

    def _append(self, spec: OpSpec, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str) -> None:
        self.nodes.append(_node((spec, inputs, outputs, self.call, name, "forward")))
        self.ledger.clock += 1


_node: Callable[[tuple[object, ...]], Node] = partial(tuple.__new__, Node)


@lru_cache(maxsize=None)
def _composite(func: Any) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


def _layout(fn: str, inputs: tuple[TensorType, ...], output: TensorType) -> OpSpec:
    return memos.intern(OpSpec("layout", inputs, (output,), (("fn", fn), ("copy", False))))


def _written(func: Any, args: Any, kwargs: Any, found: Found) -> tuple[int, ...]:
    """Indices, among the op's tensors, of those that its schema says it writes to."""
    schema = func._schema
    if not schema.is_mutable:
        return ()
    written: set[int] = set()
    for i, argument in enumerate(schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[i] if i < len(args) else kwargs.get(argument.name)
        targets = value if isinstance(value, (list, tuple)) else [value]
        written.update(j for j, (tensor, _) in enumerate(found) if any(tensor is t for t in targets))
    return tuple(sorted(written))


def _create(func: Any, args: Any, kwargs: Any) -> Any:
    """Run an op without tensor inputs: for real while it is small, so that its values can be read."""
    result = func(*_swap(args, {}, META), **_swap({**kwargs, "device": META}, {}, META)) if _places(func) else None
    if result is None:
        return func(*args, **kwargs)
    if not isinstance(result, torch.Tensor) or result.numel() > REAL_LIMIT:
        return result
    result = func(*_swap(args, {}, _CPU), **_swap({**kwargs, "device": _CPU}, {}, _CPU))
    # Uninitialised memory would make what is read from it differ from run to run.
    return result.zero_() if func._schema.name in _EMPTY else result


def has_data(tensor: torch.Tensor) -> bool:
    """Whether ops may be run on a tensor that comes from outside: small, no parameter, with data."""
    return not tensor.is_meta and tensor.numel() <= REAL_LIMIT and not isinstance(tensor, torch.nn.Parameter)


def _twin(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.layout is torch.strided:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
    return tensor.to(META)


def _places(func: Any) -> bool:
    return any(argument.name == "device" for argument in func._schema.arguments)


def _swap(value: Any, table: dict[int, torch.Tensor], device: torch.device | None) -> Any:
    """Arguments with the tensors of a table replaced, and every device argument by `device`."""
    if isinstance(value, torch.Tensor):
        return table.get(id(value), value)
    if isinstance(value, torch.device) and device is not None:
        return device
    if type(value) in (list, tuple):
        return type(value)([_swap(item, table, device) for item in value])
    if type(value) is dict:
        return {k: _swap(v, table, device) for k, v in value.items() if not (k == "pin_memory" and v)}
    return value
