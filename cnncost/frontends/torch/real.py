"""Records runs on real data, for models whose forward reads its own results (boxes to keep, tokens to route).

The recorder observes a forward of a copy of the model, on the given values or on random ones. Nodes whose sizes depend
on values are marked, because their numbers hold only for these values.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import torch
from torch import nn

from cnncost.classes import classes_hashable
from cnncost.errors import InputError
from cnncost.frontends.torch import collectives, entries, higher_order, parts, real_autocast, unwatched
from cnncost.frontends.torch.appearance import Appearance
from cnncost.frontends.torch.attempt import Attempt, first_attempt
from cnncost.frontends.torch.attention_masks import Masks
from cnncost.frontends.torch.autocast import in_force
from cnncost.frontends.torch.autocast_regions import switched_on
from cnncost.frontends.torch.autocast_setting import parse
from cnncost.frontends.torch.blocks import TensorArgs
from cnncost.frontends.torch.callables import as_call
from cnncost.frontends.torch.compiler import no_compiler_import
from cnncost.frontends.torch.copies import Copier
from cnncost.frontends.torch.diagnose import explain_failure
from cnncost.frontends.torch.foreach import is_of_several
from cnncost.frontends.torch.guard import Draws, hidden_from, same_random_state
from cnncost.frontends.torch.inputs import Inputs, prepare
from cnncost.frontends.torch.lowering import is_known
from cnncost.frontends.torch.modules import Tracker, check_initialized, walk
from cnncost.frontends.torch.offload import loads_weights, notes_on_ties
from cnncost.frontends.torch.options import RecordOptions, choose_options
from cnncost.frontends.torch.overloads import overload
from cnncost.frontends.torch.partial_graphs import partial_graph
from cnncost.frontends.torch.patches import ONE_AT_A_TIME
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.recording import make_skeleton, replacing, step_of
from cnncost.frontends.torch.replicated import replica_of, unsent_notes
from cnncost.frontends.torch.restarts import RestartError
from cnncost.frontends.torch.running import stays_whole
from cnncost.frontends.torch.scripted import set_mode
from cnncost.frontends.torch.skeleton import LazyParameterError
from cnncost.frontends.torch.sparse import any_sparse
from cnncost.frontends.torch.sparse_running import has_parts
from cnncost.frontends.torch.tensor_copies import TensorCopies
from cnncost.frontends.torch.training import Step, Training
from cnncost.frontends.torch.watch import watching
from cnncost.frontends.torch.weights import Weights
from cnncost.frontends.torch.wrappers import is_wrapper
from cnncost.garbage import gc_disabled
from cnncost.graph import Graph, OpSpec, RealRun, verify

SEED = 0
DRAWN = f"values drawn from [0, 1) with seed {SEED} (0 if not floating-point)"
GIVEN = "the values given"

_READS = frozenset({"aten._local_scalar_dense", "aten.item", "aten.is_nonzero", "aten.equal", "aten.allclose"})
_MASKS = frozenset({"bool", "uint8"})
_INDEXING = ("aten.index.", "aten._unsafe_index.")
_WRITING = ("batch_norm", "instance_norm", "_batch_norm_impl_index")
"""Name suffixes of ops that update running statistics without declaring it in their schemas."""
_SIZED = frozenset({"torchvision::nms"})
"""Ops with a data-dependent output shape that lack torch's tag for it."""


class RealRecorder(Recorder):
    """Records ops that run on real data. `run_of` returns which parts of the recording depend on the data."""

    on_values = True

    def __init__(self, weights: Weights) -> None:
        super().__init__(use_memo=False, skeleton=weights)  # no `casting`, because torch's own autocast works on data
        self._weights = weights
        self.masks = Masks(on_values=True)
        self._is_random = False  # whether the op that is being recorded draws random numbers
        self._reads_random = False  # whether forward read a value, or an output shape, that depends on these
        self._varies: set[int] = set()
        """Ids of values that depend on the inputs or on random numbers, and so may differ in another run."""
        self._from_random: set[int] = set()
        """Ids of values that depend on random numbers."""
        self._sized: set[int] = set()
        """Ids of values whose shape depends on values."""
        self._marked: list[int] = []
        """Indices of the nodes that have such values as inputs or outputs."""
        self._reads: list[int] = []
        """Calls in which Python code read a value that may differ in another run, one entry per read."""
        self._makes_sizes = False
        """Whether the op that is being recorded has a data-dependent output shape."""
        self.inputs_of: Callable[[int], tuple[int, ...]] = lambda _: ()
        """Returns the value ids of a module call's inputs."""
        self._extents: dict[int, set[int]] = {}
        """By call, the lengths of the first axis of results whose shape depends on values."""

    def enter_input(self, value: int) -> None:
        """Register an input's value, which may differ in another run."""
        self._varies.add(value)

    def read(self, tensor: torch.Tensor) -> None:
        """Note that forward reads a tensor's values with `tolist` or `numpy`, which dispatch no op."""
        tracked = self.ledger.find(tensor)
        if tracked is not None and tracked.value in self._varies:
            self._reads.append(self.call)
        if tracked is not None and tracked.value in self._from_random:
            self._reads_random = True

    def run_of(self, inputs: str, tracker: Tracker, draws: Draws) -> RealRun:
        """Return what depends on values. `inputs` describes their source; `draws` knows the generators drawn from."""
        names = [*draws.drawn_from(), *["torch's random numbers"] * self._reads_random, *tracker.moved_generators()]
        if names:
            inputs = f"{inputs} and one draw of {' and '.join(names)}"
        return RealRun(inputs, tuple(self._marked), len(self._reads), next(map(tracker.path, self._reads), ""))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if higher_order.is_higher_order(func):
            return higher_order.run(self, func, args, kwargs)
        if types and any(map(is_wrapper, types)):
            return NotImplemented
        operands: TensorArgs = []
        self.scan((*args, *kwargs.values()), [], operands)
        if self.attributor is not None:
            self.call = self.attributor.call(operands)
            if (in_place := self.attributor.in_place(func, args, operands)) is not None:
                return self.__torch_dispatch__(in_place, types, args, kwargs)
        op = overload(func)
        with self.errors_noted():
            whole = is_known(op) if not any_sparse([t for t, _ in operands]) else not has_parts(op, args, kwargs)
            in_parts = op.composite and not (whole and stays_whole(op, operands)) or is_of_several(op.schema_name, args)
            if not in_parts and (op.mutable or op.schema_name.endswith(_WRITING)):
                self._weights.save_before_write((tensor for tensor, _ in operands), self.ledger)
        if in_parts:
            return self._run_parts(func, args, kwargs, operands)
        result = func(*args, **kwargs)
        with self.errors_noted():
            if collectives.is_collective(op) and not collectives.is_functional(op):
                collectives.record(self, op, args, kwargs, operands)
                return result
            entry = entries.of_run(op, args, kwargs, operands, result, self._runner, self.ledger)
            if op.composite:
                entry = entry._replace(spec=parts.with_scratch(entry.spec, op, args, kwargs, operands, Recorder))
            masked = entry.name.startswith(_INDEXING) and any(t.dtype in _MASKS for t in entry.spec.inputs[1:])
            self._is_random = op.random
            self._makes_sizes = masked or torch.Tag.dynamic_output_shape in func.tags or op.schema_name in _SIZED
            result = self._on_meta(self._record_run(entry, operands, result))
            self._makes_sizes = self._is_random = False
            return result

    def append(self, spec: OpSpec, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str) -> None:
        index = len(self.nodes)
        super().append(spec, inputs, outputs, name)
        if not inputs and spec.kind == "create" and self._sized_in_call(outputs):
            self._marked.append(index)
            self._varies.update(outputs)
            self._sized.update(outputs)
        if self._is_random:
            self._from_random.update(outputs)
        elif self._varies.isdisjoint(inputs):
            return
        self._varies.update(outputs)
        has_random_input = not self._from_random.isdisjoint(inputs)
        if has_random_input:
            self._from_random.update(outputs)
        reads = name.removesuffix(".default") in _READS
        if reads and not self._varies.isdisjoint(inputs):
            self._reads.append(self.call)
        self._reads_random |= has_random_input and (reads or self._makes_sizes)
        if self._makes_sizes or not self._sized.isdisjoint(inputs):
            self._marked.append(index)
            values = self.ledger.values
            fixed = {values[i][1:3] for i in inputs if i not in self._sized}  # type and storage: in-place ops keep both
            sized = [o for o in outputs if values[o].shape and values[o][1:3] not in fixed]
            self._sized.update(sized)
            self._extents.setdefault(self.call, set()).update(values[o].shape[0] for o in sized)

    def _sized_in_call(self, outputs: tuple[int, ...]) -> bool:
        """True if a new tensor is as long as one of data-dependent shape in this call, as in `zeros(len(boxes))`."""
        values = self.ledger.values
        extents = {values[i].shape[0] for i in self.inputs_of(self.call) if i in self._sized}
        extents |= self._extents.get(self.call, set())
        return any(values[o].shape and values[o].shape[0] in extents for o in outputs)


@classes_hashable()
def record_real(
    model: Any, inputs: Any, options: RecordOptions | None = None, *, train: bool | None = None, autocast: Any = None,
    training: Training | None = None, recorder: Callable[[Weights], RealRecorder] = RealRecorder,
) -> Graph:  # fmt: skip
    """Run a copy of a model on real data and record its ops.

    Args:
        model: a module with weights, a bound method of one, or a function over modules. It is not changed.
        inputs: as for `record`. Tensors with values keep them; where only shapes are given, values are drawn.
        options: as for `record`, on the model's device; the memo is not used.
        train: as for `record`.
        autocast: as for `record`, on the model's device.
        training: as for `record`.
        recorder: creates the recorder, which may inspect values as they are computed.

    Raises:
        InputError: no module, weights on meta, invalid inputs or options, or a device other than the model's.
        ForwardError: forward raised; the message names the module.
    """
    options = choose_options(options, RecordOptions(train=train, autocast=autocast, training=training))
    root, called = as_call(model)
    if any(tensor.is_meta for tensor in root.parameters()) and not loads_weights(root):
        raise InputError("a run on values needs weights, but the model's are on meta; expected a model with weights")
    requested = parse(options.autocast)
    device = next((p.device.type for p in root.parameters() if not p.is_meta), "cpu")
    if requested is not None and requested.device != device:
        raise InputError(
            f"a run on values uses the model's device, {device}, also for autocast; expected autocast='{device}:…' or "
            f"none, got {requested}"
        )
    if options.target is not None and options.target.type != device:
        raise InputError(f"a run on values uses the model's device, {device}; expected no other, got {options.target}")
    attempt = first_attempt(options, requested, called).after({"casts": (requested or in_force()) is not None})
    attempt = attempt.after({"replica": replica_of(model)})
    with ONE_AT_A_TIME, gc_disabled(), hidden_from(Recorder), torch.inference_mode(False), same_random_state() as draws:
        while True:
            arguments = prepare(inputs, root)
            # new values each time, because forward may have written to them
            arguments_with_values, description = with_values(arguments, root, attempt.training is not None)
            try:
                run = copy_context().run  # undoes forward's changes to context variables
                return run(_recorded, root, arguments_with_values, description, attempt, recorder, draws)
            except RestartError as restart:
                restart.prepare()
                attempt = attempt.after(restart.changes)
            except LazyParameterError:
                check_initialized(walk(root))
                raise


def _recorded(
    model: nn.Module, inputs: Inputs, source: str, attempt: Attempt, make_recorder: Callable[[Weights], RealRecorder],
    draws: Draws,
) -> Graph:  # fmt: skip
    originals = walk(model)
    training, share = attempt.training, attempt.training is None
    called = [f for f in (attempt.called, training.loss if training is not None else None) if callable(f)]
    skeleton, _ = make_skeleton(originals, called, lambda watch: Weights(watch, share))
    tree = [(path, skeleton.module(module)) for path, module in originals]
    for _, copy in tree if attempt.train is not None else ():
        set_mode(copy, bool(attempt.train))
    tracker = Tracker(recorder := make_recorder(skeleton))
    recorder.notes += [*notes_on_ties(model), *unsent_notes(attempt.replica if training is not None else None)]
    tracker.enter(tree)
    tracker.watch = skeleton.watch
    draws.mark()
    step = step_of(training, tree[0][1], skeleton, tracker)
    assert skeleton.watch is not None  # `make_skeleton` created it with one
    with watching(skeleton.watch, skeleton.copy_of), skeleton.restoring():
        return _run(tree[0][1], tracker, recorder, inputs, source, attempt, step, draws)


def _run(
    model: nn.Module, tracker: Tracker, recorder: RealRecorder, inputs: Inputs, source: str, attempt: Attempt,
    step: Step | None, draws: Draws,
) -> Graph:  # fmt: skip
    recorder.inputs_of = tracker.inputs_of
    ledger = recorder.ledger
    sources = [ledger.add_source(t, "input", None) for t in inputs.tensors()]
    entered = tuple([tracked.value for tracked in sources])
    for tracked in sources:
        recorder.enter_input(tracked.value)
        tracked.block.from_random = id(tracked.ref()) not in inputs.user_tensors
    home = next((p.device for p in model.parameters()), torch.device("cpu"))
    recorder.appearance = appearance = Appearance(recorder, home, None if attempt.grad else attempt.caller_grad)
    try:
        with (
            real_autocast.prepared(attempt, home.type) as regional, no_compiler_import(),
            unwatched.installed(recorder.device_type, recorder.notes, lambda tensor: tensor),
            recorder, replacing(tracker, appearance, [*regional, *draws.entropy.patches()]),
        ):  # fmt: skip
            with switched_on(attempt.autocast):
                result = tracker.call_root(model, attempt.called, inputs)
                outputs = tracker.values(result)
                loss = step.loss(result) if step is not None else None
            if step is not None and loss is not None:
                step.run(loss)
            recorder.raise_if_refused()
    except (Exception, SystemExit) as error:
        if isinstance(error, InputError):
            raise
        failure = explain_failure(error, tracker, inputs, on_values=True)
        failure.recorded = partial_graph(tracker, inputs, entered, recorder.run_of(source, tracker, draws))
        raise failure from error
    scopes, calls = tracker.finish()
    return verify(Graph(
        tuple(ledger.values), tuple(recorder.nodes), scopes, calls, ledger.storages(), entered, outputs,
        recorder.run_of(source, tracker, draws), inputs.examples,
        (*inputs.notes, *recorder.notes, *real_autocast.notes(attempt)),
        tuple(recorder.masks.by_node.items()), fused=tuple(recorder.fused),
    ))  # fmt: skip


def with_values(inputs: Inputs, model: nn.Module, trains: bool = False) -> tuple[Inputs, str]:
    """Return inputs with values on the model's device, and a description of the values' source.

    Leaf tensors keep their `requires_grad`, other tensors only if `trains`.
    """
    device = next((p.device for p in model.parameters() if not p.is_meta), torch.device("cpu"))
    generator = torch.Generator().manual_seed(SEED)
    table: dict[int, torch.Tensor] = {}
    given: dict[int, torch.Tensor] = {}
    copies = TensorCopies()
    any_random = False
    for tensor in inputs.tensors():
        value = inputs.user_tensors.get(id(tensor), inputs.data.get(id(tensor)))
        if value is None and not tensor.is_meta:  # batch sizes of a packed sequence, which stay on the CPU
            given[id(tensor)] = tensor
            continue
        of_user = value is not None
        if value is None:
            any_random = True
            value = _draw_values(tensor, generator)
        requires_grad = tensor.requires_grad and (trains or value.is_leaf)
        copy = table[id(tensor)] = copies.copy_of(value, device).requires_grad_(requires_grad)
        if of_user:
            given[id(copy)] = value
            if value.__dict__ and not copy.__dict__:
                copy.__dict__.update(value.__dict__)
    valued = _Valued(table)
    args, kwargs = valued.value(inputs.args), valued.value(inputs.kwargs)
    return Inputs(args, kwargs, user_tensors=given, notes=inputs.notes), DRAWN if any_random else GIVEN


class _Valued(Copier):
    """Copies arguments, replacing tensors without values with tensors that have values."""

    def __init__(self, table: dict[int, torch.Tensor]) -> None:
        super().__init__()
        self._values = table

    def module(self, module: nn.Module) -> nn.Module:
        """Return the module itself, because modules among the inputs are not copied."""
        return module

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._values.get(id(tensor), tensor)


def _draw_values(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if tensor.is_floating_point():
        return torch.rand(tensor.shape, generator=generator).to(tensor.dtype)
    return torch.zeros(tensor.shape, dtype=tensor.dtype)
