"""A Graph of a run on values: for models whose forward reads what it computes (boxes that are kept, tokens routed).

The same recorder sees a real forward of a copy, on the values that were given or on random ones. What its sizes
hang on is noted: a number that follows from values is true of these values alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container
from contextvars import copy_context
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from cnncost.errors import InputError
from cnncost.frontends.torch import entries
from cnncost.frontends.torch.appearance import Appearance, GradWantedError
from cnncost.frontends.torch.autocast import Autocast, parse
from cnncost.frontends.torch.autocast_regions import switched_on
from cnncost.frontends.torch.callables import as_call
from cnncost.frontends.torch.compiler import CompilerWantedError, import_compiler, no_compiler_import
from cnncost.frontends.torch.copies import Copier
from cnncost.frontends.torch.diagnose import explain_failure
from cnncost.frontends.torch.guard import ONE_AT_A_TIME, quiet_torch, same_random_state, unseen_by
from cnncost.frontends.torch.higher_order import is_higher_order
from cnncost.frontends.torch.higher_order import run as run_higher_order
from cnncost.frontends.torch.inputs import Inputs, prepare
from cnncost.frontends.torch.kinds import LAZY
from cnncost.frontends.torch.ledger import pointer
from cnncost.frontends.torch.lowering import is_known
from cnncost.frontends.torch.modules import Tracker, walk
from cnncost.frontends.torch.offload import loads_weights
from cnncost.frontends.torch.overloads import overload
from cnncost.frontends.torch.reassigned import told
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.recording import copied, step_of
from cnncost.frontends.torch.running import Found, is_parameter, stays_whole, written
from cnncost.frontends.torch.skeleton import LazyParameterError, Skeleton
from cnncost.frontends.torch.sparse import any_sparse
from cnncost.frontends.torch.sparse_running import has_parts
from cnncost.frontends.torch.training import Step, Training
from cnncost.frontends.torch.watch import Watch, watching
from cnncost.garbage import no_collection
from cnncost.graph import Graph, OpSpec, RealRun, verify

SEED = 0
DRAWN = f"values drawn from [0, 1) with seed {SEED}, whole numbers 0"
GIVEN = "the values given"

_READS = frozenset({"aten._local_scalar_dense", "aten.item", "aten.is_nonzero", "aten.equal", "aten.allclose"})
_MASKS = frozenset({"bool", "uint8"})
_INDEXING = ("aten.index.", "aten._unsafe_index.")
_SIZED = (torch.Tag.dynamic_output_shape,)
_SIZED_NAMES = frozenset({"torchvision::nms", "torchvision.nms"})


class OwnWeightsWantedError(BaseException):
    """Forward writes to weights, whose memory is the user's. Not an Exception: no `except` of a model's may stop it."""


class RealRecorder(Recorder):
    """Records ops that are run on values. `run_of` tells at the end what hangs on them.

    Args:
        skeleton: the model's copy.
        shared: identities of the storages that are the user's.
    """

    on_values = True

    def __init__(self, skeleton: Skeleton | None = None, shared: Container[int] = ()) -> None:
        super().__init__(use_memo=False, skeleton=skeleton)  # torch's own autocast casts tensors with data
        self._shared = shared
        self._varies: set[int] = set()
        self._sized: set[int] = set()
        self._marked: list[int] = []
        self._reads: list[int] = []
        self._makes_sizes = False
        self.inputs_of: Callable[[int], tuple[int, ...]] = lambda _: ()
        """The values that went into a module call."""
        self._extents: dict[int, set[int]] = {}

    def enter_input(self, value: int) -> None:
        """A value that another run could have another of."""
        self._varies.add(value)

    def run_of(self, inputs: str, tracker: Tracker) -> RealRun:
        """What is to be said of the run. `inputs` tells where the values came from."""
        first = tracker.path(self._reads[0]) if self._reads else ""
        return RealRun(inputs, tuple(self._marked), len(self._reads), first)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if is_higher_order(func):
            return run_higher_order(self, func, args, kwargs)
        found: Found = []
        self._scan(args, [], found)
        self._scan(kwargs.values(), [], found)
        if types and any(is_traceable_wrapper_subclass(t) for t, _ in found):
            return NotImplemented
        if self.director is not None:
            self.call = self.director.call(found)
        op = overload(func)
        known = is_known(op) if not any_sparse([t for t, _ in found]) else not has_parts(op, args, kwargs)
        if op.composite and not (known and stays_whole(op, found)):
            return self._run_parts(func, args, kwargs, found)
        if op.mutable and any(pointer(found[i][0]) in self._shared for i in written(op, args, kwargs, found)):
            raise OwnWeightsWantedError
        result = func(*args, **kwargs)
        entry = entries.of_run(op, args, kwargs, found, result, self._runner, self.ledger)
        masked = entry.name.startswith(_INDEXING) and any(t.dtype in _MASKS for t in entry.spec.inputs[1:])
        self._makes_sizes = masked or any(tag in func.tags for tag in _SIZED) or op.schema_name in _SIZED_NAMES
        result = self._record_run(entry, found, result)
        self._makes_sizes = False
        return result

    def _append(self, spec: OpSpec, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str) -> None:
        index = len(self.nodes)
        super()._append(spec, inputs, outputs, name)
        if not inputs and spec.kind == "create" and self._sized_in_call(outputs):
            self._marked.append(index)
            self._varies.update(outputs)
            self._sized.update(outputs)
        if self._varies.isdisjoint(inputs):
            return
        self._varies.update(outputs)
        if name.removesuffix(".default") in _READS:
            self._reads.append(self.call)
        if self._makes_sizes or not self._sized.isdisjoint(inputs):
            self._marked.append(index)
            values = self.ledger.values
            fixed = {values[i][1:3] for i in inputs if i not in self._sized}  # written to in place: it keeps its size
            sized = [o for o in outputs if values[o].shape and values[o][1:3] not in fixed]
            self._sized.update(sized)
            self._extents.setdefault(self.call, set()).update(values[o].shape[0] for o in sized)

    def _sized_in_call(self, outputs: tuple[int, ...]) -> bool:
        """Whether something new is as long as what has a size that hangs on values here: `zeros(len(boxes))`."""
        values = self.ledger.values
        given = {values[i].shape[0] for i in self.inputs_of(self.call) if i in self._sized}
        extents = given | self._extents.get(self.call, set())
        return any(values[o].shape and values[o].shape[0] in extents for o in outputs)


class _How(NamedTuple):
    train: bool | None
    autocast: Autocast | None
    called: Callable[..., Any] | None
    training: Training | None
    grad: bool
    caller_grad: bool
    own: bool = False
    """Weights have memory of their own: forward writes to them."""


def record_real(
    model: Any, inputs: Any, *, train: bool | None = None, autocast: Any = None, training: Training | None = None
) -> Graph:
    """Run a copy of a model for real, and record what it does.

    Args:
        model: a module with weights, a bound method of one, or a function over modules. It is not changed: what forward
            or a training step writes to is copied, weights are read.
        inputs: as `record` takes them. Tensors with values are used as they are; where only shapes are given,
            values are drawn.
        train: as of `record`.
        autocast: as of `record`, on the device that the model is on.
        training: as of `record`.

    Raises:
        InputError: no module, no weights, inputs or an autocast that can't be read, or one of another device.
        ForwardError: forward raised; the message names the module.
    """
    root, called = as_call(model)
    if any(tensor.is_meta for tensor in root.parameters()) and not loads_weights(root):
        raise InputError("a run on values needs weights, and the model's are on meta; give a model that has them")
    wanted = parse(autocast)
    device = next((p.device.type for p in root.parameters() if not p.is_meta), "cpu")
    if wanted is not None and wanted.device != device:
        raise InputError(
            f"a run on values is on the model's device, {device}, and so is its autocast; expected autocast="
            f"'{device}:…' or none, got {wanted}"
        )
    caller_grad = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    how = _How(train, wanted, called, training, training is not None, caller_grad)
    with ONE_AT_A_TIME, no_collection(), unseen_by(Recorder), torch.inference_mode(False), same_random_state():
        while True:
            arguments = prepare(inputs, root)
            real, said = with_values(arguments, root)  # anew each time: forward may have written to the others
            try:
                return copy_context().run(_recorded, root, real, said, how)  # variables that forward sets end here
            except CompilerWantedError as error:
                import_compiler(error.part)
            except GradWantedError:
                how = how._replace(grad=True)
            except OwnWeightsWantedError:
                how = how._replace(own=True)


def _recorded(model: nn.Module, inputs: Inputs, said: str, how: _How) -> Graph:
    originals = walk(model)
    called = [f for f in (how.called, how.training.loss if how.training is not None else None) if callable(f)]
    share = how.training is None and not how.own
    skeleton, _ = copied(originals, called, lambda watch: _Weights(watch, share))
    tree = [(path, skeleton.module(module)) for path, module in originals]
    for original, (_, copy) in zip([module for _, module in originals], tree, strict=True):
        if how.train is not None and copy is not original:
            copy.training = how.train
    recorder = RealRecorder(skeleton, skeleton.shared)
    tracker = Tracker(recorder)
    tracker.enter(tree)
    step = step_of(how.training, tree[0][1], skeleton, tracker)
    assert skeleton.watch is not None  # it was made with one
    with watching(skeleton.watch, skeleton.copy_of):
        return _run(tree[0][1], tracker, recorder, inputs, said, how, step)


def _run(
    model: nn.Module, tracker: Tracker, recorder: RealRecorder, inputs: Inputs, said: str, how: _How, step: Step | None
) -> Graph:
    recorder.inputs_of = tracker.inputs_of
    ledger = recorder.ledger
    given = tuple([ledger.add_source(t, "input", None).value for t in inputs.tensors()])
    for value in given:
        recorder.enter_input(value)
    home = next((p.device for p in model.parameters()), torch.device("cpu"))
    recorder.appearance = appearance = Appearance(recorder, home, None if how.grad else how.caller_grad)
    try:
        with (
            quiet_torch(grad=how.grad), no_compiler_import(), tracker.tracking(), told(ledger.forget), recorder,
            appearance.shown(),
        ):  # fmt: skip
            with switched_on(how.autocast):
                result = tracker.call_root(model, how.called, inputs)
                outputs = tracker.values(result)
                loss = step.loss(result) if step is not None else None
            if step is not None and loss is not None:
                step.run(loss)
    except (Exception, SystemExit) as error:
        if isinstance(error, InputError):
            raise
        raise explain_failure(error, tracker, inputs, on_values=True) from error
    scopes, calls = tracker.finish()
    graph = Graph(
        tuple(ledger.values), tuple(recorder.nodes), scopes, calls, ledger.storages(), given, outputs,
        recorder.run_of(said, tracker), inputs.examples,
    )  # fmt: skip
    return verify(graph)


class _Weights(Skeleton):
    """A copy of a model that has values: buffers of its own, the weights' memory or, to be trained, weights of its own.

    Args:
        share: the weights' memory is the user's.
    """

    on_values = True

    def __init__(self, watch: Watch, share: bool) -> None:
        super().__init__(shared=False, watch=watch)
        self._share = share
        self.shared: set[int] = set()
        """Identities of storages that are the user's."""

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor | None = self._copies.get(id(tensor))
        if found is not None:
            return found
        if type(tensor) in LAZY:
            raise LazyParameterError
        copy = tensor.detach()  # what forward left on a module may have a history: its copy has none
        if is_parameter(tensor):
            copy = copy if self._share else copy.clone()
            if self._share:
                self.shared.add(pointer(tensor))
            copy = copy if isinstance(copy, nn.Parameter) else nn.Parameter(copy, tensor.requires_grad)
            copy.requires_grad_(tensor.requires_grad)
        else:
            copy = copy.clone()
            if tensor.requires_grad and tensor.is_leaf:
                copy.requires_grad_()
        kind = type(tensor)
        if kind is not type(copy) and kind.__torch_dispatch__ == torch.Tensor.__torch_dispatch__:
            copy.__class__ = kind
        if tensor.__dict__ and not copy.__dict__:
            copy.__dict__.update(tensor.__dict__)
        return self._book(tensor, copy)  # type: ignore[no-any-return]  # it gives back what it got


def with_values(inputs: Inputs, model: nn.Module) -> tuple[Inputs, str]:
    """Inputs whose tensors have values, on the model's device; and where the values came from."""
    device = next((p.device for p in model.parameters() if not p.is_meta), torch.device("cpu"))
    generator = torch.Generator().manual_seed(SEED)
    table: dict[int, torch.Tensor] = {}
    shared = _Storages([t for t in inputs.given.values() if not t.is_meta])
    drawn = False
    for tensor in inputs.tensors():
        value = inputs.given.get(id(tensor), inputs.data.get(id(tensor)))
        if value is None and not tensor.is_meta:  # batch sizes of a packed sequence, which stay on the CPU
            continue
        if value is None:
            drawn = True
            value = _drawn(tensor, generator)
        table[id(tensor)] = shared.copy_of(value, device).requires_grad_(tensor.requires_grad)
    valued = _Valued(table)
    made = Inputs(valued.value(inputs.args), valued.value(inputs.kwargs))
    return made, DRAWN if drawn else GIVEN


class _Storages:
    """Copies of tensors, of which those that share memory share the copy's.

    Args:
        tensors: all that are to be copied.
    """

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        self._copies: dict[int, torch.Tensor] = {}
        self._times = Counter(t.untyped_storage()._cdata for t in tensors if t.layout is torch.strided)

    def copy_of(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        """The same values, on a device."""
        tensor = tensor.detach()
        plain = tensor.layout is torch.strided and type(tensor) is torch.Tensor
        if not plain or tensor.is_conj() or tensor.is_neg() or self._times[tensor.untyped_storage()._cdata] < 2:
            return tensor.clone().to(device)
        storage = tensor.untyped_storage()
        whole = self._copies.get(storage._cdata)
        if whole is None:
            flat = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
            whole = self._copies[storage._cdata] = flat.clone().to(device)
        made = torch.empty(0, dtype=tensor.dtype, device=device)
        return made.set_(whole.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride())


class _Valued(Copier):
    """Arguments anew, with tensors that have values in the place of those that have none."""

    def __init__(self, table: dict[int, torch.Tensor]) -> None:
        super().__init__()
        self._values = table

    def module(self, module: nn.Module) -> nn.Module:
        """A module among the inputs is called as it is."""
        return module

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._values.get(id(tensor), tensor)


def _drawn(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if tensor.is_floating_point():
        return torch.rand(tensor.shape, generator=generator).to(tensor.dtype)
    return torch.zeros(tensor.shape, dtype=tensor.dtype)
